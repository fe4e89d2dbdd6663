//! Tests of the statistics: events in, figures out.

use hls_swarm_base::exit_status::ProcessExit;

use super::*;
use crate::command::Command;
use crate::content::Content;
use crate::event::EndClass;
use crate::exchange::{Exchange, HttpVersion, Kind, Outcome, Source};
use crate::listed::{Rendition, SegmentId};
use crate::snapshot::{PlaybackSource, ViewerState};

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) fn stats(target_clients: u32) -> Stats {
    Stats::new(Expectation {
        began_ns: 0,
        planned_seconds: Some(60.0),
        target_clients,
        start_up_seconds: 5.0,
        timeout_ns: 15 * SECOND,
        sources: Sources {
            requests: Source::Probe,
            bytes: Source::Probe,
            playback: PlaybackSource::Arrivals,
        },
    })
}

/// The report of a player that began 10 s ago.
fn seen(change: impl FnOnce(&mut crate::seen::Seen)) -> Box<crate::seen::Seen> {
    let mut seen = crate::seen::Seen::nothing();
    seen.figures.startup = Some(std::time::Duration::from_millis(500));
    seen.figures.played = std::time::Duration::from_secs(9);
    seen.state = hls_swarm_player::State::Playing;
    change(&mut seen);
    Box::new(seen)
}

#[test]
fn what_players_report_is_their_playback() {
    use hls_swarm_player::State;
    use hls_swarm_player::interface::StallReason;
    let sources =
        Sources { requests: Source::Native, bytes: Source::Native, playback: PlaybackSource::Players };
    let mut stats = Stats::new(Expectation { sources, ..stats(2).expectation });
    for viewer in 1..=2 {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        let nothing = Box::new(crate::seen::Seen::nothing());
        stats.apply(Event::Seen { viewer, at_ns: 0, seen: nothing });
        // What arrives is not counted a second time.
        stats.apply(Event::Exchange(Box::new(arrived(viewer, 1, SECOND))));
    }
    assert_eq!((stats.nothing_played(), stats.snapshot(SECOND).playing_clients), (true, 0));
    stats.apply(Event::Seen {
        viewer: 1,
        at_ns: 10 * SECOND,
        seen: seen(|seen| seen.buffer_ns = 2 * SECOND),
    });
    let stalled = seen(|seen| {
        seen.figures.stalled = std::time::Duration::from_secs(1);
        (seen.state, seen.stall) = (State::Stalled, Some((SECOND, StallReason::SlowBody)));
    });
    stats.apply(Event::Seen { viewer: 2, at_ns: 10 * SECOND, seen: stalled });
    stats.settle(12 * SECOND);
    let snapshot = stats.snapshot(12 * SECOND);
    assert_eq!((snapshot.playing_clients, snapshot.playback.stalled_now), (1, 1));
    // One played on, and the other one stalled on. Its stall is not over, so it is not known what it was.
    let time = snapshot.playback_time;
    assert_eq!((time.viewed_seconds, time.stalled_seconds, time.longest_stall_seconds), (20.0, 3.0, 3.0));
    assert_eq!((snapshot.stalls(), snapshot.share_without_stall()), (Some(0), Some(1.0)));
    // It was ours: it does not count, and is counted apart.
    let own = seen(|seen| {
        seen.figures.stalled_own = std::time::Duration::from_secs(3);
        seen.figures.stalls[StallReason::OwnLateness.index()] = 1;
    });
    stats.apply(Event::Seen { viewer: 2, at_ns: 12 * SECOND, seen: own });
    let snapshot = stats.snapshot(12 * SECOND);
    assert_eq!((snapshot.playback_time.stalled_seconds, snapshot.stalls()), (0.0, Some(0)));
    assert_eq!(snapshot.counters[Counter::StallsExcluded], Some(1));
    assert_eq!(snapshot.excluded_share(), Some(3.0 / 23.0));
    // A stall under way at the end is one.
    let stalled =
        seen(|seen| (seen.state, seen.stall) = (State::Stalled, Some((SECOND, StallReason::Missing))));
    stats.apply(Event::Seen { viewer: 1, at_ns: 14 * SECOND, seen: stalled });
    stats.apply(Event::Closing { at_ns: 15 * SECOND });
    let snapshot = stats.snapshot(16 * SECOND);
    assert_eq!((snapshot.stalls(), snapshot.share_without_stall()), (Some(1), Some(0.5)));
    assert_eq!(snapshot.quality.unwrap().stalls["missing"], 1);
    assert_eq!(snapshot.latency[Timing::Startup].map(|q| (q.count, q.p50)), Some((2, 0.5)));
}

