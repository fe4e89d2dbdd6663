//! The heat map of segment times, and the lanes of viewers.

use std::collections::BTreeMap;
use std::fmt::Write;

use maud::html;

use hls_swarm_model::timeline::buckets::LogBuckets;
use hls_swarm_model::timeline::lanes::{Cell, MAX_LANES};

use super::axis::{Label, LogAxis};
use super::{Drawing, Drawn, number};
use crate::output::figures::{count, milliseconds};

/// Buckets of a timeline in one row of the heat map: half an octave.
const BUCKETS_PER_ROW: u8 = 4;
/// Shades of the heat map.
const SHADES: usize = 5;
/// Height of a lane, pixels.
const LANE: u32 = 9;

/// How long segments took, window by window; nothing if none arrived.
pub(super) fn heat_map(drawn: &Drawn<'_>) -> Option<Drawing> {
    let windows = drawn.windows();
    let slow = drawn.timeline.slow.as_ref();
    let to_first_byte = slow.is_some_and(|slow| slow.to_first_byte);
    let times = |place: usize| {
        let window = windows.get(place)?;
        Some(if to_first_byte { &window.segment_ttfb } else { &window.segment_total })
    };
    let limit = slow.map(|slow| slow.seconds);
    let rows: Vec<BTreeMap<u8, u64>> = (0..windows.len())
        .map(|place| {
            let mut row = BTreeMap::new();
            for (bucket, many) in times(place).into_iter().flat_map(LogBuckets::iter) {
                *row.entry(bucket / BUCKETS_PER_ROW).or_default() += many;
            }
            row
        })
        .collect();
    let used = || rows.iter().flat_map(BTreeMap::keys).copied();
    let limit_row = limit.map(|limit| LogBuckets::bucket(limit) / BUCKETS_PER_ROW);
    let lowest = used().chain(limit_row.filter(|_| used().next().is_some())).min()?;
    let highest = used().chain(limit_row).max()?.max(lowest.saturating_add(3)) + 1;
    let axis = LogAxis::new(
        LogBuckets::lower(lowest * BUCKETS_PER_ROW),
        LogBuckets::lower((highest + 1) * BUCKETS_PER_ROW),
    );
    let place = |seconds: f64| axis.place(seconds);
    let most = rows.iter().flat_map(BTreeMap::values).copied().max().unwrap_or(1) as f64;
    // One path per shade: a page of single rectangles would be large.
    let mut shades = BTreeMap::<(bool, usize), String>::new();
    for (window, row) in windows.iter().zip(&rows) {
        let (from, to) = drawn.span(window);
        for (row, many) in row {
            let lower = LogBuckets::lower(row * BUCKETS_PER_ROW);
            let (bottom, top) = (place(lower), place(LogBuckets::lower((row + 1) * BUCKETS_PER_ROW)));
            let share = if most > 1.0 { (*many as f64).ln() / most.ln() } else { 1.0 };
            let shade = ((share * SHADES as f64) as usize).min(SHADES - 1);
            let is_slow = limit.is_some_and(|limit| lower >= limit * 0.98);
            let path = shades.entry((is_slow, shade)).or_default();
            let (width, height) = (number(to - from), number(bottom - top));
            // Writing to a String cannot fail.
            let _ = write!(path, "M{} {}h{width}v{height}h-{width}z", number(from), number(top));
        }
    }
    let p95: Vec<Option<f64>> = (0..windows.len()).map(|place| times(place)?.quantile(0.95)).collect();
    let values = (0..windows.len()).map(|place| {
        let Some(times) = times(place).filter(|times| !times.is_empty()) else {
            return "no segments".to_owned();
        };
        let at = |quantile| times.quantile(quantile).map_or_else(String::new, milliseconds);
        format!("{} segments, p50 {}, p95 {}, slowest {}", count(times.count()), at(0.5), at(0.95), at(1.0))
    });
    let part = if to_first_byte { "first" } else { "last" };
    let mut legend = vec![("heat", "darker: more segments".to_owned())];
    if limit.is_some() {
        legend.push(("hot", "above the limit".to_owned()));
    }
    legend.push(("p95", "p95".to_owned()));
    Some(Drawing {
        id: "segments",
        title: format!("Segment times, request to {part} byte"),
        legend,
        height: 170,
        y: axis.labels(),
        shapes: html! {
            @for ((is_slow, shade), path) in &shades {
                path class={ "fill " (if *is_slow { "hot" } else { "heat" }) " s" (shade) } d=(path) {}
            }
            path.line.p95 d=(drawn.curve(&p95, place)) {}
        },
        limits: slow.iter().map(|slow| (place(slow.seconds), format!("limit: {}", slow.threshold))).collect(),
        values: values.collect(),
    })
}

