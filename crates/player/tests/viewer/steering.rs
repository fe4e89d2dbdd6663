//! Pathways: content steering (RFC 8216bis, 7), redundant variants, and keys that are loaded in advance.

use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_player::interface::{FetchFailure, PathwayCause, RequestKind, Role};
use hls_swarm_player::{Config, EventKind, Preset, Variants};
use url::Url;

use super::world::{Effect, Lists, RETRY_AFTER, Run, World, live_text, near};

const BANDWIDTHS: [u64; 2] = [400_000, 1_200_000];

/// A live stream of two variants and separate audio on the hosts `a` and `b`, whose steering server answers with
/// `manifest`.
fn steered(manifest: impl FnMut(f64) -> Option<String> + 'static) -> Lists {
    stream("#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?s=1\",PATHWAY-ID=\"b\"\n", true, manifest)
}

/// The same without a steering server, and without names of pathways.
fn redundant() -> Lists {
    stream("", false, |_| None)
}

fn stream(head: &str, named: bool, mut manifest: impl FnMut(f64) -> Option<String> + 'static) -> Lists {
    let mut main = format!("#EXTM3U\n{head}");
    for host in ["a", "b"] {
        let pathway = if named { format!(",PATHWAY-ID=\"{host}\"") } else { String::new() };
        main += &format!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"{host}\",NAME=\"x\",DEFAULT=YES,URI=\"http://{host}/{host}/audio.m3u8\"\n"
        );
        for (place, bandwidth) in BANDWIDTHS.iter().enumerate() {
            main += &format!(
                "#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},AUDIO=\"{host}\"{pathway}\nhttp://{host}/{host}/v{place}.m3u8\n"
            );
        }
    }
    Box::new(move |path, at| {
        if path == "/main.m3u8" {
            return Some(main.clone());
        }
        if path.starts_with("/steer") || path.starts_with("/other") {
            return manifest(at);
        }
        Some(live_text(13 + (at / 2.0) as u64, 10, 2.0, ""))
    })
}

fn manifest(ttl: f64, priority: &[&str], more: &str) -> Option<String> {
    Some(format!("{{\"VERSION\":1,\"TTL\":{ttl},\"PATHWAY-PRIORITY\":{priority:?}{more}}}"))
}

/// When the steering manifest was requested, and with which query.
fn asked(run: &Run) -> Vec<(f64, String)> {
    let steering = run.requests.iter().filter(|(_, fetch)| fetch.kind == RequestKind::Steering);
    steering.map(|(at, fetch)| (*at, fetch.url.query().unwrap_or_default().to_owned())).collect()
}

/// When another pathway was gone to, and why.
fn moves(run: &Run) -> Vec<(f64, PathwayCause)> {
    let moved = |event: &hls_swarm_player::Event| match event.kind {
        EventKind::PathwaySwitched { cause, .. } => Some((event.at.as_secs_f64(), cause)),
        _ => None,
    };
    run.events.iter().filter_map(moved).collect()
}

/// The hosts of media and media playlists, requested between two times.
fn hosts(run: &Run, from: f64, until: f64) -> Vec<String> {
    let media = run.requests.iter().filter(|(at, fetch)| {
        (from..until).contains(at) && !matches!(fetch.kind, RequestKind::Multivariant | RequestKind::Steering)
    });
    let mut hosts: Vec<String> =
        media.map(|(_, fetch)| fetch.url.host_str().unwrap_or_default().to_owned()).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

#[test]
fn the_steering_manifest_is_asked_for_after_the_start_and_whenever_its_ttl_has_passed() {
    let run = World::new(steered(|_| manifest(10.0, &["b", "a"], ""))).play(Preset::HlsJs, 35.0);
    let asked = asked(&run);
    let times: Vec<f64> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 4, "{times:?}");
    for (at, expected) in times.iter().zip([0.02, 10.04, 20.06, 30.08]) {
        assert!(near(*at, expected, 0.01), "{times:?}");
    }
    assert_eq!(asked[0].1, "s=1&_HLS_pathway=b&_HLS_throughput=500000");
    let measured = asked[1].1.strip_prefix("s=1&_HLS_pathway=b&_HLS_throughput=").unwrap();
    let bits: f64 = measured.parse().unwrap();
    assert!(near(bits, 80e6, 8e6), "the throughput of the line: {bits}");
    assert_eq!((hosts(&run, 0.0, 35.0), moves(&run)), (vec!["b".to_owned()], vec![]));
    assert_eq!(run.player.figures().pathway_switches, 0);
}

