//! What goes wrong: slow and missing media, playlists that are not updated or go backward, restarts of the origin.

use hls_swarm_player::interface::{FetchFailure, PlaybackFailure, SkipCause, StallReason};
use hls_swarm_player::{EventKind, Preset};

use super::world::{Effect, Lists, Run, World, ladder, live, live_text, near};

fn skipped(run: &Run) -> Vec<(f64, SkipCause)> {
    let skip = |kind| match kind {
        EventKind::Skipped { media, cause } => Some((media.as_secs_f64(), cause)),
        _ => None,
    };
    run.kinds().into_iter().filter_map(skip).collect()
}

#[test]
fn a_segment_that_is_late_is_one_stall() {
    let run =
        World::new(live(6, 13)).fault("/15.ts", 0.0..100.0, Effect::Late(8.0)).play(Preset::HlsJs, 60.0);
    let stalls = run.stalls();
    let [(ended, stalled, reason)] = stalls[..] else { panic!("{stalls:?}") };
    assert_eq!(reason, StallReason::SlowBody);
    // The segment is listed at 6 s and found at 6 to 7 s; the media before it ends at 10.09 s.
    assert!((14.0..15.2).contains(&ended) && near(stalled, ended - 10.09, 0.02), "{stalls:?}");
    assert_eq!(run.player.figures().stall_count(), 1);
    assert_eq!(skipped(&run), []);
    // Then it stays a second farther from the edge, but does not jump.
    assert!(near(run.player.figures().skipped.as_secs_f64(), 0.0, 1e-9));
}

#[test]
fn a_missing_segment_is_skipped_and_not_played() {
    for (preset, attempts) in [(Preset::HlsJs, 1), (Preset::ExoPlayer, 4), (Preset::Shaka, 2)] {
        let gone = Effect::Fails(FetchFailure::Status(404));
        let run = World::new(live(10, 13)).fault("/15.ts", 0.0..100.0, gone).play(preset, 60.0);
        let requests = run.segments().iter().filter(|segment| segment.1 == 15).count();
        assert_eq!(requests, attempts, "{preset}");
        assert_eq!(skipped(&run), [(2.0, SkipCause::Failed)], "{preset}");
        let figures = run.player.figures();
        assert!(near(figures.skipped.as_secs_f64(), 2.0, 1e-6), "{preset}: {figures:?}");
        assert_eq!(figures.failures as usize, attempts);
        // What it was waited for is the reason of a stall that it causes.
        for (.., reason) in run.stalls() {
            assert_eq!(reason, StallReason::Missing, "{preset}: {:?}", run.stalls());
        }
    }
}

#[test]
fn another_variant_is_tried_before_media_is_skipped() {
    let gone = Effect::Fails(FetchFailure::Status(404));
    let world = World::new(ladder(&[400_000, 1_200_000], live(10, 13)));
    let run = world.fault("/v1/20.ts", 0.0..100.0, gone).play(Preset::HlsJs, 60.0);
    assert_eq!((skipped(&run), run.stalls()), (vec![], vec![]));
    let of_20: Vec<_> =
        run.segments().iter().filter(|segment| segment.1 == 20).map(|segment| segment.2).collect();
    assert_eq!(of_20, [1, 0], "{:?}", run.switches());
    // Where no variant has it, it is skipped once, and all variants get another chance.
    let world = World::new(ladder(&[400_000, 1_200_000], live(10, 13)));
    let run = world.fault("/20.ts", 0.0..100.0, gone).play(Preset::HlsJs, 60.0);
    assert_eq!(skipped(&run), [(2.0, SkipCause::Failed)]);
    assert_eq!(run.player.snapshot().variant, 1);
}

#[test]
fn a_server_error_is_repeated_with_longer_and_longer_waits() {
    let error = Effect::Fails(FetchFailure::Status(503));
    let run = World::new(live(30, 33)).fault("/35.ts", 0.0..16.0, error).play(Preset::HlsJs, 60.0);
    let times: Vec<f64> =
        run.segments().iter().filter(|segment| segment.1 == 35).map(|segment| segment.0).collect();
    let waits: Vec<_> = times.windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
    assert_eq!(waits, [1.0, 2.0, 4.0, 8.0]);
    assert_eq!(run.stalls().iter().map(|stall| stall.2).collect::<Vec<_>>(), [StallReason::ServerError]);
    assert_eq!(skipped(&run), []);
}

#[test]
fn a_playlist_that_stands_still_is_a_stall_for_lack_of_new_media() {
    let mut lists = live(6, 13);
    let still: Lists =
        Box::new(move |path, at| lists(path, if (10.0..20.0).contains(&at) { 10.0 } else { at }));
    let run = World::new(still).play(Preset::HlsJs, 60.0);
    let reasons: Vec<_> = run.stalls().iter().map(|stall| stall.2).collect();
    assert_eq!(reasons, [StallReason::NoNewMedia]);
    let stalled = run.stalls()[0].1;
    assert!((4.0..8.0).contains(&stalled), "{stalled}");
}

#[test]
fn a_slow_playlist_is_a_stall_of_its_own_kind() {
    let run = World::new(live(10, 13)).fault("m3u8", 10.0..14.0, Effect::Late(7.0)).play(Preset::HlsJs, 60.0);
    let reasons: Vec<_> = run.stalls().iter().map(|stall| stall.2).collect();
    assert_eq!(reasons, [StallReason::SlowPlaylist]);
}

