//! Kinds of streams: keys, initialization sections, byte ranges, gaps, discontinuities, separate renditions.

use hls_swarm_player::interface::{FetchFailure, PlaybackFailure, Role, SkipCause, StallReason};
use hls_swarm_player::{Config, EventKind, Preset, State};
use url::Url;

use super::world::{Effect, Lists, World, live, live_text, near};

/// A stream that has ended, of which `line` comes before the segment with this number.
fn vod(count: u64, line: impl Fn(u64) -> String) -> Lists {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for sequence in 0..count {
        text += &format!("{}#EXTINF:2,\n{sequence}.mp4\n", line(sequence));
    }
    text += "#EXT-X-ENDLIST";
    Box::new(move |_, _| Some(text.clone()))
}

#[test]
fn keys_and_initialization_sections_are_loaded_once() {
    let lists = vod(6, |sequence| match sequence {
        0 => "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n".to_owned(),
        3 => "#EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"10@5\"\n"
            .to_owned(),
        5 => "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\",IV=0x1\n#EXT-X-MAP:URI=\"init.mp4\"\n".to_owned(),
        _ => String::new(),
    });
    let run = World::new(lists).play(Preset::HlsJs, 60.0);
    let paths = run.paths();
    assert_eq!(
        paths,
        [
            "/main.m3u8",
            "/k1",
            "/init.mp4",
            "/0.mp4",
            "/1.mp4",
            "/2.mp4",
            "/k2",
            "/init.mp4",
            "/3.mp4",
            "/4.mp4",
            "/5.mp4"
        ]
    );
    assert_eq!(run.requests[7].1.byte_range.map(|range| (range.offset, range.length)), Some((5, 10)));
    assert!(run.requests[3].1.segment.as_ref().unwrap().key.is_some());
    assert!(near(run.player.figures().played.as_secs_f64(), 12.0, 1e-6));
}

#[test]
fn without_a_key_there_is_no_playback() {
    let key = |_| "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n".to_owned();
    let gone = Effect::Fails(FetchFailure::Status(404));
    let run = World::new(vod(6, key)).fault("/k1", 0.0..100.0, gone).play(Preset::HlsJs, 60.0);
    assert_eq!(run.kinds(), [EventKind::PlaybackFailed { reason: PlaybackFailure::Key }]);
    assert!(!run.paths().contains(&"/0.mp4"));
}

#[test]
fn byte_ranges_are_requested_as_ranges() {
    let lists: Lists = Box::new(|_, _| {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-BYTERANGE:1000@0\n#EXTINF:2,\nall.ts\n\
                    #EXT-X-BYTERANGE:500\n#EXTINF:2,\nall.ts\n#EXT-X-ENDLIST";
        Some(text.to_owned())
    });
    let run = World::new(lists).play(Preset::HlsJs, 60.0);
    let ranges: Vec<_> = run
        .requests
        .iter()
        .filter_map(|(_, fetch)| fetch.byte_range)
        .map(|range| (range.offset, range.length))
        .collect();
    assert_eq!(ranges, [(0, 1000), (1000, 500)]);
}

#[test]
fn a_gap_is_neither_requested_nor_played() {
    let lists = vod(6, |sequence| if sequence == 2 { "#EXT-X-GAP\n".to_owned() } else { String::new() });
    let run = World::new(lists).play(Preset::HlsJs, 60.0);
    assert!(!run.paths().contains(&"/2.mp4"));
    let gap = EventKind::Skipped { media: std::time::Duration::from_secs(2), cause: SkipCause::Gap };
    assert!(run.kinds().contains(&gap));
    let figures = run.player.figures();
    assert!(near(figures.played.as_secs_f64(), 10.0, 1e-6) && near(figures.skipped.as_secs_f64(), 2.0, 1e-6));
    assert_eq!(run.stalls(), []);
    // Nothing but gaps is nothing to play.
    let none = World::new(vod(3, |_| "#EXT-X-GAP\n".to_owned())).play(Preset::HlsJs, 60.0);
    let reason = PlaybackFailure::NothingToPlay;
    assert_eq!(none.kinds().last(), Some(&EventKind::PlaybackFailed { reason }));
}

