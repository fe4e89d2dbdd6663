//! Means over runs.

/// The mean of values with weights; without any weight, all count the same.
pub(crate) fn mean(values: &[(Option<f64>, f64)]) -> Option<f64> {
    let known: Vec<(f64, f64)> =
        values.iter().filter_map(|(value, weight)| Some(((*value)?, *weight))).collect();
    let weights: f64 = known.iter().map(|(_, weight)| weight).sum();
    if weights > 0.0 {
        return Some(known.iter().map(|(value, weight)| value * weight).sum::<f64>() / weights);
    }
    (!known.is_empty()).then(|| known.iter().map(|(value, _)| value).sum::<f64>() / known.len() as f64)
}
