//! The criteria of the verdict with their state so far, those that are not met first.

use ratatui::text::{Line, Span};

use hls_swarm_model::metric::criteria::VIEWERS_PLAYED;
use hls_swarm_model::snapshot::{Quantiles, Snapshot, Timing};
use hls_swarm_model::verdict::Criterion;
use hls_swarm_model::verdict::criteria::judge;
use hls_swarm_model::verdict::threshold::{Statistic, Threshold, Timings};

use super::style::Theme;

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

/// All criteria: those that are not met, those that cannot be judged yet, and those that are met.
pub(super) fn so_far(snapshot: &Snapshot, thresholds: &[Threshold]) -> Vec<Criterion> {
    let mut criteria = judge(snapshot, &SoFar(snapshot), thresholds, None).criteria;
    // A share of no viewers is not one that failed.
    if snapshot.lifetimes.expected == 0 {
        let played = criteria.iter_mut().filter(|criterion| criterion.name == VIEWERS_PLAYED);
        played.for_each(|criterion| criterion.value = None);
    }
    criteria.sort_by_key(|criterion| (criterion.met, criterion.value.is_none()));
    criteria
}

/// One criterion on at most `width` columns.
pub(super) fn line(criterion: &Criterion, width: usize, theme: Theme) -> Line<'static> {
    let (mark, style) = match (criterion.met, criterion.value) {
        (true, _) => ('✓', theme.good()),
        (false, None) => ('-', theme.label()),
        (false, Some(_)) => ('✗', theme.bad_if(true)),
    };
    let value = criterion.value.map_or_else(|| "no value yet".to_owned(), |_| criterion.value_text());
    let text = format!("{} {value}  ({})", criterion.name, criterion.limit);
    let text: String = text.chars().take(width.saturating_sub(3)).collect();
    Line::from(vec![Span::styled(format!("{mark} "), style), Span::styled(text, theme.bad_if(mark == '✗'))])
}
