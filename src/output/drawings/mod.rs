//! Drawings of a run over time, as SVG, made from a [`Timeline`] alone: one set for the HTML report and the live page, and
//! one of two runs over each other for a comparison.
//!
//! Areas and curves stretch with the page. Labels are texts of their own whose places are percentages, so that they
//! keep their size on a phone. All drawings over time have the same axis. What a pointer or the keyboard asks for is in
//! `data-values`, one line per window; `page.js` shows it, and works without knowing what is drawn.

mod axis;
mod cells;
mod curves;
mod machines;
mod overlaid;
mod startup;

use std::fmt::Write;

use maud::{Markup, html};

use hls_swarm_model::snapshot::{PlaybackSource, Snapshot};
use hls_swarm_model::timeline::{MarkKind, Timeline, Window};

use axis::Label;

pub(crate) use axis::wall;
pub(crate) use overlaid::overlaid;

/// What is drawn.
#[derive(Clone, Copy)]
pub struct Drawn<'a> {
    /// The run.
    timeline: &'a Timeline,
    /// Its start, seconds since 1970; `None` where the wall clock means nothing.
    began_unix: Option<u64>,
    /// The end of the time axis, seconds of the run.
    end: f64,
    /// Whether viewers play what they download, and whether they have the buffer of a player.
    plays: bool,
    buffered: bool,
}

/// One drawing.
struct Drawing {
    id: &'static str,
    title: String,
    /// Names with the classes of their colors.
    legend: Vec<(&'static str, String)>,
    /// Height in pixels.
    height: u32,
    y: Vec<Label>,
    /// Areas and curves. They span the width in seconds and 100 in height, downwards.
    shapes: Markup,
    /// Lines across the drawing: place from the top in percent, and text.
    limits: Vec<(f64, String)>,
    /// One line per window.
    values: Vec<String>,
}

/// Renders all drawings that have data; nothing before the first window.
#[must_use]
pub fn drawings(
    timeline: &Timeline,
    snapshot: &Snapshot,
    began_unix: u64,
    startup_limit: Option<f64>,
) -> Markup {
    let drawn = Drawn::new(timeline, snapshot, Some(began_unix));
    let over_time = [
        Some(curves::viewers(&drawn)),
        Some(curves::throughput(&drawn)),
        cells::heat_map(&drawn),
        curves::errors(&drawn),
        cells::lanes(&drawn),
        curves::rebuffering(&drawn),
        curves::behind(&drawn),
    ];
    let startup = startup::startup(&[("one", "starts", &timeline.startup)], startup_limit);
    section(&drawn, &marks(&drawn), &over_time, startup)
}

/// Renders the drawings of second rank: requests, the bit rate played, the load generator, and the origin.
#[must_use]
pub fn machines(timeline: &Timeline, snapshot: &Snapshot, began_unix: u64) -> Markup {
    let drawn = Drawn::new(timeline, snapshot, Some(began_unix));
    section(&drawn, &html! {}, &machines::drawings(&drawn), None)
}

/// Drawings over time below each other, and one of something else; nothing before the first window.
fn section(
    drawn: &Drawn<'_>,
    above: &Markup,
    over_time: &[Option<Drawing>],
    other: Option<Markup>,
) -> Markup {
    html! {
        @if !drawn.windows().is_empty() {
            section.drawings data-began=[drawn.began_unix] data-end=(number(drawn.end))
                data-step=(drawn.timeline.window_seconds) {
                (above)
                @for drawing in over_time.iter().flatten() { (over_time_figure(drawn, drawing)) }
                @if let Some(other) = other { (other) }
            }
        }
    }
}

impl<'a> Drawn<'a> {
    fn new(timeline: &'a Timeline, snapshot: &Snapshot, began_unix: Option<u64>) -> Self {
        Self {
            timeline,
            began_unix,
            end: timeline.end().max(1.0),
            plays: snapshot.sources.playback != PlaybackSource::Downloads,
            buffered: snapshot.has_playback(),
        }
    }
}

impl Drawn<'_> {
    fn windows(&self) -> &[Window] {
        &self.timeline.windows
    }

    /// Beginning and end of a window on the axis.
    fn span(&self, window: &Window) -> (f64, f64) {
        let begin = window.second as f64;
        (begin.min(self.end), (begin + self.timeline.window_seconds as f64).min(self.end))
    }

    /// A sum of a window per second; `None` if so little of it was observed that it would look like an outage or a burst.
    fn rate(&self, window: &Window, sum: f64) -> Option<f64> {
        (window.seconds >= self.enough()).then(|| window.average(sum))
    }

    /// A count of a window per second. Where little of it was observed, it is less, and not a burst.
    fn rate_at_least(&self, window: &Window, count: f64) -> f64 {
        count / window.seconds.max(self.enough())
    }

