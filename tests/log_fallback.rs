//! Runs without the probe: figures come from FFmpeg's log, and the report states this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_test_support::fake_ffmpeg::real;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::program::program;
use hls_swarm_test_support::server::{Answer, Served, Server, Then};
use hls_swarm_test_support::stream::vod;
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

/// Requests per viewer in the origin's access log; those of preflight have another user agent.
fn logged(log: &Path, agent: &str) -> BTreeMap<u64, Vec<(String, u64)>> {
    let mut viewers = BTreeMap::<u64, Vec<(String, u64)>>::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}"));
        let prefix = format!("{agent}/client-");
        let Some(viewer) = text("http_user_agent").strip_prefix(&prefix) else { continue };
        let uri = text("uri").to_owned();
        viewers.entry(viewer.parse().unwrap()).or_default().push((uri, line["status"].as_u64().unwrap()));
    }
    viewers
}

#[test]
fn requests_of_each_viewer_equal_the_origins_access_log() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    let origin = Origin::start(&["--access-log", log.to_str().unwrap()]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let arguments =
        ["--probe", "off", "--clients", "3", "--user-agent", "fallback", "--duration", "9s", &url];
    let outcome = Swarm::new(&arguments).run();
    outcome.assert_judged(0, "pass");
    assert_eq!(
        (&outcome.report["source"]["requests"], &outcome.report["source"]["bytes"]),
        (&"log".into(), &"log".into())
    );
    assert!(outcome.report["agreement"].get("kernel_bytes").is_none(), "{:#}", outcome.report["agreement"]);
    assert!(outcome.report.get("received_bytes").is_none(), "the kernel's count was not read");
    assert!(outcome.stdout.contains("INFERRED"), "{}", outcome.stdout);

    // nginx writes a line when a response ends, and may not have written all of them yet.
    let reported: u64 =
        ["manifest", "segment"].iter().map(|kind| outcome.number(&format!("/requests/{kind}")) as u64).sum();
    assert!(reported > 30, "{:#}", outcome.report["requests"]);
    eventually("the log is whole", Duration::from_secs(2), || {
        let lines: usize = logged(&log, "fallback").values().map(Vec::len).sum();
        (lines as u64 >= reported).then_some(())
    });
    let logged = logged(&log, "fallback");
    assert_eq!(logged.len(), 3);
    for (viewer, requests) in &logged {
        let own = format!("/per_viewer/{}", viewer - 1);
        let of = |suffix: &str| requests.iter().filter(|(uri, _)| uri.ends_with(suffix)).count() as f64;
        assert_eq!(outcome.number(&format!("{own}/requests/manifest")), of(".m3u8"), "viewer {viewer}");
        assert_eq!(outcome.number(&format!("{own}/requests/segment")), of(".ts"), "viewer {viewer}");
        assert!(requests.iter().all(|(_, status)| matches!(status, 200 | 206)));
    }
}

/// A statically linked program that runs FFmpeg without the probe. As a viewer, it crashes unless GCONV_PATH is
/// set, like real static builds, which crash when they load character sets.
fn static_ffmpeg(directory: &Path) -> PathBuf {
    let (source, made) = (directory.join("static.c"), directory.join("static-ffmpeg"));
    let code = format!(
        "#include <signal.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n\
         int main(int count, char **words) {{ for (int i = 1; i < count; i++) \
         if (!strcmp(words[i], \"-progress\") && !getenv(\"GCONV_PATH\")) raise(SIGSEGV); \
         unsetenv(\"LD_PRELOAD\"); words[0] = \"{0}\"; execv(\"{0}\", words); return 127; }}\n",
        real().display()
    );
    std::fs::write(&source, code).unwrap();
    let output = program("gcc").arg("-static").arg("-o").arg(&made).arg(&source).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    made
}

#[test]
fn a_static_ffmpeg_is_refused_where_the_probe_is_required_and_inferred_otherwise() {
    let directory = TempDir::new().unwrap();
    let ffmpeg = static_ffmpeg(directory.path());
    let ffmpeg = ffmpeg.to_str().unwrap();
    let origin = Origin::start(&[]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());

    let outcome = Swarm::new(&["--probe", "require", "--ffmpeg", ffmpeg, &url]).run();
    assert_eq!(outcome.code(), 3, "{}", outcome.stderr);
    let message = outcome.stderr.rsplit_once("error: ").unwrap().1;
    for word in ["probe", ffmpeg, "statically linked", "\n  help: ", "shared libraries", "--probe off"] {
        assert!(message.contains(word), "no {word:?} in {message}");
    }

    assert!(
        !message.contains("inferred,") && !message.contains("is the source"),
        "a run that does not start infers nothing: {message}"
    );

    let arguments = ["--clients", "1", "--duration", "4s", "--ffmpeg", ffmpeg, &url];
    let outcome = Swarm::new(&arguments).run();
    outcome.assert_judged(0, "pass");
    assert!(outcome.stderr.contains("! probe: "), "it warns: {}", outcome.stderr);
    assert_eq!(outcome.report["source"]["requests"], "log");
    assert!(outcome.number("/requests/segment") > 0.0);
}

