//! Plots of second rank, and those of comparisons. Curves are SVG and stretch with the page; labels are HTML, so that they keep their
//! size on a phone.

use std::fmt::Write;

use maud::{Markup, html};

use hls_swarm_model::report::Report;
use hls_swarm_model::series::{Point, Series};

use crate::output::figures::length;

/// Size of the area that curves are drawn in; the page stretches it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// A curve: its name, its color class, and its points as (second of the run, value).
struct Curve {
    name: &'static str,
    color: &'static str,
    points: Vec<(u64, f64)>,
}

struct Plot {
    title: &'static str,
    unit: &'static str,
    /// End of the time axis, seconds.
    end: u64,
    curves: Vec<Curve>,
}

type Value = fn(&Point) -> Option<f64>;

/// Renders all plots that have data; nothing if the run was too short for one point.
pub(super) fn plots(report: &Report) -> Markup {
    let series = &report.recording.series;
    let Some(last) = series.points.last() else { return html! {} };
    let step = series.step_seconds as f64;
    let curve = |name, color, scale: f64, value: Value| Curve {
        name,
        color,
        points: series
            .points
            .iter()
            .filter_map(|p| Some((p.second + series.step_seconds, value(p)? * scale)))
            .collect(),
    };
    let plot = |title, unit, curves| Plot { title, unit, end: last.second + series.step_seconds, curves };
    let requests = vec![
        curve("playlists", "two", 1.0 / step, |p| Some(p.manifests as f64)),
        curve("segments", "one", 1.0 / step, |p| Some(p.segments as f64)),
    ];
    let load = vec![
        curve("all processors busy", "three", 1.0, |p| p.cpu_percent),
        curve("this program, of one processor", "one", 1.0, |p| p.own_cpu_percent),
    ];
    let bitrate = vec![curve("average of the viewers", "one", 1e-6, |p| p.bitrate_played)];
    let origin = vec![curve("all processors busy", "three", 1.0, |p| p.origin_cpu_percent)];
    let sent = vec![curve("sent by its devices", "one", 8e-6, |p| p.origin_transmit_bytes_per_second)];
    let plots = [
        plot("Requests", "/s", requests),
        plot("Bitrate played", "Mbit/s", bitrate),
        plot("Load generator", "%", load),
        plot("Origin", "%", origin),
        plot("Origin, network", "Mbit/s", sent),
    ];
    html! {
        h2 { "Requests, load generator, and origin over time" }
        div.plots {
            @for plot in plots.iter().filter(|plot| plot.curves.iter().any(|curve| !curve.points.is_empty())) {
                (figure(plot))
            }
        }
        @if series.step_seconds > 1 {
            p.soft { "One point covers " (series.step_seconds) " seconds." }
        }
    }
}

/// Renders the plots of two runs in one another, both from their beginning; nothing if neither has a point.
pub(in crate::output) fn overlaid(a: &Series, b: &Series) -> Markup {
    let end = [a, b]
        .into_iter()
        .filter_map(|series| Some(series.points.last()?.second + series.step_seconds))
        .max();
    let Some(end) = end else { return html! {} };
    let curve = |name, color, series: &Series, per_second: bool, value: Value| {
        let scale = if per_second { 1.0 / series.step_seconds as f64 } else { 1.0 };
        let points = series.points.iter();
        let points =
            points.filter_map(|p| Some((p.second + series.step_seconds, value(p)? * scale))).collect();
        Curve { name, color, points }
    };
    let plot = |title, unit, per_second, value: Value| Plot {
        title,
        unit,
        end,
        curves: vec![curve("A", "one", a, per_second, value), curve("B", "three", b, per_second, value)],
    };
    let plots = [
        plot("Segment latency p95, request to last byte", "ms", false, |p| Some(p.latency?.p95 * 1000.0)),
        plot("Throughput", "Mbit/s", true, |p| Some(p.bytes as f64 * 8e-6)),
        plot("Viewers that play", "", false, |p| Some(p.playing as f64)),
        plot("Viewers that stall", "", false, |p| Some(p.stalled as f64)),
        plot("Errors", "/s", true, |p| Some(p.errors as f64)),
        plot("Processors of the load generator, busy", "%", false, |p| p.cpu_percent),
    ];
    html! {
        h2 { "Over time" }
        div.plots {
            @for plot in plots.iter().filter(|plot| plot.curves.iter().any(|curve| !curve.points.is_empty())) {
                (figure(plot))
            }
        }
    }
}

fn figure(plot: &Plot) -> Markup {
    let largest = plot.curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y).fold(0.0, f64::max);
    let top = round_up(largest);
    let end = plot.end as f64;
    let description = format!("{}, 0 to {} over {}", plot.title, label(largest), length(end));
    html! {
        figure {
            figcaption { (plot.title) }
            ul.legend {
                @for curve in &plot.curves { li class=(curve.color) { (curve.name) } }
            }
            div.plot {
                div.y {
                    span { (label(top)) " " (plot.unit) }
                    span { (label(top / 2.0)) }
                    span { "0" }
                }
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-label=(description) {
                    path.grid d={ "M0 0H" (WIDTH) "M0 " (HEIGHT / 2.0) "H" (WIDTH) "M0 " (HEIGHT) "H" (WIDTH) } {}
                    @for curve in &plot.curves {
                        path class=(curve.color) d=(path(&curve.points, plot.end, top)) {}
                    }
                }
                div.x {
                    span { "0 s" }
                    span { (length(end / 2.0)) }
                    span { (length(end)) }
                }
            }
        }
    }
}

/// The path of a curve in the area from 0 to `end` and from 0 to `top`.
fn path(points: &[(u64, f64)], end: u64, top: f64) -> String {
    let mut path = String::new();
    for (index, (second, value)) in points.iter().enumerate() {
        let x = *second as f64 / end.max(1) as f64 * WIDTH;
        let y = HEIGHT - value / top * HEIGHT;
        // Writing to a String cannot fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    // A line of length 0 with round ends is a dot.
    if points.len() == 1 {
        path.push_str("h0");
    }
    path
}

/// The smallest round number that is at least `value`, as the end of an axis.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10.0_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= value * 0.999_999);
    step.unwrap_or(10.0) * magnitude
}

fn label(value: f64) -> String {
    let digits = match value {
        v if v >= 10.0 || (v - v.round()).abs() < 1e-9 => 0,
        v if v >= 1.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_above_what_they_show() {
        for (value, top) in [(0.0, 1.0), (1.0, 1.0), (1.1, 2.0), (50.0, 50.0), (73.0, 80.0), (0.034, 0.04)] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_curve_spans_the_area() {
        assert_eq!(path(&[(0, 0.0), (10, 4.0)], 10, 4.0), "M0.0 100.0L1000.0 0.0");
        assert_eq!(path(&[(0, 2.0)], 0, 4.0), "M0.0 50.0h0");
        assert_eq!(path(&[], 0, 1.0), "");
    }
}