#[test]
fn a_run_that_plays_nothing_has_no_quality_of_experience() {
    let sources = Sources { playback: PlaybackSource::Downloads, ..stats(1).expectation.sources };
    let mut stats = Stats::new(Expectation { sources, ..stats(1).expectation });
    stats.apply(Event::Arrived { viewer: 1, at_ns: 0 });
    stats.apply(Event::Started { viewer: 1, generation: 1, at_ns: 0 });
    stats.apply(Event::Exchange(Box::new(arrived(1, 1, SECOND))));
    let snapshot = stats.snapshot(20 * SECOND);
    assert_eq!((snapshot.stalls(), snapshot.quality.clone(), snapshot.lifetimes.played), (None, None, 1));
    assert_eq!(snapshot.latency[Timing::Startup], None);
    let absent = [
        "stalls",
        "rebuffering",
        "longest_stall",
        "viewers_without_stall",
        "bitrate_played",
        "missing_media",
    ];
    for id in absent.into_iter().chain(["switches_up", "stalls_excluded", "segments_skipped"]) {
        assert_eq!(crate::metric::find(id).unwrap().scalar(&snapshot), None, "{id}");
    }
}

#[test]
fn unseen_bodies_are_played_once_the_process_has_read_media() {
    let begun = |unseen_bodies: bool| {
        let rules = PlaybackRules { buffered: !unseen_bodies, unseen_bodies, ..PlaybackRules::default() };
        let mut stats = stats(1).playing_by(rules);
        stats.apply(Event::Arrived { viewer: 1, at_ns: 0 });
        stats.apply(Event::Started { viewer: 1, generation: 1, at_ns: 0 });
        stats.apply(Event::Exchange(Box::new(arrived(1, 1, SECOND))));
        stats.tick(4 * SECOND);
        stats
    };
    let seen = |stats: &Stats| {
        let snapshot = stats.snapshot(4 * SECOND);
        (snapshot.lifetimes.played, snapshot.viewers[0].state)
    };
    assert_eq!(seen(&begun(false)), (1, ViewerState::Playing));
    let mut stats = begun(true);
    assert_eq!(seen(&stats), (0, ViewerState::Starting));
    for _ in 0..2 {
        stats.apply(Event::ReadsMedia { viewer: 1 });
        assert_eq!(seen(&stats), (1, ViewerState::Playing));
    }
}

/// A segment of 10 s in a playlist.
pub(crate) const fn listed(sequence: u64) -> SegmentId {
    SegmentId {
        playlist: 1,
        sequence,
        duration_us: 10_000_000,
        rendition: Rendition::Main,
        encrypted: false,
        from_start: true,
    }
}

/// A listed segment that is complete at `at_ns`.
pub(crate) fn arrived(viewer: u32, sequence: u64, at_ns: u64) -> Exchange {
    Exchange {
        segment: Some(listed(sequence)),
        started_ns: at_ns,
        quic_ns: None,
        first_byte_ns: Some(0),
        download_ns: Some(0),
        ..segment(viewer)
    }
}

