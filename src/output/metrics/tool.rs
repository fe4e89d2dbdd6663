//! Where figures come from, and the load generator's own condition.

use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::Snapshot;

use super::Type::{Counter, Gauge};
use super::{Metric, Value, count, maybe, metric, one};

pub(crate) static TABLE: &[Metric] = &[
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
        "stats_peak_drop_rate",
        Gauge,
        "",
        "Largest share of FFmpeg's lines of one second whose reason was not kept, 0 to 1.",
        |s, _| maybe(s.generator.peak_drop_rate),
    ),
    metric("stats_clients_degraded", Gauge, "", "Viewers of which a reason was not kept.", |s, _| {
        count(s.generator.clients_degraded)
    }),
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
];

fn drop_rate(snapshot: &Snapshot) -> Value {
    let generator = &snapshot.generator;
    let all = generator.lines_parsed;
    maybe((all > 0).then(|| generator.lines_dropped as f64 / all as f64))
}
