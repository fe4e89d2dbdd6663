//! Native viewers in the same cases as FFmpeg viewers: their counts equal the servers' logs, request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use super::account::settle;
use super::faults::{file, live, number, play, scripted};
use super::media::{Live, vod};
use super::pairing::{Account, Why};
use super::server::{Answer, Server, Then};
use super::site::{Outcome, Site};
use super::streams::count;
use super::swarm::{Run, Swarm, seconds};
use super::truth::Served;
use hls_swarm_test_support::publisher::Publisher;

pub(super) const NATIVE: [&str; 2] = ["--engine", "native"];
pub(super) const INSECURE: [&str; 2] = ["--dangerous", "--insecure"];

/// Plays a case with native viewers, and checks it.
pub(super) fn native(
    case: &str,
    site: Site,
    target: &str,
    clients: u32,
    length: u32,
    arguments: &[&str],
) -> (Run, Vec<Served>) {
    let tls = site.url("").starts_with("https");
    let insecure: &[&str] = if tls { &INSECURE } else { &[] };
    let arguments = [&NATIVE, insecure, arguments].concat();
    let Outcome { run, served, known } = site.play(target, clients, length, &arguments);
    let account = settle(&format!("native, {case}"), &run, &served, &known);
    assert_played(&run, &account, clients);
    drop(account);
    (run, served)
}

/// Each viewer plays without errors from beginning to end.
pub(super) fn assert_played(run: &Run, account: &Account<'_>, clients: u32) {
    assert!(matches!(run.exit_code, Some(0 | 5)), "exit code {:?}: {}", run.exit_code, run.output);
    assert_eq!(run.number("/viewers/starts"), run.number("/viewers/exits/success"), "{}", run.output);
    assert_eq!(run.number("/errors/connect"), 0);
    assert_eq!(run.rows.len(), clients as usize);
    let mut counts = BTreeMap::<(u32, &str), usize>::new();
    for pair in &account.whole {
        *counts.entry((pair.served.viewer, pair.served.kind())).or_default() += 1;
    }
    for viewer in 1..=clients {
        let of = |kind: &'static str| counts.get(&(viewer, kind)).copied().unwrap_or(0);
        assert!(of("segment") >= 6 && of("manifest") >= 1, "viewer {viewer}: {} segments", of("segment"));
    }
}

#[test]
fn native_live_ts() {
    let (run, served) = native("live TS", Site::start("", live), "/s.m3u8", 4, 12, &[]);
    // Bodies are discarded in the kernel but still counted.
    let bytes: u64 = served.iter().map(|one| one.body_bytes).sum();
    assert!(run.number("/bytes/total") <= bytes && run.number("/bytes/total") > bytes / 2);
    let connections: BTreeSet<_> = served.iter().map(|one| (one.viewer, one.connection)).collect();
    assert!(connections.len() <= 8, "a playlist and a segment at a time: {connections:?}");
}

/// FFmpeg viewers among native ones: the counts of both together equal the log, and each group's are its own.
#[test]
fn native_with_canaries() {
    const CANARIES: u32 = 2;
    let site = Site::start("", live);
    let arguments = [&NATIVE[..], &["--canaries", "2"]].concat();
    let Outcome { run, served, known } = site.play("/s.m3u8", 5, 14, &arguments);
    let account = settle("native, with canaries", &run, &served, &known);
    assert_played(&run, &account, 5);
    let processes: BTreeSet<(u32, u64)> =
        run.exchanges.iter().map(|exchange| (exchange.viewer, exchange.pid)).collect();
    let own: BTreeSet<u64> =
        processes.iter().filter(|(viewer, _)| *viewer > CANARIES).map(|(_, pid)| *pid).collect();
    assert_eq!(own.len(), 1, "native viewers share a process: {processes:?}");
    assert!(processes.iter().filter(|(viewer, _)| *viewer <= CANARIES).all(|(_, pid)| !own.contains(pid)));
    for (group, holds) in [("canaries", true), ("native", false)] {
        let of_group = |viewer: u32| (viewer <= CANARIES) == holds;
        let logged = account.whole.iter().map(|pair| pair.served);
        let cut = account.cut.iter().filter(|(pair, _)| of_group(pair.served.viewer)).count() as u64;
        for kind in ["manifest", "segment"] {
            let logged =
                logged.clone().filter(|one| of_group(one.viewer) && one.kind() == kind).count() as u64;
            let counted = run.number(&format!("/canaries/{group}/requests/{kind}"));
            assert!(
                (logged..=logged + cut).contains(&counted),
                "{group}, {kind}: {logged} and {cut}, {counted}"
            );
        }
        let started = run.rows.iter().filter(|row| of_group(row.viewer)).count() as u64;
        assert_eq!(run.number(&format!("/canaries/{group}/viewers")), started);
        assert_eq!(run.number(&format!("/canaries/{group}/played")), started, "{}", run.output);
    }
    // Times depend on what else the machine does, and shares do not.
    let shares = ["rebuffering: ", "errors: ", "native viewers play", "the canaries play"];
    let disagreements = run.report["canaries"]["disagreements"].as_array().unwrap();
    let about_shares =
        |one: &&serde_json::Value| shares.iter().any(|word| one.as_str().unwrap().starts_with(word));
    assert_eq!(disagreements.iter().find(about_shares), None, "{}", run.output);
}