pub(crate) fn segment(viewer: u32) -> Exchange {
    Exchange {
        viewer,
        generation: 1,
        pid: 1,
        http: HttpVersion::Http1,
        connection: 1,
        streams: 1,
        kind: Kind::Segment,
        name: "a.ts".into(),
        url_hash: 1,
        status: Some(200),
        outcome: Outcome::Complete,
        started_ns: SECOND,
        dns_ns: None,
        connect_ns: Some(1_000_000),
        tls_ns: None,
        quic_ns: None,
        first_byte_ns: Some(2_000_000),
        download_ns: Some(50_000_000),
        idle_ns: None,
        head_bytes: 300,
        body_bytes: 1000,
        unknown_body: false,
        content: Some(Content::MpegTs),
        cut_short: false,
        announced_bytes: Some(1000),
        excess_bytes: 0,
        segment: None,
        gap: false,
        variant: None,
        blocking_reload: false,
        received_bytes: Some(1300),
        tls: false,
        retransmits: Some(0),
        lost_packets: None,
        rtt_us: Some(30),
        min_rtt_us: None,
        cache: None,
        age_s: None,
        edge: None,
        playlist: None,
        peer: None,
        local_port: None,
    }
}

fn apply(stats: &mut Stats, exchange: Exchange) {
    stats.apply(Event::Exchange(Box::new(exchange)));
}

fn failed(viewer: u32, reason: &str) -> Event {
    Event::Ended {
        viewer,
        class: EndClass::Failed,
        ending: ProcessExit::Exited(1),
        killed: false,
        reason: reason.into(),
        uptime_seconds: 1.0,
    }
}

#[test]
fn figures_that_were_not_measured_are_absent() {
    let snapshot = stats(3).snapshot(SECOND);
    assert_eq!(snapshot.received_bytes, None);
    assert_eq!(snapshot.agreement.kernel_bytes, None);
    assert_eq!(snapshot.errors.rate, None);
    assert_eq!(snapshot.latency[Timing::Startup], None);
    assert_eq!(snapshot.generator.cpu_percent, None);
    assert_eq!(snapshot.active_ratio, None);
}

#[test]
fn kernel_bytes_agree_when_all_is_read_and_unread_prefetch_is_distinguished() {
    let mut stats = stats(1);
    apply(&mut stats, segment(1));
    let prefetch = Exchange {
        outcome: Outcome::ClosedByViewer,
        body_bytes: 100,
        received_bytes: Some(5300),
        idle_ns: Some(SECOND),
        download_ns: None,
        ..segment(1)
    };
    apply(&mut stats, prefetch);
    let snapshot = stats.snapshot(SECOND);
    assert_eq!(snapshot.agreement.kernel_bytes, Some(1.0));
    assert_eq!(snapshot.received_bytes, Some(6600));
    assert_eq!(snapshot.counters[Counter::InFlightAtStop].unwrap(), 1);
    assert_eq!(snapshot.errors.rate, Some(0.0));
    // Bytes without an exchange are a disagreement.
    stats.apply(Event::Received { viewer: 1, bytes: 1700, tls: false });
    let agreement = stats.snapshot(SECOND).agreement.kernel_bytes.unwrap();
    assert!((agreement - 1700.0 / 3400.0).abs() < 1e-9, "{agreement}");
}

#[test]
fn each_failure_counts_once_in_the_error_rate() {
    let mut stats = stats(1);
    let broken =
        |outcome, status, idle| Exchange { outcome, status, idle_ns: idle, download_ns: None, ..segment(1) };
    apply(&mut stats, segment(1));
    apply(&mut stats, broken(Outcome::Complete, Some(404), None));
    apply(&mut stats, broken(Outcome::ClosedByPeer, Some(200), Some(0)));
    apply(&mut stats, broken(Outcome::SocketError(104), None, Some(0)));
    apply(&mut stats, broken(Outcome::ClosedByViewer, None, Some(15 * SECOND)));
    let given_up = |after: u64| Event::ConnectFailed {
        viewer: 1,
        reason: "connect".into(),
        timed_out: false,
        given_up_after_ns: Some(after),
        handshake_left: false,
    };
    stats.apply(given_up(15 * SECOND));
    // Stopped while it waited: no failure.
    stats.apply(given_up(SECOND));
    let snapshot = stats.snapshot(SECOND);
    let errors = snapshot.errors;
    assert_eq!((errors.http, errors.broken, errors.timeouts, errors.connect), (1, 2, 2, 1));
    assert!((errors.rate.unwrap() - 5.0 / 6.0).abs() < 1e-9, "{errors:?}");
    assert_eq!(snapshot.counters[Counter::Unanswered].unwrap(), 2);
    assert_eq!(snapshot.http_status.get(&404), Some(&1));
}

