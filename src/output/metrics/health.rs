//! How playback goes.

use super::Type::{Counter, Gauge};
use super::Value::Absent;
use super::{Metric, count, maybe, metric};

pub(crate) static TABLE: &[Metric] = &[
    metric("clients_above_realtime", Gauge, "", "Viewers at 0.9 x real time or faster.", |s, _| {
        s.measured_playback().map_or(Absent, |playback| count(playback.above_realtime))
    }),
    metric("clients_below_realtime", Gauge, "", "Viewers below 0.9 x real time.", |s, _| {
        s.measured_playback().map_or(Absent, |playback| count(playback.below_realtime))
    }),
    metric("stalled_clients", Gauge, "", "Viewers below 0.9 x real time for more than 5 s.", |s, _| {
        s.measured_playback().map_or(Absent, |playback| count(playback.stalled_now))
    }),
    metric("stalls_total", Counter, "", "Times that a viewer stalled.", |s, _| {
        s.stalls().map_or(Absent, count)
    }),
    metric("average_speed", Gauge, "", "Mean playback speed, 1 = real time.", |s, _| {
        maybe(s.playback.average_speed)
    }),
    metric("high_drift_clients", Gauge, "", "Viewers more than 5 s behind the wall clock.", |s, _| {
        s.measured_playback().map_or(Absent, |playback| count(playback.high_drift))
    }),
    metric("average_drift_seconds", Gauge, "", "Mean lag behind the wall clock.", |s, _| {
        maybe(s.playback.average_drift_seconds)
    }),
    metric("max_drift_seconds", Gauge, "", "Largest lag behind the wall clock.", |s, _| {
        maybe(s.playback.max_drift_seconds)
    }),
];
