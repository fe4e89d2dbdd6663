//! The abort policy: for how long a threshold may fail before the run is ended (`--abort-after`).
//!
//! Thresholds are evaluated over the last seconds (`stats::window`), not over the whole run: a good first
//! hour does not hide that nothing works now, and a bad beginning is forgiven. Seconds in which nothing was
//! measured neither add to a failure nor end it; only the verdict at the end of the run fails what was not measured.

use std::time::Duration;

use super::threshold::{Threshold, Timings};
use crate::metric::criteria;
use crate::snapshot::Snapshot;
use crate::verdict::Criterion;

/// Length of the window as a share of `--abort-after`. A failure counts until it has left the window, so one that
/// lasts for less than the other two thirds of `--abort-after` never ends a run.
const WINDOW_SHARE: f64 = 1.0 / 3.0;
/// Length of the shortest window, seconds: figures are computed once per second.
const MIN_WINDOW_SECONDS: f64 = 1.0;
/// Length of the longest window, seconds: every duration that was measured within it is kept in memory.
const MAX_WINDOW_SECONDS: f64 = 60.0;

/// The time for which each threshold has been failing.
#[derive(Clone, Debug)]
pub struct AbortPolicy {
    after: f64,
    watched: Vec<(Threshold, Option<f64>)>,
    evaluated_at: f64,
}

impl AbortPolicy {
    /// Creates a policy that ends the run once a threshold has failed for `after`.
    #[must_use]
    pub fn new(thresholds: &[Threshold], after: Duration) -> Self {
        let watched = thresholds.iter().map(|threshold| (threshold.clone(), None)).collect();
        Self { after: after.as_secs_f64(), watched, evaluated_at: 0.0 }
    }

    /// Length of the window over which thresholds are evaluated, seconds.
    #[must_use]
    pub fn window(&self) -> f64 {
        (self.after * WINDOW_SHARE).clamp(MIN_WINDOW_SECONDS, MAX_WINDOW_SECONDS)
    }

    /// Whether a threshold is about durations, which are kept one by one for the window.
    #[must_use]
    pub fn needs_times(&self) -> bool {
        self.watched.iter().any(|(threshold, _)| threshold.is_of_times())
    }

    /// Evaluates the figures of the window that ends `second` seconds into the run. Each call must be later than the
    /// previous one. Returns the threshold that has failed for too long, as a criterion that was not met.
    pub fn evaluate(&mut self, second: f64, window: &Snapshot, timings: &dyn Timings) -> Option<Criterion> {
        let step = second - std::mem::replace(&mut self.evaluated_at, second);
        for (threshold, failing) in &mut self.watched {
            match threshold.measure(window, timings).map(|value| threshold.holds(value)) {
                Some(true) => *failing = None,
                Some(false) => *failing = Some(failing.map_or(0.0, |so_far| so_far + step)),
                None => {}
            }
        }
        let failed = self.watched.iter().find_map(|(threshold, failing)| {
            failing.filter(|failing| *failing >= self.after).map(|failing| (threshold, failing))
        })?;
        let limit = format!(
            "{}, over the last {:.0} s, fails for less than {} s",
            failed.0,
            self.window(),
            self.after
        );
        Some(Criterion::new(criteria::ABORT_AFTER, limit, Some(failed.1), false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Source;
    use crate::snapshot::{PlaybackSource, Sources};
    use crate::stats::{Expectation, Stats};

    #[test]
    fn only_a_failure_without_a_break_counts_and_only_while_there_are_figures() {
        let sources =
            Sources { requests: Source::Probe, bytes: Source::Probe, playback: PlaybackSource::Arrivals };
        let expectation = Expectation {
            began_ns: 0,
            planned_seconds: None,
            target_clients: 1,
            start_up_seconds: 5.0,
            timeout_ns: 1,
            sources,
        };
        let blank = Stats::new(expectation).snapshot(0);
        let mut abort_policy = AbortPolicy::new(&["error_rate<1%".parse().unwrap()], Duration::from_secs(3));
        let mut look = |second: u32, rate: Option<f64>| {
            let mut snapshot = blank.clone();
            snapshot.errors.rate = rate;
            abort_policy.evaluate(second.into(), &snapshot, &())
        };
        for (second, rate) in [
            (0, None),
            (1, Some(0.5)),
            (3, Some(0.5)),
            (4, Some(0.0)),
            (5, Some(0.5)),
            (7, Some(0.5)),
            // No requests for a minute: neither a failure nor a recovery.
            (67, None),
        ] {
            assert_eq!(look(second, rate), None, "second {second}");
        }
        let failed = look(68, Some(0.5)).unwrap();
        assert_eq!((failed.value, failed.met), (Some(3.0), false));
        assert!(failed.limit.contains("error_rate<1%"), "{}", failed.limit);
    }

    #[test]
    fn the_window_is_a_third_within_bounds() {
        let window = |seconds| AbortPolicy::new(&[], Duration::from_secs(seconds)).window();
        assert_eq!([1, 30, 3600].map(window), [1.0, 10.0, 60.0]);
    }
}