/// A server that lets FFmpeg viewers wait: the report names it.
#[test]
fn native_viewers_and_canaries_that_are_served_differently() {
    let folder = tempfile::tempdir().unwrap();
    let _live = live(folder.path());
    let www = folder.path().to_owned();
    let server = Server::start_by_head(move |target, head, _| {
        let bytes = file(&www, target);
        let is_canary = head.contains("/client-1\r\n") || head.contains("/client-2\r\n");
        if is_canary && target.ends_with(".ts") {
            // Nothing for a while.
            return Answer {
                pieces: vec![Vec::new(), bytes],
                pause: Duration::from_millis(400),
                then: Then::Keep,
            };
        }
        Answer::new(bytes, Then::Keep)
    });
    let arguments = [&NATIVE[..], &["--canaries", "2"]].concat();
    let run = Swarm::start(&server.url("/s.m3u8"), 5, 14, &arguments).finish();
    let found = run.report["canaries"]["disagreements"].as_array().unwrap().clone();
    assert!(
        found.iter().any(|one| one.as_str().unwrap().starts_with("time to first byte of segments")),
        "{found:?}"
    );
    assert!(run.output.contains("they disagree about time to first byte"), "{}", run.output);
}

#[test]
fn native_live_ts_over_tls() {
    let (run, _) = native("live TS over TLS", Site::start("", live).with_tls(), "/s.m3u8", 4, 12, &[]);
    assert!(run.exchanges.iter().all(|exchange| exchange.tls));
    for exchange in &run.exchanges {
        assert_eq!(exchange.tls_handshake.is_some(), exchange.connect.is_some(), "{exchange}");
    }
}

/// Viewers adapt; each segment is of one rendition only.
#[test]
fn native_adaptive_renditions() {
    let (_, served) = native("adaptive", Site::start("", Live::start_renditions), "/master.m3u8", 3, 14, &[]);
    let mut seen = BTreeSet::new();
    for one in served.iter().filter(|one| one.kind() == "segment" && one.status == 200) {
        assert!(seen.insert((one.viewer, one.name().to_owned())), "two renditions at once: {one}");
    }
}

#[test]
fn native_lowest_rendition() {
    let site = Site::start("", Live::start_renditions);
    let (_, served) = native("lowest", site, "/master.m3u8", 3, 12, &["--variant", "lowest"]);
    let variants = served.iter().filter(|one| one.target != "/master.m3u8");
    assert!(variants.into_iter().all(|one| one.target.starts_with("/v2/")), "only the lowest");
}

#[test]
fn native_separate_audio() {
    let site = Site::start("", Live::start_separate_audio);
    let (_, served) = native("separate audio", site, "/master.m3u8", 2, 12, &[]);
    for viewer in [1, 2] {
        let audio = served
            .iter()
            .filter(|one| one.viewer == viewer && one.target.starts_with("/v2/") && one.kind() == "segment");
        assert!(audio.count() >= 5, "viewer {viewer}");
    }
}

/// `--variant all` downloads every rendition.
#[test]
fn native_all_renditions() {
    let site = Site::start("", Live::start_renditions);
    let (_, served) = native("all renditions", site, "/master.m3u8", 2, 12, &["--variant", "all"]);
    for rendition in ["/v0/", "/v1/", "/v2/"] {
        let of = |one: &&Served| one.target.starts_with(rendition) && one.kind() == "segment";
        assert!(served.iter().filter(of).count() >= 2 * 5, "{rendition}");
    }
}

/// A VOD of 12 s is played in real time; then the viewer begins again.
#[test]
fn native_vod() {
    let (run, served) = native("VOD", Site::start("", vod), "/s.m3u8", 2, 18, &[]);
    for row in &run.rows {
        assert_eq!(row.starts, 2, "viewer {}", row.viewer);
        let playlists = served.iter().filter(|one| one.viewer == row.viewer && one.kind() == "manifest");
        assert_eq!(playlists.count(), 2, "a playlist that ends is fetched once per playback");
    }
}

