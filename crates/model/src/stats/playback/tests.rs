//! Tests of a viewer's playback: playlists and exchanges in, seconds out.

use hls_swarm_hls::playlist::read;

use super::*;
use crate::content::Content;
use crate::stats::tests::{SECOND, listed, segment};

/// A live playlist of segments of 2 s.
fn live(numbers: std::ops::RangeInclusive<u64>, more: &str) -> Arc<Playlist> {
    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", numbers.start());
    let segments: String = numbers.map(|number| format!("#EXTINF:2,\ns{number}.ts\n")).collect();
    let text = format!("{head}{segments}{more}");
    Arc::new(read(&text, &"http://h/live".parse().unwrap()).unwrap().playlist)
}

/// A viewer that began at 0; the playlist that it reads is number 1.
fn viewer() -> ViewerPlayback {
    ViewerPlayback::new(PlaybackRules::default(), 1, 0)
}

fn reads(viewer: &mut ViewerPlayback, at: u64, playlist: &Arc<Playlist>) {
    viewer.playlist(at * SECOND, 1, Rendition::Main, playlist);
}

/// The segment `sequence` of a playlist, complete at second `at`.
fn whole(at: u64, sequence: u64) -> Exchange {
    Exchange {
        segment: Some(SegmentId { duration_us: 2_000_000, ..listed(sequence) }),
        started_ns: at * SECOND,
        first_byte_ns: Some(0),
        download_ns: Some(0),
        ..segment(1)
    }
}

/// Seconds played, stalled, and missing, and segments skipped, up to second `at`.
fn figures(viewer: &mut ViewerPlayback, at: u64) -> (u64, u64, u64, u64) {
    viewer.advance(at * SECOND);
    let Viewing { played_ns, stalled_ns, missing_ns, skipped, .. } = viewer.viewing();
    (played_ns / SECOND, stalled_ns / SECOND, missing_ns / SECOND, skipped)
}

#[test]
fn a_segment_that_is_not_whole_is_not_played() {
    let changes: [fn(&mut Exchange); 6] = [
        |one| one.status = Some(404),
        |one| one.outcome = Outcome::ClosedByPeer,
        |one| one.content = Some(Content::Html),
        |one| one.content = Some(Content::Empty),
        |one| one.cut_short = true,
        |one| one.excess_bytes = 7,
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut viewer = viewer();
        reads(&mut viewer, 0, &live(1..=4, ""));
        viewer.exchange(&whole(0, 1));
        let mut bad = whole(1, 2);
        change(&mut bad);
        viewer.exchange(&bad);
        viewer.exchange(&whole(4, 3));
        assert_eq!(figures(&mut viewer, 6), (4, 2, 2, 1), "change {place}");
    }
}

#[test]
fn what_the_server_did_not_have_differs_from_what_the_viewer_missed() {
    type Change = fn(&mut Exchange);
    let unavailable = |at: u64, change: Change| {
        let mut viewer = viewer();
        reads(&mut viewer, 0, &live(1..=4, ""));
        viewer.exchange(&whole(0, 1));
        let mut bad = whole(at, 2);
        change(&mut bad);
        viewer.exchange(&bad);
        viewer.exchange(&whole(at, 3));
        assert_eq!(viewer.viewing().skipped, 1);
        viewer.viewing().unavailable
    };
    let gone: Change = |one| one.status = Some(404);
    assert_eq!(unavailable(3, gone), 1);
    // The server must keep it for the duration of the playlist and of the segment; later, the viewer is too late.
    assert_eq!([unavailable(10, gone), unavailable(11, gone)], [1, 0]);
    assert_eq!(unavailable(3, |one| one.content = Some(Content::Html)), 1);
    assert_eq!(unavailable(3, |one| one.outcome = Outcome::ClosedByPeer), 0);
    assert_eq!(unavailable(3, |one| (one.status, one.gap) = (Some(404), true)), 0, "announced");
}

#[test]
fn nothing_can_be_played_without_its_initialization_section_or_key() {
    for kind in [Kind::Init, Kind::Key] {
        let mut viewer = viewer();
        let object = |status| Exchange { kind, status: Some(status), content: None, ..segment(1) };
        let encrypted = |at, sequence| {
            let whole = whole(at, sequence);
            let id = whole.segment.map(|id| SegmentId { encrypted: true, ..id });
            Exchange { segment: id, content: None, body_bytes: 160, ..whole }
        };
        viewer.exchange(&object(404));
        viewer.exchange(&encrypted(0, 1));
        assert_eq!(viewer.state(), State::Starting, "{kind:?}");
        viewer.exchange(&object(200));
        viewer.exchange(&encrypted(1, 2));
        assert_eq!(viewer.state(), State::Playing, "{kind:?}");
    }
}

#[test]
fn segments_that_left_the_playlist_are_missing_for_as_long_as_they_were() {
    let mut viewer = viewer();
    reads(&mut viewer, 0, &live(1..=3, ""));
    viewer.exchange(&whole(0, 1));
    reads(&mut viewer, 9, &live(4..=6, ""));
    viewer.exchange(&whole(9, 5));
    // 2 s of segment 1, a stall until second 9, segment 5.
    assert_eq!(figures(&mut viewer, 11), (4, 7, 6, 3));
}

