//! Servers that fail and servers that are slow, by an amount that the test knows.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use super::account::settle;
use super::media::Live;
use super::pairing::{Circumstances, Pair, Why};
use super::server::{Answer, Server, Then};
use super::site::{Outcome, Site};
use super::streams::{assert_passed, count};
use super::swarm::{Exchange, Swarm, seconds};
use super::truth;

pub(super) fn live(www: &Path) -> Live {
    Live::start(www, &[])
}

/// Number of the segment `sN.ts`.
pub(super) fn number(target: &str) -> Option<u32> {
    target.rsplit('/').next()?.strip_prefix('s')?.strip_suffix(".ts")?.parse().ok()
}

/// Segments that are missing (404), and segments for which the server is unavailable (503).
#[test]
fn not_found_and_unavailable() {
    let server = "
        location ~ /s[0-9]*3\\.ts$ { return 404; }
        location ~ /s[0-9]*6\\.ts$ { return 503; }";
    let site = Site::start(server, live);
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 16, &[]);
    let account = settle("404 and 503", &run, &served, &known);
    assert!(matches!(run.exit_code, Some(4 | 5)), "the error rate is too high: {}", run.output);
    for (status, digit) in [(404, 3), (503, 6)] {
        let of = |one: &truth::Served| one.status == status;
        assert!(served.iter().filter(|one| of(one)).count() >= 3, "{status}");
        assert!(
            served
                .iter()
                .all(|one| of(one) == number(&one.target).is_some_and(|number| number % 10 == digit))
        );
    }
    let failed = served.iter().filter(|one| one.status >= 400).count() as u64;
    assert_eq!(run.number("/errors/http"), failed);
    assert_eq!(run.number("/viewers/starts"), 3, "FFmpeg continues to play");
    // A segment that a viewer still retried when it was stopped, or had not reached, is not counted as skipped.
    let refused: BTreeSet<(u32, &str)> =
        served.iter().filter(|one| one.status >= 400).map(|one| (one.viewer, one.target.as_str())).collect();
    let (skipped, refused) = (run.number("/segments_skipped"), refused.len() as u64);
    assert!(skipped <= refused && refused - skipped <= 6, "{skipped} skipped of {refused} refused");
    assert!(count(&account, "segment") >= 3 * 8);
}