    /// The part of a window that has to be observed, seconds.
    fn enough(&self) -> f64 {
        self.timeline.window_seconds as f64 / 4.0
    }

    /// An area from the bottom to `value` of each window, as steps; `top` is the top of the drawing.
    fn steps(&self, top: f64, value: impl Fn(&Window) -> f64) -> String {
        let mut path = String::new();
        let mut last = None;
        for window in self.windows() {
            let (from, to) = self.span(window);
            let y = 100.0 - (value(window) / top * 100.0).clamp(0.0, 100.0);
            // Writing to a String cannot fail.
            let _ = match last {
                None => write!(path, "M{} 100V{}", number(from), number(y)),
                Some(_) => write!(path, "H{}V{}", number(from), number(y)),
            };
            last = Some(to);
        }
        if let Some(to) = last {
            let _ = write!(path, "H{}V100z", number(to));
        }
        path
    }

    /// A curve through the middles of the windows that have a value.
    fn curve(&self, values: &[Option<f64>], place: impl Fn(f64) -> f64) -> String {
        let mut path = String::new();
        let mut pen_is_down = false;
        for (window, value) in self.windows().iter().zip(values) {
            let Some(value) = value else {
                pen_is_down = false;
                continue;
            };
            let (from, to) = self.span(window);
            let command = if pen_is_down { 'L' } else { 'M' };
            let _ = write!(path, "{command}{} {}", number((from + to) / 2.0), number(place(*value)));
            if !pen_is_down {
                // A line of length 0 with round ends is a dot.
                path.push_str("h0");
            }
            pen_is_down = true;
        }
        path
    }
}

/// A number with two digits at most.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// The rows of labels above the drawings.
const MARK_ROWS: usize = 3;
/// The width of a letter of a mark's label, as a share of the drawing; a phone shows fewer labels.
const LETTER: f64 = 0.007;

/// The class of a mark.
const fn mark_class(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Stage => "mark stage",
        MarkKind::Change => "mark change",
        MarkKind::Failure | MarkKind::Stall | MarkKind::Restart => "mark trouble",
    }
}

/// The labels of the marks in rows, so that none covers another; those without room are only in the table of events.
fn marks(drawn: &Drawn<'_>) -> Markup {
    let mut free = [0.0_f64; MARK_ROWS];
    let mut labels = Vec::new();
    for mark in &drawn.timeline.marks {
        let place = (mark.second / drawn.end).clamp(0.0, 1.0);
        let width = LETTER * (mark.text.chars().count() as f64 + 2.0);
        let begin = place.min(1.0 - width).max(0.0);
        if let Some((row, until)) = (0..).zip(&mut free).find(|(_, until)| **until <= begin) {
            *until = begin + width;
            labels.push((row, mark));
        }
    }
    let rows = labels.iter().map(|(row, _)| row + 1).max().unwrap_or(0);
    html! {
        @if rows > 0 {
            div.marks aria-hidden="true" {
                svg width="100%" height=(rows * 15 + 2) {
                    @for (row, mark) in &labels {
                        @let late = mark.second / drawn.end > 0.8;
                        text class=(mark_class(mark.kind)) data-t=(number(mark.second)) y=(row * 15 + 12)
                            x={ (number(mark.second / drawn.end * 100.0)) "%" }
                            text-anchor=[late.then_some("end")] { (mark.text) }
                    }
                }
            }
        }
    }
}

fn over_time_figure(drawn: &Drawn<'_>, drawing: &Drawing) -> Markup {
    let end = number(drawn.end);
    html! {
        figure.drawing id=(drawing.id) tabindex="0" data-values=(drawing.values.join("\n")) {
            figcaption { (drawing.title) }
            p.legend {
                @for (class, name) in &drawing.legend { span class=(class) { (name) } " " }
            }
            output {}
            div.plot {
                (axis::vertical(&drawing.y, drawing.height))
                div.area {
                    svg.shapes viewBox={ "0 0 " (end) " 100" } preserveAspectRatio="none" width="100%"
                        height=(drawing.height) role="img" aria-label=(drawing.title) {
                        path.grid d=(axis::grid(&drawing.y, drawn.end)) {}
                        (drawing.shapes)
                        @for mark in &drawn.timeline.marks {
                            path class=(mark_class(mark.kind)) d={ "M" (number(mark.second)) " 0V100" } {}
                        }
                        @for (place, _) in &drawing.limits {
                            path.limit d={ "M0 " (number(*place)) "H" (end) } {}
                        }
                        path.cursor d="" {}
                    }
                    svg.over width="100%" height=(drawing.height) aria-hidden="true" {
                        @for (place, text) in &drawing.limits {
                            text.limit x="0" dx="6" y={ (number(*place)) "%" } dy="-4" { (text) }
                        }
                    }
                }
                (axis::horizontal(drawn.began_unix, drawn.end))
            }
        }
    }
}
