//! How far the run is.

use super::Type::Gauge;
use super::{Metric, count, metric, one};

pub(crate) static TABLE: &[Metric] = &[
    metric("target_clients", Gauge, "", "Viewers that the plan asks for.", |s, _| count(s.target_clients)),
    metric("active_clients", Gauge, "", "Viewers whose process is up.", |s, _| count(s.active_clients)),
    metric("playing_clients", Gauge, "", "Viewers that play and are not stalled.", |s, _| {
        count(s.playing_clients)
    }),
    metric("ramp_progress", Gauge, "", "Share of the viewers that have been started, 0 to 1.", |s, _| {
        one(s.target_now as f64 / s.target_clients.max(1) as f64)
    }),
    metric("test_duration_seconds", Gauge, "", "Planned length of the run, 0 = until stopped.", |s, _| {
        one(s.planned_seconds.unwrap_or(0.0))
    }),
    metric("test_elapsed_seconds", Gauge, "", "Seconds since the run began.", |s, _| one(s.elapsed_seconds)),
    metric(
        "test_remaining_seconds",
        Gauge,
        "",
        "Seconds until the planned end, -1 = until stopped.",
        |s, _| one(s.planned_seconds.map_or(-1.0, |planned| (planned - s.elapsed_seconds).max(0.0))),
    ),
];