#[test]
fn native_fmp4() {
    let fill =
        |www: &Path| Live::start(www, &["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename", "init.mp4"]);
    let (run, _) = native("fMP4", Site::start("", fill), "/s.m3u8", 3, 12, &[]);
    assert!(run.number("/requests/init") >= 3);
    // Boxes are followed without reading what is in them.
    assert!(run.report["insight"].get("defects").is_none(), "{:#}", run.report["insight"]);
}

#[test]
fn native_aes_128() {
    let site = Site::start("", |www| {
        fs::write(www.join("enc.key"), b"Sixteen bytes!!!").unwrap();
        let info = www.join("key-info");
        fs::write(&info, format!("enc.key\n{}\n", www.join("enc.key").display())).unwrap();
        Live::start(www, &["-hls_key_info_file", info.to_str().unwrap()])
    });
    let (run, _) = native("AES-128", site, "/s.m3u8", 3, 12, &[]);
    assert!(run.number("/requests/key") >= 3);
}

/// Playlists travel compressed, and their bytes are those that traveled.
#[test]
fn native_compressed_playlists() {
    let server = "gzip on; gzip_min_length 1; gzip_types application/vnd.apple.mpegurl;";
    let (run, served) = native("compressed playlists", Site::start(server, live), "/s.m3u8", 3, 12, &[]);
    assert!(run.number("/bytes/manifest") > 0 && !served.is_empty());
}

#[test]
fn native_redirects_cookies_and_tokens() {
    let server = "
        location = /start.m3u8 { add_header Set-Cookie 'session=1; Path=/'; return 302 /hop/s.m3u8?token=S3cret; }
        location ~ ^/hop/.*ts$ { if ($cookie_session != '1') { return 403; } }
        location ~ ^/hop/.*m3u8$ { if ($arg_token != 'S3cret') { return 403; } }";
    let site = Site::start(server, |www| {
        symlink(www, www.join("hop")).unwrap();
        live(www)
    });
    let (run, served) = native("redirects", site, "/start.m3u8", 3, 12, &[]);
    assert!(served.iter().filter(|one| one.status == 302).count() >= 3);
    assert_eq!(run.number("/errors/http"), 0);
}

/// Segments that are missing, and segments for which the server is unavailable.
#[test]
fn native_not_found_and_unavailable() {
    let server = "
        location ~ /s[0-9]*3\\.ts$ { return 404; }
        location ~ /s[0-9]*6\\.ts$ { return 503; }";
    let site = Site::start(server, live);
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 16, &NATIVE);
    let account = settle("native, 404 and 503", &run, &served, &known);
    // What had not arrived when the run was stopped is in the log, but is not an error.
    let failed = account.whole.iter().filter(|pair| pair.served.status >= 400).count() as u64;
    assert!(failed >= 6);
    assert_eq!(run.number("/errors/http"), failed);
    assert!(count(&account, "segment") >= 3 * 6);
}

/// Bodies that end too early: by a reset, and by a close.
#[test]
fn native_reset_and_truncated_responses() {
    let (server, _folder, _live) = scripted(|www, target| {
        let mut bytes = file(www, target);
        let half = bytes.len() / 2;
        match number(target).map(|number| number % 6) {
            Some(2) => {
                bytes.truncate(half);
                Answer::new(bytes, Then::Reset)
            }
            Some(5) => {
                bytes.truncate(half);
                Answer::new(bytes, Then::Close)
            }
            _ => Answer::new(bytes, Then::Keep),
        }
    });
    let Outcome { run, served, known } = play(server, 3, 16, &NATIVE);
    let account = settle("native, reset and cut short", &run, &served, &known);
    let cut = account.cut.iter().filter(|(_, why)| *why == Why::CutByServer).count() as u64;
    assert!(cut >= 6, "{cut}");
    assert_eq!(run.number("/errors/broken"), cut);
}

/// A server that closes idle connections just before viewers use them again. A closed connection is not used, and a
/// request that crosses the close is sent again.
fn idle_connections_are_closed(tls: bool) {
    let site = Site::start("keepalive_timeout 300ms;", live);
    let site = if tls { site.with_tls() } else { site };
    let (run, _) = native("idle connections are closed", site, "/s.m3u8", 3, 12, &[]);
    assert_eq!(run.report["errors"]["rate"], 0.0, "the viewers lose nothing");
}

#[test]
fn native_idle_plain_connections_are_closed() {
    idle_connections_are_closed(false);
}

#[test]
fn native_idle_tls_connections_are_closed() {
    idle_connections_are_closed(true);
}

/// What a viewer saw, by a plain model of a buffer that knows only when nginx had served which segment.
#[derive(Debug, Default)]
struct Seen {
    stalled: f64,
    missing: f64,
}