#[test]
fn a_changed_priority_is_followed_at_the_next_segment() {
    let lists =
        steered(|at| manifest(10.0, if (10.0..20.0).contains(&at) { &["a", "b"] } else { &["b", "a"] }, ""));
    // By chance, the audio of no segment is shorter than its video, so that none is loaded again after a switch.
    let run = World { seed: 175, ..World::new(lists) }.play(Preset::HlsJs, 40.0);
    let moved = moves(&run);
    let [first, second] = moved[..] else { panic!("{moved:?}") };
    assert_eq!((first.1, second.1), (PathwayCause::Steering, PathwayCause::Steering));
    assert!(near(first.0, 10.06, 0.1) && near(second.0, 20.08, 0.1), "{moved:?}");
    assert_eq!(hosts(&run, 0.0, first.0 - 0.01), ["b"]);
    assert_eq!(hosts(&run, first.0 + 0.01, second.0 - 0.01), ["a"], "audio and video");
    assert_eq!(hosts(&run, second.0 + 0.01, 40.0), ["b"]);
    // No video is loaded twice or left out. Audio that is under way is dropped, as hls.js does.
    let video = run.requests.iter().filter(|(_, fetch)| fetch.role == Role::Main);
    let video: Vec<u64> = video.filter_map(|(_, fetch)| Some(fetch.segment.as_ref()?.sequence)).collect();
    assert!(video.iter().copied().eq(video[0]..video[0] + video.len() as u64), "{video:?}");
    let figures = run.player.figures();
    assert_eq!((figures.pathway_switches, run.stalls()), (2, vec![]));
    assert!(asked(&run)[1..].iter().map(|(_, query)| query.split('&').nth(1).unwrap()).eq([
        "_HLS_pathway=b",
        "_HLS_pathway=a",
        "_HLS_pathway=b"
    ]));
}

#[test]
fn a_pathway_that_fails_is_left_for_its_penalty() {
    for (preset, penalty) in [(Preset::HlsJs, 300.0), (Preset::Simple, 60.0), (Preset::Shaka, 60.0)] {
        // The steering server prefers the failing host throughout.
        let gone = Effect::Fails(FetchFailure::Status(404));
        let run = World::new(steered(|_| manifest(10.0, &["b", "a"], "")))
            .fault("/b/", 20.0..40.0, gone)
            .play(preset, 400.0);
        let moved = moves(&run);
        let [away, back] = moved[..] else { panic!("{preset}: {moved:?}") };
        assert_eq!((away.1, back.1), (PathwayCause::Failure, PathwayCause::Steering), "{preset}");
        assert!((20.0..30.0).contains(&away.0), "{preset}: {moved:?}");
        // It returns with the first manifest that comes after the penalty.
        assert!((0.0..10.5).contains(&(back.0 - away.0 - penalty)), "{preset}: {moved:?}");
        assert_eq!(hosts(&run, away.0 + 0.01, back.0 - 0.01), ["a"], "{preset}");
        assert_eq!(run.player.figures().pathway_switches, 2, "{preset}");
    }
}

