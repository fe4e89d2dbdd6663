//! Playback without failures: start, buffer, reloads, adaptation.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_player::cmcd::{CmcdSession, CmcdVersion};
use hls_swarm_player::interface::{PlaybackFailure, StallReason};
use hls_swarm_player::{Algorithm, Config, EventKind, Fetch, Input, Output, Player, Preset, State, Variants};
use url::Url;

use super::world::{Effect, Lists, World, ladder, live, live_text, near};

fn config(variants: Variants) -> Config {
    let url = Url::parse("http://host/main.m3u8").unwrap();
    Config { variants, ..Config::new(url, Preset::HlsJs) }
}

fn vod(count: u64) -> Lists {
    Box::new(move |_, _| Some(live_text(count, count, 2.0, "#EXT-X-ENDLIST")))
}

#[test]
fn a_live_stream_plays_without_a_stall() {
    for preset in Preset::ALL {
        let run = World::new(live(6, 13)).play(preset, 60.0);
        assert_eq!(run.segments()[0].1, 10, "{preset}: three target durations behind the end");
        assert_eq!(run.stalls(), [], "{preset}");
        let figures = run.player.figures();
        let startup = figures.startup.unwrap().as_secs_f64();
        // A playlist and one segment: 20 ms twice, and 50 ms for 500 KB.
        assert!(near(startup, 0.09, 0.01), "{preset}: {startup}");
        assert!(near(figures.played.as_secs_f64() + startup, 60.0, 1.1), "{preset}: {figures:?}");
        let numbers: Vec<_> = run.segments().iter().map(|(_, sequence, _)| *sequence).collect();
        assert!(numbers.iter().copied().eq(10..10 + numbers.len() as u64), "each one once: {numbers:?}");
        assert!((32..=34).contains(&numbers.len()), "{}", numbers.len());
        assert!(run.ids().windows(2).all(|pair| pair[0] < pair[1]), "no id is used twice");
    }
}

#[test]
fn playlists_are_reloaded_as_rfc_8216bis_says() {
    // New segments at 2 s, 4 s, and so on; the first load is at 0 s. Seen of hls.js: 0.12, 2.11, 3.11, 5.10, 7.10 ...
    let run = World::new(live(6, 13)).play(Preset::HlsJs, 30.0);
    let reloads = run.reloads();
    let waits: Vec<_> = reloads.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.iter().all(|wait| near(*wait, 2.0, 0.01) || near(*wait, 1.0, 0.01)), "{waits:?}");
    assert_eq!(reloads.len(), 15, "once per target duration in the long run: {reloads:?}");
    // A playlist that has not changed is reloaded every half target duration.
    let still = World::new(Box::new(|_, _| Some(live_text(13, 6, 2.0, "")))).play(Preset::HlsJs, 30.0);
    assert!((28..=30).contains(&still.reloads().len()), "{:?}", still.reloads());
}

#[test]
fn the_latency_is_the_distance_from_the_edge() {
    let mut lists = live(6, 13);
    let dated: Lists = Box::new(move |path, at| {
        // The encoder writes a segment's date when it begins: the end of the playlist is the present.
        let first = 7 + (at / 2.0) as u64;
        let date = format!(
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:{:02}:{:02}Z\n#EXTINF",
            first * 2 / 60,
            first * 2 % 60
        );
        lists(path, at).map(|text| text.replacen("#EXTINF", &date, 1))
    });
    let run = World::new(dated).play(Preset::HlsJs, 30.0);
    let (snapshot, _) = run.snapshots[20];
    // It began 6 s behind the end of what was listed.
    let by_edge = snapshot.latency_by_edge.unwrap().as_secs_f64();
    assert!(near(by_edge, 6.09, 1.1), "{by_edge}");
    let present = "2026-01-01T00:00:46Z".parse().unwrap();
    let by_date = snapshot.latency_by_date(present).unwrap().as_secs_f64();
    assert!(near(by_date, 6.09, 1.1), "{by_date}");
    let none = World::new(live(6, 13)).play(Preset::HlsJs, 5.0).player.snapshot();
    assert_eq!((none.date, none.state), (None, Some(State::Playing)));
}

