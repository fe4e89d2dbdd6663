//! Axes: round numbers, and times of the run with those of the wall clock.

use std::fmt::Write;

use maud::{Markup, html};

use super::number;
use crate::output::figures::{clock, utc};

/// A label of the vertical axis.
pub(super) struct Label {
    /// Its place from the top, percent.
    pub(super) place: f64,
    pub(super) text: String,
    /// How far its base line is below the place, pixels.
    shift: u8,
}

impl Label {
    /// A label whose middle is at its place.
    pub(super) const fn centered(place: f64, text: String) -> Self {
        Self { place, text, shift: 4 }
    }

    /// A label that stays within the drawing.
    pub(super) fn within(place: f64, text: String) -> Self {
        let shift = match place {
            place if place > 95.0 => 0,
            place if place < 5.0 => 9,
            _ => 4,
        };
        Self { place, text, shift }
    }
}

/// The smallest round number that is at least `value`, as the end of an axis.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let magnitude = 10.0_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * magnitude >= value * 0.999_999);
    step.unwrap_or(10.0) * magnitude
}

/// Labels at the bottom, in the middle, and at the top of a linear axis.
pub(super) fn linear(top: f64, text: impl Fn(f64) -> String) -> Vec<Label> {
    let at = |share: f64| Label::within(100.0 - share * 100.0, text(top * share));
    vec![at(0.0), at(0.5), at(1.0)]
}

/// Times that a logarithmic axis may have labels at, seconds.
const TIMES: [f64; 18] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0,
    50.0,
];

/// A logarithmic axis of times, seconds.
#[derive(Clone, Copy)]
pub(super) struct LogAxis {
    begin: f64,
    end: f64,
}

impl LogAxis {
    pub(super) fn new(begin: f64, end: f64) -> Self {
        let begin = begin.max(0.000_05);
        Self { begin, end: end.max(begin * 2.0) }
    }

    /// The place of a time from the top, percent.
    pub(super) fn place(&self, seconds: f64) -> f64 {
        let share = (seconds.max(self.begin) / self.begin).log2() / (self.end / self.begin).log2();
        100.0 - share.clamp(0.0, 1.0) * 100.0
    }

    /// Labels that are not too close to one another.
    pub(super) fn labels(&self) -> Vec<Label> {
        let mut labels: Vec<Label> = Vec::new();
        for time in TIMES.into_iter().filter(|time| (self.begin..=self.end).contains(time)) {
            let place = self.place(time);
            if labels.last().is_none_or(|last| last.place - place >= 9.0) {
                labels.push(Label::within(place, duration(time)));
            }
        }
        labels
    }
}

fn duration(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{} s", number(seconds)) } else { format!("{} ms", number(seconds * 1000.0)) }
}

/// A number with as many digits as an axis needs.
pub(super) fn plain(value: f64) -> String {
    let digits = match value {
        v if v >= 10.0 || (v - v.round()).abs() < 1e-9 => 0,
        v if v >= 1.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

/// The labels of a vertical axis.
pub(super) fn vertical(labels: &[Label], height: u32) -> Markup {
    html! {
        svg.y width="52" height=(height) aria-hidden="true" {
            @for label in labels {
                text x="100%" dx="-6" y={ (number(label.place)) "%" } dy=(label.shift) text-anchor="end" { (label.text) }
            }
        }
    }
}

/// The horizontal lines of a grid.
pub(super) fn grid(labels: &[Label], end: f64) -> String {
    let mut path = String::new();
    for label in labels {
        // Writing to a String cannot fail.
        let _ = write!(path, "M0 {}H{}", number(label.place), number(end));
    }
    path
}

/// Steps of a time axis, seconds.
const STEPS: [u32; 17] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200];

/// The step of a time axis that has about six labels.
pub(super) fn step(length: f64) -> f64 {
    let wanted = length / 7.0;
    let step = STEPS.into_iter().map(f64::from).find(|step| *step >= wanted);
    step.unwrap_or_else(|| (wanted / 86_400.0).ceil() * 86_400.0)
}

/// The labels of the time axis: time of the run, and below it the wall clock in UTC, if the run's beginning is given.
/// `page.js` makes them anew when the section of time changes.
pub(super) fn horizontal(began_unix: Option<u64>, end: f64) -> Markup {
    let step = step(end);
    let ticks: Vec<f64> =
        (0..100).map(|tick| f64::from(tick) * step).take_while(|second| *second <= end).collect();
    html! {
        svg.x width="100%" height=(if began_unix.is_some() { 30 } else { 16 }) aria-hidden="true" {
            @for (place, second) in (0..).zip(&ticks) {
                @let x = format!("{}%", number(second / end * 100.0));
                @let anchor = if place == 0 { "start" } else if second / end > 0.94 { "end" } else { "middle" };
                @let class = if place % 2 == 1 { "odd" } else { "even" };
                text class=(class) x=(x) y="12" text-anchor=(anchor) { (clock(*second)) }
                @if let Some(began_unix) = began_unix {
                    text class={ (class) " wall" } x=(x) y="26" text-anchor=(anchor) {
                        (wall(began_unix, *second)) @if place == 0 { " UTC" }
                    }
                }
            }
        }
    }
}

/// The wall clock at a second of the run.
pub(crate) fn wall(began_unix: u64, second: f64) -> String {
    let time = utc(began_unix.saturating_add(second.max(0.0) as u64));
    time.split_once('T').map_or_else(String::new, |(_, clock)| clock.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_above_what_they_show() {
        for (value, top) in [(0.0, 1.0), (1.0, 1.0), (1.1, 1.5), (50.0, 50.0), (73.0, 80.0), (0.034, 0.04)] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}: {}", round_up(value));
        }
        assert_eq!(round_up(f64::INFINITY), 1.0);
    }

    #[test]
    fn a_time_axis_has_a_few_round_labels() {
        for length in [2.0, 8.0, 30.0, 180.0, 3600.0, 86_400.0, 1e7] {
            let labels = (length / step(length)).floor() + 1.0;
            assert!((3.0..=8.0).contains(&labels), "{length} s: {labels}");
        }
        assert_eq!(wall(1_795_244_947, 13.9), "07:09:20");
    }
}