#[test]
fn an_origin_that_is_gone_for_10_seconds_is_one_stall_and_then_the_live_edge() {
    for preset in Preset::ALL {
        let gone = Effect::Fails(FetchFailure::Connection);
        let run = World::new(live(6, 13)).fault("", 20.0..30.0, gone).play(preset, 90.0);
        let stalls = run.stalls();
        assert_eq!(stalls.len(), 1, "{preset}: {stalls:?}");
        assert_eq!(stalls[0].2, StallReason::Connection, "{preset}");
        assert!((30.0..38.0).contains(&stalls[0].0), "{preset}: back soon after the origin: {stalls:?}");
        let requests = run.requests.iter().filter(|(at, _)| (20.0..30.0).contains(at)).count();
        assert!((2..=30).contains(&requests), "{preset}: {requests} requests while nothing answered");
        let figures = run.player.figures();
        let all = figures.played + figures.stalled + figures.startup.unwrap();
        assert!(near(all.as_secs_f64(), 90.0, 2.2), "{preset}: {figures:?}");
    }
}

#[test]
fn a_viewer_that_fell_behind_jumps_to_the_live_edge() {
    let run =
        World::new(live(6, 13)).fault("/15.ts", 0.0..100.0, Effect::Late(30.0)).play(Preset::HlsJs, 90.0);
    // The first byte comes too late: a time limit, a repetition, and meanwhile the segment has left the playlist.
    let (media, cause) = skipped(&run)[0];
    assert_eq!(cause, SkipCause::FellBehind);
    let latency = run.player.snapshot().latency_by_edge.unwrap().as_secs_f64();
    assert!(latency < 9.2, "{latency} behind the edge, {media} skipped");
    let figures = run.player.figures();
    assert!(near(figures.skipped.as_secs_f64(), media, 1e-6), "{figures:?}");
    assert_eq!(run.stalls()[0].2, StallReason::SlowBody);
}

#[test]
fn an_encoder_that_begins_anew_is_followed() {
    let lists: Lists = Box::new(|_, at| {
        let text = if at < 20.0 {
            live_text(113 + (at / 2.0) as u64, 6, 2.0, "")
        } else {
            live_text(1 + ((at - 20.0) / 2.0) as u64, 6, 2.0, "").replace(".ts", "b.ts")
        };
        Some(text)
    });
    let run = World::new(lists).play(Preset::HlsJs, 60.0);
    assert_eq!(run.kinds().iter().filter(|kind| **kind == EventKind::Restarted).count(), 1);
    let after: Vec<u64> =
        run.segments().iter().filter(|segment| segment.0 > 20.0).map(|segment| segment.1).collect();
    assert!(after.iter().copied().eq(0..after.len() as u64) && after.len() > 17, "{after:?}");
    assert!(run.player.figures().skipped.is_zero());
    assert!(run.player.figures().played.as_secs_f64() > 54.0, "{:?}", run.player.figures());
}

#[test]
fn an_older_playlist_changes_nothing() {
    let mut count = 0;
    let mut lists = live(6, 13);
    // Every second answer comes from a cache that is 6 s behind.
    let stale: Lists = Box::new(move |path, at| {
        count += 1;
        lists(path, if count % 2 == 0 { (at - 6.0).max(0.0) } else { at })
    });
    let run = World::new(stale).play(Preset::HlsJs, 60.0);
    let numbers: Vec<_> = run.segments().iter().map(|segment| segment.1).collect();
    assert!(numbers.iter().copied().eq(10..10 + numbers.len() as u64), "{numbers:?}");
    assert!(!run.kinds().contains(&EventKind::Restarted));
}

#[test]
fn a_stream_that_is_not_there_fails_at_once() {
    for (preset, attempts) in [(Preset::HlsJs, 1), (Preset::Simple, 4)] {
        let run = World::new(Box::new(|_, _| None)).play(preset, 60.0);
        let reason = PlaybackFailure::Playlist(FetchFailure::Status(404));
        assert_eq!(run.kinds(), [EventKind::PlaybackFailed { reason }], "{preset}");
        assert_eq!(run.requests.len(), attempts, "{preset}");
        assert!(run.player.is_finished());
    }
    let empty =
        World::new(Box::new(|_, _| Some(live_text(0, 0, 2.0, "#EXT-X-ENDLIST")))).play(Preset::HlsJs, 60.0);
    assert_eq!(empty.kinds(), [EventKind::PlaybackFailed { reason: PlaybackFailure::NothingToPlay }]);
}

#[test]
fn a_response_that_never_comes_is_given_up() {
    let run =
        World::new(live(30, 33)).fault("/35.ts", 0.0..14.0, Effect::Late(1000.0)).play(Preset::HlsJs, 60.0);
    let times: Vec<f64> =
        run.segments().iter().filter(|segment| segment.1 == 35).map(|segment| segment.0).collect();
    assert!(times.len() == 2 && near(times[1] - times[0], 10.0, 0.2), "{times:?}");
    assert!(run.player.figures().stall_count() == 1, "{:?}", run.stalls());
}