#[test]
fn retries_of_one_missing_segment_are_one_failed_object() {
    let mut stats = stats(2);
    let answer = |viewer, url_hash, status| Exchange { url_hash, status: Some(status), ..segment(viewer) };
    for (url, status) in [(1, 200), (2, 404), (2, 404), (2, 404), (2, 404), (3, 200)] {
        apply(&mut stats, answer(1, url, status));
    }
    // Another viewer that does not retry misses the same share of objects.
    for (url, status) in [(1, 200), (2, 404), (3, 200)] {
        apply(&mut stats, answer(2, url, status));
    }
    let errors = stats.snapshot(SECOND).errors;
    assert_eq!((errors.attempts, errors.failed, errors.objects, errors.objects_failed), (9, 5, 6, 2));
    assert_eq!((errors.rate, errors.object_rate), (Some(5.0 / 9.0), Some(1.0 / 3.0)));
    let refused = Event::ConnectFailed {
        viewer: 1,
        reason: "connect: refused".into(),
        timed_out: false,
        given_up_after_ns: None,
        handshake_left: false,
    };
    (0..5).for_each(|_| stats.apply(refused.clone()));
    apply(&mut stats, answer(1, 4, 200));
    let errors = stats.snapshot(SECOND).errors;
    assert_eq!((errors.connect, errors.objects, errors.objects_failed), (5, 7, 3));
    // The threshold reads it.
    let threshold = "object_error_rate<1%".parse::<Threshold>().unwrap();
    assert_eq!(threshold.measure(&stats.snapshot(SECOND), &()), Some(3.0 / 7.0));
}

#[test]
fn viewers_beyond_the_plan_raise_the_target() {
    let mut stats = stats(3);
    (1..=14).for_each(|viewer| stats.apply(Event::Arrived { viewer, at_ns: 0 }));
    let snapshot = stats.snapshot(SECOND);
    assert_eq!((snapshot.target_clients, snapshot.target_now), (14, 14));
    (5..=14).for_each(|viewer| stats.apply(Event::RampedDown { viewer, at_ns: SECOND }));
    let snapshot = stats.snapshot(SECOND);
    assert_eq!((snapshot.target_clients, snapshot.target_now), (14, 4), "the peak, and the present");
}

#[test]
fn an_abandoned_handshake_has_failed_unless_the_viewer_was_stopped() {
    let mut stats = stats(2);
    let left = |viewer| Event::ConnectFailed {
        viewer,
        reason: "TLS handshake failed".into(),
        timed_out: false,
        given_up_after_ns: None,
        handshake_left: true,
    };
    apply(&mut stats, segment(1));
    stats.apply(left(1));
    stats.apply(Event::RampedDown { viewer: 2, at_ns: SECOND });
    stats.apply(left(2));
    stats.apply(Event::Closing { at_ns: 2 * SECOND });
    stats.apply(left(1));
    let snapshot = stats.snapshot(3 * SECOND);
    assert_eq!((snapshot.errors.connect, snapshot.counters[Counter::InFlightAtStop].unwrap()), (1, 0));
}

