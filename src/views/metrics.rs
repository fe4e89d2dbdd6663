//! The one table of metrics: name, type, help and where the value comes from.
//!
//! Prometheus' exposition, the dashboards, the alerts and the reference all read it. A value that
//! was not measured yields no sample, never 0.

use crate::words::exchange::Source;
use crate::words::run::Run;
use crate::words::snapshot::{Buckets, Quantiles, Snapshot, THROUGHPUT_WINDOWS};

/// Common prefix of all names.
pub const PREFIX: &str = "hls_swarm_";

/// What a metric yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It was not measured.
    Absent,
    /// One number.
    One(f64),
    /// One number per label value; the label's name stands in the table.
    Labelled(Vec<(String, f64)>),
    /// A histogram.
    Histogram(Buckets),
}

/// Prometheus' type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only ever rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// One metric.
pub struct Metric {
    /// Name without prefix.
    pub name: &'static str,
    /// Type.
    pub kind: Type,
    /// Name of the label, empty if there is none.
    pub label: &'static str,
    /// What it tells, with its unit.
    pub help: &'static str,
    /// Reads it.
    pub read: fn(&Snapshot, &Run) -> Value,
}

const fn metric(
    name: &'static str,
    kind: Type,
    label: &'static str,
    help: &'static str,
    read: fn(&Snapshot, &Run) -> Value,
) -> Metric {
    Metric { name, kind, label, help, read }
}

fn one(value: f64) -> Value {
    Value::One(value)
}

fn count(value: u64) -> Value {
    Value::One(value as f64)
}

fn maybe(value: Option<f64>) -> Value {
    value.map_or(Value::Absent, Value::One)
}

fn quantile(quantiles: Option<Quantiles>, of: fn(&Quantiles) -> f64) -> Value {
    maybe(quantiles.as_ref().map(of))
}

