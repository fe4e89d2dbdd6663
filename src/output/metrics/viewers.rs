//! Series per viewer, on request.

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{Snapshot, ViewerRow};

use super::Type::{Counter, Gauge};
use super::{Metric, Value, metric};

pub(crate) static TABLE: &[Metric] = &[
    metric("client_speed", Gauge, "client_id", "Playback speed of a viewer, 1 = real time.", |s, r| {
        per_viewer(s, r, |row| row.speed)
    }),
    metric("client_drift_seconds", Gauge, "client_id", "Lag of a viewer behind the wall clock.", |s, r| {
        per_viewer(s, r, |row| row.drift_seconds)
    }),
    metric("client_bytes_total", Counter, "client_id", "Body bytes that reached a viewer.", |s, r| {
        per_viewer(s, r, |row| Some(row.bytes.total() as f64))
    }),
];

fn per_viewer(snapshot: &Snapshot, run: &Run, of: fn(&ViewerRow) -> Option<f64>) -> Value {
    if !run.per_viewer_metrics {
        return Value::Absent;
    }
    let rows = snapshot.viewers.iter();
    Value::Labelled(rows.filter_map(|row| Some((row.viewer.to_string(), of(row)?))).collect())
}
