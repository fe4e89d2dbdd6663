//! Viewers by state, throughput, errors, rebuffering, and latency.

use maud::html;

use hls_swarm_model::timeline::Window;
use hls_swarm_model::timeline::failures::FailureClass;

use super::axis::{Label, LogAxis, linear, plain, round_up};
use super::{Drawing, Drawn};
use crate::output::figures::{bit_rate, milliseconds, percent};

/// Windows over which curves of throughput are averaged: segments do not arrive evenly.
const AVERAGED: usize = 2;
/// Windows from which the bit rate of what viewers play is taken.
const BIT_RATE_WINDOWS: usize = 4;

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

/// One curve of several.
pub(super) struct Curve<'a> {
    /// What it is drawn from.
    pub(super) drawn: &'a Drawn<'a>,
    /// The classes of its color and pattern.
    pub(super) class: &'static str,
    pub(super) name: String,
    /// A value per window.
    pub(super) values: Vec<Option<f64>>,
}

impl<'a> Curve<'a> {
    pub(super) fn new(
        drawn: &'a Drawn<'a>,
        class: &'static str,
        name: impl Into<String>,
        value: impl Fn(&Window) -> Option<f64>,
    ) -> Self {
        Self { drawn, class, name: name.into(), values: drawn.windows().iter().map(value).collect() }
    }
}

/// Curves in one drawing; nothing if none of them has a value. `text` is a value with its unit.
pub(super) fn curves(
    id: &'static str,
    title: &str,
    text: impl Fn(f64) -> String,
    curves: &[Curve<'_>],
) -> Option<Drawing> {
    let known = || curves.iter().flat_map(|curve| &curve.values).flatten().copied();
    known().next()?;
    let top = round_up(largest(known()));
    let place = |value: f64| 100.0 - value / top * 100.0;
    Some(drawing_of(id, title, linear(top, &text), text, place, curves))
}

/// Curves of times on a logarithmic axis; nothing if none of them has a value.
pub(super) fn times(id: &'static str, title: &str, curves: &[Curve<'_>]) -> Option<Drawing> {
    let known = || curves.iter().flat_map(|curve| &curve.values).flatten().copied();
    let axis = LogAxis::new(known().reduce(f64::min)? / 1.5, largest(known()) * 1.5);
    Some(drawing_of(id, title, axis.labels(), milliseconds, |value| axis.place(value), curves))
}

