//! The report as JSON: what a run was, what it measured, how, and the verdict.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use hls_swarm_model::exchange::Kind;
use hls_swarm_model::report::{Report, SCHEMA};
use hls_swarm_model::series::Series;
use hls_swarm_model::snapshot::{
    ExchangeTimes, Insight, ManualChanges, Origin, PerKind, Quantiles, Snapshot, StreamRow,
};
use hls_swarm_model::verdict::Verdict;

#[derive(Serialize)]
struct Document<'a> {
    schema: u64,
    #[serde(flatten)]
    verdict: &'a Verdict,
    end_reason: &'a str,
    url: &'a str,
    variant: String,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ffmpeg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    player: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    began_unix: u64,
    target_clients: u64,
    peak_clients: u64,
    expected_at_end: u64,
    playing_at_end: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_ratio: Option<f64>,
    expected_viewer_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned_seconds: Option<f64>,
    elapsed_seconds: f64,
    requests: PerKind<u64>,
    bytes: Value,
    head_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_bytes: Option<u64>,
    http_status: &'a BTreeMap<u16, u64>,
    unanswered: u64,
    in_flight_at_stop: u64,
    stale_requests: u64,
    cache: Value,
    errors: Value,
    connect_failures: Vec<Value>,
    latency_seconds: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    uptime_seconds: Option<Quantiles>,
    #[serde(skip_serializing_if = "Option::is_none")]
    playback: Option<Value>,
    viewers: Value,
    reconnections: u64,
    exit_reasons: Vec<Value>,
    source: Value,
    agreement: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a Origin>,
    insight: &'a Insight,
    generator: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    watching: Option<Value>,
    stages: Vec<Value>,
    streams: &'a [StreamRow],
    manual_changes: &'a ManualChanges,
    series: Box<RawValue>,
    histograms: &'a BTreeMap<String, String>,
    per_viewer: Vec<Value>,
}

/// The report of a run, as pretty JSON with a final newline.
///
/// # Errors
/// A figure cannot be written as JSON, which none of ours does.
pub fn render(report: &Report) -> serde_json::Result<String> {
    let Report { run, snapshot, recording, verdict, end_reason } = report;
    let document = Document {
        schema: SCHEMA,
        verdict,
        end_reason,
        url: &run.url,
        variant: run.variant_name(),
        version: &run.version,
        ffmpeg: run.ffmpeg.as_deref(),
        player: run.player.as_deref(),
        seed: run.seed,
        began_unix: run.began_unix,
        target_clients: snapshot.target_clients,
        peak_clients: snapshot.peak_clients,
        expected_at_end: snapshot.target_now,
        playing_at_end: snapshot.playing_clients,
        active_ratio: snapshot.active_ratio,
        expected_viewer_seconds: snapshot.expected_viewer_seconds,
        planned_seconds: snapshot.planned_seconds,
        elapsed_seconds: snapshot.elapsed_seconds,
        requests: snapshot.requests,
        bytes: bytes(&snapshot.bytes)?,
        head_bytes: snapshot.head_bytes,
        received_bytes: snapshot.received_bytes,
        http_status: &snapshot.http_status,
        unanswered: snapshot.unanswered,
        in_flight_at_stop: snapshot.in_flight_at_stop,
        stale_requests: snapshot.stale_requests,
        cache: json!({ "hits": snapshot.cache.0, "misses": snapshot.cache.1 }),
        errors: serde_json::to_value(snapshot.errors)?,
        connect_failures: reasons(&snapshot.connect_failures),
        latency_seconds: latency(snapshot)?,
        uptime_seconds: snapshot.uptime,
        playback: snapshot.measured_playback().map(serde_json::to_value).transpose()?,
        viewers: measured(snapshot, &snapshot.lifetimes)?,
        reconnections: snapshot.reconnections,
        exit_reasons: reasons(&snapshot.exit_reasons),
        source: serde_json::to_value(snapshot.sources)?,
        agreement: serde_json::to_value(snapshot.agreement)?,
        insight: &snapshot.insight,
        origin: snapshot.origin.as_ref(),
        generator: serde_json::to_value(snapshot.generator)?,
        watching: snapshot.has_progress().then(|| watching(snapshot)).transpose()?,
        stages: snapshot.stages.iter().map(|row| measured(snapshot, row)).collect::<Result<_, _>>()?,
        streams: &snapshot.streams,
        manual_changes: &snapshot.manual_changes,
        series: series(snapshot, &recording.series)?,
        histograms: &recording.histograms,
        per_viewer: snapshot.viewers.iter().map(|row| measured(snapshot, row)).collect::<Result<_, _>>()?,
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// One line per point: a run of an hour has 3600 of them.
fn series(snapshot: &Snapshot, series: &Series) -> serde_json::Result<Box<RawValue>> {
    let line = |point| match snapshot.has_progress() {
        true => serde_json::to_string(point),
        false => serde_json::to_string(&measured(snapshot, point)?),
    };
    let points: Vec<String> = series.points.iter().map(line).collect::<Result<_, _>>()?;
    let lines = points.join(",\n      ");
    RawValue::from_string(format!(
        "{{\n    \"step_seconds\": {},\n    \"points\": [\n      {lines}\n    ]\n  }}",
        series.step_seconds
    ))
}

/// `row` without what only players that report progress can show, unless all did.
fn measured(snapshot: &Snapshot, row: &impl Serialize) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(row)?;
    if let (false, Some(map)) = (snapshot.has_progress(), value.as_object_mut()) {
        map.remove("stalled");
        map.remove("media_seconds");
    }
    Ok(value)
}

fn reasons(counted: &[(String, u64)]) -> Vec<Value> {
    counted.iter().map(|(reason, count)| json!({ "reason": reason, "count": count })).collect()
}

/// With the ratios that follow, where there is something to divide by.
fn watching(snapshot: &Snapshot) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(snapshot.watching)?;
    let ratios = [
        ("rebuffering", snapshot.watching.rebuffering()),
        ("throughput_ratio", snapshot.watching.throughput_ratio(snapshot.expected_viewer_seconds)),
    ];
    if let Some(map) = value.as_object_mut() {
        map.extend(ratios.into_iter().filter_map(|(name, ratio)| Some((name.to_owned(), ratio?.into()))));
    }
    Ok(value)
}

fn bytes(bytes: &PerKind<u64>) -> serde_json::Result<Value> {
    let mut value = serde_json::to_value(bytes)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("total".into(), bytes.total().into());
    }
    Ok(value)
}

fn latency(snapshot: &Snapshot) -> serde_json::Result<Value> {
    let latency = &snapshot.latency;
    let mut map = serde_json::Map::new();
    for (kind, times) in latency.by_kind.iter() {
        if *times != ExchangeTimes::default() {
            map.insert(kind.name().into(), serde_json::to_value(times)?);
        }
    }
    let parts: [(&str, Option<Quantiles>); 4] = [
        ("connect", latency.connect),
        ("dns", latency.dns),
        ("tls_handshake", latency.tls),
        ("startup", latency.startup),
    ];
    for (name, quantiles) in parts {
        if let Some(quantiles) = quantiles {
            map.insert(name.into(), serde_json::to_value(quantiles)?);
        }
    }
    if let (Some(total), Some(segment)) =
        (latency.segment_total, map.get_mut(Kind::Segment.name()).and_then(Value::as_object_mut))
    {
        segment.insert("total".into(), serde_json::to_value(total)?);
    }
    Ok(Value::Object(map))
}
