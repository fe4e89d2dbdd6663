//! Figures over time: one point per snapshot, a bounded number of them.

use std::collections::VecDeque;

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::snapshot::{Snapshot, Timing};

/// Points that are kept: ten minutes at one snapshot per second.
pub const KEPT: usize = 600;

/// The latency that is drawn: segments, from the request to the last byte.
const SEGMENT: Timing = Timing::Total(Kind::Segment);

/// What is drawn over time. Absent = not measured then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Seconds since the run began.
    pub at: f64,
    /// Viewers that play.
    pub playing: f64,
    /// Segments per second.
    pub segments: f64,
    /// Body bits per second.
    pub bits: f64,
    /// Mean speed.
    pub speed: Option<f64>,
    /// Busy share of the origin's processors, percent.
    pub origin_cpu: Option<f64>,
    /// Bits per second that the origin's machine sends.
    pub origin_bits: Option<f64>,
    /// Errors per second since the point before.
    pub errors: f64,
    /// Mean segment latency of the requests since the point before, seconds.
    pub segment_mean: Option<f64>,
    /// 95th percentile of segment latency since the start, seconds.
    pub segment_p95: Option<f64>,
    /// The same, 99th percentile.
    pub segment_p99: Option<f64>,
}

/// The points, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
    before: Before,
}

/// Counters at the last point.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    at: f64,
    errors: u64,
    latency_sum: f64,
    latency_count: u64,
}

impl History {
    /// Adds a snapshot; one that is no later than the last is not a new point.
    pub fn add(&mut self, snapshot: &Snapshot) {
        let now = Before {
            at: snapshot.elapsed_seconds,
            errors: all_errors(snapshot),
            latency_sum: snapshot.latency_buckets[SEGMENT].sum,
            latency_count: snapshot.latency_buckets[SEGMENT].count,
        };
        let before = self.before;
        let step = now.at - before.at;
        if step <= 0.0 {
            return;
        }
        let answered = now.latency_count.saturating_sub(before.latency_count);
        let total = snapshot.latency[SEGMENT];
        let origin = snapshot.origin.as_ref();
        self.points.push_back(Point {
            at: now.at,
            playing: snapshot.playing_clients as f64,
            segments: snapshot.rates.segment_per_second,
            bits: snapshot.rates.bytes_per_second * 8.0,
            speed: snapshot.playback.average_speed,
            origin_cpu: origin.and_then(|origin| origin.cpu_percent).map(|cpu| cpu.now),
            origin_bits: origin
                .and_then(|origin| origin.transmit_bytes_per_second)
                .map(|sent| sent.now * 8.0),
            errors: now.errors.saturating_sub(before.errors) as f64 / step,
            segment_mean: (answered > 0).then(|| (now.latency_sum - before.latency_sum) / answered as f64),
            segment_p95: total.map(|total| total.p95),
            segment_p99: total.map(|total| total.p99),
        });
        self.before = now;
        while self.points.len() > KEPT {
            self.points.pop_front();
        }
    }

    /// All points, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Point> + ExactSizeIterator {
        self.points.iter()
    }

    /// The newest `count` points, oldest first.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = &Point> {
        self.points.iter().skip(self.points.len().saturating_sub(count))
    }
}

/// Requests and connects that failed, each once (a connect that timed out stands in two counters).
#[must_use]
pub fn all_errors(snapshot: &Snapshot) -> u64 {
    let attempts = snapshot.requests.total() + snapshot.errors.connect;
    snapshot.errors.rate.map_or(0, |rate| (rate * attempts as f64).round() as u64)
}