/// The response with a file; 404 if there is no such file.
pub(super) fn file(www: &Path, target: &str) -> Vec<u8> {
    let kind = if target.ends_with(".ts") { "video/mp2t" } else { "application/vnd.apple.mpegurl" };
    match fs::read(www.join(target.trim_start_matches('/'))) {
        Ok(body) => Answer::ok(kind, &body).pieces.concat(),
        Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
}

/// A live stream on a scripted server.
pub(super) fn scripted(
    script: impl Fn(&Path, &str) -> Answer + Send + Sync + 'static,
) -> (Server, tempfile::TempDir, Live) {
    let folder = tempfile::tempdir().unwrap();
    let stream = live(folder.path());
    let www: PathBuf = folder.path().to_owned();
    let server = Server::start(move |target, _| script(&www, target));
    (server, folder, stream)
}

pub(super) fn play(server: Server, clients: u32, length: u32, arguments: &[&str]) -> Outcome {
    let known = Circumstances { host: format!("127.0.0.1:{}", server.port), ..Circumstances::default() };
    let run = Swarm::start(&server.url("/s.m3u8"), clients, length, arguments).finish();
    let served = truth::noted(&server.served());
    Outcome { run, served, known }
}

/// Bodies that end too early: by a reset, and by a close.
#[test]
fn reset_and_truncated_responses() {
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
    let Outcome { run, served, known } = play(server, 3, 16, &[]);
    let account = settle("reset and cut short", &run, &served, &known);
    let cut = |outcome: fn(&Exchange) -> bool| {
        account
            .cut
            .iter()
            .filter(|(pair, why)| *why == Why::CutByServer && outcome(pair.exchange))
            .inspect(|(Pair { exchange, served }, _)| {
                assert_eq!(exchange.status, Some(200), "the head was complete: {exchange}");
                assert_eq!(exchange.read(), served.bytes(), "everything that arrived was read: {exchange}");
            })
            .count() as u64
    };
    let (reset, closed) = (
        cut(|exchange| exchange.outcome["socket_error"] == 104),
        cut(|exchange| exchange.outcome == "closed_by_peer"),
    );
    assert!(reset >= 3 && closed >= 3, "{reset} resets, {closed} closes");
    assert_eq!(run.number("/errors/broken"), reset + closed);
    let is = |one: &truth::Served, rest| number(&one.target).is_some_and(|number| number % 6 == rest);
    let asked = |rest| served.iter().filter(|one| is(one, rest)).count() as u64;
    // The run may stop in the moment before a reset.
    let stopped = |rest| {
        let in_flight = account.cut.iter().filter(|(_, why)| *why == Why::InFlightAtStop);
        in_flight.filter(|(pair, _)| is(pair.served, rest)).count() as u64
    };
    let all = (reset + stopped(2), closed + stopped(5));
    assert_eq!(all, (asked(2), asked(5)), "exactly these");
}

/// A server that delays its responses, and pauses in the middle of a body.
#[test]
fn slow_responses() {
    const PAUSE: Duration = Duration::from_millis(250);
    let (server, _folder, _live) = scripted(|www, target| {
        let mut whole = file(www, target);
        if !target.ends_with(".ts") {
            return Answer::new(whole, Then::Keep);
        }
        let rest = whole.split_off(whole.len() / 2);
        Answer { pieces: vec![Vec::new(), whole, rest], pause: PAUSE, then: Then::Keep }
    });
    let Outcome { run, served, known } = play(server, 3, 12, &[]);
    let account = settle("slow to answer", &run, &served, &known);
    assert_passed(&run);
    let pause = PAUSE.as_secs_f64();
    let segments = account.whole.iter().filter(|pair| pair.served.kind() == "segment");
    let times: Vec<(f64, f64)> = segments
        .map(|pair| (pair.exchange.ttfb.unwrap(), pair.exchange.download.unwrap()))
        .inspect(|(ttfb, download)| {
            assert!(*ttfb >= pause, "{ttfb} s to the first byte, which waited {pause} s");
            // (The first byte of a body may be read late; the last one hardly ever is.)
            assert!(*download >= pause - 0.1, "{download} s for a body with a pause of {pause} s");
        })
        .collect();
    for (what, mut times) in [
        ("ttfb", times.iter().map(|times| times.0).collect::<Vec<_>>()),
        ("download", times.iter().map(|times| times.1).collect()),
    ] {
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        eprintln!(
            "  {what} of {} segments: {:.4} to {:.4} s, median {median:.4} s",
            times.len(),
            times[0],
            times[times.len() - 1]
        );
        assert!((pause - 0.005..pause + 0.05).contains(&median), "{what}: median {median}");
        let reported = run.report.pointer(&format!("/latency_seconds/segment/{what}/p50")).unwrap();
        assert!((reported.as_f64().unwrap() - median).abs() < 0.02, "{what}: p50 {reported}");
    }
    let playlists = run.report.pointer("/latency_seconds/manifest/ttfb/p50").unwrap().as_f64().unwrap();
    assert!(playlists < pause / 2.0, "playlists do not wait: {playlists}");
}

/// A server with limited bandwidth: the duration of a request equals the one that nginx logs.
#[test]
fn slow_bodies() {
    let site = Site::start("location ~ ts$ { limit_rate 30k; }", live);
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 12, &[]);
    let account = settle("slow to send", &run, &served, &known);
    assert_passed(&run);
    let segments = account.whole.iter().filter(|pair| pair.served.kind() == "segment");
    let mut errors: Vec<f64> = segments
        .map(|Pair { exchange, served }| {
            let (ours, nginx) =
                (exchange.ttfb.unwrap() + exchange.download.unwrap(), served.seconds.unwrap());
            assert!(nginx > 0.1, "nginx was to be slow: {served}");
            (ours - nginx).abs()
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    eprintln!(
        "  request times of {} segments differ from nginx's by {median:.4} s, at most {worst:.4} s",
        errors.len()
    );
    assert!(median < 0.01 && worst < 0.2, "median {median} s, worst {worst} s");
}

/// A server that closes idle connections just before viewers use them again: such a request is lost and
/// sent again, and no server logs it.
fn idle_connections_are_closed(case: &str, tls: bool) {
    let site = Site::start("keepalive_timeout 300ms;", live);
    let site = if tls { site.with_tls() } else { site };
    let arguments: &[&str] = if tls { &["--dangerous", "--insecure"] } else { &[] };
    let Outcome { run, served, known } = site.play("/s.m3u8", 3, 12, arguments);
    let account = settle(case, &run, &served, &known);
    let stale = account.unlogged.iter().filter(|(_, why)| *why == Why::StaleConnection).count() as u64;
    assert!(stale >= 3, "{stale} requests on closed connections");
    assert_passed(&run);
    assert_eq!(run.number("/stale_requests"), stale);
    assert_eq!(run.report["errors"]["rate"], 0.0, "the viewers lose nothing");
    assert!(count(&account, "segment") >= 3 * 8);
}

#[test]
fn idle_plain_connections_are_closed() {
    idle_connections_are_closed("idle connections are closed", false);
}

#[test]
fn idle_tls_connections_are_closed() {
    idle_connections_are_closed("idle TLS connections are closed", true);
}

/// The server is down for 10 s; viewers recover when it is back.
#[test]
fn ten_seconds_without_the_origin() {
    let mut site = Site::start("", live);
    let swarm = Swarm::start(&site.url("/s.m3u8"), 3, 32, &[]);
    thread::sleep(Duration::from_secs(8));
    let gone = seconds();
    site.nginx.crash();
    thread::sleep(Duration::from_secs(10));
    site.nginx.start_again();
    let back = seconds();
    let Outcome { run, served, mut known } = site.finish(swarm);
    known.outages = vec![gone..back];
    let account = settle("origin away for 10 s", &run, &served, &known);
    for row in &run.rows {
        let viewer = row.viewer;
        assert!(row.starts >= 2, "viewer {viewer} was not restarted");
        let after = account.whole.iter().filter(|pair| {
            pair.served.viewer == viewer
                && pair.served.kind() == "segment"
                && pair.exchange.started > back + 8.0
        });
        assert!(after.count() >= 2, "viewer {viewer} does not play again: {}", run.output);
        assert_eq!(row.state, "ended");
        assert!((12.0..30.0).contains(&row.media_seconds), "viewer {viewer}: {} s", row.media_seconds);
    }
    assert!(
        run.exchanges
            .iter()
            .all(|exchange| !(gone + 0.5..back - 0.5).contains(&exchange.started) || exchange.read() == 0)
    );
    assert!(run.number("/errors/connect") >= 3, "each viewer failed to connect: {}", run.output);
    let starts = run.number("/viewers/starts");
    let ends = |how: &str| run.number(&format!("/viewers/exits/{how}"));
    assert_eq!((ends("success"), ends("success") + ends("error") + ends("signal")), (3, starts));
    let reasons = run.report["exit_reasons"].as_array().unwrap();
    let count: u64 = reasons.iter().map(|reason| reason["count"].as_u64().unwrap()).sum();
    assert_eq!(count, ends("error") + ends("signal"), "{reasons:?}");
    let says = |words: &str| reasons.iter().any(|one| one["reason"].as_str().unwrap().contains(words));
    assert!(says("refused") || says("reload"), "{reasons:?}");
    // The summary wraps its lines.
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for reason in reasons {
        let shown = words(&run.output).contains(&words(reason["reason"].as_str().unwrap()));
        assert!(shown, "{reason} is not in {}", run.output);
    }
}