/// What a lane shows of a window, the worst first.
const STATES: [(Cell, &str, &str); 5] = [
    (Cell::FAILED, "failed", "a request failed"),
    (Cell::STALLED, "stalled", "stalled"),
    (Cell::SLOW, "slow", "a segment was slow"),
    (Cell::STARTING, "waiting", "starting"),
    (Cell::PLAYED, "fine", "playing"),
];

fn state(cell: Cell, buffered: bool) -> Option<usize> {
    let shown = |(flag, ..): &&(Cell, &str, &str)| cell.has(*flag) && (buffered || *flag != Cell::STALLED);
    let found = STATES.iter().find(shown)?;
    STATES.iter().position(|state| state.1 == found.1)
}

/// What single viewers went through.
pub(super) fn lanes(drawn: &Drawn<'_>) -> Option<Drawing> {
    let timeline = drawn.timeline;
    let lanes: Vec<_> = timeline.lanes.iter().take(MAX_LANES).collect();
    if lanes.is_empty() {
        return None;
    }
    let mut paths = vec![String::new(); STATES.len()];
    let mut restarts = String::new();
    let row = 100.0 / lanes.len() as f64;
    for (lane, number_of_lane) in lanes.iter().zip(0_u32..) {
        let top = row * f64::from(number_of_lane);
        let mut run: Option<(usize, f64, f64)> = None;
        let mut close = |run: Option<(usize, f64, f64)>| {
            let Some((state, from, to)) = run else { return };
            if let Some(path) = paths.get_mut(state) {
                let (width, height) = (number(to - from), number(row * 0.86));
                // Writing to a String cannot fail.
                let _ = write!(path, "M{} {}h{width}v{height}h-{width}z", number(from), number(top));
            }
        };
        for (place, window) in drawn.windows().iter().enumerate() {
            let cell = lane.cells.get(place);
            let (from, to) = drawn.span(window);
            if cell.has(Cell::RESTARTED) {
                let _ =
                    write!(restarts, "M{} {}v{}", number((from + to) / 2.0), number(top), number(row * 0.86));
            }
            let now = state(cell, drawn.buffered);
            match (now, &mut run) {
                (Some(state), Some((running, _, end))) if state == *running => *end = to,
                _ => {
                    close(run.take());
                    run = now.map(|state| (state, from, to));
                }
            }
        }
        close(run);
    }
    let every = if lanes.len() > 16 { 5 } else { 1 };
    let labels = lanes.iter().zip(0_u32..).filter(|(_, place)| place % every == 0);
    let y = labels
        .map(|(lane, place)| Label::centered(row * (f64::from(place) + 0.5), format!("#{}", lane.viewer)))
        .collect();
    let values = (0..drawn.windows().len()).map(|place| {
        let mut counts = [0_u32; STATES.len()];
        for lane in &lanes {
            if let Some(count) =
                state(lane.cells.get(place), drawn.buffered).and_then(|of| counts.get_mut(of))
            {
                *count += 1;
            }
        }
        let each = STATES.iter().zip(counts).filter(|(_, count)| *count > 0);
        let each: Vec<String> = each.map(|((.., name), count)| format!("{count} {name}")).collect();
        format!(
            "of these {}: {}",
            lanes.len(),
            if each.is_empty() { "none".to_owned() } else { each.join(", ") }
        )
    });
    let all = timeline.lanes_of;
    let title = if all <= lanes.len() as u64 {
        "Every viewer".to_owned()
    } else {
        format!("Viewers with the most problems, and a sample: {} of {}", lanes.len(), count(all))
    };
    let legend = STATES.iter().rev().filter(|(flag, ..)| drawn.buffered || *flag != Cell::STALLED);
    let legend = legend.map(|(_, class, name)| (*class, (*name).to_owned()));
    Some(Drawing {
        id: "lanes",
        title,
        legend: legend.chain([("restart", "started again".to_owned())]).collect(),
        height: (lanes.len() as u32 * LANE).max(36),
        y,
        shapes: html! {
            @for ((_, class, _), path) in STATES.iter().zip(&paths) { path class={ "fill " (class) } d=(path) {} }
            path.line.restart d=(restarts) {}
        },
        limits: Vec::new(),
        values: values.collect(),
    })
}