fn quantiles(quantiles: Option<Quantiles>) -> Value {
    let Some(q) = quantiles else { return Value::Absent };
    // Not `quantile`: Prometheus keeps that label for its own summaries, which need a sum as well.
    let rows = [("50", q.p50), ("95", q.p95), ("99", q.p99), ("100", q.max)];
    Value::Labelled(rows.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn histogram(buckets: &Buckets) -> Value {
    if buckets.count == 0 { Value::Absent } else { Value::Histogram(buckets.clone()) }
}

fn drop_rate(snapshot: &Snapshot) -> Value {
    let generator = &snapshot.generator;
    let all = generator.lines_parsed;
    maybe((all > 0).then(|| generator.lines_dropped as f64 / all as f64))
}

fn segment_window(snapshot: &Snapshot, seconds: usize) -> Value {
    let rates = THROUGHPUT_WINDOWS.iter().zip(snapshot.rates.segment_bytes_per_second);
    maybe(rates.into_iter().find(|(window, _)| **window == seconds).map(|(_, rate)| rate))
}

fn per_viewer(
    snapshot: &Snapshot,
    run: &Run,
    of: fn(&crate::words::snapshot::ViewerRow) -> Option<f64>,
) -> Value {
    if !run.per_viewer_metrics {
        return Value::Absent;
    }
    let rows = snapshot.viewers.iter();
    Value::Labelled(rows.filter_map(|row| Some((row.viewer.to_string(), of(row)?))).collect())
}

use crate::words::exchange::Kind;
use Type::{Counter, Gauge, Histogram};

/// All metrics, in the order of the exposition.
pub static METRICS: &[Metric] = &[
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
    metric("manifest_requests_total", Counter, "", "Playlist requests.", |s, _| {
        count(s.requests[Kind::Manifest])
    }),
    metric("segment_requests_total", Counter, "", "Media segment requests.", |s, _| {
        count(s.requests[Kind::Segment])
    }),
    metric("init_requests_total", Counter, "", "Initialization section requests.", |s, _| {
        count(s.requests[Kind::Init])
    }),
    metric("key_requests_total", Counter, "", "Decryption key requests.", |s, _| {
        count(s.requests[Kind::Key])
    }),
    metric("unknown_requests_total", Counter, "", "Requests for anything else.", |s, _| {
        count(s.requests[Kind::Other])
    }),
    metric("bytes_downloaded_total", Counter, "", "Body bytes that reached viewers, all kinds.", |s, _| {
        count(s.bytes.total())
    }),
    metric(
        "segment_bytes_downloaded_total",
        Counter,
        "",
        "Body bytes of segments that reached viewers.",
        |s, _| count(s.bytes[Kind::Segment]),
    ),
    metric(
        "kernel_received_bytes_total",
        Counter,
        "",
        "Bytes that the kernel received for the viewers (tcp_info).",
        |s, _| maybe(s.received_bytes.map(|bytes| bytes as f64)),
    ),
    metric("manifest_requests_per_second", Gauge, "", "Playlist requests per second, over 10 s.", |s, _| {
        one(s.rates.manifest_per_second)
    }),
    metric("segment_requests_per_second", Gauge, "", "Segment requests per second, over 10 s.", |s, _| {
        one(s.rates.segment_per_second)
    }),
    metric(
        "throughput_bytes_per_second",
        Gauge,
        "",
        "Body bytes per second, all kinds, over 10 s.",
        |s, _| one(s.rates.bytes_per_second),
    ),
    metric(
        "segment_throughput_1s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 1 s.",
        |s, _| segment_window(s, 1),
    ),
    metric(
        "segment_throughput_30s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 30 s.",
        |s, _| segment_window(s, 30),
    ),
    metric(
        "segment_throughput_60s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 60 s.",
        |s, _| segment_window(s, 60),
    ),
    metric(
        "segment_throughput_300s_bytes_per_second",
        Gauge,
        "",
        "Segment bytes per second over 300 s.",
        |s, _| segment_window(s, 300),
    ),
    metric(
        "inferred_latency_seconds",
        Histogram,
        "",
        "Segment latency: from the request to the last byte (the name is that of the tool before; hls_swarm_source tells whether it is measured).",
        |s, _| histogram(&s.latency_buckets),
    ),
    metric("inferred_latency_p50_seconds", Gauge, "", "Median segment latency.", |s, _| {
        quantile(s.latency.segment_total, |q| q.p50)
    }),
    metric("inferred_latency_p95_seconds", Gauge, "", "95th percentile of the segment latency.", |s, _| {
        quantile(s.latency.segment_total, |q| q.p95)
    }),
    metric("inferred_latency_p99_seconds", Gauge, "", "99th percentile of the segment latency.", |s, _| {
        quantile(s.latency.segment_total, |q| q.p99)
    }),
    metric("inferred_latency_max_seconds", Gauge, "", "Largest segment latency.", |s, _| {
        quantile(s.latency.segment_total, |q| q.max)
    }),
    metric(
        "segment_ttfb_seconds",
        Gauge,
        "percentile",
        "Segments: from the request to the first byte, whole run.",
        |s, _| quantiles(s.latency.by_kind[Kind::Segment].ttfb),
    ),
    metric(
        "segment_download_seconds",
        Gauge,
        "percentile",
        "Segments: from the first to the last byte, whole run.",
        |s, _| quantiles(s.latency.by_kind[Kind::Segment].download),
    ),
    metric(
        "manifest_ttfb_seconds",
        Gauge,
        "percentile",
        "Playlists: from the request to the first byte, whole run.",
        |s, _| quantiles(s.latency.by_kind[Kind::Manifest].ttfb),
    ),
    metric(
        "manifest_download_seconds",
        Gauge,
        "percentile",
        "Playlists: from the first to the last byte, whole run.",
        |s, _| quantiles(s.latency.by_kind[Kind::Manifest].download),
    ),
    metric("connect_seconds", Gauge, "percentile", "TCP connect, whole run.", |s, _| {
        quantiles(s.latency.connect)
    }),
    metric("dns_seconds", Gauge, "percentile", "Name look-up, whole run.", |s, _| quantiles(s.latency.dns)),
    metric("tls_handshake_seconds", Gauge, "percentile", "TLS handshake, whole run.", |s, _| {
        quantiles(s.latency.tls)
    }),
    metric(
        "startup_seconds",
        Gauge,
        "percentile",
        "From the start of a viewer to its first whole segment, whole run.",
        |s, _| quantiles(s.latency.startup),
    ),
    metric("clients_above_realtime", Gauge, "", "Viewers at 0.9 x real time or faster.", |s, _| {
        count(s.playback.above_realtime)
    }),
    metric("clients_below_realtime", Gauge, "", "Viewers below 0.9 x real time.", |s, _| {
        count(s.playback.below_realtime)
    }),
    metric("stalled_clients", Gauge, "", "Viewers below 0.9 x real time for more than 5 s.", |s, _| {
        count(s.playback.stalled_now)
    }),
    metric("stalls_total", Counter, "", "Times that a viewer stalled.", |s, _| count(s.lives.stalled)),
    metric("average_speed", Gauge, "", "Mean playback speed, 1 = real time.", |s, _| {
        maybe(s.playback.average_speed)
    }),
    metric("high_drift_clients", Gauge, "", "Viewers more than 5 s behind the wall clock.", |s, _| {
        count(s.playback.high_drift)
    }),
    metric("average_drift_seconds", Gauge, "", "Mean lag behind the wall clock.", |s, _| {
        maybe(s.playback.average_drift_seconds)
    }),
    metric("max_drift_seconds", Gauge, "", "Largest lag behind the wall clock.", |s, _| {
        maybe(s.playback.max_drift_seconds)
    }),
    metric("http_responses_total", Counter, "status_code", "Responses by status code.", |s, _| {
        Value::Labelled(s.http_status.iter().map(|(code, n)| (code.to_string(), *n as f64)).collect())
    }),
    metric(
        "http_errors_total",
        Counter,
        "status_code",
        "Responses with a status of 400 or above.",
        |s, _| {
            let errors = s.http_status.iter().filter(|(code, _)| **code >= 400);
            Value::Labelled(errors.map(|(code, n)| (code.to_string(), *n as f64)).collect())
        },
    ),
    metric(
        "broken_exchanges_total",
        Counter,
        "",
        "Exchanges that the peer or the network broke off.",
        |s, _| count(s.errors.broken),
    ),
    metric(
        "stale_requests_total",
        Counter,
        "",
        "Requests into kept connections that the server had closed; sent again, and neither requests nor errors.",
        |s, _| count(s.stale_requests),
    ),
    metric("connect_errors_total", Counter, "", "Connections that could not be made.", |s, _| {
        count(s.errors.connect)
    }),
    metric("timeouts_total", Counter, "", "Connects and exchanges given up after the time-out.", |s, _| {
        count(s.errors.timeouts)
    }),
    metric("reconnections_total", Counter, "", "Reconnects that FFmpeg announced.", |s, _| {
        count(s.reconnections)
    }),
    metric("error_rate", Gauge, "", "Errors over requests, 0 to 1.", |s, _| maybe(s.errors.rate)),
    metric("client_starts_total", Counter, "", "Processes started.", |s, _| count(s.lives.starts)),
    metric("client_restarts_total", Counter, "", "Processes started again.", |s, _| count(s.lives.restarts)),
    metric(
        "client_exits_total",
        Counter,
        "category",
        "Ends of processes: success (finished, or stopped by us), error, signal.",
        |s, _| {
            let exits = s.lives.exits;
            let rows = [("success", exits.success), ("error", exits.error), ("signal", exits.signal)];
            Value::Labelled(rows.map(|(name, n)| (name.to_owned(), n as f64)).to_vec())
        },
    ),
    metric("clients_given_up", Gauge, "", "Viewers that will not be started again.", |s, _| {
        count(s.lives.gave_up)
    }),
    metric("client_uptime_seconds", Histogram, "", "Lifetimes of ended processes.", |s, _| {
        histogram(&s.uptime_buckets)
    }),
    metric("uptime_p50_seconds", Gauge, "", "Median lifetime of ended processes.", |s, _| {
        quantile(s.uptime, |q| q.p50)
    }),
    metric("uptime_p95_seconds", Gauge, "", "95th percentile of the same.", |s, _| {
        quantile(s.uptime, |q| q.p95)
    }),
    metric("uptime_p99_seconds", Gauge, "", "99th percentile of the same.", |s, _| {
        quantile(s.uptime, |q| q.p99)
    }),
    metric(
        "source",
        Gauge,
        "requests",
        "Where requests, bytes and latencies come from: probe (measured) or log (inferred).",
        |s, _| {
            let name = if s.sources.requests == Source::Probe { "probe" } else { "log" };
            Value::Labelled(vec![(name.to_owned(), 1.0)])
        },
    ),
    metric(
        "kernel_bytes_agreement",
        Gauge,
        "",
        "Bytes read by viewers over bytes received by the kernel for them, 1 = equal.",
        |s, _| maybe(s.agreement.kernel_bytes),
    ),
    metric("probe_records_lost_total", Counter, "", "Records of the probe that never arrived.", |s, _| {
        if s.sources.requests == Source::Probe { count(s.generator.events_lost) } else { Value::Absent }
    }),
    metric("stats_lines_parsed_total", Counter, "stream", "Lines of FFmpeg that were read.", |s, _| {
        Value::Labelled(vec![("stderr".to_owned(), s.generator.lines_parsed as f64)])
    }),
    metric(
        "stats_lines_dropped_total",
        Counter,
        "stream",
        "Lines of FFmpeg whose reason went past the bound and was not kept.",
        |s, _| Value::Labelled(vec![("stderr".to_owned(), s.generator.lines_dropped as f64)]),
    ),
    metric(
        "stats_drop_rate",
        Gauge,
        "",
        "Share of FFmpeg's lines whose reason was not kept, 0 to 1.",
        |s, _| drop_rate(s),
    ),
    metric(
        "generator_cpu_percent",
        Gauge,
        "",
        "Mean busy share of this machine's processors, 0 to 100.",
        |s, _| maybe(s.generator.cpu_percent),
    ),
    metric(
        "generator_lag_max_seconds",
        Gauge,
        "",
        "How late a timer of this program fired at worst.",
        |s, _| one(s.generator.max_lag_ms / 1000.0),
    ),
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
