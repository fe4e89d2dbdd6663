//! The windows of a timeline hold what the events of the run add up to, however they are divided.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use crate::command::Command;
use crate::event::Event;
use crate::exchange::{Exchange, Kind, Outcome, Source};
use crate::listed::{Rendition, SegmentId};
use crate::merge::Merge;
use crate::origin_sample::{NodeSample, Scraped};
use crate::seen::Seen;
use crate::snapshot::{PlaybackSource, Snapshot, Sources};
use crate::stats::tests::{SECOND, segment, stats};
use crate::stats::{Expectation, Stats};
use crate::timeline::failures::FailureClass;
use crate::timeline::lanes::Cell;
use crate::timeline::{MAX_WINDOWS, MarkKind, Samples, Timeline, Window};

fn began(viewers: u32) -> Stats {
    let mut stats = stats(viewers).with_timeline(2.0, &["segment_total:p95<500ms".parse().unwrap()]);
    for viewer in 1..=viewers {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    stats
}

/// A segment that is requested at `second` and takes `millis`.
fn requested(viewer: u32, second: f64, millis: u64, status: u16) -> Exchange {
    Exchange {
        status: Some(status),
        started_ns: (second * 1e9) as u64,
        first_byte_ns: Some(1_000_000),
        download_ns: Some(millis * 1_000_000),
        url_hash: second as u64,
        segment: Some(SegmentId {
            playlist: 1,
            sequence: second as u64,
            duration_us: 2_000_000,
            rendition: Rendition::Main,
            encrypted: false,
            from_start: true,
        }),
        ..segment(viewer)
    }
}

fn sum(timeline: &Timeline) -> Window {
    timeline.between(0.0, 1e12).unwrap_or_default()
}

#[derive(Clone, Debug)]
struct Requested {
    viewer: u32,
    second: f64,
    millis: u64,
    status: u16,
}

fn requests(seconds: f64) -> impl Strategy<Value = Vec<Requested>> {
    let status = prop::sample::select(vec![200_u16, 200, 200, 404, 503]);
    let one = (1_u32..=4, 0.0..seconds, 1_u64..3000, status);
    let one = one.prop_map(|(viewer, second, millis, status)| Requested { viewer, second, millis, status });
    prop::collection::vec(one, 0..120)
}

/// The statistics of the requests of some viewers up to `end`.
fn played(all: &[Requested], viewers: &[u32], end: f64) -> Snapshot {
    let mut stats = stats(4).with_timeline(2.0, &[]);
    for viewer in viewers {
        stats.apply(Event::Arrived { viewer: *viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer: *viewer, generation: 1, at_ns: 0 });
    }
    let mut exchanges: Vec<Exchange> =
        all.iter().map(|one| requested(one.viewer, one.second, one.millis, one.status)).collect();
    exchanges.sort_by_key(Exchange::ended_ns);
    for (exchange, sequence) in exchanges.iter_mut().zip(1..) {
        exchange.segment = exchange.segment.map(|segment| SegmentId { sequence, ..segment });
    }
    exchanges.retain(|exchange| viewers.contains(&exchange.viewer));
    let end = ((end + 4.0) * 1e9) as u64;
    // Not in step with windows.
    let step = (end / 200).max(SECOND * 7 / 5);
    let mut exchanges = exchanges.into_iter().peekable();
    for tick in 1..=end / step {
        while let Some(exchange) = exchanges.next_if(|exchange| exchange.ended_ns() < tick * step) {
            stats.apply(Event::Exchange(Box::new(exchange)));
        }
        stats.tick(tick * step);
    }
    exchanges.for_each(|exchange| stats.apply(Event::Exchange(Box::new(exchange))));
    stats.apply(Event::Closing { at_ns: end });
    stats.snapshot(end)
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * one.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn windows_hold_what_happened(
        (end, all) in prop::sample::select(vec![9.0, 70.0, 900.0, 86_400.0])
            .prop_flat_map(|end| (Just(end), requests(end))),
    ) {
        let snapshot = played(&all, &[1, 2, 3, 4], end);
        let timeline = &snapshot.timeline;
        prop_assert!(timeline.windows.len() <= MAX_WINDOWS, "{}", timeline.windows.len());
        let in_order =
            timeline.windows.iter().zip(0..).all(|(window, place)| window.second == place * timeline.window_seconds);
        prop_assert!(in_order);
        let sum = sum(timeline);
        let arrived = all.iter().filter(|one| one.status == 200).count() as u64;
        prop_assert_eq!(sum.attempts, all.len() as u64);
        prop_assert_eq!((sum.segments, sum.bytes), (snapshot.requests.total(), snapshot.bytes.total()));
        prop_assert_eq!(sum.segment_total.count(), arrived);
        prop_assert!(close(sum.media_seconds, 2.0 * arrived as f64));
        prop_assert_eq!(sum.failed(), snapshot.errors.failed);
        let of_class = |class| sum.errors.get(&class).copied().unwrap_or(0);
        let with_status = |status| all.iter().filter(|one| one.status == status).count() as u64;
        prop_assert_eq!(of_class(FailureClass::Server), with_status(503));
        prop_assert_eq!(of_class(FailureClass::Client), with_status(404));
        prop_assert!(close(sum.seconds, snapshot.elapsed_seconds));
        prop_assert!(close(sum.viewers.wanted, 4.0 * snapshot.elapsed_seconds));
        let states = sum.viewers.playing + sum.viewers.stalled + sum.viewers.starting + sum.viewers.waiting;
        prop_assert!(close(states, sum.viewers.wanted));
        prop_assert!(close(sum.viewed_seconds, snapshot.playback_time.viewed_seconds));
        prop_assert!(close(sum.stalled_seconds, snapshot.playback_time.stalled_seconds));
        prop_assert_eq!(sum.stalls, snapshot.lifetimes.stalled);
        prop_assert_eq!(timeline.failures.iter().map(|group| group.count).sum::<u64>(), snapshot.errors.failed);
    }

    #[test]
    fn merged_halves_are_the_whole(
        (end, all) in prop::sample::select(vec![9.0, 900.0]).prop_flat_map(|end| (Just(end), requests(end))),
    ) {
        let whole = played(&all, &[1, 2, 3, 4], end).timeline;
        let mut merged = played(&all, &[1, 2], end).timeline;
        merged.merge(&played(&all, &[3, 4], end).timeline);
        prop_assert_eq!(merged.window_seconds, whole.window_seconds);
        prop_assert_eq!(merged.windows.len(), whole.windows.len());
        for (one, other) in merged.windows.iter().zip(&whole.windows) {
            prop_assert_eq!(
                (one.second, one.bytes, &one.segment_total, &one.segment_ttfb, &one.errors, one.stalls),
                (other.second, other.bytes, &other.segment_total, &other.segment_ttfb, &other.errors, other.stalls)
            );
            prop_assert!(close(one.seconds, other.seconds) && close(one.media_seconds, other.media_seconds));
            prop_assert!(close(one.viewers.wanted, other.viewers.wanted));
            prop_assert!(close(one.viewers.playing, other.viewers.playing));
            prop_assert!(close(one.viewed_seconds, other.viewed_seconds));
        }
        prop_assert_eq!(&merged.startup, &whole.startup);
        let counts = |timeline: &Timeline| -> BTreeMap<String, u64> {
            timeline.failures.iter().map(|group| (group.what.clone(), group.count)).collect()
        };
        prop_assert_eq!(counts(&merged), counts(&whole));
    }

    #[test]
    fn a_timeline_is_read_as_it_was_written(all in requests(300.0)) {
        let timeline = played(&all, &[1, 2, 3, 4], 300.0).timeline;
        let text = serde_json::to_string(&timeline).unwrap();
        let read: Timeline = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        prop_assert_eq!(sum(&read).bytes, sum(&timeline).bytes);
    }
}

#[test]
fn a_run_that_began_later_is_merged_at_its_time() {
    let all = [Requested { viewer: 1, second: 3.0, millis: 40, status: 200 }];
    let mut early = played(&all, &[1], 9.0).timeline;
    let mut late = played(&all, &[1], 9.0).timeline.later(3600);
    late.lanes[0].viewer = 2;
    early.merge(&late);
    assert!(early.windows.len() <= MAX_WINDOWS);
    let seconds: Vec<u64> =
        early.windows.iter().filter(|window| window.segments > 0).map(|window| window.second).collect();
    assert_eq!(early.window_seconds, 16);
    let in_order = early.windows.iter().zip(0..).all(|(window, place)| window.second == place * 16);
    assert!(in_order, "the time between both runs has windows, too");
    assert_eq!(seconds, [0, 3603 / 16 * 16]);
    assert_eq!((early.lanes.len(), early.lanes_of), (2, 2));
    assert_eq!(early.lanes[1].viewer, 2);
}

#[test]
fn a_shard_has_lanes_of_its_own_viewers_only() {
    let all = [2, 6].map(|viewer| Requested { viewer, second: 3.0, millis: 40, status: 200 });
    let timeline = played(&all, &[2, 6], 9.0).timeline;
    assert_eq!(timeline.lanes.iter().map(|lane| lane.viewer).collect::<Vec<_>>(), [2, 6]);
    assert_eq!(timeline.lanes_of, 2);
}

#[test]
fn marks_and_lanes_show_what_went_wrong() {
    let mut stats = began(2);
    stats.tick(SECOND);
    stats.apply(Event::Exchange(Box::new(requested(1, 4.2, 900, 200))));
    stats.apply(Event::Exchange(Box::new(requested(2, 6.5, 10, 503))));
    stats.tick(7 * SECOND);
    stats.apply(Event::Exchange(Box::new(requested(2, 7.0, 10, 503))));
    stats.apply(Event::ManualChange { command: Command::Pause, at_ns: 8 * SECOND });
    stats.apply(Event::Started { viewer: 2, generation: 2, at_ns: 9 * SECOND });
    stats.tick(10 * SECOND);
    let timeline = stats.snapshot(10 * SECOND).timeline;
    let marks: Vec<(f64, MarkKind, &str)> =
        timeline.marks.iter().map(|mark| (mark.second, mark.kind, mark.text.as_str())).collect();
    assert!(marks.contains(&(8.0, MarkKind::Change, "paused")), "{marks:?}");
    assert!(marks.contains(&(9.0, MarkKind::Restart, "first restart")), "{marks:?}");
    let failed: Vec<f64> =
        marks.iter().filter(|(_, _, text)| *text == "first 503").map(|(second, ..)| *second).collect();
    assert!(
        matches!(failed[..], [second] if (second - 6.511).abs() < 1e-6),
        "once, when it ended: {failed:?}"
    );
    let [one, two] = &timeline.lanes[..] else { panic!("{:?}", timeline.lanes) };
    assert!(one.cells.get(2).has(Cell::SLOW) && !one.cells.get(3).has(Cell::SLOW), "{one:?}");
    assert!(two.cells.get(3).has(Cell::FAILED) && two.cells.get(4).has(Cell::RESTARTED), "{two:?}");
    let group = &timeline.failures[0];
    assert_eq!((group.title(), group.viewers), ("2 × 503 on 2 segments".to_owned(), 1));
}

#[test]
fn what_ends_after_the_run_is_not_part_of_it() {
    let mut stats = began(1);
    stats.apply(Event::Exchange(Box::new(requested(1, 1.0, 10, 200))));
    stats.apply(Event::Closing { at_ns: 5 * SECOND });
    // Interrupted when its viewer was stopped.
    let cut = Exchange { outcome: Outcome::ProcessExit, ..requested(1, 4.9, 900, 200) };
    stats.apply(Event::Exchange(Box::new(cut)));
    // On its way when the run ended.
    stats.apply(Event::Exchange(Box::new(requested(1, 4.0, 500, 200))));
    let sum = sum(&stats.snapshot(6 * SECOND).timeline);
    assert_eq!((sum.segments, sum.segment_total.count()), (2, 2));
    assert!(close(sum.seconds, 5.0), "{}", sum.seconds);
}

#[test]
fn viewers_need_the_bit_rate_of_what_they_play_together() {
    let mut stats = began(1);
    let audio = |exchange: Exchange| {
        let segment =
            exchange.segment.map(|segment| SegmentId { playlist: 2, rendition: Rendition::Audio, ..segment });
        Exchange { body_bytes: 50_000, segment, ..exchange }
    };
    for second in 0..20_u32 {
        let video = Exchange { body_bytes: 500_000, ..requested(1, f64::from(2 * second), 10, 200) };
        stats.apply(Event::Exchange(Box::new(video.clone())));
        stats.apply(Event::Exchange(Box::new(audio(video))));
        stats.tick(u64::from(2 * second + 2) * SECOND);
    }
    let window = stats.snapshot(40 * SECOND).timeline.between(10.0, 40.0).unwrap();
    let bits = window.bits_per_viewer().unwrap();
    assert!((bits - 550_000.0 * 8.0 / 2.0).abs() < 1.0, "{bits}");
}

/// What one machine observes in windows of 2 s: its load, that of the origin, and what its player shows.
fn observed(cpu_percent: [f64; 2], megabits: f64) -> Timeline {
    let sources =
        Sources { requests: Source::Native, bytes: Source::Native, playback: PlaybackSource::Players };
    let mut stats = Stats::new(Expectation { sources, ..stats(1).expectation }).with_timeline(2.0, &[]);
    stats.apply(Event::Arrived { viewer: 1, at_ns: 0 });
    stats.apply(Event::Started { viewer: 1, generation: 1, at_ns: 0 });
    let mut seen = Seen { buffer_ns: 8 * SECOND, ..Seen::nothing() };
    seen.state = hls_swarm_player::State::Playing;
    for (window, cpu_percent) in (1..).zip(cpu_percent) {
        let at_ns = window * 2 * SECOND;
        let playlist = Exchange { kind: Kind::Playlist, segment: None, ..requested(1, 0.5, 10, 200) };
        stats.apply(Event::Exchange(Box::new(Exchange { started_ns: at_ns - SECOND, ..playlist })));
        stats.apply(Event::Machine { cpu_percent, own_cpu_percent: 1.0 });
        let node = NodeSample {
            busy_seconds: 1.5 * window as f64,
            all_seconds: 2.0 * window as f64,
            memory_used: None,
            received_bytes: None,
            transmitted_bytes: Some(1e6 * 2.0 * window as f64),
        };
        stats.apply(Event::Origin { at_ns, scraped: Scraped::Node(node) });
        seen.figures.observed += Duration::from_secs(2);
        seen.figures.played += Duration::from_secs(2);
        seen.figures.bits_played += megabits * 1e6 * 2.0;
        stats.apply(Event::Seen { viewer: 1, at_ns, seen: Box::new(seen.clone()) });
        stats.tick(at_ns);
    }
    stats.snapshot(4 * SECOND).timeline
}

#[test]
fn windows_hold_the_load_of_machines_and_what_players_show() {
    let mut merged = observed([10.0, 30.0], 2.0);
    merged.merge(&observed([20.0, 80.0], 4.0));
    // Of several machines, the busiest one is kept; viewers are added.
    let [one, two] = &merged.windows[..] else { panic!("{:?}", merged.windows) };
    assert_eq!((one.cpu_percent.average(), two.cpu_percent.average()), (Some(20.0), Some(80.0)));
    assert_eq!((one.playlists, one.own_cpu_percent.average()), (2, Some(1.0)));
    assert_eq!((one.bitrate_played(), one.buffer), (Some(3e6), Samples { sum: 32.0, samples: 4 }));
    // The first sample of the origin's counters has nothing before it.
    assert!(one.origin_cpu_percent.is_empty());
    assert_eq!(two.origin_cpu_percent.average(), Some(75.0));
    assert_eq!(two.origin_transmit_bytes_per_second.average(), Some(1e6));
    // Over a longer time, loads are averages.
    let whole = sum(&merged);
    assert_eq!((whole.cpu_percent.average(), whole.playlists), (Some(50.0), 4));
    assert_eq!(whole.origin_cpu_percent, two.origin_cpu_percent);
}