/// Serves a VOD of six segments; `serve` makes the response from a segment's name and content.
fn vod_server(folder: &Path, serve: impl Fn(&str, &[u8]) -> Answer + Send + Sync + 'static) -> Server {
    vod(folder, 6);
    let www = folder.join("www");
    Server::start(move |target, _| {
        let name = target.rsplit('/').next().unwrap();
        match std::fs::read(www.join(name)) {
            Ok(body) if name.ends_with(".m3u8") => Answer::ok("application/vnd.apple.mpegurl", &body),
            Ok(body) => serve(name, &body),
            Err(_) => Answer::new(&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], Then::Keep),
        }
    })
}

/// Plays the VOD once with two viewers without the probe; returns the outcome and what the server sent to viewers.
fn played(server: Server) -> (Outcome, Vec<Served>) {
    let url = server.url("/vod.m3u8");
    let arguments = [
        "--probe",
        "off",
        "--clients",
        "2",
        "--user-agent",
        "fallback",
        "--duration",
        "5s",
        "--error-storm",
        "off",
    ];
    let outcome = Swarm::new(&[&arguments[..], &[&url]].concat()).run();
    let served =
        server.served().into_iter().filter(|served| served.head.contains("fallback/client-")).collect();
    (outcome, served)
}

fn assert_requests_equal(outcome: &Outcome, served: &[Served]) {
    for (kind, suffix) in [("manifest", ".m3u8"), ("segment", ".ts")] {
        let truth = served.iter().filter(|served| served.name().ends_with(suffix)).count();
        assert_eq!(outcome.number(&format!("/requests/{kind}")), truth as f64, "{kind}: {}", outcome.stdout);
    }
}

#[test]
fn a_server_that_closes_idle_connections_is_healthy() {
    let folder = TempDir::new().unwrap();
    // It sends no `Connection: close`, so viewers send their next requests on closed connections.
    let server =
        vod_server(folder.path(), |_, body| Answer { then: Then::Close, ..Answer::ok("video/mp2t", body) });
    let (outcome, served) = played(server);
    assert_requests_equal(&outcome, &served);
    assert!(outcome.number("/stale_requests") > 2.0, "{}", outcome.stdout);
    assert_eq!(outcome.number("/errors/failed"), 0.0, "{}", outcome.stdout);
    let bytes: u64 = served.iter().map(Served::body_bytes).sum();
    assert_eq!(outcome.number("/bytes/total"), bytes as f64);
    assert!(outcome.report.get("head_bytes").is_none(), "heads are not in the log");
    outcome.assert_judged(0, "pass");
}

#[test]
fn bodies_that_end_early_count_with_what_arrived() {
    for then in [Then::Close, Then::Reset] {
        let folder = TempDir::new().unwrap();
        let server = vod_server(folder.path(), move |name, body| {
            if !name.ends_with("2.ts") {
                return Answer::ok("video/mp2t", body);
            }
            let mut cut = Answer::ok("video/mp2t", body);
            let whole = cut.pieces[0].len();
            cut.pieces[0].truncate(whole - body.len() / 2);
            Answer { then, ..cut }
        });
        let (outcome, served) = played(server);
        assert_requests_equal(&outcome, &served);
        let sent = |cut: bool| {
            let of = served.iter().filter(|served| served.name().ends_with("2.ts") == cut);
            of.map(Served::body_bytes).sum::<u64>() as f64
        };
        let (bytes, unknown) = (outcome.number("/bytes/total"), outcome.number("/unknown_bodies"));
        if then == Then::Close {
            assert_eq!((bytes, unknown), (sent(true) + sent(false), 0.0), "{}", outcome.stdout);
            assert_eq!(outcome.number("/errors/broken"), 2.0, "{}", outcome.stdout);
        } else {
            // How much of a body arrived before a reset is not in the log. Some builds of FFmpeg 9.0 do not log the
            // reset either; then the body counts as announced, and the two halves that were sent are two bodies.
            let inferred = [(sent(false), 2.0), (sent(false) + 2.0 * sent(true), 0.0)];
            assert!(
                inferred.contains(&(bytes, unknown)),
                "{bytes} {unknown} {inferred:?}\n{}",
                outcome.stdout
            );
        }
    }
}

#[test]
fn bodies_without_a_length_are_not_counted_as_empty() {
    let folder = TempDir::new().unwrap();
    let server = vod_server(folder.path(), |_, body| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
        Answer::new([&head[..], body].concat(), Then::Close)
    });
    let (outcome, served) = played(server);
    assert_requests_equal(&outcome, &served);
    let segments = served.iter().filter(|served| served.name().ends_with(".ts")).count();
    assert_eq!(outcome.number("/unknown_bodies"), segments as f64, "{}", outcome.stdout);
    assert!(outcome.said().contains("bodies of unknown length"), "{}", outcome.stdout);
}
