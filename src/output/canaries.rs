//! Canaries beside native viewers, for people.

use hls_swarm_model::snapshot::{Canaries, Group, Quantiles};

use super::figures::{bit_rate, count, milliseconds, percent};

/// The heads of the columns.
pub const HEAD: [&str; 3] = ["", "Canaries", "Native"];
/// A figure that was not measured.
const ABSENT: &str = "-";

/// The figures of both groups, with their labels.
#[must_use]
pub fn rows(canaries: &Canaries) -> Vec<[String; 3]> {
    let row = |label: &str, of: &dyn Fn(&Group) -> String| {
        [label.to_owned(), of(&canaries.canaries), of(&canaries.native)]
    };
    let measured = |value: Option<String>| value.unwrap_or_else(|| ABSENT.to_owned());
    let startup = |of: fn(&Quantiles) -> f64| {
        move |group: &Group| measured(group.startup.as_ref().map(|q| format!("{:.2} s", of(q))))
    };
    let ttfb = |of: fn(&Quantiles) -> f64| {
        move |group: &Group| measured(group.segment_ttfb.as_ref().map(|q| milliseconds(of(q))))
    };
    vec![
        row("viewers", &|group| count(group.viewers)),
        row("played", &|group| count(group.played)),
        row("startup p50", &startup(|q| q.p50)),
        row("startup p95", &startup(|q| q.p95)),
        row("segment ttfb p50", &ttfb(|q| q.p50)),
        row("segment ttfb p95", &ttfb(|q| q.p95)),
        row("throughput of a segment", &|group| measured(group.throughput().map(bit_rate))),
        row("arrival, x real time", &|group| measured(group.speed().map(|speed| format!("{speed:.1}")))),
        row("stalls", &|group| count(group.stalls)),
        row("rebuffering", &|group| measured(group.rebuffering().map(percent))),
        row("errors", &|group| measured(group.errors.rate.map(percent))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_were_not_measured_are_absent() {
        let native = Group {
            viewers: 2000,
            segments: 10,
            segment_media_seconds: 20.0,
            segment_bytes: 5_000_000,
            segment_seconds: 2.0,
            ..Group::default()
        };
        let rows = rows(&Canaries { native, ..Canaries::default() });
        let row = |label: &str| rows.iter().find(|row| row[0] == label).cloned().unwrap();
        assert_eq!(row("viewers")[1..], ["0", "2\u{202f}000"]);
        assert_eq!(row("throughput of a segment")[1..], ["-", "20.0 Mbit/s"]);
        assert_eq!(row("arrival, x real time")[1..], ["-", "10.0"]);
        assert_eq!(row("startup p50")[1..], ["-", "-"]);
    }
}