#[test]
fn a_request_that_no_server_saw_is_neither_a_request_nor_an_error() {
    let mut stats = stats(1);
    apply(&mut stats, segment(1));
    let before = stats.snapshot(SECOND);
    let stale = Exchange {
        outcome: Outcome::Stale,
        status: None,
        quic_ns: None,
        first_byte_ns: None,
        download_ns: None,
        idle_ns: Some(20 * SECOND),
        head_bytes: 0,
        body_bytes: 0,
        received_bytes: Some(0),
        ..segment(1)
    };
    apply(&mut stats, stale);
    let mut counters = before.counters;
    counters.add(Counter::StaleRequests, 1);
    assert_eq!(stats.snapshot(SECOND), Snapshot { counters, ..before });
}

#[test]
fn an_error_page_does_not_make_the_stream_look_fast() {
    let mut stats = stats(1);
    apply(&mut stats, Exchange { status: Some(503), ..segment(1) });
    assert_eq!(stats.snapshot(SECOND).latency[Timing::Ttfb(Kind::Segment)], None);
}

#[test]
fn the_first_whole_segment_is_the_start_up() {
    let mut stats = stats(1);
    stats.apply(Event::Started { viewer: 1, generation: 1, at_ns: SECOND / 2 });
    apply(
        &mut stats,
        Exchange { status: Some(403), started_ns: SECOND / 2, segment: Some(listed(1)), ..segment(1) },
    );
    assert_eq!(stats.snapshot(SECOND).latency[Timing::Startup], None, "an error page is not a segment");
    apply(&mut stats, Exchange { segment: Some(listed(1)), ..segment(1) });
    apply(&mut stats, Exchange { started_ns: 9 * SECOND, segment: Some(listed(2)), ..segment(1) });
    let startup = stats.snapshot(SECOND).latency[Timing::Startup].unwrap();
    assert_eq!(startup.count, 1);
    assert!((startup.max - 0.552).abs() < 0.001, "{startup:?}");
}

#[test]
fn lifetimes_are_counted_and_reasons_grouped() {
    let mut stats = stats(2);
    for viewer in [1, 2] {
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        stats.apply(failed(viewer, "Connection refused"));
    }
    stats.apply(Event::Started { viewer: 1, generation: 2, at_ns: 0 });
    apply(&mut stats, arrived(1, 1, 0));
    let snapshot = stats.snapshot(SECOND);
    assert_eq!(snapshot.exit_reasons, [("Connection refused".to_owned(), 2)]);
    assert_eq!(
        (snapshot.lifetimes.starts, snapshot.lifetimes.restarts, snapshot.lifetimes.exits.error),
        (3, 1, 2)
    );
    assert_eq!((snapshot.active_clients, snapshot.peak_clients, snapshot.playing_clients), (1, 1, 1));
    assert_eq!(snapshot.viewers[1].state, ViewerState::Waiting);
    assert!(!stats.nothing_played());
}

#[test]
fn the_number_of_different_reasons_is_bounded() {
    let mut stats = stats(1);
    for index in 0..1000 {
        stats.apply(failed(1, &format!("reason {index}")));
    }
    let reasons = stats.snapshot(SECOND).exit_reasons;
    assert_eq!(reasons.len(), 101);
    assert_eq!(reasons[0], ("other reasons".to_owned(), 900));
}

#[test]
fn the_active_ratio_is_a_mean_over_time_after_the_ramp() {
    let mut stats = stats(2);
    for viewer in [1, 2] {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
    }
    for viewer in [1, 2] {
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
        apply(&mut stats, arrived(viewer, 1, 0));
    }
    apply(&mut stats, arrived(1, 2, 0));
    for second in 1..=9 {
        stats.tick(second * SECOND);
    }
    // It shows what it has buffered until second 10.
    stats.apply(failed(2, "gone"));
    for second in 10..=14 {
        stats.tick(second * SECOND);
    }
    let ratio = stats.snapshot(14 * SECOND).active_ratio.unwrap();
    assert!((ratio - 0.8).abs() < 1e-9, "{ratio}");
}