#[test]
fn a_restarted_encoder_is_no_gap() {
    // It counts from 0 again; or from a much higher number, such as the time.
    for first in [0, 5_000_000] {
        let mut viewer = viewer();
        reads(&mut viewer, 0, &live(101..=103, ""));
        viewer.exchange(&whole(0, 101));
        viewer.exchange(&whole(1, 102));
        reads(&mut viewer, 2, &live(first..=first + 1, ""));
        viewer.exchange(&whole(2, first));
        reads(&mut viewer, 4, &live(first..=first + 2, ""));
        viewer.exchange(&whole(4, first + 1));
        assert_eq!(figures(&mut viewer, 8), (8, 0, 0, 0), "{first}");
    }
}

#[test]
fn an_old_playlist_is_no_restart() {
    let mut viewer = viewer();
    reads(&mut viewer, 0, &live(1..=3, ""));
    (1..=3).for_each(|number| viewer.exchange(&whole(0, number)));
    reads(&mut viewer, 2, &live(2..=4, ""));
    viewer.exchange(&whole(2, 4));
    // Another edge has not got the latest playlist, and the viewer waits.
    reads(&mut viewer, 4, &live(1..=3, ""));
    reads(&mut viewer, 5, &live(3..=5, ""));
    viewer.exchange(&whole(5, 5));
    assert_eq!(figures(&mut viewer, 10), (10, 0, 0, 0));
}

#[test]
fn announced_gaps_are_missing_media() {
    let mut viewer = viewer();
    reads(&mut viewer, 0, &live(1..=2, ""));
    (1..=2).for_each(|number| viewer.exchange(&whole(0, number)));
    let gap = "#EXTINF:2,\n#EXT-X-GAP\ns3.ts\n#EXTINF:2,\ns4.ts\n";
    reads(&mut viewer, 2, &live(1..=2, gap));
    viewer.exchange(&whole(3, 4));
    assert_eq!(figures(&mut viewer, 6), (6, 0, 2, 1));
}

#[test]
fn a_vod_is_played_to_its_end_without_a_stall() {
    let mut viewer = viewer();
    reads(&mut viewer, 0, &live(0..=1, "#EXT-X-ENDLIST\n"));
    (0..=1).for_each(|number| viewer.exchange(&whole(0, number)));
    assert_eq!(figures(&mut viewer, 60), (4, 0, 0, 0));
    assert_eq!(viewer.state(), State::Ended);
}

#[test]
fn a_playlist_that_is_read_and_not_played_is_not_awaited() {
    let mut viewer = viewer();
    viewer.playlist(0, 2, Rendition::Main, &live(1..=3, ""));
    viewer.playlist(0, 1, Rendition::Main, &live(1..=3, ""));
    let unused = whole(0, 1);
    let id = unused.segment.map(|id| SegmentId { playlist: 2, ..id });
    viewer.exchange(&Exchange { segment: id, ..unused });
    (1..=9).for_each(|number| viewer.exchange(&whole(0, number)));
    assert_eq!(figures(&mut viewer, 18), (18, 0, 0, 0));
}

#[test]
fn segments_of_a_playlist_that_another_viewer_read_are_found() {
    let mut viewer = viewer();
    // With a token of its own in the address; the segments are shared.
    viewer.playlist(0, 77, Rendition::Main, &live(1..=3, ""));
    viewer.exchange(&whole(0, 1));
    viewer.exchange(&whole(0, 2));
    assert_eq!((figures(&mut viewer, 3), viewer.arrivals().unwrap().tracks.len()), ((3, 0, 0, 0), 1));
}

#[test]
fn without_playlists_segments_are_played_in_their_order() {
    let mut viewer = viewer();
    for (at, url_hash) in [(0, 5), (1, 6), (1, 6), (2, 7)] {
        viewer.exchange(&Exchange { segment: None, url_hash, ..whole(at, 0) });
    }
    viewer.exchange(&Exchange { segment: None, url_hash: 8, status: Some(404), ..whole(3, 0) });
    assert_eq!(figures(&mut viewer, 10), (6, 4, 0, 0));
}

#[test]
fn speed_is_that_of_the_last_seconds() {
    let mut viewer = viewer();
    reads(&mut viewer, 0, &live(1..=20, ""));
    (1..=10).for_each(|number| viewer.exchange(&whole(0, number)));
    let mut speed = |at: u64| {
        viewer.advance(at * SECOND);
        let _ = viewer.take();
        viewer.speed()
    };
    assert_eq!((speed(1), speed(6)), (None, Some(1.0)));
    (7..=20).for_each(|at| assert!(speed(at).is_some()));
    let slower = speed(26).unwrap();
    assert!(slower < 0.7, "{slower}");
    (27..=40).for_each(|at| assert!(speed(at).is_some()));
    assert_eq!((speed(41), viewer.drift_seconds()), (Some(0.0), Some(21.0)));
}
