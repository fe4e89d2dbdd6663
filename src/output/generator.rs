//! The condition of the load generator, for people.

use hls_swarm_model::snapshot::{LatencyError, Waits};

use super::figures::{count, milliseconds};

/// How long the processes of the run waited for a processor, as labels with values; what was not measured is absent.
#[must_use]
pub fn waits(waits: &Waits) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let percent = |share: f64| format!("{:.2} % of their time", share * 100.0);
    rows.extend(waits.of_viewers().map(|share| ("viewers waited for a processor", percent(share))));
    let seconds = |seconds: f64| format!("{seconds:.2} s");
    rows.extend(waits.own_wait_seconds.map(|waited| ("this program", seconds(waited))));
    rows.extend(waits.cpu_pressure_seconds.map(|waited| ("any process of this machine", seconds(waited))));
    rows.extend(waits.throttled_seconds.map(|throttled| ("throttled by the CPU quota", seconds(throttled))));
    if waits.viewer_stops > 0 {
        let stopped =
            format!("{} times, {}", count(waits.viewer_stops), seconds(waits.viewer_stopped_seconds));
        rows.push(("viewers stopped by a signal", stopped));
    }
    rows
}

/// By how much latencies may be too long.
#[must_use]
pub fn latency_error(error: &LatencyError) -> String {
    format!(
        "latencies are too long by the time that viewers waited for a processor: {} on average each time they woke up, \
         {} at most",
        milliseconds(error.mean),
        milliseconds(error.max)
    )
}