#[test]
fn a_stream_that_has_ended_is_loaded_up_to_the_goal_and_played_to_its_end() {
    for (preset, ahead) in [(Preset::Simple, 30.0), (Preset::Shaka, 10.0), (Preset::ExoPlayer, 50.0)] {
        let run = World::new(vod(40)).play(preset, 200.0);
        assert_eq!(run.segments()[0].1, 0);
        assert_eq!(run.reloads().len(), 1, "{preset}: it is not reloaded");
        let (snapshot, _) = &run.snapshots[20];
        assert!(near(snapshot.buffer.as_secs_f64(), ahead, 2.1), "{preset}: {:?}", snapshot.buffer);
        assert_eq!(run.kinds().last(), Some(&EventKind::Ended));
        let figures = run.player.figures();
        assert!(near(figures.played.as_secs_f64(), 80.0, 0.001), "{figures:?}");
        assert!(near(
            run.events.last().unwrap().at.as_secs_f64(),
            80.0 + figures.startup.unwrap().as_secs_f64(),
            0.001
        ));
        assert_eq!(run.stalls(), []);
        assert!(run.player.is_finished());
    }
    // hls.js fills 60 MB: at 5 Mb/s, 96 s.
    let run = World::new(ladder(&[5_000_000], vod(100))).play(Preset::HlsJs, 100.0);
    assert!(near(run.snapshots[40].0.buffer.as_secs_f64(), 96.0, 2.1), "{:?}", run.snapshots[40].0);
}

#[test]
fn hlsjs_goes_down_under_a_cap_without_a_stall_and_up_after_it() {
    let mut world = World::new(ladder(&[500_000, 1_100_000, 2_400_000], live(6, 13)));
    world.bytes = Box::new(|path| match path.get(..3) {
        Some("/v0") => 108_000,
        Some("/v1") => 250_000,
        _ => 530_000,
    });
    world.line = vec![(0.0, 80e6), (8.0, 0.9e6), (32.0, 80e6)];
    let run = world.play(Preset::HlsJs, 90.0);
    let switches = run.switches();
    // Listed first is the lowest one, whose BANDWIDTH is no more than the default estimate; then the line shows.
    assert_eq!(run.segments()[0].2, 0);
    assert_eq!(run.stalls(), [], "{switches:?}");
    let down: Vec<_> = switches.iter().filter(|(at, _)| (8.0..14.0).contains(at)).collect();
    assert_eq!(down.last().map(|(_, to)| *to), Some(0), "{switches:?}");
    assert!(switches.iter().any(|(at, to)| *at > 32.0 && *to > 0), "{switches:?}");
    assert!(run.player.figures().abandoned >= 1);
    let bitrate = run.player.figures().bitrate_played().unwrap();
    assert!((500_000.0..2_400_000.0).contains(&bitrate), "{bitrate}");
}

#[test]
fn every_algorithm_follows_the_line() {
    for algorithm in Algorithm::ALL {
        let mut world = World::new(ladder(&[400_000, 1_200_000, 4_000_000], vod(250)));
        world.bytes = Box::new(|path| match path.get(..3) {
            Some("/v0") => 100_000,
            Some("/v1") => 300_000,
            _ => 1_000_000,
        });
        world.line = vec![(0.0, 20e6), (60.0, 0.6e6), (180.0, 20e6)];
        let mut config = config(Variants::Adaptive(algorithm));
        config.preset = Preset::Simple;
        let run = world.run(config, 490.0);
        let at = |second: usize| run.snapshots[second].0.variant;
        assert_eq!((at(50), at(150), at(480)), (2, 0, 2), "{algorithm}: {:?}", run.switches());
        let figures = run.player.figures();
        assert!(figures.switches_up >= 1 && figures.switches_down >= 1);
    }
}

#[test]
fn a_timer_that_fires_too_early_is_set_again() {
    let config = Config::new(Url::parse("http://host/main.m3u8").unwrap(), Preset::HlsJs);
    let mut player = Player::new(Arc::new(config), 1);
    let mut outputs = Vec::new();
    player.step(Duration::ZERO, Input::Start, &mut outputs);
    let wake = |outputs: &mut Vec<Output>| {
        outputs.drain(..).find_map(|output| match output {
            Output::WakeAt(at) => Some(at),
            _ => None,
        })
    };
    let first = wake(&mut outputs);
    assert!(first.is_some());
    player.step(Duration::from_secs(1), Input::Timer, &mut outputs);
    assert_eq!(wake(&mut outputs), first);
}

