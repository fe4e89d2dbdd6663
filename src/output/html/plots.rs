//! Which plots a report has, and what stands in each.

use std::fmt::{self, Write};

use hls_swarm_model::report::Report;
use hls_swarm_model::series::Point;

use super::plot::{self, Curve, Plot};

type Value = fn(&Point) -> Option<f64>;

/// Writes all plots; none if the run was too short to have a point.
pub fn write(out: &mut String, report: &Report) -> fmt::Result {
    let series = &report.recording.series;
    let Some(last) = series.points.last() else { return Ok(()) };
    let step = series.step_seconds as f64;
    let curve = |name, colour, scale: f64, value: Value| Curve {
        name,
        colour,
        points: series
            .points
            .iter()
            .filter_map(|p| Some((p.second + series.step_seconds, value(p)? * scale)))
            .collect(),
    };
    let plot = |title, unit, curves| Plot { title, unit, end: last.second + series.step_seconds, curves };
    let mut viewers = vec![
        curve("should be up", "three", 1.0, |p| Some(p.target as f64)),
        curve("playing", "one", 1.0, |p| Some(p.playing as f64)),
    ];
    if report.snapshot.has_progress() {
        viewers.push(curve("stalled", "four", 1.0, |p| Some(p.stalled as f64)));
    }
    let requests = vec![
        curve("playlists", "two", 1.0 / step, |p| Some(p.manifests as f64)),
        curve("segments", "one", 1.0 / step, |p| Some(p.segments as f64)),
    ];
    let bytes = vec![curve("body bytes of all kinds", "one", 8e-6 / step, |p| Some(p.bytes as f64))];
    let latency = vec![
        curve("p99", "four", 1000.0, |p| Some(p.latency?.p99)),
        curve("p95", "three", 1000.0, |p| Some(p.latency?.p95)),
        curve("p50", "one", 1000.0, |p| Some(p.latency?.p50)),
    ];
    let errors = vec![curve("failed requests and connects", "four", 1.0 / step, |p| Some(p.errors as f64))];
    let load = vec![
        curve("all processors busy", "three", 1.0, |p| p.cpu_percent),
        curve("this program, of one processor", "one", 1.0, |p| p.own_cpu_percent),
    ];
    let origin = vec![curve("all processors busy", "three", 1.0, |p| p.origin_cpu_percent)];
    let sent = vec![curve("sent by its devices", "one", 8e-6, |p| p.origin_transmit_bytes_per_second)];
    let plots = [
        plot("Viewers", "", viewers),
        plot("Throughput", "Mbit/s", bytes),
        plot("Segment latency, request to last byte", "ms", latency),
        plot("Errors", "/s", errors),
        plot("Requests", "/s", requests),
        plot("Load generator", "%", load),
        plot("Origin", "%", origin),
        plot("Origin, network", "Mbit/s", sent),
    ];
    writeln!(out, "<h2>Over time</h2>\n<div class=\"plots\">")?;
    for plot in plots.iter().filter(|plot| plot.curves.iter().any(|curve| !curve.points.is_empty())) {
        plot::write(out, plot)?;
    }
    writeln!(out, "</div>")?;
    if series.step_seconds > 1 {
        writeln!(out, "<p class=\"soft\">One point covers {} seconds.</p>", series.step_seconds)?;
    }
    Ok(())
}
