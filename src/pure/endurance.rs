//! For how long thresholds may go on failing before the run is ended: `--abort-after`.
//!
//! They are held against the figures since the beginning of the run. What was not measured yet does not
//! count as failing; at the end of the run it does.

use std::time::Duration;

use super::threshold::Threshold;
use crate::words::snapshot::Snapshot;
use crate::words::verdict::Criterion;

/// How long each threshold has been failing.
#[derive(Clone, Debug)]
pub struct Endurance {
    after: f64,
    watched: Vec<(Threshold, Option<f64>)>,
}

impl Endurance {
    /// Bears a failing threshold for `after`.
    #[must_use]
    pub fn new(thresholds: &[Threshold], after: Duration) -> Self {
        let watched = thresholds.iter().map(|threshold| (threshold.clone(), None)).collect();
        Self { after: after.as_secs_f64(), watched }
    }

    /// Looks at a snapshot, later than the one before. The threshold that has failed for too long, as a
    /// criterion that was not met.
    pub fn look(&mut self, snapshot: &Snapshot) -> Option<Criterion> {
        let now = snapshot.elapsed_seconds;
        for (threshold, since) in &mut self.watched {
            let fails = threshold.measure(snapshot).is_some_and(|value| !threshold.holds(value));
            *since = fails.then(|| since.unwrap_or(now));
        }
        let worn = self.watched.iter().find_map(|(threshold, since)| {
            let failing = now - (*since)?;
            (failing >= self.after).then_some((threshold, failing))
        })?;
        Some(Criterion {
            name: "abort_after".to_owned(),
            limit: format!("{} fails for less than {} s", worn.0, self.after),
            value: Some(worn.1),
            met: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::stats::{Expectation, Stats};
    use crate::words::exchange::Source;
    use crate::words::snapshot::Sources;

    #[test]
    fn only_a_failure_without_a_break_counts() {
        let sources = Sources { requests: Source::Probe, bytes: Source::Probe };
        let expectation = Expectation {
            began_ns: 0,
            planned_seconds: None,
            target_clients: 1,
            start_up_seconds: 5.0,
            timeout_ns: 1,
            sources,
        };
        let blank = Stats::new(expectation).snapshot(0);
        let mut endurance = Endurance::new(&["error_rate<1%".parse().unwrap()], Duration::from_secs(3));
        let mut look = |second: u32, rate: Option<f64>| {
            let mut snapshot = Snapshot { elapsed_seconds: second.into(), ..blank.clone() };
            snapshot.errors.rate = rate;
            endurance.look(&snapshot)
        };
        for (second, rate) in
            [(0, None), (1, Some(0.5)), (3, Some(0.5)), (4, Some(0.0)), (5, Some(0.5)), (7, Some(0.5))]
        {
            assert_eq!(look(second, rate), None, "second {second}");
        }
        let worn = look(8, Some(0.5)).unwrap();
        assert_eq!((worn.value, worn.met), (Some(3.0), false));
        assert!(worn.limit.contains("error_rate<1%"), "{}", worn.limit);
    }
}
