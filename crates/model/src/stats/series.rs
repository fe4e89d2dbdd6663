//! The run over time: one point per second, in bounded memory however long the run is.

use super::quality::OverTime;
use crate::merge::average;
use crate::series::{Percentiles, Point, Series};

/// Points kept; past that, neighbors are joined and the step doubles.
pub const MAX_POINTS: usize = 3600;

/// Counts since the run began, and gauges at this moment, as the statistics have them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub(crate) target: u64,
    pub(crate) active: u64,
    pub(crate) playing: u64,
    pub(crate) stalled: u64,
    pub(crate) manifests: u64,
    pub(crate) segments: u64,
    pub(crate) bytes: u64,
    pub(crate) errors: u64,
    /// Sums of samples, and how many there were.
    pub(crate) cpu: f64,
    pub(crate) own_cpu: f64,
    pub(crate) samples: u64,
    /// The origin's load now: percent, and bytes per second sent.
    pub(crate) origin: (Option<f64>, Option<f64>),
    /// What players report.
    pub(crate) quality: OverTime,
}

/// The series so far.
#[derive(Clone, Debug, Default)]
pub struct History {
    series: Series,
    /// Number of the current step.
    step: u64,
    /// Totals at its beginning.
    before: Totals,
    /// Latencies of the current step, microseconds.
    latencies: Vec<u64>,
    /// Length of the run and the totals at its end; stopping the viewers is not part of it.
    closed: Option<(f64, Totals)>,
}

impl History {
    /// Adds the latency of a segment.
    pub fn segment(&mut self, nanos: u64) {
        if self.closed.is_none() {
            self.latencies.push(nanos / 1000);
        }
    }

    /// Whether time has left the step that is going on, so that [`Self::advance`] has work.
    #[must_use]
    pub fn is_due(&self, elapsed: f64) -> bool {
        self.step_at(elapsed) > self.step
    }

    fn step_at(&self, elapsed: f64) -> u64 {
        elapsed as u64 / self.series.step_seconds
    }

    /// Moves to the given moment of the run. What has come since the last call belongs to the step that
    /// was going on; a step without a call has no point.
    pub fn advance(&mut self, elapsed: f64, now: Totals) {
        if !self.is_due(elapsed) {
            return;
        }
        self.series.points.push(self.point(now));
        self.before = now;
        self.latencies.clear();
        if self.series.points.len() > MAX_POINTS {
            self.series = halved(&self.series);
        }
        self.step = self.step_at(elapsed);
        // The step may have begun before this call, if halving has just made it longer.
        if self.series.points.last().is_some_and(|last| self.series.step_seconds * self.step == last.second) {
            self.step += 1;
        }
    }

    /// The run is over: viewers are being stopped.
    pub fn close(&mut self, elapsed: f64, now: Totals) {
        self.closed = Some((elapsed, now));
    }

    fn point(&self, now: Totals) -> Point {
        let before = &self.before;
        let samples = now.samples.saturating_sub(before.samples);
        let mean = |sum: f64| (samples > 0).then(|| tenth(sum / samples as f64));
        let quality = (now.quality, before.quality);
        let average = |now: (f64, u64), before: (f64, u64)| {
            let samples = now.1.saturating_sub(before.1);
            (samples > 0).then(|| hundredth((now.0 - before.0) / samples as f64))
        };
        let shown = quality.0.played - quality.1.played;
        Point {
            second: self.step * self.series.step_seconds,
            target: now.target,
            active: now.active,
            playing: now.playing,
            stalled: now.stalled,
            manifests: now.manifests.saturating_sub(before.manifests),
            segments: now.segments.saturating_sub(before.segments),
            bytes: now.bytes.saturating_sub(before.bytes),
            errors: now.errors.saturating_sub(before.errors),
            latency: percentiles(&self.latencies),
            cpu_percent: mean(now.cpu - before.cpu),
            own_cpu_percent: mean(now.own_cpu - before.own_cpu),
            origin_cpu_percent: now.origin.0.map(tenth),
            origin_transmit_bytes_per_second: now.origin.1.map(f64::round),
            bitrate_played: (shown > 0.0).then(|| ((quality.0.bits - quality.1.bits) / shown).round()),
            buffer_seconds: average(quality.0.buffer, quality.1.buffer),
            live_latency_seconds: average(quality.0.latency, quality.1.latency),
        }
    }

