//! The time series as CSV (RFC 4180): one line per step; what was not measured is empty.

use std::fmt::Write;

use hls_swarm_model::report::Report;

/// The columns. Counts cover the step; gauges are those at its end.
const HEAD: &str = "unix_seconds,second,step_seconds,target,active,playing,stalled,manifest_requests,\
segment_requests,bytes,errors,segment_p50_seconds,segment_p95_seconds,segment_p99_seconds,cpu_percent,\
own_cpu_percent,origin_cpu_percent,origin_transmit_bytes_per_second,bitrate_played,buffer_seconds,\
live_latency_seconds";

/// Renders the time series.
#[must_use]
pub fn render(report: &Report) -> String {
    let series = &report.recording.series;
    let mut text = format!("{HEAD}\r\n");
    let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for point in &series.points {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\r\n",
            report.run.began_unix + point.second,
            point.second,
            series.step_seconds,
            point.target,
            point.active,
            point.playing,
            cell(report.snapshot.has_playback().then_some(point.stalled as f64)),
            point.manifests,
            point.segments,
            point.bytes,
            point.errors,
            cell(point.latency.map(|latency| latency.p50)),
            cell(point.latency.map(|latency| latency.p95)),
            cell(point.latency.map(|latency| latency.p99)),
            cell(point.cpu_percent),
            cell(point.own_cpu_percent),
            cell(point.origin_cpu_percent),
            cell(point.origin_transmit_bytes_per_second),
            cell(point.bitrate_played),
            cell(point.buffer_seconds),
            cell(point.live_latency_seconds),
        );
    }
    text
}