#[test]
fn redundant_variants_are_a_pathway_to_fall_back_to() {
    let gone = Effect::Fails(FetchFailure::Status(503));
    let run = World::new(redundant()).fault("/a/", 20.0..60.0, gone).play(Preset::HlsJs, 90.0);
    let moved = moves(&run);
    let [(at, PathwayCause::Failure)] = moved[..] else { panic!("{moved:?}") };
    assert_eq!(hosts(&run, 0.0, 20.0), ["a"]);
    assert_eq!(hosts(&run, at + 0.01, 90.0), ["b"]);
    assert_eq!(asked(&run), []);
    // ExoPlayer chooses among all variants, and knows no pathways.
    let run = World::new(redundant()).fault("/a/v", 20.0..60.0, gone).play(Preset::ExoPlayer, 90.0);
    assert_eq!((moves(&run), run.player.figures().pathway_switches), (vec![], 0));
}

#[test]
fn separate_audio_that_fails_changes_the_pathway() {
    let gone = Effect::Fails(FetchFailure::Status(404));
    let run = World::new(redundant()).fault("/a/audio", 20.0..90.0, gone).play(Preset::HlsJs, 60.0);
    let moved = moves(&run);
    let [(at, PathwayCause::Failure)] = moved[..] else { panic!("{moved:?}") };
    assert!((20.0..23.0).contains(&at) && run.stalls().is_empty(), "{moved:?} {:?}", run.stalls());
    assert_eq!(hosts(&run, at + 0.01, 60.0), ["b"]);
}

#[test]
fn the_same_variant_of_another_pathway_is_played_where_the_variant_is_fixed() {
    let gone = Effect::Fails(FetchFailure::Status(404));
    let variants = Variants::Fixed(VariantSelection::Lowest);
    let config =
        Config { variants, ..Config::new(Url::parse("http://host/main.m3u8").unwrap(), Preset::HlsJs) };
    let run = World::new(redundant()).fault("/a/", 20.0..60.0, gone).run(config, 60.0);
    assert_eq!(moves(&run).len(), 1);
    let video: Vec<&str> = run.paths().into_iter().filter(|path| path.contains("/v")).collect();
    assert!(video.iter().all(|path| path.ends_with("/v0.m3u8")), "{video:?}");
    // Viewers of `each` have variants of their own, and stay with them.
    let variants = Variants::Fixed(VariantSelection::Each);
    let config =
        Config { variants, ..Config::new(Url::parse("http://host/main.m3u8").unwrap(), Preset::HlsJs) };
    let run = World::new(steered(|_| manifest(10.0, &["a"], ""))).run(config, 30.0);
    assert_eq!((asked(&run).len(), moves(&run).len()), (0, 0));
}

#[test]
fn a_cloned_pathway_has_the_addresses_that_the_manifest_says() {
    let clone = ",\"RELOAD-URI\":\"/other?t=2\",\"PATHWAY-CLONES\":[{\"BASE-ID\":\"a\",\"ID\":\"c\",\
                 \"URI-REPLACEMENT\":{\"HOST\":\"c\",\"PARAMS\":{\"token\":\"1\"}}}]";
    let run = World::new(steered(move |_| manifest(10.0, &["c", "b"], clone))).play(Preset::HlsJs, 25.0);
    assert_eq!(moves(&run).len(), 1);
    let after: Vec<_> = run
        .requests
        .iter()
        .filter(|(at, fetch)| *at > 1.0 && fetch.kind == RequestKind::MediaPlaylist)
        .collect();
    assert!(
        after
            .iter()
            .all(|(_, fetch)| fetch.url.host_str() == Some("c") && fetch.url.query() == Some("token=1"))
    );
    let queries: Vec<String> = asked(&run).into_iter().map(|(_, query)| query).collect();
    assert!(queries[1].starts_with("t=2&_HLS_pathway=c&") && queries.len() == 3, "{queries:?}");
    let Some(hls_swarm_hls::playlist::Playlist::Multivariant(list)) =
        run.player.multivariant().map(|list| &**list)
    else {
        panic!("a multivariant playlist")
    };
    assert_eq!(list.variants.len(), 6, "the clone is added once");
}

