//! An exponentially weighted moving average whose samples have a weight.

/// An exponentially weighted moving average without the bias toward 0 that it would have at its beginning: the
/// estimate is divided by the share that samples have in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ewma {
    alpha: f64,
    estimate: f64,
    weight: f64,
}

impl Ewma {
    /// An average in which half of the value comes from the last `half_life` of weight.
    pub(crate) fn new(half_life: f64) -> Self {
        Self { alpha: (0.5_f64.ln() / half_life).exp(), estimate: 0.0, weight: 0.0 }
    }

    pub(crate) fn sample(&mut self, weight: f64, value: f64) {
        if !(weight > 0.0 && weight.is_finite() && value.is_finite()) {
            return;
        }
        let kept = self.alpha.powf(weight);
        self.estimate = value * (1.0 - kept) + kept * self.estimate;
        self.weight += weight;
    }

    /// The sum of all weights.
    pub(crate) const fn weight(&self) -> f64 {
        self.weight
    }

    /// The average; 0 without samples.
    pub(crate) fn estimate(&self) -> f64 {
        let share = 1.0 - self.alpha.powf(self.weight);
        if share > 0.0 { self.estimate / share } else { self.estimate }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_is_the_estimate() {
        let mut average = Ewma::new(3.0);
        assert!(average.estimate().abs() < 1e-12);
        average.sample(0.01, 1e6);
        assert!((average.estimate() - 1e6).abs() < 1e-3);
    }

    #[test]
    fn half_of_the_value_comes_from_the_last_half_life() {
        let mut average = Ewma::new(3.0);
        average.sample(1000.0, 0.0);
        average.sample(3.0, 100.0);
        assert!((average.estimate() - 50.0).abs() < 1e-9);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            average.sample(bad, 1e9);
            average.sample(1.0, f64::NAN);
        }
        assert!((average.estimate() - 50.0).abs() < 1e-9);
    }
}
