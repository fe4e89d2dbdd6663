//! One plot over time. The curves are SVG and stretch with the page; the labels are HTML, so that they
//! keep their size on a phone.

use std::fmt::{self, Write};

use crate::output::escape::markup as safe;
use crate::output::figures::length;

/// The plane of the curves; the page stretches it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// A curve: its name, its colour class, and what it is at each second of the run.
pub struct Curve {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) points: Vec<(u64, f64)>,
}

/// A plot.
pub struct Plot {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// Where the time axis ends, seconds.
    pub(crate) end: u64,
    pub(crate) curves: Vec<Curve>,
}

/// Writes a plot as a figure.
pub fn write(out: &mut String, plot: &Plot) -> fmt::Result {
    let largest = plot.curves.iter().flat_map(|curve| &curve.points).map(|(_, y)| *y).fold(0.0, f64::max);
    let top = round_up(largest);
    writeln!(out, "<figure><figcaption>{}</figcaption>\n<ul class=\"legend\">", safe(plot.title))?;
    for curve in &plot.curves {
        writeln!(out, "<li class=\"{}\">{}</li>", curve.colour, safe(curve.name))?;
    }
    let [high, middle] = [top, top / 2.0].map(label);
    writeln!(out, "</ul>\n<div class=\"plot\">")?;
    writeln!(
        out,
        "<div class=\"y\"><span>{high} {}</span><span>{middle}</span><span>0</span></div>",
        plot.unit
    )?;
    let described = format!("{}, 0 to {} over {}", plot.title, label(largest), length(plot.end as f64));
    writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        safe(&described)
    )?;
    writeln!(out, "<path class=\"grid\" d=\"M0 0H{WIDTH}M0 {}H{WIDTH}M0 {HEIGHT}H{WIDTH}\"/>", HEIGHT / 2.0)?;
    for curve in &plot.curves {
        writeln!(out, "<path class=\"{}\" d=\"{}\"/>", curve.colour, path(&curve.points, plot.end, top))?;
    }
    let half = length(plot.end as f64 / 2.0);
    writeln!(
        out,
        "</svg>\n<div class=\"x\"><span>0 s</span><span>{half}</span><span>{}</span></div>\n</div></figure>",
        length(plot.end as f64)
    )
}

fn path(points: &[(u64, f64)], end: u64, top: f64) -> String {
    let mut path = String::new();
    for (place, (second, value)) in points.iter().enumerate() {
        let x = *second as f64 / end.max(1) as f64 * WIDTH;
        let y = HEIGHT - value / top * HEIGHT;
        // Writing to a String cannot fail.
        let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
    }
    // A line of no length with round ends is a dot.
    if points.len() == 1 {
        path.push_str("h0");
    }
    path
}

/// The next number at or above `value` that makes a good end of an axis.
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
    fn a_curve_spans_the_plane() {
        assert_eq!(path(&[(0, 0.0), (10, 4.0)], 10, 4.0), "M0.0 100.0L1000.0 0.0");
        assert_eq!(path(&[(0, 2.0)], 0, 4.0), "M0.0 50.0h0");
        assert_eq!(path(&[], 0, 1.0), "");
    }
}