#[test]
fn a_discontinuity_is_played_over() {
    let lists =
        vod(6, |sequence| if sequence == 3 { "#EXT-X-DISCONTINUITY\n".to_owned() } else { String::new() });
    let run = World::new(lists).play(Preset::HlsJs, 60.0);
    let marked: Vec<_> = run
        .requests
        .iter()
        .filter_map(|(_, fetch)| fetch.segment.as_ref())
        .map(|segment| segment.discontinuity)
        .collect();
    assert_eq!(marked, [false, false, false, true, false, false]);
    assert!(near(run.player.figures().played.as_secs_f64(), 12.0, 1e-6));
}

/// A live stream with separate audio and subtitles.
fn renditions() -> Lists {
    let mut video = live(6, 13);
    Box::new(move |path, at| {
        match path {
        "/main.m3u8" => Some(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"/audio/list.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"y\",DEFAULT=YES,URI=\"/text/list.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=900000,AUDIO=\"a\",SUBTITLES=\"s\"\n/video/list.m3u8\n"
                .to_owned(),
        ),
        // Its segments have other durations and numbers.
        "/audio/list.m3u8" => Some(live_text(1000 + ((at + 26.0) / 2.5) as u64, 8, 2.5, "")),
        _ => video(path, at),
    }
    })
}

fn with_subtitles() -> Config {
    let url = Url::parse("http://host/main.m3u8").unwrap();
    Config { subtitles: true, ..Config::new(url, Preset::HlsJs) }
}

#[test]
fn video_and_separate_audio_are_both_needed() {
    let run = World::new(renditions()).run(with_subtitles(), 60.0);
    assert_eq!(run.stalls(), []);
    for role in [Role::Main, Role::Audio, Role::Subtitles] {
        let count =
            run.requests.iter().filter(|(_, fetch)| fetch.role == role && fetch.segment.is_some()).count();
        assert!((24..36).contains(&count), "{role:?}: {count}");
    }
    // Without audio, playback does not begin; with late audio, it stalls.
    let gone = Effect::Fails(FetchFailure::Status(503));
    let run = World::new(renditions()).fault("/audio/1", 0.0..100.0, gone).run(with_subtitles(), 10.0);
    assert_eq!(run.player.snapshot().state, Some(State::Starting));
    let run = World::new(renditions())
        .fault("/audio/10", 20.0..22.5, Effect::Late(7.0))
        .run(with_subtitles(), 60.0);
    let reasons: Vec<_> = run.stalls().iter().map(|stall| stall.2).collect();
    assert_eq!(reasons, [StallReason::SlowBody]);
}

#[test]
fn playback_does_not_wait_for_subtitles() {
    let run =
        World::new(renditions()).fault("/text/", 0.0..100.0, Effect::Late(9.0)).run(with_subtitles(), 60.0);
    assert_eq!(run.stalls(), []);
    assert!(near(run.player.figures().startup.unwrap().as_secs_f64(), 0.12, 0.02));
}

#[test]
fn a_long_run_of_gaps_is_passed_although_one_step_passes_only_a_part_of_it() {
    let gap = |sequence| if sequence < 2500 { "#EXT-X-GAP\n".to_owned() } else { String::new() };
    let run = World::new(vod(2503, gap)).play(Preset::Simple, 60.0);
    assert_eq!(run.paths(), ["/main.m3u8", "/2500.mp4", "/2501.mp4", "/2502.mp4"]);
    assert!(near(run.player.figures().played.as_secs_f64(), 6.0, 1e-6));
}

#[test]
fn a_stream_ends_at_the_largest_media_sequence_number() {
    let first = u64::MAX - 2;
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for sequence in 0..3 {
        text += &format!("#EXT-X-GAP\n#EXTINF:2,\n{sequence}.mp4\n");
    }
    text += "#EXT-X-ENDLIST";
    let run = World::new(Box::new(move |_, _| Some(text.clone()))).play(Preset::Simple, 60.0);
    assert_eq!(run.paths(), ["/main.m3u8"]);
    assert_eq!(run.player.figures().skipped.as_secs_f64(), 0.0, "nothing before the first frame is skipped");
    assert!(run.player.is_finished(), "{:?}", run.kinds());
}
