//! Named sets of thresholds, for `--threshold NAME`.

use hls_swarm_model::verdict::threshold::Threshold;

/// The sets, each with its name and its thresholds.
pub const PRESETS: [(&str, &[&str]); 2] = [
    (
        // Usual criteria of load tests. Sampling at the edges of a stage costs up to 2 % of throughput.
        "standard",
        &[
            "active_ratio>=100%",
            "stalls==0",
            "error_rate<0.1%",
            "segment_total:p95<500ms",
            "throughput_ratio>=98%",
        ],
    ),
    // Targets that AWS names for a live channel.
    ("aws", &["startup:p95<2s", "rebuffering<1%", "cache_hits>95%"]),
];

/// The thresholds of the set `name`; `None` if there is no such set.
#[must_use]
pub fn preset(name: &str) -> Option<Vec<Threshold>> {
    let (_, texts) = PRESETS.iter().find(|(known, _)| *known == name)?;
    texts.iter().map(|text| text.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_can_be_parsed() {
        for (name, texts) in PRESETS {
            assert_eq!(preset(name).unwrap().len(), texts.len(), "{name}");
        }
        assert!(preset("gold").is_none());
    }
}