#[test]
fn stopping_viewers_is_not_part_of_the_run() {
    let mut stats = stats(1);
    stats.apply(Event::Arrived { viewer: 1, at_ns: 0 });
    stats.apply(Event::Started { viewer: 1, generation: 1, at_ns: 0 });
    apply(&mut stats, arrived(1, 1, 0));
    apply(&mut stats, arrived(1, 2, SECOND));
    stats.tick(10 * SECOND);
    stats.apply(Event::Closing { at_ns: 11 * SECOND });
    stats.apply(Event::Ended {
        viewer: 1,
        class: EndClass::Stopped,
        ending: ProcessExit::Exited(255),
        killed: false,
        reason: String::new(),
        uptime_seconds: 11.0,
    });
    stats.tick(15 * SECOND);
    let snapshot = stats.snapshot(15 * SECOND);
    assert_eq!(snapshot.active_ratio, Some(1.0));
    assert_eq!(snapshot.elapsed_seconds, 11.0);
    assert_eq!(snapshot.playing_clients, 1);
    assert_eq!(snapshot.playback.average_speed, Some(1.0));
    assert_eq!(snapshot.lifetimes.exits.success, 1);
}

/// Ten seconds of a stage: `viewers` get a segment per second, of which every `nth` fails.
fn hold(stats: &mut Stats, from: u64, viewers: u32, nth: u32) {
    for second in from..from + 10 {
        for viewer in 1..=viewers {
            let fails = nth > 0 && viewer % nth == 0;
            apply(stats, Exchange { status: Some(if fails { 503 } else { 200 }), ..segment(viewer) });
            let _ = stats.viewers.exchange(&arrived(viewer, second, second * SECOND), true);
        }
        stats.tick((second + 1) * SECOND);
    }
}

#[test]
fn each_stage_has_its_own_figures_and_verdict() {
    let plan = |from, clients| StagePlan { name: None, seconds: 10.0, from, clients };
    let plans = vec![plan(2, 2), plan(2, 4), plan(4, 4), plan(4, 4)];
    let thresholds = vec!["error_rate<10%".parse().unwrap()];
    let mut stats = stats(4).with_stages(plans, WeightedSet::one(String::new()), thresholds);
    let arrive = |stats: &mut Stats, viewer, at_ns| {
        stats.apply(Event::Arrived { viewer, at_ns });
        stats.apply(Event::Started { viewer, generation: 1, at_ns });
    };
    for stage in 0..4_u64 {
        stats.apply(Event::Stage { stage: stage as usize, at_ns: stage * 10 * SECOND });
        let coming: &[u32] = match stage {
            0 => &[1, 2],
            1 => &[3, 4],
            _ => &[],
        };
        coming.iter().for_each(|viewer| arrive(&mut stats, *viewer, stage * 10 * SECOND));
        let (up, nth) = if stage == 0 { (2, 0) } else { (4, 4) };
        hold(&mut stats, stage * 10, up, nth);
    }
    stats.apply(Event::Closing { at_ns: 40 * SECOND });
    let snapshot = stats.snapshot(40 * SECOND);
    let rows: Vec<_> = snapshot
        .stages
        .iter()
        .map(|row| (row.clients, row.requests[Kind::Segment], row.errors.http, row.met))
        .collect();
    assert_eq!(
        rows,
        [(2, 20, 0, Some(true)), (4, 40, 10, None), (4, 40, 10, Some(false)), (4, 40, 10, Some(false))]
    );
    assert_eq!(snapshot.stages[2].failed_criteria[0].name, "error_rate");
    assert_eq!(snapshot.stages[2].active_ratio, Some(1.0));
    let sentence = crate::snapshot::capacity(&snapshot.stages).unwrap();
    assert!(sentence.starts_with("holds 2 viewers, fails at 4 (error_rate 25 %"), "{sentence}");
    // The parts add up to the whole.
    assert_eq!(rows.iter().map(|row| row.1).sum::<u64>(), snapshot.requests[Kind::Segment]);
    assert_eq!(snapshot.playback_time.rebuffering, Some(0.0));
    assert!((snapshot.playback_time.throughput_ratio.unwrap() - 1.0).abs() < 0.05);
}

