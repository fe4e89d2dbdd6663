//! The condition of the load generator: whether it was able to measure.

use std::collections::BTreeSet;

use super::distribution::Distribution;
use crate::event::Waited;
use crate::merge::Merge;
use crate::snapshot::{Generator, LatencyError, Waits};

/// The share above which all processors count as busy, percent.
const SATURATED: f64 = 98.0;

/// Sums over the samples of this machine's load, one a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineSums {
    /// Busy share of all processors, percent.
    pub(crate) cpu_percent: f64,
    /// Share of one processor that this program used itself, percent.
    pub(crate) own_cpu_percent: f64,
    /// Samples.
    pub(crate) samples: u64,
}

/// The condition of the generator so far.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    lag: Distribution,
    machine: MachineSums,
    saturated: u64,
    events_lost: u64,
    lines_parsed: u64,
    lines_dropped: u64,
    /// Viewers with dropped lines.
    degraded: BTreeSet<u32>,
    /// Lines read and dropped since the last tick, and the worst share of all ticks.
    since_tick: (u64, u64),
    peak_drop: Option<f64>,
    waits: Waits,
    /// How many times the sampled viewers got a processor.
    turns: u64,
    longest_wait_ns: u64,
}

impl Condition {
    pub(crate) fn facts_lost(&mut self, records: u64) {
        self.events_lost += records;
    }

    pub(crate) fn lines(&mut self, viewer: u32, parsed: u64, dropped: u64) {
        self.lines_parsed += parsed;
        self.lines_dropped += dropped;
        self.since_tick.0 += parsed;
        self.since_tick.1 += dropped;
        if dropped > 0 {
            self.degraded.insert(viewer);
        }
    }

    /// The time between two ticks is over.
    pub(crate) fn tick(&mut self) {
        let (parsed, dropped) = std::mem::take(&mut self.since_tick);
        if parsed > 0 {
            // A reason is dropped when a later one pushes it out, so both may fall into different ticks.
            let share = (dropped as f64 / parsed as f64).min(1.0);
            self.peak_drop = Some(self.peak_drop.map_or(share, |peak| peak.max(share)));
        }
    }

    pub(crate) fn lag(&mut self, nanos: u64) {
        self.lag.add_ns(nanos);
    }

    pub(crate) fn machine(&mut self, cpu_percent: f64, own_cpu_percent: f64) {
        self.machine.cpu_percent += cpu_percent;
        self.machine.own_cpu_percent += own_cpu_percent;
        self.machine.samples += 1;
        self.saturated += u64::from(cpu_percent >= SATURATED);
    }

    pub(crate) fn waited(&mut self, waited: &Waited) {
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let sampled = |nanos: u64| (waited.viewers_elapsed_ns > 0).then(|| seconds(nanos));
        self.waits.merge(&Waits {
            own_wait_seconds: waited.own_ns.map(seconds),
            viewer_wait_seconds: sampled(waited.viewers_ns),
            viewer_sampled_seconds: sampled(waited.viewers_elapsed_ns),
            started_wait_seconds: (waited.started_elapsed_ns > 0).then(|| seconds(waited.started_ns)),
            started_sampled_seconds: (waited.started_elapsed_ns > 0)
                .then(|| seconds(waited.started_elapsed_ns)),
            throttled_seconds: waited.throttled_ns.map(seconds),
            cpu_pressure_seconds: waited.pressure_ns.map(seconds),
            viewer_stops: waited.stops,
            viewer_stopped_seconds: seconds(waited.stopped_ns),
        });
        self.turns += waited.viewers_turns;
        self.longest_wait_ns = self.longest_wait_ns.max(waited.longest_ns);
    }

    /// By how much latencies may be too long; `None` before the first sample of a viewer.
    pub(crate) fn latency_error(&self) -> Option<LatencyError> {
        let waited = self.waits.viewer_wait_seconds?;
        Some(LatencyError { mean: waited / self.turns.max(1) as f64, max: self.longest_wait_ns as f64 / 1e9 })
    }

    pub(crate) const fn machine_sums(&self) -> MachineSums {
        self.machine
    }

    pub(crate) const fn lag_distribution(&self) -> &Distribution {
        &self.lag
    }

    pub(crate) fn generator(&self) -> Generator {
        let lag = self.lag.quantiles();
        let MachineSums { cpu_percent, own_cpu_percent, samples } = self.machine;
        let mean = |sum: f64| (samples > 0).then(|| sum / samples as f64);
        Generator {
            cpu_percent: mean(cpu_percent),
            saturated_seconds: self.saturated,
            sampled_seconds: samples,
            own_cpu_percent: mean(own_cpu_percent),
            waits: self.waits,
            max_lag_ms: lag.map_or(0.0, |lag| lag.max * 1000.0),
            p99_lag_ms: lag.map_or(0.0, |lag| lag.p99 * 1000.0),
            events_lost: self.events_lost,
            lines_parsed: self.lines_parsed,
            lines_dropped: self.lines_dropped,
            clients_degraded: self.degraded.len() as u64,
            peak_drop_rate: self.peak_drop,
        }
    }
}