fn drawing_of(
    id: &'static str,
    title: &str,
    y: Vec<Label>,
    text: impl Fn(f64) -> String,
    place: impl Fn(f64) -> f64,
    curves: &[Curve<'_>],
) -> Drawing {
    let curves = || curves.iter().filter(|curve| curve.values.iter().any(Option::is_some));
    let windows = curves().map(|curve| curve.values.len()).max().unwrap_or(0);
    let values = (0..windows).map(|window| {
        let each = curves().map(|curve| {
            let value = curve.values.get(window).copied().flatten();
            format!("{} {}", curve.name, value.map_or_else(|| "–".to_owned(), &text))
        });
        each.collect::<Vec<_>>().join(", ")
    });
    Drawing {
        id,
        title: title.to_owned(),
        legend: curves().map(|curve| (curve.class, curve.name.clone())).collect(),
        height: 110,
        y,
        shapes: html! {
            @for curve in curves() {
                path class={ "line " (curve.class) } d=(curve.drawn.curve(&curve.values, &place)) {}
            }
        },
        limits: Vec::new(),
        values: values.collect(),
    }
}

fn counted(value: f64) -> String {
    if value >= 10.0 || (value - value.round()).abs() < 0.05 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Viewers by state, stacked.
pub(super) fn viewers(drawn: &Drawn<'_>) -> Drawing {
    let top = round_up(largest(drawn.windows().iter().map(|window| window.average(window.viewers.wanted))));
    let playing = |window: &Window| window.average(window.viewers.playing);
    let stalled = |window: &Window| window.average(window.viewers.playing + window.viewers.stalled);
    let started = |window: &Window| {
        let viewers = &window.viewers;
        window.average(viewers.playing + viewers.stalled + viewers.starting)
    };
    let wanted = |window: &Window| window.average(window.viewers.wanted);
    let mut legend = vec![("playing", "playing".to_owned())];
    if drawn.buffered {
        legend.push(("stalled", "stalled".to_owned()));
    }
    legend.extend([("starting", "starting".to_owned()), ("waiting", "waiting to be started".to_owned())]);
    let values = drawn.windows().iter().map(|window| {
        let of = |viewer_seconds| counted(window.average(viewer_seconds));
        let viewers = &window.viewers;
        let stalled =
            if drawn.buffered { format!("{} stalled, ", of(viewers.stalled)) } else { String::new() };
        let (playing, starting, waiting) = (of(viewers.playing), of(viewers.starting), of(viewers.waiting));
        format!(
            "{playing} of {} playing, {stalled}{starting} starting, {waiting} waiting",
            of(viewers.wanted)
        )
    });
    Drawing {
        id: "viewers",
        title: "Viewers by state".to_owned(),
        legend,
        height: 120,
        y: linear(top, plain),
        // The largest area is painted first, and the next one over it.
        shapes: html! {
            path.fill.waiting d=(drawn.steps(top, wanted)) {}
            path.fill.starting d=(drawn.steps(top, started)) {}
            @if drawn.buffered { path.fill.stalled d=(drawn.steps(top, stalled)) {} }
            path.fill.playing d=(drawn.steps(top, playing)) {}
        },
        limits: Vec::new(),
        values: values.collect(),
    }
}

/// The windows up to `place`, `many` at most, as one.
fn last(windows: &[Window], place: usize, many: usize) -> Option<Window> {
    let from = (place + 1).saturating_sub(many);
    let mut windows = windows.get(from..=place)?.iter();
    let mut sum = windows.next()?.clone();
    for window in windows {
        sum.bytes += window.bytes;
        sum.seconds += window.seconds;
        sum.segment_bytes += window.segment_bytes;
        sum.media_seconds += window.media_seconds;
    }
    Some(sum)
}

/// Throughput, and what the viewers would need for playback without stalls.
pub(super) fn throughput(drawn: &Drawn<'_>) -> Drawing {
    let windows = drawn.windows();
    let measured: Vec<Option<f64>> = (0..windows.len())
        .map(|place| {
            last(windows, place, AVERAGED).filter(|sum| sum.seconds > 0.0).map(|sum| sum.throughput())
        })
        .collect();
    let mut known = windows.iter().find_map(Window::bits_per_viewer).filter(|_| drawn.plays);
    let needed: Vec<Option<f64>> = (0..windows.len())
        .map(|place| {
            let recent = last(windows, place, BIT_RATE_WINDOWS).and_then(|sum| sum.bits_per_viewer());
            known = known.map(|before| recent.unwrap_or(before));
            let window = windows.get(place)?;
            Some(known? * window.average(window.viewers.wanted))
        })
        .collect();
    let top = round_up(largest(measured.iter().chain(&needed).flatten().copied()));
    let place = |value: f64| 100.0 - value / top * 100.0;
    let values = measured.iter().zip(&needed).map(|(measured, needed)| {
        let measured = measured.map_or_else(|| "nothing measured".to_owned(), bit_rate);
        needed.map_or_else(|| measured.clone(), |needed| format!("{measured}, needed {}", bit_rate(needed)))
    });
    let seconds = drawn.timeline.window_seconds * AVERAGED as u64;
    let mut legend = vec![("one", format!("body bytes of all kinds, mean of {seconds} s"))];
    if needed.iter().any(Option::is_some) {
        legend.push(("need", "what the viewers need".to_owned()));
    }
    Drawing {
        id: "throughput",
        title: "Throughput".to_owned(),
        legend,
        height: 110,
        y: linear(top, bit_rate),
        shapes: html! {
            path.line.need d=(drawn.curve(&needed, place)) {}
            path.line.one d=(drawn.curve(&measured, place)) {}
        },
        limits: Vec::new(),
        values: values.collect(),
    }
}

/// Failures per second by class, stacked; nothing without failures.
pub(super) fn errors(drawn: &Drawn<'_>) -> Option<Drawing> {
    let windows = drawn.windows();
    let classes: Vec<(usize, FailureClass)> = (1..)
        .zip(FailureClass::ALL)
        .filter(|(_, class)| windows.iter().any(|window| window.errors.contains_key(class)))
        .collect();
    if classes.is_empty() {
        return None;
    }
    let rate = |window: &Window, classes: &[(usize, FailureClass)]| {
        let count: u64 = classes.iter().filter_map(|(_, class)| window.errors.get(class)).sum();
        drawn.rate_at_least(window, count as f64)
    };
    let top = round_up(largest(windows.iter().map(|window| rate(window, &classes))));
    let names = ["e1", "e2", "e3", "e4", "e5", "e6"];
    let color = |place: usize| names.get(place - 1).copied().unwrap_or("e6");
    let legend = classes.iter().map(|(place, class)| (color(*place), class.name().to_owned()));
    let values = windows.iter().map(|window| {
        let each = window.errors.iter().map(|(class, count)| format!("{count} {}", class.name()));
        let each: Vec<String> = each.collect();
        match (each.is_empty(), window.error_rate()) {
            (true, _) => "no failures".to_owned(),
            (_, Some(rate)) => format!("{}: {} of requests", each.join(", "), percent(rate)),
            _ => each.join(", "),
        }
    });
    Some(Drawing {
        id: "errors",
        title: "Errors by class, per second".to_owned(),
        legend: legend.collect(),
        height: 80,
        y: linear(top, plain),
        shapes: html! {
            @for upper in (0..classes.len()).rev() {
                @let part = classes.get(..=upper).unwrap_or_default();
                @let class = part.last().map_or("e6", |(place, _)| color(*place));
                path class={ "fill " (class) } d=(drawn.steps(top, |window| rate(window, part))) {}
            }
        },
        limits: Vec::new(),
        values: values.collect(),
    })
}

/// The share of time stalled; nothing if it was not measured, or nothing stalled.
pub(super) fn rebuffering(drawn: &Drawn<'_>) -> Option<Drawing> {
    let windows = drawn.windows();
    if !drawn.buffered || windows.iter().all(|window| window.stalls == 0 && window.stalled_seconds <= 0.0) {
        return None;
    }
    let share = |window: &Window| window.rebuffering().unwrap_or(0.0) * 100.0;
    let top = round_up(largest(windows.iter().map(share)));
    let values = windows.iter().map(|window| match window.rebuffering() {
        Some(share) => format!("{} of the time stalled, {} stalls began", percent(share), window.stalls),
        None => "nothing was shown".to_owned(),
    });
    Some(Drawing {
        id: "rebuffering",
        title: "Rebuffering: share of viewing time that was stalled".to_owned(),
        legend: vec![("stalled", "stalled".to_owned())],
        height: 80,
        y: linear(top, |value| format!("{} %", plain(value))),
        shapes: html! { path.fill.stalled d=(drawn.steps(top, share)) {} },
        limits: Vec::new(),
        values: values.collect(),
    })
}

/// Live latency and buffer; nothing unless players report them.
pub(super) fn behind(drawn: &Drawn<'_>) -> Option<Drawing> {
    let lines = [
        Curve::new(drawn, "three", "live latency by the edge of the playlist", |window| {
            window.live_latency.average()
        }),
        Curve::new(drawn, "one", "buffer", |window| window.buffer.average()),
    ];
    curves("latency", "Live latency and buffer, average of the viewers", seconds, &lines)
}

/// Seconds with one digit.
pub(super) fn seconds(value: f64) -> String {
    format!("{value:.1} s")
}
