//! Drawings of two runs over each other, each from its own beginning: the wall clock means nothing here.

use maud::{Markup, html};

use hls_swarm_model::report::Report;
use hls_swarm_model::timeline::{Mark, Timeline, Window};

use super::axis::plain;
use super::curves::{Curve, curves, seconds, times};
use super::machines::busy;
use super::{Drawing, Drawn, marks, section, startup};
use crate::output::figures::{bit_rate, percent};

/// The colors of both runs, and those of their second curves.
const COLORS: [&str; 2] = ["one", "three"];
const DASHED: [&str; 2] = ["one dashed", "three dashed"];
const NAMES: [&str; 2] = ["A", "B"];

/// Renders the drawings of two runs; nothing if neither has a window.
#[must_use]
pub fn overlaid(a: &Report, b: &Report) -> Markup {
    let (first, second) = a.recording.timeline.on_one_grid(&b.recording.timeline);
    let end = first.end().max(second.end()).max(1.0);
    let drawn = |timeline| Drawn { end, ..Drawn::new(timeline, &a.snapshot, None) };
    let runs = [drawn(&first), Drawn { end, ..Drawn::new(&second, &b.snapshot, None) }];
    let longer = if first.windows.len() >= second.windows.len() { &first } else { &second };
    let frame = Timeline { marks: joined(&first, &second), ..longer.clone() };
    let both = |value: &dyn Fn(&Window) -> Option<f64>| {
        let curve = |((drawn, class), name)| Curve::new(drawn, class, name, value);
        runs.iter().zip(COLORS).zip(NAMES).map(curve).collect::<Vec<_>>()
    };
    let observed = |window: &Window, value: f64| runs[0].rate(window, value);
    let buffered = a.snapshot.has_playback() && b.snapshot.has_playback();
    let mut segments = Vec::new();
    for (statistic, quantile, classes) in [("p95", 0.95, COLORS), ("p50", 0.5, DASHED)] {
        segments.extend(runs.iter().zip(classes).zip(NAMES).map(|((drawn, class), name)| {
            Curve::new(drawn, class, format!("{name} {statistic}"), |window| {
                window.segment_total.quantile(quantile)
            })
        }));
    }
    let stalled = |window: &Window| window.rebuffering().filter(|_| buffered).map(|share| share * 100.0);
    let over_time = [
        curves(
            "viewers",
            "Viewers that play",
            plain,
            &both(&|window| observed(window, window.viewers.playing)),
        ),
        curves(
            "throughput",
            "Throughput, body bytes of all kinds",
            bit_rate,
            &both(&|window| observed(window, window.bytes as f64 * 8.0)),
        ),
        times("segments", "Segment times, request to last byte", &segments),
        some(
            "errors",
            "Errors per second",
            plain,
            &both(&|window| Some(runs[0].rate_at_least(window, window.failed() as f64))),
        ),
        some(
            "rebuffering",
            "Rebuffering: share of viewing time that was stalled",
            of_hundred,
            &both(&stalled),
        ),
        curves(
            "latency",
            "Live latency, average of the viewers",
            seconds,
            &both(&|window| window.live_latency.average()),
        ),
        curves(
            "generator",
            "Load generator: all processors busy",
            busy,
            &both(&|window| window.cpu_percent.average()),
        ),
    ];
    let started = [("one", "A", &first.startup), ("three", "B", &second.startup)];
    let frame = Drawn { end, ..Drawn::new(&frame, &a.snapshot, None) };
    let drawings = section(&frame, &marks(&frame), &over_time, startup::startup(&started, None));
    html! { h2 { "Over time" } (drawings) }
}

/// Curves of what a good run has nothing of; nothing if neither run has any.
fn some(id: &'static str, title: &str, text: fn(f64) -> String, of: &[Curve<'_>]) -> Option<Drawing> {
    let any = of.iter().flat_map(|curve| &curve.values).flatten().any(|value| *value > 0.0);
    curves(id, title, text, of).filter(|_| any)
}

fn of_hundred(share: f64) -> String {
    percent(share / 100.0)
}

/// The marks of both runs: those of one alone say which, and those that are the same in both appear once.
fn joined(a: &Timeline, b: &Timeline) -> Vec<Mark> {
    let together = |one: &Mark, other: &Mark| {
        one.text == other.text && (one.second - other.second).abs() <= a.window_seconds as f64
    };
    let in_both = |mark: &Mark, other: &Timeline| other.marks.iter().any(|one| together(mark, one));
    let of_one = |name: &str, mark: &Mark| Mark { text: format!("{name}: {}", mark.text), ..mark.clone() };
    let from_a = a.marks.iter().map(|mark| if in_both(mark, b) { mark.clone() } else { of_one("A", mark) });
    let only_b = b.marks.iter().filter(|mark| !in_both(mark, a)).map(|mark| of_one("B", mark));
    let mut marks: Vec<Mark> = from_a.chain(only_b).collect();
    marks.sort_by(|one, other| one.second.total_cmp(&other.second));
    marks
}

#[cfg(test)]
mod tests {
    use hls_swarm_model::timeline::MarkKind;
    use hls_swarm_test_support::recorded::report;

    use super::*;

    /// The values of a drawing, one line per window.
    fn values<'a>(page: &'a str, id: &str) -> Vec<&'a str> {
        let (_, figure) = page.split_once(&format!(" id=\"{id}\"")).unwrap();
        let (_, rest) = figure.split_once("data-values=\"").unwrap();
        rest.split_once('"').unwrap().0.split('\n').collect()
    }

    #[test]
    fn two_runs_are_drawn_from_the_beginning_of_each() {
        let mut later = report();
        later.run.began_unix += 86_400;
        // Half as long, with windows twice as long.
        let timeline = &mut later.recording.timeline;
        timeline.windows.truncate(2);
        timeline.window_seconds *= 2;
        timeline.windows[1].second *= 2;
        let windows = report().recording.timeline.windows.len();
        let page = overlaid(&report(), &later).into_string();
        assert!(!page.contains("UTC") && !page.contains("data-began"), "{page}");
        let shown = values(&page, "throughput");
        assert_eq!(shown.len(), windows.div_ceil(2), "{shown:?}");
        assert!(
            shown[0].starts_with("A ") && shown[0].contains(", B ") && !shown[0].ends_with("–"),
            "{shown:?}"
        );
        assert!(shown.last().unwrap().ends_with(", B –"), "{shown:?}");
        assert!(page.contains("id=\"errors\"") && !page.contains("id=\"rebuffering\""), "nothing stalled");
        assert_eq!(page.matches("class=\"line three\"").count(), page.matches("class=\"line one\"").count());
    }

    #[test]
    fn marks_say_which_run_they_belong_to() {
        let mark = |second, text: &str| Mark { second, kind: MarkKind::Failure, text: text.to_owned() };
        let with = |marks| Timeline { marks, ..Timeline::default() };
        let a = with(vec![mark(0.0, "peak"), mark(3.0, "first 503")]);
        let b = with(vec![mark(1.0, "peak"), mark(9.0, "first 503")]);
        let texts: Vec<String> = joined(&a, &b).into_iter().map(|mark| mark.text).collect();
        assert_eq!(texts, ["peak", "A: first 503", "B: first 503"]);
    }
}
