//! The figures of the last seconds, which `--abort-after` holds thresholds against.
//!
//! Counters, bytes, time and durations are those of a sliding window. Not so what only the whole run
//! has: whether viewers have ever played or were given up, and how many there were at most. The speed of
//! playback is one of this moment anyway.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use super::exchanges::Times;
use super::{Kind, Stats};
use crate::exchange::Exchange;
use crate::snapshot::{
    Errors, ExchangeTimes, Latency, Lifetimes, PerKind, PlaybackTime, Quantiles, Snapshot,
};
use crate::verdict::Criterion;
use crate::verdict::abort::AbortPolicy;
use crate::verdict::threshold::Threshold;

/// What had been counted at a moment.
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
    failed: u64,
    cache: (u64, u64),
    watching: PlaybackTime,
}

/// What came between one look and the next.
#[derive(Clone, Debug, Default)]
struct Slice {
    began: Mark,
    times: Durations,
}

/// Single durations, microseconds.
#[derive(Clone, Debug, Default)]
struct Durations {
    ttfb: PerKind<Vec<u32>>,
    download: PerKind<Vec<u32>>,
    segment_total: Vec<u32>,
    connect: Vec<u32>,
    dns: Vec<u32>,
    tls: Vec<u32>,
    startup: Vec<u32>,
}

/// The last seconds, and how long thresholds have failed in them.
#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    abort_policy: AbortPolicy,
    timed: bool,
    /// Never empty; the last one is going on.
    slices: VecDeque<Slice>,
    aborted_by: Option<Criterion>,
}

impl SlidingWindow {
    fn new(abort_policy: AbortPolicy) -> Self {
        let timed = abort_policy.needs_times();
        Self { abort_policy, timed, slices: VecDeque::from([Slice::default()]), aborted_by: None }
    }

    /// Takes the durations of an exchange.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) {
        let Some(slice) = self.slices.back_mut().filter(|_| self.timed) else { return };
        let (times, took) = (&mut slice.times, Times::of(exchange));
        keep(&mut times.ttfb[exchange.kind], took.ttfb);
        keep(&mut times.download[exchange.kind], took.download);
        keep(&mut times.segment_total, took.segment_total);
        keep(&mut times.connect, took.connect);
        keep(&mut times.dns, took.dns);
        keep(&mut times.tls, took.tls);
    }

    /// Takes how long a viewer needed for its first segment.
    pub(crate) fn startup(&mut self, nanos: u64) {
        if let Some(slice) = self.slices.back_mut().filter(|_| self.timed) {
            keep(&mut slice.times.startup, Some(nanos));
        }
    }

    /// Holds the thresholds against the window that ends now. `whole` is the whole run.
    fn look(&mut self, now: Mark, whole: Snapshot) {
        let begin = now.second - self.abort_policy.window();
        // The newest slice that is old enough is where the window begins.
        while self.slices.get(1).is_some_and(|slice| slice.began.second <= begin) {
            self.slices.pop_front();
        }
        let before = self.slices.front().map_or_else(Mark::default, |slice| slice.began);
        let window = Snapshot { latency: self.latency(), ..now.since(&before, whole) };
        let aborted_by = self.abort_policy.look(now.second, &window);
        self.aborted_by = self.aborted_by.take().or(aborted_by);
        self.slices.push_back(Slice { began: now, ..Slice::default() });
    }

    fn latency(&self) -> Latency {
        let all = |of: &dyn Fn(&Durations) -> &Vec<u32>| {
            quantiles(self.slices.iter().flat_map(|slice| of(&slice.times)).copied().collect())
        };
        let mut by_kind = PerKind::<ExchangeTimes>::default();
        for kind in Kind::ALL {
            by_kind[kind] = ExchangeTimes {
                ttfb: all(&|times| &times.ttfb[kind]),
                download: all(&|times| &times.download[kind]),
            };
        }
        Latency {
            by_kind,
            segment_total: all(&|times| &times.segment_total),
            connect: all(&|times| &times.connect),
            dns: all(&|times| &times.dns),
            tls: all(&|times| &times.tls),
            startup: all(&|times| &times.startup),
        }
    }
}

fn keep(into: &mut Vec<u32>, nanos: Option<u64>) {
    // An hour and more is as good as an hour.
    into.extend(nanos.map(|nanos| u32::try_from(nanos / 1000).unwrap_or(u32::MAX)));
}

/// Order statistics, as exact as the durations.
fn quantiles(mut micros: Vec<u32>) -> Option<Quantiles> {
    let count = micros.len();
    let mut at = |quantile: f64| {
        let rank = (quantile * count as f64).ceil() as usize;
        let place = rank.saturating_sub(1);
        (place < count).then(|| f64::from(*micros.select_nth_unstable(place).1) / 1e6)
    };
    Some(Quantiles { count: count as u64, p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)?, max: at(1.0)? })
}

fn difference(now: &PerKind<u64>, before: &PerKind<u64>) -> PerKind<u64> {
    let mut difference = PerKind::default();
    for (kind, count) in now.iter() {
        difference[kind] = count.saturating_sub(before[kind]);
    }
    difference
}

impl Mark {
    /// The account of what came since `before`; what has no window is that of `whole`.
    fn since(&self, before: &Self, whole: Snapshot) -> Snapshot {
        let requests = difference(&self.requests, &before.requests);
        let due = self.due - before.due;
        let errors = Errors {
            http: self.errors.http - before.errors.http,
            broken: self.errors.broken - before.errors.broken,
            timeouts: self.errors.timeouts - before.errors.timeouts,
            connect: self.errors.connect - before.errors.connect,
            rate: None,
        };
        let attempts = requests.total() + errors.connect;
        let failed = (self.failed - before.failed) as f64;
        Snapshot {
            elapsed_seconds: self.second - before.second,
            requests,
            bytes: difference(&self.bytes, &before.bytes),
            errors: Errors { rate: (attempts > 0).then(|| failed / attempts as f64), ..errors },
            cache: (self.cache.0 - before.cache.0, self.cache.1 - before.cache.1),
            expected_viewer_seconds: due,
            active_ratio: (due > 0.0).then(|| (self.played - before.played) / due),
            lifetimes: Lifetimes {
                // Who was stalled already when the window began is stalled in it as well.
                stalled: self.stalled - before.stalled + before.stalled_now,
                restarts: self.restarts - before.restarts,
                ..whole.lifetimes
            },
            watching: self.watching.since(&before.watching),
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

    /// Looks back at the last seconds, if anybody asks for them.
    pub(crate) fn update_window(&mut self, at_ns: u64) {
        if self.sliding_window.is_none() {
            return;
        }
        let (whole, now) = (self.figures(at_ns), self.mark(at_ns));
        if let Some(sliding_window) = &mut self.sliding_window {
            sliding_window.look(now, whole);
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
            stalled: viewers.lifetimes.stalled,
            stalled_now: viewers.stalled_now(),
            restarts: viewers.lifetimes.restarts,
            requests: exchanges.requests,
            bytes: exchanges.bytes,
            errors: exchanges.errors(),
            failed: exchanges.failures.count,
            cache: (exchanges.hits, exchanges.misses),
            watching: viewers.watching,
        }
    }
}