#[test]
fn a_fixed_variant_is_kept() {
    for (selection, variant) in [
        (VariantSelection::Highest, 2),
        (VariantSelection::Lowest, 0),
        (VariantSelection::First, 0),
        (VariantSelection::Height(10), 1),
        // The seed is 7.
        (VariantSelection::Each, 1),
    ] {
        let world = World::new(ladder(&[400_000, 1_200_000, 4_000_000], live(6, 13)));
        let run = world.run(config(Variants::Fixed(selection)), 20.0);
        assert!(run.segments().iter().all(|segment| segment.2 == variant), "{selection}");
        assert_eq!((run.switches(), run.stalls()), (vec![], vec![]));
    }
    let world = World::new(ladder(&[400_000], live(6, 13)));
    let run = world.run(config(Variants::Fixed(VariantSelection::Height(4711))), 20.0);
    let reason = PlaybackFailure::NoMatchingVariant;
    assert_eq!(run.kinds(), [EventKind::PlaybackFailed { reason }]);
}

#[test]
fn all_variants_are_downloaded_without_playback() {
    let world = World::new(ladder(&[400_000, 1_200_000], vod(20)));
    let run = world.run(config(Variants::Fixed(VariantSelection::All)), 100.0);
    for variant in [0, 1] {
        assert_eq!(run.segments().iter().filter(|segment| segment.2 == variant).count(), 20);
    }
    assert_eq!(run.kinds(), [EventKind::Ended]);
    let figures = run.player.figures();
    assert_eq!((figures.startup, run.player.snapshot().state), (None, None));
    // At the pace of playback, not as fast as possible.
    assert!(run.segments().last().unwrap().0 > 7.0 && run.events[0].at.as_secs_f64() > 39.0);
}

#[test]
fn a_stall_while_the_engine_was_late_is_not_the_streams() {
    let mut world = World::new(live(6, 13));
    world.lateness = (9.0, 20.0..24.0);
    let run = world.play(Preset::HlsJs, 60.0);
    let stalls = run.stalls();
    assert!(
        !stalls.is_empty() && stalls.iter().all(|stall| stall.2 == StallReason::OwnLateness),
        "{stalls:?}"
    );
    let figures = run.player.figures();
    assert!(figures.stalled.is_zero() && figures.stalled_own.as_secs_f64() > 1.0, "{figures:?}");
    assert_eq!(figures.stall_count(), 0);
    // What the engine reports of lateness that the player sees as well does not count twice.
    let mut world = World::new(live(6, 13)).fault("/20.ts", 0.0..100.0, Effect::Late(6.0));
    world.lateness = (2.0, 16.0..24.0);
    world.reports_lateness = true;
    let run = world.play(Preset::HlsJs, 60.0);
    assert_eq!(run.stalls()[0].2, StallReason::SlowBody, "{:?}", run.stalls());
    // The same from a slow server is the stream's.
    let run = World::new(live(6, 13)).fault(".ts", 20.0..24.0, Effect::Late(9.0)).play(Preset::HlsJs, 60.0);
    assert_eq!(run.stalls()[0].2, StallReason::SlowBody);
    assert!(run.player.figures().stalled_own.is_zero());
}