#[test]
fn a_steering_server_that_refuses_is_asked_again_as_the_player_does() {
    let times = |preset, status: u16| {
        let refused = Effect::Fails(FetchFailure::Status(status));
        let world = World::new(steered(|_| manifest(20.0, &["b"], ""))).fault("/steer", 15.0..22.0, refused);
        asked(&world.play(preset, 60.0)).iter().map(|(at, _)| at.round() as u64).collect::<Vec<_>>()
    };
    // The first answer comes at 0 s, and the refusal at 20 s.
    assert_eq!(times(Preset::HlsJs, 410), [0, 20]);
    assert_eq!(times(Preset::HlsJs, 429), [0, 20]);
    assert_eq!(times(Preset::HlsJs, 503), [0, 20, 21, 41], "one repetition, and then the TTL");
    assert_eq!(times(Preset::Simple, 410), [0, 20]);
    let after = 20 + RETRY_AFTER.as_secs();
    assert_eq!(times(Preset::Simple, 429), [0, 20, after, after + 20]);
    assert_eq!(times(Preset::ExoPlayer, 200), [0; 0], "it does not know content steering");
}

#[test]
fn shaka_waits_for_the_steering_manifest_before_it_plays() {
    let run = World::new(steered(|_| manifest(30.0, &["a", "b"], "")))
        .fault("/steer", 0.0..1.0, Effect::Late(2.0))
        .play(Preset::Shaka, 20.0);
    assert_eq!(asked(&run)[0].1, "s=1", "nothing is known yet");
    assert_eq!((hosts(&run, 0.0, 2.0).len(), hosts(&run, 2.0, 20.0)), (0, vec!["a".to_owned()]));
    assert_eq!((moves(&run), run.player.figures().pathway_switches), (vec![], 0), "it began there");
    // Without an answer, it begins with the pathway of the playlist.
    let gone = Effect::Fails(FetchFailure::Status(503));
    let run = World::new(steered(|_| None)).fault("/steer", 0.0..100.0, gone).play(Preset::Shaka, 20.0);
    assert_eq!(hosts(&run, 0.0, 20.0), ["b"]);
}

#[test]
fn keys_of_the_multivariant_playlist_are_loaded_once_and_in_advance() {
    let lists = || -> Lists {
        Box::new(|path, at| {
            if path == "/main.m3u8" {
                let key = |name: &str| format!("#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"/{name}\"\n");
                return Some(format!(
                    "#EXTM3U\n{}{}{}#EXT-X-STREAM-INF:BANDWIDTH=1\n/v0.m3u8\n",
                    key("k1"),
                    key("k2"),
                    key("k1")
                ));
            }
            let key = "#EXT-X-KEY:METHOD=AES-128,URI=\"/k1\"\n#EXTINF";
            Some(live_text(13 + (at / 2.0) as u64, 6, 2.0, "").replacen("#EXTINF", key, 1))
        })
    };
    let keys = |run: &Run| -> Vec<String> {
        let keys = run.requests.iter().filter(|(_, fetch)| fetch.kind == RequestKind::Key);
        keys.map(|(_, fetch)| fetch.url.path().to_owned()).collect()
    };
    let run = World::new(lists()).play(Preset::Simple, 20.0);
    assert_eq!((keys(&run), run.stalls()), (vec!["/k1".to_owned(), "/k2".to_owned()], vec![]));
    for preset in [Preset::HlsJs, Preset::ExoPlayer, Preset::Shaka] {
        assert_eq!(
            keys(&World::new(lists()).play(preset, 20.0)),
            ["/k1"],
            "{preset}: only what a segment needs"
        );
    }
    // One that failed is requested again when it is needed.
    let gone = Effect::Fails(FetchFailure::Status(404));
    let run = World::new(lists()).fault("/k1", 0.0..0.03, gone).play(Preset::Simple, 20.0);
    assert_eq!(keys(&run), ["/k1", "/k2", "/k1"]);
    assert!(run.player.figures().startup.is_some());
}
