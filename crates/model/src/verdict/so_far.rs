//! The criteria while a run goes on.

use super::Criterion;
use super::criteria::judge;
use super::figure::Timings;
use super::threshold::{Statistic, Threshold};
use crate::metric::criteria::VIEWERS_PLAYED;
use crate::snapshot::{Quantiles, Snapshot, Timing};

/// What was measured of the run so far, as far as snapshots have it.
struct SoFar<'a>(&'a Snapshot);

impl Timings for SoFar<'_> {
    fn statistic(&self, timing: Timing, statistic: Statistic) -> Option<f64> {
        let Quantiles { p50, p95, p99, max, .. } = self.0.latency[timing]?;
        let near = |percent: f64, of: f64| (percent - of).abs() < 1e-9;
        match statistic {
            Statistic::Percentile(percent) if near(percent, 50.0) => Some(p50),
            Statistic::Percentile(percent) if near(percent, 95.0) => Some(p95),
            Statistic::Percentile(percent) if near(percent, 99.0) => Some(p99),
            Statistic::Max => Some(max),
            _ => None,
        }
    }
}

/// All criteria as they would be judged now: those that are not met, those that cannot be judged yet (without a value),
/// and those that are met.
#[must_use]
pub fn so_far(snapshot: &Snapshot, thresholds: &[Threshold]) -> Vec<Criterion> {
    let mut criteria = judge(snapshot, &SoFar(snapshot), thresholds, None).criteria;
    // A share of no viewers is not one that failed.
    if snapshot.lifetimes.expected == 0 {
        let played = criteria.iter_mut().filter(|criterion| criterion.name == VIEWERS_PLAYED);
        played.for_each(|criterion| criterion.value = None);
    }
    criteria.sort_by_key(|criterion| (criterion.met, criterion.value.is_none()));
    criteria
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::tests::stats;

    #[test]
    fn what_cannot_be_judged_yet_is_between_what_failed_and_what_holds() {
        let mut snapshot = stats(1).snapshot(0);
        snapshot.latency[Timing::Startup] =
            Some(Quantiles { count: 9, p50: 2.0, p95: 3.0, p99: 3.0, max: 3.0 });
        let thresholds = ["startup:p95<2s", "startup:p90<2s"].map(|text| text.parse().unwrap());
        let criteria = so_far(&snapshot, &thresholds);
        assert_eq!(
            (criteria[0].name.as_str(), criteria[0].value, criteria[0].met),
            ("startup", Some(3.0), false)
        );
        let state = |criterion: &Criterion| match (criterion.met, criterion.value) {
            (true, _) => 2,
            (false, None) => 1,
            (false, Some(_)) => 0,
        };
        assert!(criteria.is_sorted_by_key(state), "{criteria:?}");
        let played = criteria.iter().find(|criterion| criterion.name == VIEWERS_PLAYED).unwrap();
        assert_eq!((played.met, played.value), (false, None));
    }
}
