//! The sliding window: the figures of the last seconds, over which `--abort-after` evaluates thresholds.
//!
//! Counters, bytes, times and durations are those of the window. Some figures only the whole run has: whether
//! viewers have ever played or failed permanently, and the largest number of them. The playback speed is always
//! that of the moment.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::Stats;
use super::exchanges::durations;
use crate::exchange::Exchange;
use crate::metric::counters::Counters;
use crate::snapshot::{CacheResults, Errors, Lifetimes, PerKind, PerTiming, PlaybackTime, Snapshot, Timing};
use crate::verdict::Criterion;
use crate::verdict::abort::AbortPolicy;
use crate::verdict::threshold::{Statistic, Threshold, Timings};

/// The counts at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    second: f64,
    due: f64,
    played: f64,
    stalled: u64,
    stalled_now: u64,
    restarts: u64,
    requests: PerKind<u64>,
    bytes: PerKind<u64>,
    errors: Errors,
    counters: Counters,
    cache: CacheResults,
    playback_time: PlaybackTime,
}

/// The events between two evaluations.
#[derive(Clone, Debug, Default)]
struct Slice {
    began: Mark,
    times: Durations,
}

/// Single durations, microseconds.
type Durations = PerTiming<Vec<u32>>;

/// The last seconds, and how long thresholds have failed in them.
#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    abort_policy: AbortPolicy,
    timed: bool,
    /// Never empty; the last one is the current one.
    slices: VecDeque<Slice>,
    aborted_by: Option<Criterion>,
}

impl SlidingWindow {
    fn new(abort_policy: AbortPolicy) -> Self {
        let timed = abort_policy.needs_times();
        Self { abort_policy, timed, slices: VecDeque::from([Slice::default()]), aborted_by: None }
    }

    /// Adds the durations of an exchange.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) {
        let Some(slice) = self.slices.back_mut().filter(|_| self.timed) else { return };
        for (timing, nanos) in durations(exchange) {
            keep(&mut slice.times[timing], nanos);
        }
    }

    /// Adds a duration that a viewer, not an exchange, has.
    pub(crate) fn duration(&mut self, timing: Timing, nanos: u64) {
        if let Some(slice) = self.slices.back_mut().filter(|_| self.timed) {
            keep(&mut slice.times[timing], nanos);
        }
    }

    /// Evaluates the thresholds over the window that ends now. `whole` is the whole run.
    fn evaluate(&mut self, now: Mark, whole: Snapshot) {
        let begin = now.second - self.abort_policy.window();
        // The newest slice that is old enough is where the window begins.
        while self.slices.get(1).is_some_and(|slice| slice.began.second <= begin) {
            self.slices.pop_front();
        }
        let before = self.slices.front().map_or_else(Mark::default, |slice| slice.began);
        let window = now.since(&before, whole);
        let aborted_by = self.abort_policy.evaluate(now.second, &window, &self.slices);
        self.aborted_by = self.aborted_by.take().or(aborted_by);
        self.slices.push_back(Slice { began: now, ..Slice::default() });
    }
}

/// Statistics with the same precision as the durations.
impl Timings for VecDeque<Slice> {
    fn statistic(&self, timing: Timing, statistic: Statistic) -> Option<f64> {
        let mut micros: Vec<u32> = self.iter().flat_map(|slice| &slice.times[timing]).copied().collect();
        let last = micros.len().checked_sub(1)?;
        let mut at = |place: usize| f64::from(*micros.select_nth_unstable(place).1) / 1e6;
        match statistic {
            Statistic::Percentile(percent) => {
                let rank = (percent / 100.0 * (last + 1) as f64).ceil() as usize;
                Some(at(rank.saturating_sub(1).min(last)))
            }
            Statistic::Min => Some(at(0)),
            Statistic::Max => Some(at(last)),
            Statistic::Mean => {
                Some(micros.iter().copied().map(f64::from).sum::<f64>() / (last + 1) as f64 / 1e6)
            }
            Statistic::Value | Statistic::Rate => None,
        }
    }
}

fn keep(into: &mut Vec<u32>, nanos: u64) {
    // Windows of more than an hour are treated like an hour.
    into.push(u32::try_from(nanos / 1000).unwrap_or(u32::MAX));
}

fn difference(now: &PerKind<u64>, before: &PerKind<u64>) -> PerKind<u64> {
    let mut difference = PerKind::default();
    for (kind, count) in now.iter() {
        difference[kind] = count.saturating_sub(before[kind]);
    }
    difference
}

impl Mark {
    /// The snapshot of the time since `before`; figures without a window are those of `whole`.
    fn since(&self, before: &Self, whole: Snapshot) -> Snapshot {
        let requests = difference(&self.requests, &before.requests);
        let due = self.due - before.due;
        Snapshot {
            elapsed_seconds: self.second - before.second,
            requests,
            bytes: difference(&self.bytes, &before.bytes),
            errors: self.errors.since(&before.errors),
            counters: self.counters.since(&before.counters),
            cache: CacheResults {
                hits: self.cache.hits - before.cache.hits,
                misses: self.cache.misses - before.cache.misses,
            },
            expected_viewer_seconds: due,
            active_ratio: (due > 0.0).then(|| (self.played - before.played) / due),
            lifetimes: Lifetimes {
                // A viewer that was stalled when the window began is stalled in it as well.
                stalled: self.stalled.saturating_sub(before.stalled) + before.stalled_now,
                restarts: self.restarts - before.restarts,
                ..whole.lifetimes
            },
            playback_time: self.playback_time.since(&before.playback_time).with_ratios(due),
            ..whole
        }
    }
}

impl Stats {
    /// Ends the run once one of `thresholds` has failed for `after`; `None` = never.
    #[must_use]
    pub fn with_abort_thresholds(self, thresholds: &[Threshold], after: Option<Duration>) -> Self {
        Self {
            sliding_window: after.map(|after| SlidingWindow::new(AbortPolicy::new(thresholds, after))),
            ..self
        }
    }

    /// Evaluates the last seconds, if a threshold asks for them.
    pub(crate) fn update_window(&mut self, at_ns: u64) {
        if self.sliding_window.is_none() {
            return;
        }
        let (whole, now) = (self.figures(at_ns), self.mark(at_ns));
        if let Some(sliding_window) = &mut self.sliding_window {
            sliding_window.evaluate(now, whole);
        }
    }

    /// The threshold that has failed for too long.
    pub(crate) fn aborted_by(&self) -> Option<Criterion> {
        self.sliding_window.as_ref().and_then(|sliding_window| sliding_window.aborted_by.clone())
    }

    fn mark(&self, at_ns: u64) -> Mark {
        let Self { exchanges, viewers, .. } = self;
        Mark {
            second: self.elapsed(at_ns),
            due: self.due,
            played: self.played,
            stalled: viewers.stalls_begun(),
            stalled_now: viewers.stalled_now(),
            restarts: viewers.lifetimes.restarts,
            requests: exchanges.requests,
            bytes: exchanges.bytes,
            errors: exchanges.errors(),
            counters: exchanges.counters.plus(&self.counters),
            cache: exchanges.cache,
            playback_time: viewers.playback_time(),
        }
    }
}