#[test]
fn a_stage_that_is_cut_short_may_fail_but_not_hold() {
    let plans = || vec![StagePlan { name: None, seconds: 60.0, from: 2, clients: 2 }];
    for (nth, met) in [(0, None), (2, Some(false))] {
        let mut stats = stats(2).with_stages(plans(), WeightedSet::one(String::new()), Vec::new());
        stats.apply(Event::Stage { stage: 0, at_ns: 0 });
        hold(&mut stats, 0, 2, nth);
        stats.apply(Event::Closing { at_ns: 10 * SECOND });
        assert_eq!(stats.snapshot(10 * SECOND).stages[0].met, met);
    }
}

#[test]
fn the_figures_of_streams_add_up() {
    let names = WeightedSet::weighted(vec![("a".to_owned(), 2), ("b".to_owned(), 1)]).unwrap();
    let mut stats = stats(3).with_stages(Vec::new(), names, Vec::new());
    for viewer in 1..=3 {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    hold(&mut stats, 0, 3, 2);
    let snapshot = stats.snapshot(10 * SECOND);
    let rows: Vec<_> = snapshot
        .streams
        .iter()
        .map(|row| (row.stream.as_str(), row.clients, row.playing, row.requests.total(), row.errors.http))
        .collect();
    assert_eq!(rows, [("a", 2, 2, 20, 0), ("b", 1, 1, 10, 10)]);
}

#[test]
fn a_viewer_that_was_ramped_down_is_neither_expected_nor_a_failure() {
    let mut stats = stats(2);
    for viewer in [1, 2] {
        stats.apply(Event::Arrived { viewer, at_ns: 0 });
        stats.apply(Event::Started { viewer, generation: 1, at_ns: 0 });
    }
    hold(&mut stats, 0, 2, 0);
    stats.apply(Event::RampedDown { viewer: 2, at_ns: 10 * SECOND });
    hold(&mut stats, 10, 1, 0);
    let snapshot = stats.snapshot(20 * SECOND);
    assert_eq!((snapshot.active_ratio, snapshot.target_now, snapshot.playing_clients), (Some(1.0), 1, 1));
    assert_eq!(
        (snapshot.lifetimes.arrived, snapshot.lifetimes.ramped_down, snapshot.lifetimes.expected),
        (2, 1, 2)
    );
    // The number is used again: another viewer, not a restart; it left before it was expected to play.
    stats.apply(Event::Arrived { viewer: 2, at_ns: 20 * SECOND });
    stats.apply(Event::Started { viewer: 2, generation: 2, at_ns: 20 * SECOND });
    stats.apply(Event::RampedDown { viewer: 2, at_ns: 21 * SECOND });
    // What it plays while it is being stopped is not counted.
    apply(&mut stats, arrived(2, 1, 21 * SECOND));
    let lifetimes = stats.snapshot(21 * SECOND).lifetimes;
    assert_eq!((lifetimes.arrived, lifetimes.restarts, lifetimes.expected, lifetimes.played), (3, 0, 2, 2));
}

#[test]
fn a_pause_moves_the_planned_end_and_is_reported() {
    let mut stats = stats(1);
    stats.apply(Event::ManualChange { command: Command::Pause, at_ns: 10 * SECOND });
    let paused = stats.snapshot(15 * SECOND);
    assert_eq!((paused.planned_seconds, paused.manual_changes.paused), (Some(65.0), true));
    stats.apply(Event::ManualChange { command: Command::Pause, at_ns: 20 * SECOND });
    stats.apply(Event::ManualChange { command: Command::More(10), at_ns: 21 * SECOND });
    let changed = stats.snapshot(30 * SECOND);
    assert_eq!((changed.planned_seconds, changed.manual_changes.changes), (Some(70.0), 3));
    let descriptions: Vec<_> =
        changed.manual_changes.first.iter().map(|change| change.change.as_str()).collect();
    assert_eq!(descriptions, ["paused", "resumed", "10 more"]);
}
