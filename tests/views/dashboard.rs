//! Snapshots of the dashboard's pages for a fixed series of figures, the effects of keys, and tests that no
//! size and no state panics.

use std::sync::Arc;

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use hls_swarm::tui::input::Key;
use hls_swarm::tui::view::draw;
use hls_swarm::tui::view::state::{Action, HISTORY_POINTS, Page, State};
use hls_swarm::tui::view::style::Theme;
use hls_swarm::tui::view::viewers::{Sort, order};
use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_model::command::Command;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::exchange::{Exchange, Kind, Outcome, Source};
use hls_swarm_model::snapshot::{Edge, OTHER_ADDRESSES, Snapshot, StageRow, Timing};
use hls_swarm_model::stats::Stats;

use crate::views::recorded::{SECOND, exchange, of_variant, origin, recorded, run, stats, stats_of};

/// The variants of viewers in turn. Segments have 2 Mbit/s.
const LADDER: [(&str, u64); 3] =
    [("1920x1080@5000k", 5_000_000), ("1280x720@2500k", 2_500_000), ("640x360@800k", 800_000)];

/// Thirty viewers start within ten seconds; some stall, one gets errors, one ends and is restarted.
fn series() -> Vec<Snapshot> {
    let mut stats = stats_of(Source::Probe, 30);
    (1..=40).map(|second| at(&mut stats, second)).collect()
}

fn at(stats: &mut Stats, second: u64) -> Snapshot {
    let up = u32::try_from(second.min(10) * 3).unwrap();
    for viewer in 1..=up {
        if second <= 10 && viewer + 3 > up {
            stats.apply(Event::Arrived { viewer, at_ns: second * SECOND });
            stats.apply(Event::Started { viewer, generation: 1, at_ns: second * SECOND });
        }
        // Latencies grow with time and with the number of the viewer.
        let took = |ns: u64| Some(ns * (second + u64::from(viewer)));
        let of = |kind| {
            let answer = Exchange {
                first_byte_ns: took(40_000),
                download_ns: took(400_000),
                // What these viewers load later is not part of the stream.
                segment: exchange(viewer, kind, second).segment.filter(|_| match viewer {
                    7 => second <= 20,
                    13 => second <= 30,
                    _ => true,
                }),
                ..exchange(viewer, kind, second)
            };
            let (name, bandwidth) = LADDER[viewer as usize % LADDER.len()];
            of_variant(answer, name, bandwidth)
        };
        stats.apply(Event::Exchange(Box::new(of(Kind::Playlist))));
        stats.apply(Event::Exchange(Box::new(of(Kind::Segment))));
    }
    origin(stats, second);
    match second {
        20..=22 => stats.apply(Event::Exchange(Box::new(exchange(5, Kind::Segment, second)))),
        30..=33 => stats.apply(Event::Exchange(Box::new(Exchange {
            status: Some(if second < 32 { 404 } else { 503 }),
            body_bytes: 153,
            ..exchange(12, Kind::Segment, second)
        }))),
        34 => stats.apply(Event::Exchange(Box::new(Exchange {
            status: None,
            first_byte_ns: None,
            download_ns: None,
            outcome: Outcome::SocketError(104),
            ..exchange(13, Kind::Segment, second)
        }))),
        35 => stats.apply(Event::ConnectFailed {
            viewer: 13,
            reason: "Connection refused".into(),
            timed_out: false,
            given_up_after_ns: None,
            handshake_left: false,
        }),
        36 => {
            stats.apply(Event::Ended {
                viewer: 13,
                class: EndClass::Failed,
                ending: ProcessExit::Exited(1),
                killed: false,
                reason: "Connection refused; exit code 1".into(),
                uptime_seconds: 31.0,
            });
        }
        37 => {
            let reason = "ended a live stream (exit code 0)".to_owned();
            let (class, ending) = (EndClass::Failed, ProcessExit::Exited(0));
            stats.apply(Event::Ended {
                viewer: 9,
                class,
                ending,
                killed: false,
                reason,
                uptime_seconds: 34.0,
            });
            stats.apply(Event::Started { viewer: 9, generation: 2, at_ns: second * SECOND });
        }
        _ => {}
    }
    stats.apply(Event::Machine { cpu_percent: 40.0, own_cpu_percent: 1.5 });
    stats.apply(Event::Lag { nanos: 1_500_000 });
    stats.tick(second * SECOND);
    stats.snapshot(second * SECOND)
}

