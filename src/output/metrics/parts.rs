//! The load in parts: its stages, and its streams where there are several.

use hls_swarm_model::snapshot::{Snapshot, StageRow, StreamRow};

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, metric};

/// Stages and streams that have series of their own: what is typed by hand is fewer.
const MOST: usize = 100;
/// A stage by its place, from 1, and what it is called.
const STAGE: &str = "stage name";
/// A stream by its place, from 1, and its address; the same address may be there twice.
const STREAM: &str = "stream url";

pub(crate) static TABLE: &[Metric] = &[
    metric("stage", Gauge, "", "Place of the stage that the load has come to, from 1.", |s, _| {
        s.stages.last().map_or(Value::Absent, |row| count(row.stage))
    }),
    metric("stage_clients", Gauge, STAGE, "Viewers that a stage leads to (the first 100 stages).", |s, _| {
        stages(s, |row| Some(row.clients as f64))
    }),
    metric("stage_seconds", Gauge, STAGE, "How long a stage has lasted.", |s, _| {
        stages(s, |row| Some(row.seconds))
    }),
    metric(
        "stage_active_ratio",
        Gauge,
        STAGE,
        "Viewers playing per viewer that should play, over the time of a stage.",
        |s, _| stages(s, |row| row.active_ratio),
    ),
    metric("stage_stalls_total", Counter, STAGE, "Times that a viewer stalled in a stage.", |s, _| {
        if s.has_progress() { stages(s, |row| Some(row.stalled as f64)) } else { Value::Absent }
    }),
    metric("stage_requests_total", Counter, STAGE, "Requests in a stage.", |s, _| {
        stages(s, |row| Some(row.requests.total() as f64))
    }),
    metric("stage_bytes_total", Counter, STAGE, "Body bytes in a stage.", |s, _| {
        stages(s, |row| Some(row.bytes.total() as f64))
    }),
    metric("stage_error_rate", Gauge, STAGE, "Errors over requests in a stage.", |s, _| {
        stages(s, |row| row.errors.rate)
    }),
    metric(
        "stage_segment_p95_seconds",
        Gauge,
        STAGE,
        "Segments in a stage: from the request to the last byte, 95th percentile.",
        |s, _| stages(s, |row| row.segment_total.map(|times| times.p95)),
    ),
    metric(
        "stage_met",
        Gauge,
        STAGE,
        "Whether a stage that held a level met its criteria, 1 or 0; absent before its end.",
        |s, _| stages(s, |row| row.met.map(|met| f64::from(u8::from(met)))),
    ),
    metric(
        "stream_clients",
        Gauge,
        STREAM,
        "Viewers that should be on a stream (the first 100, where there are several).",
        |s, _| streams(s, |row| Some(row.clients as f64)),
    ),
    metric("stream_playing_clients", Gauge, STREAM, "Viewers that play a stream.", |s, _| {
        streams(s, |row| Some(row.playing as f64))
    }),
    metric("stream_requests_total", Counter, STREAM, "Requests of a stream.", |s, _| {
        streams(s, |row| Some(row.requests.total() as f64))
    }),
    metric("stream_bytes_total", Counter, STREAM, "Body bytes of a stream.", |s, _| {
        streams(s, |row| Some(row.bytes.total() as f64))
    }),
    metric("stream_error_rate", Gauge, STREAM, "Errors over requests of a stream, whole run.", |s, _| {
        streams(s, |row| row.errors.rate)
    }),
    metric(
        "stream_segment_p95_seconds",
        Gauge,
        STREAM,
        "Segments of a stream: from the request to the last byte, 95th percentile, whole run.",
        |s, _| streams(s, |row| row.segment_total.map(|times| times.p95)),
    ),
];

fn stages(snapshot: &Snapshot, of: fn(&StageRow) -> Option<f64>) -> Value {
    let rows = snapshot.stages.iter().take(MOST);
    Value::Grid(rows.filter_map(|row| Some((vec![row.stage.to_string(), row.title()], of(row)?))).collect())
}

fn streams(snapshot: &Snapshot, of: fn(&StreamRow) -> Option<f64>) -> Value {
    let rows = (1_usize..).zip(&snapshot.streams).take(MOST);
    let row =
        |(place, row): (usize, &StreamRow)| Some((vec![place.to_string(), row.stream.clone()], of(row)?));
    Value::Grid(rows.filter_map(row).collect())
}
