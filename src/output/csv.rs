//! The run over time as CSV (RFC 4180): one line per window of the timeline; what was not measured is empty.

use hls_swarm_model::report::Report;
use hls_swarm_model::timeline::{Samples, Window};

/// The columns. Counts cover the window; everything else is an average or a percentile of it.
const HEAD: &str = "unix_seconds,second,step_seconds,target,active,playing,stalled,manifest_requests,\
segment_requests,bytes,errors,segment_p50_seconds,segment_p95_seconds,segment_p99_seconds,cpu_percent,\
own_cpu_percent,origin_cpu_percent,origin_transmit_bytes_per_second,bitrate_played,buffer_seconds,\
live_latency_seconds";

/// Renders the run over time.
#[must_use]
pub fn render(report: &Report) -> String {
    let timeline = &report.recording.timeline;
    let mut text = format!("{HEAD}\r\n");
    for window in &timeline.windows {
        let begin = [report.run.began_unix + window.second, window.second, timeline.window_seconds];
        let cells = begin.map(|number| number.to_string()).into_iter();
        let cells = cells.chain(figures(window, report.snapshot.has_playback()));
        text.push_str(&cells.collect::<Vec<_>>().join(","));
        text.push_str("\r\n");
    }
    text
}

/// The cells of a window behind its time. `buffered`: stalls were measured.
fn figures(window: &Window, buffered: bool) -> impl Iterator<Item = String> {
    let viewers = &window.viewers;
    let average = |viewer_seconds| Some(rounded(window.average(viewer_seconds), 2));
    let counted = |count: u64| Some(count.to_string());
    let time = |quantile| window.segment_total.quantile(quantile).map(|seconds| rounded(seconds, 6));
    let mean = |samples: &Samples, digits| samples.average().map(|value| rounded(value, digits));
    [
        average(viewers.wanted),
        average(viewers.wanted - viewers.waiting),
        average(viewers.playing),
        average(viewers.stalled).filter(|_| buffered),
        counted(window.playlists),
        counted(window.segments),
        counted(window.bytes),
        counted(window.failed()),
        time(0.5),
        time(0.95),
        time(0.99),
        mean(&window.cpu_percent, 1),
        mean(&window.own_cpu_percent, 1),
        mean(&window.origin_cpu_percent, 1),
        mean(&window.origin_transmit_bytes_per_second, 0),
        window.bitrate_played().map(|bits| rounded(bits, 0)),
        mean(&window.buffer, 2),
        mean(&window.live_latency, 2),
    ]
    .into_iter()
    .map(Option::unwrap_or_default)
}

/// A number with up to `digits` digits behind the point.
fn rounded(value: f64, digits: i32) -> String {
    let scale = 10_f64.powi(digits);
    // Adding 0 turns -0 into 0.
    ((value * scale).round() / scale + 0.0).to_string()
}