#[test]
fn requests_are_described_as_hlsjs_does_it() {
    let mut world = World::new(ladder(&[500_000, 2_400_000], live(6, 13)));
    world.bytes = Box::new(|path| if path.starts_with("/v0") { 125_000 } else { 600_000 });
    world = world.fault("/14.ts", 0.0..60.0, Effect::Late(9.0));
    let run = world.run(
        Config { cmcd: Some(CmcdVersion::V1), ..config(Variants::Fixed(VariantSelection::Lowest)) },
        40.0,
    );
    let session = CmcdSession { session: "s".into(), ..CmcdSession::default() };
    let described = |what: &str| -> Vec<String> {
        let fetches =
            run.requests.iter().map(|(_, fetch)| fetch).filter(|fetch| fetch.url.path().ends_with(what));
        let data = |fetch: &Fetch| fetch.cmcd.as_ref().unwrap().in_query(&session, &fetch.url);
        fetches.map(|fetch| data(fetch).query_pairs().next().unwrap().1.into_owned()).collect()
    };
    assert_eq!(described("main.m3u8"), ["mtp=500,ot=m,sf=h,sid=\"s\",su"]);
    // The first segment is needed at once, and there is no buffer yet.
    let first = &described("/10.ts")[0];
    assert_eq!(first, "br=500,d=2000,mtp=500,nor=\"11.ts\",ot=av,sf=h,sid=\"s\",su,tb=500");
    // The last one that is listed has no successor, and playback needs it later.
    let later = &described("/12.ts")[0];
    assert!(later.starts_with("bl=") && !later.contains("nor=") && !later.contains(",su"), "{later}");
    assert_eq!(run.stalls().len(), 1);
    assert!(described("/15.ts")[0].contains(",bs,"), "{:?}", described("/15.ts"));
    assert!(!described("/16.ts")[0].contains(",bs,"));
    let last = described(".m3u8").pop().unwrap();
    assert!(!last.contains("su"), "{last}");
    let plain = World::new(live(6, 13)).play(Preset::HlsJs, 10.0);
    assert!(plain.requests.iter().all(|(_, fetch)| fetch.cmcd.is_none()));
}

#[test]
fn requests_of_version_2_come_with_the_keys_of_the_preset() {
    let play = |preset| {
        let world = World::new(ladder(&[500_000, 2_400_000], live(6, 13)));
        let url = Url::parse("http://host/main.m3u8").unwrap();
        let config = Config { cmcd: Some(CmcdVersion::V2), ..Config::new(url, preset) };
        let run = world.fault("/14.ts", 0.0..60.0, Effect::Late(9.0)).run(config, 40.0);
        let session = CmcdSession { session: "s".into(), version: CmcdVersion::V2, ..CmcdSession::default() };
        let data = |fetch: &Fetch| {
            let with = fetch.cmcd.as_ref().unwrap().in_query(&session, &fetch.url);
            (fetch.url.path().to_owned(), with.query_pairs().next().unwrap().1.into_owned())
        };
        run.requests.iter().map(|(_, fetch)| data(fetch)).collect::<Vec<_>>()
    };
    let hlsjs = play(Preset::HlsJs);
    assert_eq!(hlsjs[0].1, "mtp=(500),ot=m,sf=h,sid=\"s\",sn=0,sta=s,su,v=2");
    let of = |all: &[(String, String)], name: &str| {
        let found = all.iter().filter(|(path, _)| path.ends_with(name)).map(|(_, data)| data.clone());
        found.collect::<Vec<_>>()
    };
    let first = of(&hlsjs, "/10.ts");
    let expected = "bl=(0),br=(500),d=2000,dl=0,lb=(500),mtp=(500),nor=(\"11.ts\"),ot=av,rtp=2500,sf=h,sid=\"s\",sn=2,\
                    st=l,sta=s,su,tb=(2400),tpb=(2400),v=2";
    assert_eq!(first, [expected]);
    // After the stall, and only hls.js leaves the details out.
    assert!(of(&hlsjs, "/15.ts")[0].contains(",bs,") && hlsjs.iter().all(|(_, data)| !data.contains("bsa=")));
    let simple = play(Preset::Simple);
    for all in [&hlsjs, &simple] {
        for (number, (_, data)) in all.iter().enumerate() {
            assert!(data.contains(&format!(",sn={number},")), "{number}: {data}");
        }
    }
    assert_eq!(simple.iter().filter(|(_, data)| data.contains("msd=")).count(), 1, "once per session");
    let before = &of(&simple, "/13.ts")[0];
    assert!(before.contains("bsa=(0),bsda=(0)") && before.contains("tbl=(30000;av)"), "{before}");
    let after = &of(&simple, "/15.ts")[0];
    assert!(after.contains(",bs,bsa=(1),bsd=(") && after.contains("ltc="), "{after}");
    assert!(of(&simple, "/16.ts")[0].contains("bsa=(1),bsda=("), "{:?}", of(&simple, "/16.ts"));
    let starved: Vec<&str> =
        simple.iter().filter(|(_, data)| data.contains("sta=r")).map(|(path, _)| path.as_str()).collect();
    assert!(!starved.is_empty() && starved.iter().all(|path| path.ends_with(".m3u8")), "{starved:?}");
}