fn state(snapshots: Vec<Snapshot>) -> State {
    let mut state = State::default();
    for snapshot in snapshots {
        state.update(Arc::new(snapshot));
    }
    let log = (0..40).map(|number| format!("2026-11-21T08:00:{number:02}Z  INFO line {number}").into());
    state.set_log(log.chain(["2026-11-21T08:00:40Z  WARN a warning".into()]).collect());
    state
}

fn frame(state: &State, (width, height): (u16, u16), color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, state, &run(), Theme { color })).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let lines = buffer.content.chunks(width).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        let _ = state.press(if key == '\t' { Key::Tab } else { Key::Char(key) });
    }
}

/// Each page with the keys that lead to it.
const PAGES: [(&str, &str); 9] = [
    ("overview", "1"),
    ("latency", "2"),
    ("viewers", "3ss"),
    ("variants", "4"),
    ("origin", "5"),
    ("edges", "6"),
    ("errors", "7"),
    ("log", "8kk"),
    ("help", "?"),
];

#[test]
fn the_pages() {
    for (name, keys) in PAGES {
        for size in [(80, 24), (200, 60)] {
            let mut state = state(series());
            press(&mut state, keys);
            let shown = text(&frame(&state, size, true));
            assert_eq!(shown, text(&frame(&state, size, false)), "color changes the text");
            insta::assert_snapshot!(format!("dashboard_{name}_{}x{}", size.0, size.1), shown);
        }
    }
}

#[test]
fn missing_figures_are_shown_as_missing() {
    assert!(text(&frame(&State::default(), (80, 24), true)).contains("waiting for the first figures"));
    let state = state(vec![stats(Source::Log).snapshot(SECOND)]);
    let shown = text(&frame(&state, (80, 24), true));
    assert!(shown.contains("log, INFERRED") && shown.contains("speed -"), "{shown}");
    assert!(shown.contains("segment times: no segment so far"), "{shown}");
    // What has no value yet is neither met nor failed.
    assert!(shown.contains("- viewers_played no value yet") && !shown.contains('✗'), "{shown}");
}

/// Three planned viewers, eleven that a key added, and ten that a key removed.
#[test]
fn the_viewers_that_are_wanted_now_are_shown() {
    let mut stats = stats_of(Source::Probe, 3);
    let clients = |stats: &Stats| {
        let shown = text(&frame(&state(vec![stats.snapshot(SECOND)]), (80, 24), true));
        shown.lines().find(|line| line.starts_with("clients")).unwrap().to_owned()
    };
    let join = |stats: &mut Stats, viewer| {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        stats.apply(Event::Exchange(Box::new(exchange(viewer, Kind::Segment, 0))));
    };
    join(&mut stats, 1);
    assert!(clients(&stats).contains("1 of 1 play, peak 3"), "{}", clients(&stats));
    (2..=14).for_each(|viewer| join(&mut stats, viewer));
    assert!(clients(&stats).contains("14 of 14 play, 100 %"), "{}", clients(&stats));
    (5..=14).for_each(|viewer| stats.apply(Event::RampedDown { viewer, at_ns: SECOND }));
    assert!(clients(&stats).contains("4 of 4 play, peak 14"), "{}", clients(&stats));
}

/// Colors stand for states: no error is green, and no success is red.
#[test]
fn colors_are_those_of_states() {
    let mut state = state(series());
    state.thresholds = vec!["segment_total:p95<10ms".parse().unwrap()];
    for size in [(80, 24), (200, 60)] {
        let buffer = frame(&state, size, true);
        let shown = text(&buffer);
        assert!(shown.contains("✗ segment_total"), "a threshold is judged so far: {shown}");
        let mut slow = 0;
        for (index, cell) in buffer.content.iter().enumerate() {
            let (x, y) = buffer.pos_of(index);
            match cell.symbol() {
                "✗" => assert_eq!(cell.fg, Color::Red, "{x},{y}: {shown}"),
                "x" => assert_ne!(cell.fg, Color::Green, "{x},{y}: {shown}"),
                "✓" => assert_eq!(cell.fg, Color::Green, "{x},{y}: {shown}"),
                _ => {}
            }
            slow += usize::from(cell.fg == Color::Yellow);
        }
        assert!(slow > 0, "segments beyond the threshold are yellow: {shown}");
    }
}

