//! Players other than FFmpeg, by their command line: what they request equals the access log of the origin's
//! nginx, and what only FFmpeg's progress shows is absent.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_origin::access_log::LogEntry;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::stream::endless;
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

const GSTREAMER: &str = "gst-launch-1.0 playbin3 uri={url} video-sink=fakesink audio-sink=fakesink";
/// A player of shell and curl: reloads the playlist each second and fetches what it has not fetched yet.
const CURL: &str = "#!/bin/sh
    base=${1%/*}
    seen=' '
    while :; do
        for name in $(curl -sf \"$1\" | grep -v '^#'); do
            case $seen in *\" $name \"*) continue ;; esac
            seen=\"$seen$name \"
            curl -sf -o /dev/null \"$base/$name\"
        done
        sleep 1
    done";

/// One request: the viewer's port, the name, the status, the bytes of the body.
type Request = (u16, String, u16, u64);

/// A run of a player against an origin, and what its nginx logged of the viewers.
struct Played {
    outcome: Outcome,
    exchanges: Vec<Value>,
    served: Vec<LogEntry>,
}

fn play(player: &str, viewers: u32, seconds: u32) -> Played {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut origin = Origin::start(&["--access-log", &at("access.log"), "--list-size", "10"]);
    // GStreamer starts three target durations behind the live edge, and sometimes stays at the first segment of a
    // playlist that is shorter.
    eventually("a playlist that is long enough", Duration::from_secs(30), || {
        origin.playlist().filter(|(listed, _)| listed.segments.len() >= 7)
    });
    let url = origin.facts["url"].as_str().unwrap().to_owned();
    let outcome = Swarm::new(&[
        "--player",
        player,
        "--clients",
        &viewers.to_string(),
        "--duration",
        &format!("{seconds}s"),
        "--exchange-log",
        &at("exchanges"),
        &url,
    ])
    .run();
    std::thread::sleep(Duration::from_millis(300));
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let read = |name: &str| fs::read_to_string(at(name)).unwrap_or_default();
    // Except those of the origin itself, of preflight, and of this test.
    let of_viewers = |entry: &LogEntry| {
        ["GStreamer", "curl/"].iter().any(|player| entry.http_user_agent.starts_with(player))
    };
    let entry = |line: &str| serde_json::from_str::<LogEntry>(line).unwrap();
    Played {
        exchanges: read("exchanges").lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        served: read("access.log").lines().map(entry).filter(of_viewers).collect(),
        outcome,
    }
}

impl Played {
    /// Every request in nginx's log was counted, with its status and bytes, and nothing else was. Requests that were
    /// in flight at the end of the run are the only ones whose bytes may differ.
    fn assert_equal_to_the_log(&self, least_segments: u64) {
        let number = |exchange: &Value, name: &str| exchange[name].as_u64().unwrap();
        let mut counted: BTreeMap<Request, i64> = BTreeMap::new();
        let (mut cut, mut unfinished) = (BTreeMap::new(), BTreeMap::new());
        for exchange in &self.exchanges {
            let port = u16::try_from(number(exchange, "local_port")).unwrap();
            let name = exchange["name"].as_str().unwrap().to_owned();
            if exchange["outcome"] == "complete" {
                let status = u16::try_from(number(exchange, "status")).unwrap();
                *counted.entry((port, name, status, number(exchange, "body_bytes"))).or_default() += 1;
            } else {
                let by_viewer = ["closed_by_viewer", "process_exit"].map(Value::from);
                assert!(by_viewer.contains(&exchange["outcome"]), "{exchange}");
                *cut.entry((port, name)).or_insert(0) += 1;
            }
        }
        for entry in &self.served {
            let name = entry.uri.rsplit('/').next().unwrap().to_owned();
            let request = (entry.remote_port, name.clone(), entry.status, entry.body_bytes_sent);
            match counted.get_mut(&request).filter(|count| **count > 0) {
                Some(count) => *count -= 1,
                None => *unfinished.entry((entry.remote_port, name)).or_insert(0) += 1,
            }
        }
        counted.retain(|_, count| *count != 0);
        assert!(counted.is_empty(), "counted, and not in the log: {counted:?}\n{}", self.outcome.stdout);
        assert_eq!(cut, unfinished, "requests in flight at the end\n{}", self.outcome.stdout);
        let all = |figure: &str| -> f64 {
            ["manifest", "segment", "init", "key", "steering", "other"]
                .map(|kind| self.outcome.number(&format!("/{figure}/{kind}")))
                .iter()
                .sum()
        };
        let total = all("requests");
        assert_eq!(total, self.served.len() as f64, "{}", self.outcome.stdout);
        let segments = self.outcome.number("/requests/segment");
        assert!(segments >= least_segments as f64, "{segments} segments\n{}", self.outcome.stdout);
        let bytes: u64 = self.served.iter().map(|entry| entry.body_bytes_sent).sum();
        let counted = all("bytes");
        assert!(!cut.is_empty() || counted == bytes as f64, "{counted} bytes counted, {bytes} in the log");
    }
}

#[test]
fn requests_of_gstreamer_equal_the_access_log() {
    let played = play(GSTREAMER, 2, 12);
    played.assert_equal_to_the_log(2 * 8);
    played.outcome.assert_judged(0, "pass");
    assert_eq!(played.outcome.number("/viewers/played"), 2.0);
}

#[test]
fn requests_of_many_short_processes_equal_the_access_log() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("player");
    fs::write(&script, CURL).unwrap();
    let played = play(&format!("sh '{}' {{url}}", script.display()), 3, 10);
    played.assert_equal_to_the_log(3 * 6);
    played.outcome.assert_judged(0, "pass");
    for viewer in 0..3 {
        let requests = played.outcome.number(&format!("/per_viewer/{viewer}/requests/segment"));
        assert!(requests >= 6.0, "viewer {viewer}: {requests}\n{}", played.outcome.stdout);
    }
    let report = &played.outcome.report;
    assert!(report.pointer("/ffmpeg").is_none(), "FFmpeg has not played: {report:#}");
    assert_eq!(report["source"]["playback"], "arrivals");
    assert!(played.outcome.number("/per_viewer/0/media_seconds") > 5.0, "{report:#}");
}

#[test]
fn a_viewer_stops_playing_when_no_media_arrives() {
    // The two newest segments, of a second each, and nothing more.
    let script = "for one in $(curl -sf \"$0\" | grep -v ^# | tail -n 2); do \
                  curl -sf -o /dev/null \"${0%/*}/$one\"; done; exec sleep 1000";
    let server = endless();
    let url = server.url("/live.m3u8");
    let player = format!("sh -c '{script}' {{url}}");
    let outcome = Swarm::new(&["--player", &player, "--clients", "1", "--duration", "12s", &url]).run();
    assert_eq!(outcome.report["per_viewer"][0]["state"], "ended", "{}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/played"), 1.0, "{}", outcome.stdout);
    assert!((outcome.number("/playback_time/viewed_seconds") - 2.0).abs() < 0.01, "{}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/stalled"), 1.0);
    let stalled = outcome.number("/playback_time/stalled_seconds");
    assert!((8.5..=10.0).contains(&stalled), "{stalled}: {}", outcome.stdout);
    outcome.assert_judged(4, "fail");
}

#[test]
fn a_player_that_exits_immediately_has_not_played() {
    let server = endless();
    let url = server.url("/live.m3u8");
    let outcome = Swarm::new(&["--player", "curl -s -o /dev/null {url}", "--clients", "1", &url]).run();
    assert_eq!(outcome.code(), 6, "{}\n{}", outcome.stdout, outcome.stderr);
    let ended = "the player printed no error; ended a live stream (exit code 0)";
    assert_eq!(outcome.reasons()[0].0, ended);
}

#[test]
fn invalid_command_lines_are_refused() {
    let server = endless();
    let url = server.url("/live.m3u8");
    for (arguments, code, words) in [
        (&["--player", "mpv"][..], 2, "no argument contains {url}"),
        (&["--player", "mpv '{url}"], 2, "a quote is not closed"),
        (&["--engine", "command"], 2, "--engine command needs a player"),
        (&["--engine", "ffmpeg", "--player", "mpv {url}"], 2, "no effect with --engine ffmpeg"),
        (&["--player", "mpv {url}", "--probe", "off"], 2, "--player with --probe off"),
        (&["--player", "/nowhere/player {url}"], 3, "cannot run /nowhere/player"),
        (&["--player", "true {url}"], 3, "the socket probe does not see what true does"),
    ] {
        let outcome = Swarm::new(&[arguments, &[&url]].concat()).run();
        assert_eq!(outcome.code(), code, "{arguments:?}: {}", outcome.stderr);
        let message = outcome.stderr.rfind("error: ").map_or("", |start| &outcome.stderr[start..]);
        assert!(
            message.contains(words) && message.contains("\n  help: "),
            "{arguments:?}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn the_command_line_of_a_viewer_can_be_printed() {
    let server = endless();
    let url = server.url("/live.m3u8");
    let outcome = Swarm::new(&["--player", "curl -s {url} 'a b'", "--print-cmd", &url]).run();
    assert_eq!((outcome.code(), outcome.stdout), (0, format!("curl -s {url} 'a b'\n")));
}
