//! Bad input for the real `hls-swarm`: each kind ends within 15 s with the right exit code and a message
//! that names the thing, the value, and the fix, and leaves nothing behind.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::swarm::{Outcome, Swarm};

const PLAYLIST: &str = "application/vnd.apple.mpegurl";
const LIVE: &str = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
                    #EXTINF:2,\na.ts\n#EXTINF:2,\nb.ts\n#EXTINF:2,\nc.ts\n";
/// An address on which nothing listens, because only root could.
const UNUSED_ADDRESS: &str = "http://127.0.0.1:1/live.m3u8";
const SOON: Duration = Duration::from_secs(15);

/// Serves this playlist under every path.
fn live() -> Server {
    Server::start(|_, _| Answer::ok(PLAYLIST, LIVE.as_bytes()))
}

fn status(line: &str) -> Answer {
    Answer::new(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"), Then::Keep)
}

/// Runs it with bad input and checks the outcome. The message must contain `words`; it is the part of
/// standard error from the last `hls-swarm:` on.
fn refused(swarm: Swarm, code: i32, words: &[&str]) -> Outcome {
    let outcome = swarm.run();
    assert_eq!(outcome.code(), code, "{}", outcome.stderr);
    assert!(outcome.elapsed < SOON, "{:?}: {}", outcome.elapsed, outcome.stderr);
    let message = outcome.stderr.rfind("error: ").map_or("", |start| &outcome.stderr[start..]);
    for word in words.iter().chain(&["\n  help: "]) {
        assert!(message.contains(word), "no {word:?} in\n{message}\nof\n{}", outcome.stderr);
    }
    assert!(outcome.report.is_null(), "nothing ran, so there is nothing to report");
    assert_eq!(outcome.files, [PathBuf::from("tmp")]);
    outcome
}

/// Runs viewers that all fail, and checks the outcome. The first reason must contain `reason`.
fn never_played(swarm: Swarm, reason: &str) -> Outcome {
    let outcome = swarm.run();
    assert_eq!(outcome.code(), 6, "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(outcome.elapsed < SOON, "{:?}: {}", outcome.elapsed, outcome.stderr);
    let reasons = outcome.reasons();
    assert!(reasons.first().is_some_and(|(text, _)| text.contains(reason)), "{reasons:?}");
    assert!(outcome.said().contains(&reasons[0].0), "the summary shows it, too:\n{}", outcome.stdout);
    assert_eq!(outcome.report["end_reason"], "no viewer ever played");
    assert_eq!(outcome.report["verdict"], "fail");
    assert_eq!(outcome.number("/viewers/played"), 0.0);
    outcome
}

#[test]
fn invalid_numbers_of_viewers() {
    let server = live();
    let url = server.url("/live.m3u8");
    refused(Swarm::new(&["--clients", "0", &url]), 2, &["\"0\" for --clients", "from 1 to"]);
    let outcome = refused(
        Swarm::new(&["--clients", "1000000", &url]),
        3,
        &["1000000 viewers", "--clients ", "available", "needed"],
    );
    // Each insufficient resource is named, with what is available and what is needed.
    for resource in ["✗ memory: ", "✗ processes: ", "✗ local ports: "] {
        assert!(outcome.stderr.contains(resource), "{}", outcome.stderr);
    }
}

#[test]
fn too_few_open_files() {
    let server = live();
    let url = server.url("/live.m3u8");
    let words = ["open files: 200 available, 2100 needed for 100 viewers", "ulimit -n 2100", "--clients 5"];
    refused(Swarm::after("ulimit -n 200", &["--clients", "100", &url]), 3, &words);
    // Far too few for the program itself.
    for few in [30, 16, 10] {
        let preparation = format!("ulimit -n {few}");
        refused(Swarm::after(&preparation, &["--clients", "1", &url]), 3, &["open files", "ulimit -n"]);
    }
}

#[test]
fn invalid_addresses() {
    refused(Swarm::new(&[]), 2, &["no stream is given", "http://"]);
    refused(Swarm::new(&["stream.m3u8"]), 2, &["\"stream.m3u8\"", "http://"]);
    refused(Swarm::new(&["rtmp://127.0.0.1/live"]), 2, &["rtmp://", "http://"]);
}

#[test]
fn a_server_that_cannot_be_reached() {
    refused(
        Swarm::new(&[UNUSED_ADDRESS]),
        3,
        &[UNUSED_ADDRESS, "refused", "start the origin", "127.0.0.1:1"],
    );
    refused(
        Swarm::new(&["http://no-such-host.invalid/live.m3u8"]),
        3,
        &["http://no-such-host.invalid/live.m3u8", "check the name \"no-such-host.invalid\""],
    );
}

#[test]
fn a_server_that_never_answers() {
    let server = Server::start(|_, _| Answer::new("", Then::Hold));
    let url = server.url("/live.m3u8");
    let outcome = refused(Swarm::new(&[&url]), 3, &[&url, "timeout", "--timeout"]);
    assert!(outcome.elapsed > Duration::from_secs(8), "the run waits for it: {:?}", outcome.elapsed);
}

#[test]
fn responses_that_are_not_a_playlist() {
    let html = Server::start(|_, _| Answer::ok("text/html", b"<!DOCTYPE html><html><body>Hi</body></html>"));
    let empty = Server::start(|_, _| Answer::ok(PLAYLIST, b""));
    let bare = Server::start(|_, _| Answer::ok(PLAYLIST, b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n"));
    let binary = Server::start(|_, _| Answer::ok("video/mp2t", &[0x47, 0, 0xff, 0x1b, b'[', b'2', b'J']));
    for (server, words) in [
        (&html, "HTML page"),
        (&empty, "the response is empty"),
        (&bare, "lists neither variants nor segments"),
        (&binary, "instead of #EXTM3U"),
    ] {
        let url = server.url("/live.m3u8");
        let outcome = refused(Swarm::new(&[&url]), 3, &[&url, words, ".m3u8"]);
        assert!(!outcome.stderr.contains('\x1b'), "a server cannot write control characters to the terminal");
    }
}

#[test]
fn http_error_statuses() {
    for (line, help) in [
        ("404 Not Found", "check the path"),
        ("403 Forbidden", "--header"),
        ("503 Service Unavailable", "origin's own log"),
    ] {
        let server = Server::start(move |_, _| status(line));
        let url = server.url("/live.m3u8?token=geheim");
        let outcome = refused(Swarm::new(&[&url]), 3, &["/live.m3u8?***", &line[..3], help]);
        assert!(!outcome.stderr.contains("geheim"), "a token is a secret: {}", outcome.stderr);
    }
}

#[test]
fn a_multivariant_playlist_without_usable_variants() {
    let server = Server::start(|target, _| match target {
        "/master.m3u8" => {
            Answer::ok(PLAYLIST, b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nlow/index.m3u8\n")
        }
        _ => status("404 Not Found"),
    });
    let variant = server.url("/low/index.m3u8");
    refused(Swarm::new(&[&server.url("/master.m3u8")]), 3, &[&variant, "404", "check the path"]);
}

#[test]
fn a_certificate_of_an_unknown_authority() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    std::fs::write(folder.path().join("www/live.m3u8"), LIVE).unwrap();
    let nginx = Nginx::start(folder.path(), Site::default());
    let url = format!("https://localhost:{}/live.m3u8", nginx.tls);
    let outcome =
        refused(Swarm::new(&[&url]), 3, &[&url, "certificate", "SSL_CERT_FILE", "--dangerous --insecure"]);
    assert!(!outcome.stderr.contains("✓ stream"), "{}", outcome.stderr);
    refused(Swarm::new(&["--insecure", &url]), 2, &["--insecure", "--dangerous"]);
}

#[test]
fn a_metrics_port_that_is_taken() {
    let (server, taken) = (live(), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let address = taken.local_addr().unwrap().to_string();
    refused(
        Swarm::new(&["--metrics", &address, &server.url("/live.m3u8")]),
        3,
        &[&address, "in use", "--metrics off"],
    );
}

#[test]
fn files_that_cannot_be_written() {
    let server = live();
    let url = server.url("/live.m3u8");
    for path in ["missing/report.json", "/proc/report.json", "missing/report.html"] {
        refused(Swarm::new(&["--report", path, &url]), 2, &["--report", path, "cannot be written"]);
    }
    refused(Swarm::new(&["--report", "tmp", &url]), 2, &["--report tmp", ".json, .html, .xml (JUnit), .md"]);
    refused(Swarm::new(&["--report", "a.json", "--report", "b.pdf", &url]), 2, &["--report b.pdf"]);
    refused(Swarm::new(&["--exchange-log", "missing/log", &url]), 2, &["--exchange-log", "missing/log"]);
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.json");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = pipe.to_str().unwrap();
    refused(Swarm::new(&["--report", pipe, &url]), 2, &["--report", pipe, "is not a regular file"]);
    refused(Swarm::new(&["--exchange-log", pipe, &url]), 2, &["--exchange-log", pipe, "cannot be written"]);
    refused(
        Swarm::new(&["--report", "a.json", "--exchange-log", "./a.json", &url]),
        2,
        &["--exchange-log ./a.json", "the same file"],
    );
}

#[test]
fn a_full_disk_affects_only_the_exchange_log() {
    let server = live();
    let url = server.url("/live.m3u8");
    let outcome =
        Swarm::new(&["--clients", "1", "--duration", "3s", "--exchange-log", "/dev/full", &url]).run();
    assert_eq!(outcome.code(), 1, "{}", outcome.stderr);
    for words in ["cannot write the exchange log /dev/full", "No space left", "help: "] {
        assert!(outcome.stderr.contains(words), "no {words:?} in {}", outcome.stderr);
    }
    assert!(outcome.number("/requests/manifest") > 0.0, "the report is complete: {:#}", outcome.report);
    assert!(outcome.stdout.contains("report: report.json"), "{}", outcome.stdout);
}

#[test]
fn a_missing_ffmpeg() {
    let server = live();
    let url = server.url("/live.m3u8");
    let no = |path: &str, words: &[&str]| {
        let words: Vec<&str> = [path, "--ffmpeg PATH"].iter().chain(words).copied().collect();
        refused(Swarm::new(&["--ffmpeg", path, &url]), 3, &words);
    };
    no("/nowhere/ffmpeg", &["No such file", "install FFmpeg"]);
    no("/dev/null", &["Permission denied"]);
    no("/proc", &["Permission denied"]);
    // Programs that are not FFmpeg.
    no("/bin/true", &["HLS demuxer"]);
    no("/bin/false", &["did not list its options"]);
    refused(Swarm::new(&[&url]).env("PATH", "/nowhere"), 3, &["cannot run ffmpeg", "apt install ffmpeg"]);
}

#[test]
fn an_ffmpeg_that_crashes_during_capability_detection() {
    let (server, fake) = (live(), FakeFfmpeg::always("kill -SEGV $$"));
    let path = fake.path();
    refused(
        Swarm::new(&["--ffmpeg", &path, &server.url("/live.m3u8")]),
        3,
        &[&path, "SIGSEGV", "--ffmpeg PATH"],
    );
}

#[test]
fn an_ffmpeg_that_hangs_and_ignores_sigterm() {
    let (server, fake) = (live(), FakeFfmpeg::always("trap '' TERM; sleep 1000 & sleep 1000"));
    let path = fake.path();
    refused(
        Swarm::new(&["--ffmpeg", &path, &server.url("/live.m3u8")]),
        3,
        &[&path, "did not end within", "--ffmpeg PATH"],
    );
}

#[test]
fn an_ffmpeg_that_segfaults_during_playback() {
    let (server, fake) = (live(), FakeFfmpeg::playing("kill -SEGV $$"));
    let url = server.url("/live.m3u8");
    let arguments = ["--clients", "2", "--ffmpeg", &fake.path(), &url];
    let outcome = never_played(Swarm::new(&arguments), "SIGSEGV");
    assert!(outcome.number("/viewers/exits/signal") >= 5.0);
    assert_eq!(outcome.reasons().len(), 1, "equal causes are counted together");
    assert!(outcome.elapsed < Duration::from_secs(10), "{:?}", outcome.elapsed);
}

#[test]
fn an_ffmpeg_that_floods_standard_error() {
    let flood =
        "i=0\nwhile [ $i -lt 25 ]; do head -c 4000000 /dev/zero | tr '\\0' x; i=$((i + 1)); done >&2\n";
    // One line of 100 MB, and many of 80 bytes.
    for (shape, count) in [("", 0.0), ("| fold -w 80", 1_000_000.0)] {
        let flood = flood.replace("'\\0' x", &format!("'\\0' x {shape}"));
        let fake = FakeFfmpeg::playing(&format!("{flood}\nexit 3"));
        let server = live();
        let url = server.url("/live.m3u8");
        let running = Swarm::new(&[
            "--clients",
            "1",
            "--max-restarts",
            "1",
            "--ffmpeg",
            &fake.path(),
            "--probe",
            "off",
            &url,
        ])
        .start();
        let memory = peak_memory(&running);
        let outcome = running.end();
        assert_eq!(outcome.code(), 6, "{}\n{}", outcome.stdout, outcome.stderr);
        assert!(outcome.elapsed < SOON, "{:?}", outcome.elapsed);
        let reasons = outcome.reasons();
        assert!(reasons[0].0.ends_with("exit code 3") && reasons[0].0.len() < 1000, "{reasons:?}");
        assert!(memory < 64 << 10, "{memory} KiB");
        let lines = outcome.number("/generator/lines_parsed");
        assert!(lines >= 2.0 * count, "{lines} lines are accounted for");
    }
}

/// Peak memory in KiB, observed until it ends.
fn peak_memory(running: &hls_swarm_test_support::swarm::Running) -> u64 {
    let mut peak = 0;
    let path = format!("/proc/{}/status", running.pid());
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else { break };
        peak = line.trim().trim_end_matches(" kB").parse().unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(peak > 0);
    peak
}

#[test]
fn a_stream_that_disappears_before_the_viewers_start() {
    // The first request is the preflight's.
    let server = Server::start(|_, before| match before {
        0 => Answer::ok(PLAYLIST, LIVE.as_bytes()),
        _ => status("404 Not Found"),
    });
    let outcome = never_played(Swarm::new(&["--clients", "2", &server.url("/live.m3u8")]), "404");
    assert!(outcome.number("/http_status/404") >= 5.0, "{:#}", outcome.report);
    assert!(outcome.number("/errors/rate") == 1.0);
}

/// A body that ends with the connection, as in HTTP/1.0. With some options, FFmpeg treats this as a failure.
#[test]
fn a_playlist_without_a_length_is_not_requested_repeatedly() {
    let server = Server::start(|target, _| match target {
        "/live.m3u8" => {
            let head = format!("HTTP/1.0 200 OK\r\nContent-Type: {PLAYLIST}\r\nAccept-Ranges: bytes\r\n\r\n");
            Answer::new(head + LIVE, Then::Close)
        }
        _ => Answer::ok("video/mp2t", &[0x47; 188]),
    });
    let outcome = Swarm::new(&["--clients", "1", "--duration", "4s", &server.url("/live.m3u8")]).run();
    let count = |kind: &str| outcome.number(&format!("/requests/{kind}"));
    assert!(count("segment") > 0.0 && count("manifest") < 20.0, "{:#}", outcome.report["requests"]);
}

#[test]
fn segments_that_are_not_media() {
    let server = Server::start(|target, _| match target {
        "/live.m3u8" => Answer::ok(PLAYLIST, LIVE.as_bytes()),
        _ => Answer::ok("video/mp2t", &b"this is not media ".repeat(2000)),
    });
    let outcome = Swarm::new(&["--clients", "2", "--duration", "12s", &server.url("/live.m3u8")]).run();
    assert_eq!(outcome.code(), 6, "{}\n{}", outcome.stdout, outcome.stderr);
    assert!(outcome.elapsed < SOON, "{:?}", outcome.elapsed);
}