/// The percentiles of the last seconds are those of the segments that arrived in them.
#[test]
fn recent_percentiles_are_those_of_the_segments() {
    let shown = text(&frame(&state(series()), (80, 24), true));
    for (name, unit_ms) in [("segment ttfb ", 0.04), ("segment total ", 0.44)] {
        let mut truth: Vec<f64> = (30..=40)
            .flat_map(|second| (1..=30).map(move |viewer| unit_ms * f64::from(second + viewer)))
            .collect();
        truth.sort_by(f64::total_cmp);
        let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
        let figures: Vec<f64> =
            line[name.len()..].split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(figures[0] as usize, truth.len(), "{line}");
        for (figure, quantile) in figures[1..].iter().zip([0.5, 0.95, 0.99]) {
            let truth = truth[(quantile * truth.len() as f64).ceil() as usize - 1];
            // The width of a bucket, and the rounding of what is shown.
            assert!((figure - truth).abs() <= truth * 0.09 + 0.05, "p{quantile} is {truth}: {line}");
        }
    }
}

/// The need is the bit rate of the media times the viewers that are wanted.
#[test]
fn the_need_of_the_viewers_is_shown() {
    let shown = text(&frame(&state(series()), (200, 60), true));
    let line = shown.lines().find(|line| line.contains("━ need ")).unwrap();
    let need: f64 = line.split("━ need ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // Thirty viewers of segments with 500 kB in 1.1 s. What two of them load beside the stream does not count.
    assert_eq!(need, (30.0 * 500e3 * 8.0 / 1.1 / 1e6_f64).round(), "{line}");
}

#[test]
fn no_color_disables_colors() {
    for (_, keys) in PAGES {
        let mut state = state(series());
        press(&mut state, keys);
        let buffer = frame(&state, (80, 24), false);
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        let colorful = frame(&state, (80, 24), true);
        assert!(colorful.content.iter().any(|cell| cell.fg != Color::Reset));
    }
}

#[test]
fn keys_open_the_pages_of_the_help() {
    let mut state = state(series());
    for (number, page) in ('1'..).zip(Page::ALL) {
        assert_eq!(state.press(Key::Char(number)), Action::Redraw);
        assert_eq!(state.page, page);
    }
    press(&mut state, "\t");
    assert_eq!(state.page, Page::Overview);
    assert_eq!(state.press(Key::BackTab), Action::Redraw);
    assert_eq!(state.page, Page::Log);
    assert_eq!(state.press(Key::Char('x')), Action::Nothing);
    assert_eq!(state.press(Key::Char('q')), Action::Quit);
    press(&mut state, "?");
    assert!(state.help);
    let _ = state.press(Key::Escape);
    assert!(!state.help);
}

#[test]
fn a_selection_follows_its_viewer_through_orders() {
    let mut state = state(series());
    press(&mut state, "3jj");
    assert_eq!(state.selected, 3);
    press(&mut state, "s");
    assert_eq!((state.selected, state.sort), (3, Sort::State));
    // Viewers without media come first, by number.
    let _ = state.press(Key::Home);
    assert_eq!(state.selected, 7);
    press(&mut state, "j");
    assert_eq!(state.selected, 13);
    let shown = text(&frame(&state, (80, 24), true));
    assert!(shown.contains("last error Connection refused; exit code 1"), "{shown}");
    let _ = state.press(Key::End);
    assert_eq!(state.selected, 30);
}

#[test]
fn each_order_sorts_by_what_its_name_says() {
    let rows = series().pop().unwrap().viewers;
    for (sort, first) in [
        (Sort::Number, 1),
        (Sort::State, 7),
        (Sort::Speed, 7),
        (Sort::Drift, 7),
        (Sort::Errors, 12),
        (Sort::Starts, 9),
        (Sort::Bytes, 5),
    ] {
        assert_eq!(order(&rows, sort)[0].viewer, first, "{}", sort.name());
    }
}

#[test]
fn a_frozen_display_does_not_change_while_figures_are_collected() {
    let mut snapshots = series();
    let last = snapshots.pop().unwrap();
    let mut state = state(snapshots);
    press(&mut state, "f");
    let before = text(&frame(&state, (80, 24), true));
    assert!(before.contains("FROZEN"));
    state.update(Arc::new(last));
    assert_eq!(text(&frame(&state, (80, 24), true)), before);
    press(&mut state, "f");
    let after = text(&frame(&state, (80, 24), true));
    assert!(after.contains("0:40") && !after.contains("FROZEN"), "{after}");
    assert_eq!(state.figures().history.iter().len(), 40);
}

#[test]
fn keys_change_the_load_and_a_pause_is_shown() {
    let mut state = state(series());
    for (key, command) in [
        ('+', Command::More(1)),
        ('-', Command::Fewer(1)),
        (']', Command::More(10)),
        ('[', Command::Fewer(10)),
        (' ', Command::Pause),
    ] {
        assert_eq!(state.press(Key::Char(key)), Action::Command(command), "{key:?}");
    }
    let mut paused = series().pop().unwrap();
    paused.manual_changes.paused = true;
    paused.stages = vec![StageRow { stage: 2, from: 300, clients: 300, ..StageRow::default() }];
    state.update(Arc::new(paused));
    let shown = text(&frame(&state, (80, 24), true));
    assert!(shown.contains("PAUSED") && shown.contains("2: 300 viewers"), "{shown}");
}

#[test]
fn edges_that_do_not_fit_on_the_page_are_counted() {
    let mut last = series().pop().unwrap();
    let edge = last.insight.edges[0].clone();
    let row = |address: String, requests| Edge { address, requests, ..edge.clone() };
    last.insight.edges = (0..64).map(|k| row(format!("192.0.2.{k}"), 100 - k)).collect();
    last.insight.edges.push(row(OTHER_ADDRESSES.to_owned(), 345));
    let mut state = state(vec![last]);
    press(&mut state, "6");
    for size in [(80, 24), (200, 60)] {
        let shown = text(&frame(&state, size, true));
        let listed = shown.lines().filter(|line| line.starts_with("192.0.2.")).count();
        assert!(shown.contains(&format!("and {} more edges with", 64 - listed)), "{shown}");
        assert!(shown.contains("345 requests to other addresses"), "{shown}");
        // The other sections are still visible.
        assert!(shown.contains("live playlists"), "{shown}");
    }
}

#[test]
fn history_is_bounded() {
    let one = recorded().snapshot(12 * SECOND);
    let many =
        (1..HISTORY_POINTS + 50).map(|second| Snapshot { elapsed_seconds: second as f64, ..one.clone() });
    assert_eq!(state(many.collect()).figures().history.iter().len(), HISTORY_POINTS);
}

#[test]
fn a_run_that_is_being_stopped_is_marked() {
    let mut state = state(series());
    state.stopping = true;
    let buffer = frame(&state, (80, 24), false);
    assert!(text(&buffer).lines().next().unwrap().contains("STOPPING"));
    assert!(buffer.content.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_size_and_no_state_panics(
        width in prop_oneof![1_u16..12, 1_u16..260],
        height in prop_oneof![1_u16..12, 1_u16..90],
        keys in prop::collection::vec(prop::sample::select(vec![
            Key::Char('1'), Key::Char('2'), Key::Char('3'), Key::Char('4'), Key::Char('5'), Key::Char('?'),
            Key::Char(' '), Key::Char('s'), Key::Tab, Key::BackTab, Key::Up, Key::Down, Key::PageUp,
            Key::PageDown, Key::Home, Key::End, Key::Escape, Key::Char('x'),
        ]), 0..24),
        seen in 0_usize..=40,
        color: bool,
    ) {
        let mut snapshots = series();
        snapshots.truncate(seen);
        let mut state = state(snapshots);
        for key in keys {
            let _ = state.press(key);
            frame(&state, (width, height), color);
        }
    }

    /// Absurd figures are drawn without a panic.
    #[test]
    fn no_figures_panic(
        value in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(0.0), Just(-1.0), any::<f64>()],
        count: u64,
        page in 0_u32..5,
    ) {
        let mut state = State::default();
        for second in 1..4_u32 {
            let mut snapshot = recorded().snapshot(12 * SECOND);
            snapshot.elapsed_seconds = f64::from(second);
            snapshot.planned_seconds = Some(value);
            (snapshot.playing_clients, snapshot.target_clients) = (count, count / 2);
            snapshot.rates.segment_per_second = value;
            snapshot.rates.bytes_per_second = value;
            snapshot.playback.average_speed = Some(value);
            snapshot.errors.rate = Some(value);
            snapshot.latency_buckets[Timing::Total(Kind::Segment)].sum = value;
            snapshot.latency_buckets[Timing::Total(Kind::Segment)].count += u64::from(second);
            if let Some(total) = &mut snapshot.latency[Timing::Total(Kind::Segment)] {
                (total.p95, total.p99) = (value, value);
            }
            for row in &mut snapshot.viewers {
                (row.media_seconds, row.speed, row.drift_seconds) = (value, Some(value), Some(value));
            }
            state.update(Arc::new(snapshot));
        }
        let _ = state.press(Key::Char(char::from_digit(page + 1, 10).unwrap()));
        for size in [(1, 1), (80, 24), (200, 60)] {
            frame(&state, size, true);
        }
    }
}
