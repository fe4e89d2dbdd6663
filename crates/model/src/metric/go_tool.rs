//! The compatibility table: series that exist because dashboards of the Go tool query them. New dashboards
//! use the histograms and counters that each help text names.

use super::{Metric, Read, Scalar, Type, count, gauge, histogram, rows};
use crate::exchange::Kind;
use crate::snapshot::{Quantiles, Snapshot, THROUGHPUT_WINDOWS, Timing};

/// All names of the Go tool, without prefix, whether they are in this table or in another one.
pub const GO_TOOL: [&str; 51] = [
    "info",
    "target_clients",
    "active_clients",
    "ramp_progress",
    "test_duration_seconds",
    "test_elapsed_seconds",
    "test_remaining_seconds",
    "manifest_requests_total",
    "segment_requests_total",
    "init_requests_total",
    "unknown_requests_total",
    "bytes_downloaded_total",
    "manifest_requests_per_second",
    "segment_requests_per_second",
    "throughput_bytes_per_second",
    "segment_bytes_downloaded_total",
    "segment_throughput_1s_bytes_per_second",
    "segment_throughput_30s_bytes_per_second",
    "segment_throughput_60s_bytes_per_second",
    "segment_throughput_300s_bytes_per_second",
    "inferred_latency_seconds",
    "inferred_latency_p50_seconds",
    "inferred_latency_p95_seconds",
    "inferred_latency_p99_seconds",
    "inferred_latency_max_seconds",
    "clients_above_realtime",
    "clients_below_realtime",
    "stalled_clients",
    "average_speed",
    "high_drift_clients",
    "average_drift_seconds",
    "max_drift_seconds",
    "http_errors_total",
    "timeouts_total",
    "reconnections_total",
    "client_starts_total",
    "client_restarts_total",
    "client_exits_total",
    "error_rate",
    "stats_lines_dropped_total",
    "stats_lines_parsed_total",
    "stats_clients_degraded",
    "stats_drop_rate",
    "stats_peak_drop_rate",
    "client_uptime_seconds",
    "uptime_p50_seconds",
    "uptime_p95_seconds",
    "uptime_p99_seconds",
    "client_speed",
    "client_drift_seconds",
    "client_bytes_total",
];

const SEGMENT: Timing = Timing::Total(Kind::Segment);

pub(super) fn metrics() -> Vec<Metric> {
    let mut metrics = vec![
        histogram(
            "inferred_latency_seconds",
            "Segments, from the request to the last byte: the same values as request_duration_seconds{kind=\"segment\"}. \
             The name is the Go tool's, which inferred them from logs; source shows whether they are measured.",
            |s| &s.latency_buckets[SEGMENT],
        ),
        latency("inferred_latency_p50_seconds", "Median", |s| s.latency[SEGMENT].map(|q| q.p50)),
        latency("inferred_latency_p95_seconds", "95th percentile", |s| s.latency[SEGMENT].map(|q| q.p95)),
        latency("inferred_latency_p99_seconds", "99th percentile", |s| s.latency[SEGMENT].map(|q| q.p99)),
        latency("inferred_latency_max_seconds", "Maximum", |s| s.latency[SEGMENT].map(|q| q.max)),
        uptime("uptime_p50_seconds", "Median", |s| uptime_of(s, |q| q.p50)),
        uptime("uptime_p95_seconds", "95th percentile", |s| uptime_of(s, |q| q.p95)),
        uptime("uptime_p99_seconds", "99th percentile", |s| uptime_of(s, |q| q.p99)),
    ];
    let throughput: [(&str, Scalar); 4] = [
        ("1s", |s| segment_window(s, 1)),
        ("30s", |s| segment_window(s, 30)),
        ("60s", |s| segment_window(s, 60)),
        ("300s", |s| segment_window(s, 300)),
    ];
    metrics.extend(throughput.map(|(window, read)| {
        let help = format!(
            "Segment bytes per second over {window}; prefer rate(segment_bytes_downloaded_total[{window}])."
        );
        gauge(&format!("segment_throughput_{window}_bytes_per_second"), &help, read)
    }));
    metrics.extend([
        rows(
            "stats_lines_parsed_total",
            Type::Counter,
            &["stream"],
            "Lines of FFmpeg that were read.",
            |s, _| vec![(vec!["stderr".to_owned()], s.generator.lines_parsed as f64)],
        ),
        rows(
            "stats_lines_dropped_total",
            Type::Counter,
            &["stream"],
            "Lines of FFmpeg whose reason was not kept, because the limit was reached.",
            |s, _| vec![(vec!["stderr".to_owned()], s.generator.lines_dropped as f64)],
        ),
        gauge("stats_drop_rate", "Share of FFmpeg's lines whose reason was not kept, 0 to 1.", |s| {
            let all = s.generator.lines_parsed;
            (all > 0).then(|| s.generator.lines_dropped as f64 / all as f64)
        }),
        gauge(
            "stats_peak_drop_rate",
            "Largest share of FFmpeg's lines of one second whose reason was not kept, 0 to 1.",
            |s| s.generator.peak_drop_rate,
        ),
        gauge("stats_clients_degraded", "Viewers for which a reason was not kept.", |s| {
            count(s.generator.clients_degraded)
        }),
    ]);
    metrics
}

fn latency(name: &str, statistic: &str, read: Scalar) -> Metric {
    let help = format!(
        "{statistic} of inferred_latency_seconds over the whole run; prefer histogram_quantile over its buckets."
    );
    Metric::new(name, Type::Gauge, &help, Read::Scalar(read))
}

fn uptime(name: &str, statistic: &str, read: Scalar) -> Metric {
    let help = format!("{statistic} of client_uptime_seconds over the whole run.");
    Metric::new(name, Type::Gauge, &help, Read::Scalar(read))
}

fn uptime_of(snapshot: &Snapshot, of: fn(&Quantiles) -> f64) -> Option<f64> {
    snapshot.uptime.as_ref().map(of)
}

fn segment_window(snapshot: &Snapshot, seconds: usize) -> Option<f64> {
    let rates = THROUGHPUT_WINDOWS.iter().zip(snapshot.rates.segment_bytes_per_second);
    rates.into_iter().find(|(window, _)| **window == seconds).map(|(_, rate)| rate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::GO_TOOL;
    use crate::metric::catalogue;

    #[test]
    fn the_go_tools_dashboards_find_every_name() {
        let names: BTreeSet<&str> =
            catalogue().iter().filter_map(|metric| metric.series.as_deref()).collect();
        for name in GO_TOOL {
            assert!(name == "info" || names.contains(name), "{name}");
        }
    }
}