impl Seen {
    /// `arrivals`: time and number of each segment.
    fn of(arrivals: &[(f64, u32)], segment: f64) -> Self {
        let mut seen = Self::default();
        let mut last: Option<(f64, u32)> = None;
        for &(at, number) in arrivals {
            let (empty_at, before) = last.unwrap_or((at, number - 1));
            assert!(number > before, "segment {number} after {before}");
            seen.stalled += (at - empty_at).max(0.0);
            seen.missing += f64::from(number - before - 1) * segment;
            last = Some((empty_at.max(at) + segment, number));
        }
        seen
    }
}

/// The server is down for 10 s; viewers go on when it is back. Each stalls for as long as its buffer was too short, and
/// misses what left the playlist meanwhile.
#[test]
fn native_ten_seconds_without_the_origin() {
    const VIEWERS: u32 = 40;
    let mut site = Site::start("", |www: &Path| Publisher::start(www, Duration::from_secs(2), 4_000));
    let arguments = [&NATIVE[..], &["--ramp-rate", "20", "--error-storm", "off"]].concat();
    let swarm = Swarm::start(&site.url("/live.m3u8"), VIEWERS, 36, &arguments);
    thread::sleep(Duration::from_secs(11));
    let gone = seconds();
    site.nginx.crash();
    thread::sleep(Duration::from_secs(10));
    site.nginx.start_again();
    let back = seconds();
    let Outcome { run, served, mut known } = site.finish(swarm);
    known.outages = vec![gone..back];
    let account = settle("native, origin away for 10 s", &run, &served, &known);
    let late = run.report["generator"]["max_lag_ms"].as_f64().unwrap() / 1000.0;
    assert_eq!(run.rows.len(), VIEWERS as usize);
    for row in &run.rows {
        let after = account.whole.iter().filter(|pair| {
            pair.served.viewer == row.viewer
                && pair.served.kind() == "segment"
                && pair.exchange.started > back + 5.0
        });
        assert!(after.count() >= 2, "viewer {} does not play again: {}", row.viewer, run.output);
        let own: Vec<_> = served.iter().filter(|one| one.viewer == row.viewer).collect();
        let segments = own.iter().filter(|one| one.kind() == "segment" && one.whole);
        let arrivals: Vec<_> = segments.map(|one| (one.at(), number(&one.target).unwrap())).collect();
        // From the request for the playlist to the end of the first segment, and no more than 300 ms later.
        let complete = arrivals[0].0 - (own[0].at() - own[0].seconds.unwrap());
        let startup = row.startup_seconds.unwrap();
        assert!((complete - 0.05..complete + 0.3 + late).contains(&startup), "{row:?}: {complete}");
        let seen = Seen::of(&arrivals, 2.0);
        assert!(seen.stalled > 2.0, "the outage is longer than a buffer of three segments: {seen:?}");
        assert!((row.stalled_seconds - seen.stalled).abs() < 0.15 + late, "{row:?}: {seen:?}");
        // hls.js goes on at an exact distance from the live edge, which may be in the middle of a segment.
        let beyond = row.missing_seconds - seen.missing;
        assert!((-0.01..2.0).contains(&beyond), "{row:?}: {seen:?}");
    }
    assert!(
        run.number("/errors/connect") >= u64::from(VIEWERS),
        "each viewer failed to connect: {}",
        run.output
    );
}

/// Thousands of viewers in one process, and the same counts. Their segments are small, so that two processors serve
/// and play them.
#[test]
fn native_two_thousand_viewers() {
    const VIEWERS: u32 = 2000;
    let arguments = ["--ramp-rate", "500", "--ramp-jitter", "10ms"];
    let fill = |www: &Path| Publisher::start(www, Duration::from_secs(2), 4_000);
    let site = Site::start("keepalive_requests 100000;", fill);
    let arguments = [&NATIVE[..], &arguments].concat();
    let Outcome { run, served, known } = site.play("/live.m3u8", VIEWERS, 18, &arguments);
    let account = settle("native, 2,000 viewers", &run, &served, &known);
    assert!(matches!(run.exit_code, Some(0 | 5)), "exit code {:?}: {}", run.exit_code, run.output);
    assert_eq!(run.rows.len(), 1000, "the worst viewers and a sample");
    assert_eq!(run.number("/other_viewers/viewers"), 1000);
    let segments = account.whole.iter().filter(|pair| pair.served.kind() == "segment");
    let played: BTreeSet<u32> = segments.map(|pair| pair.served.viewer).collect();
    assert_eq!(played.len(), VIEWERS as usize, "all viewers play");
    assert_eq!(run.number("/errors/connect") + run.number("/generator/events_lost"), 0);
    assert_eq!(run.report["errors"]["rate"], 0.0, "{}", run.output);
}