    /// The series up to now. The current step is its last point if it has any events; events in the first half of a
    /// last step count for the step before.
    #[must_use]
    pub fn series(&self, now: Totals) -> Series {
        let mut series = self.series.clone();
        // Requests that viewers had in flight when they were stopped would look like a burst.
        let rest = self.point(self.closed.map_or(now, |(_, closed)| closed));
        let step = series.step_seconds as f64;
        let short = self.closed.is_some_and(|(elapsed, _)| elapsed - (rest.second as f64) < step / 2.0);
        match series.points.last_mut() {
            Some(last) if short => {
                last.manifests += rest.manifests;
                last.segments += rest.segments;
                last.bytes += rest.bytes;
                last.errors += rest.errors;
            }
            _ if rest.manifests + rest.segments + rest.bytes + rest.errors > 0 => series.points.push(rest),
            _ => {}
        }
        series
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn hundredth(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn percentiles(micros: &[u64]) -> Option<Percentiles> {
    // A step of a long run holds hundreds of thousands: they are selected, for sorting them would delay
    // every timer of this program.
    let mut micros = micros.to_vec();
    let mut at = |quantile: f64| {
        let rank = (quantile * micros.len() as f64).ceil() as usize;
        let place = rank.saturating_sub(1);
        (place < micros.len()).then(|| *micros.select_nth_unstable(place).1 as f64 / 1e6)
    };
    Some(Percentiles { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)? })
}

/// The same series in steps twice as long.
#[must_use]
pub fn halved(series: &Series) -> Series {
    let step_seconds = series.step_seconds * 2;
    let mut points: Vec<Point> = Vec::with_capacity(series.points.len() / 2 + 1);
    for point in &series.points {
        let second = point.second / step_seconds * step_seconds;
        match points.last_mut().filter(|last| last.second == second) {
            Some(last) => *last = joined(last, point),
            None => points.push(Point { second, ..*point }),
        }
    }
    Series { step_seconds, points }
}

/// Two steps of one run as one: counts are added, gauges and percentiles are the larger ones.
fn joined(one: &Point, other: &Point) -> Point {
    Point {
        second: one.second,
        target: one.target.max(other.target),
        active: one.active.max(other.active),
        playing: one.playing.max(other.playing),
        stalled: one.stalled.max(other.stalled),
        ..added(one, other)
    }
}

/// The same step of two runs: counts and gauges are added, percentiles and loads are the larger ones, and averages are
/// weighted by the viewers that play.
#[must_use]
pub fn added(one: &Point, other: &Point) -> Point {
    let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    let weights = (one.playing as f64, other.playing as f64);
    let averaged = |a: Option<f64>, b: Option<f64>| average((a, weights.0), (b, weights.1));
    let latency = match (one.latency, other.latency) {
        (Some(a), Some(b)) => {
            Some(Percentiles { p50: a.p50.max(b.p50), p95: a.p95.max(b.p95), p99: a.p99.max(b.p99) })
        }
        (one, other) => one.or(other),
    };
    Point {
        second: one.second,
        target: one.target + other.target,
        active: one.active + other.active,
        playing: one.playing + other.playing,
        stalled: one.stalled + other.stalled,
        manifests: one.manifests + other.manifests,
        segments: one.segments + other.segments,
        bytes: one.bytes + other.bytes,
        errors: one.errors + other.errors,
        latency,
        cpu_percent: larger(one.cpu_percent, other.cpu_percent),
        own_cpu_percent: larger(one.own_cpu_percent, other.own_cpu_percent),
        // All runs use the same origin.
        origin_cpu_percent: larger(one.origin_cpu_percent, other.origin_cpu_percent),
        origin_transmit_bytes_per_second: larger(
            one.origin_transmit_bytes_per_second,
            other.origin_transmit_bytes_per_second,
        ),
        bitrate_played: averaged(one.bitrate_played, other.bitrate_played),
        buffer_seconds: averaged(one.buffer_seconds, other.buffer_seconds),
        live_latency_seconds: averaged(one.live_latency_seconds, other.live_latency_seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(second: u64) -> Totals {
        Totals { active: second.min(50), segments: 2 * second, bytes: 1000 * second, ..Totals::default() }
    }

    #[test]
    fn each_second_holds_its_own_events() {
        let mut history = History::default();
        history.segment(30_000_000);
        history.segment(10_000_000);
        history.advance(0.5, Totals { segments: 1, ..Totals::default() });
        history.advance(1.01, totals(1));
        history.advance(2.01, totals(2));
        history.advance(5.01, totals(4));
        let series = history.series(totals(4));
        let seconds: Vec<u64> = series.points.iter().map(|point| point.second).collect();
        assert_eq!(seconds, [0, 1, 2]);
        assert_eq!(series.points[0].latency, Some(Percentiles { p50: 0.01, p95: 0.03, p99: 0.03 }));
        assert_eq!(series.points[1].latency, None);
        assert_eq!(series.points[2].segments, 4);
        assert_eq!(history.series(totals(5)).points[3].second, 5);
        history.close(5.1, totals(5));
        let closed = history.series(Totals { active: 0, ..totals(9) });
        assert_eq!((closed.points.len(), closed.points[2].segments, closed.points[2].active), (3, 6, 4));
    }

    #[test]
    fn a_day_fits_and_nothing_is_lost() {
        let mut history = History::default();
        for second in 1..=86_400 {
            history.segment(second * 1000);
            history.advance(second as f64 + 0.002, totals(second));
        }
        let series = history.series(totals(86_400));
        assert_eq!(series.step_seconds, 32);
        assert!(
            series.points.len() <= MAX_POINTS && series.points.len() > MAX_POINTS / 2,
            "{}",
            series.points.len()
        );
        assert_eq!(series.points.iter().map(|point| point.segments).sum::<u64>(), 2 * 86_400);
        assert!(series.points.windows(2).all(|pair| pair[1].second == pair[0].second + 32));
    }
}
