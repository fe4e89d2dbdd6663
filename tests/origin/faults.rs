//! Every fault as a client sees it, and that requests without a fault are forwarded unchanged.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::access_log::LogEntry;
use hls_swarm_test_support::http::{Answer, Connection, ask};
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::waiting::eventually;

const WAIT: Duration = Duration::from_secs(15);

fn control(origin: &Origin) -> String {
    origin.facts["control"].as_str().unwrap_or_else(|| panic!("{}", origin.facts)).to_owned()
}

/// Runs `hls-origin fault`.
fn fault(origin: &Origin, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hls-origin"));
    command.args(["fault", "--control", &control(origin)]).args(words).output().unwrap()
}

/// Replaces the active faults by these.
fn set_faults(origin: &Origin, faults: &[&str]) {
    assert!(fault(origin, &["clear"]).status.success());
    if !faults.is_empty() {
        let output = fault(origin, &[&["add"], faults].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A response on its own connection: the times of its head, of the first byte of its body and of its end, the
/// size of its body, and how the connection ended.
struct Observed {
    head: Duration,
    first_byte: Option<Duration>,
    end: Duration,
    body: usize,
    error: Option<ErrorKind>,
}

fn observe(port: u16, path: &str) -> Observed {
    let started = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: origin\r\nUser-Agent: observer\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let (mut head, mut first_byte) = (None, None);
    let error = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) => break Some(error.kind()),
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            head.get_or_insert((started.elapsed(), end + 4));
            if bytes.len() > end + 4 {
                first_byte.get_or_insert(started.elapsed());
            }
        }
    };
    let (head, length) = head.unwrap_or_default();
    Observed { head, first_byte, end: started.elapsed(), body: bytes.len() - length, error }
}

fn segment(origin: &Origin) -> String {
    let (listed, _) = eventually("a segment is listed", WAIT, || origin.playlist());
    format!("/{}", listed.segments.last().unwrap())
}

fn sequence(answer: &Answer) -> u64 {
    hls_swarm_origin::publisher::playlist::parse(&String::from_utf8_lossy(&answer.body))
        .unwrap()
        .media_sequence
}

/// The fault proxy and nginx write to the same log, however the profile configures it. With faults, the
/// log is never compressed, because both append to it.
#[test]
fn the_fault_proxy_and_nginx_write_the_same_access_log() {
    let mut origin = Origin::start(&["--profile", "debug", "--faults"]);
    let log = std::path::PathBuf::from(origin.facts["access_log"].as_str().unwrap());
    set_faults(&origin, &["status=418,path=*.m3u8"]);
    assert_eq!(origin.get("/stream.m3u8").status, 418);
    assert_eq!(origin.get("/gone.ts").status, 404);
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let entries: Vec<LogEntry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for status in [418, 404] {
        assert_eq!(entries.iter().filter(|entry| entry.status == status).count(), 1, "{status}: {text}");
    }
}

#[test]
fn without_a_fault_everything_is_forwarded_unchanged() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    let mut origin = Origin::start(&["--faults", "--access-log", log.to_str().unwrap()]);
    let path = segment(&origin);
    let file = std::fs::read(origin.directory().join("www").join(&path[1..])).unwrap();
    let mut viewer = Connection::open(origin.port()).unwrap();
    let answers = [viewer.ask("GET", &path).unwrap(), viewer.ask("GET", "/stream.m3u8").unwrap()];
    assert_eq!((answers[0].status, &answers[0].body), (200, &file));
    assert_eq!(answers[0].header("content-length"), Some(file.len().to_string().as_str()));
    assert_eq!(answers[1].header("cache-control"), Some("public, max-age=0, stale-while-revalidate=1"));
    assert_eq!(origin.get("/gone.ts").status, 404);
    assert_eq!(ask(origin.port(), "POST", "/stream.m3u8").unwrap().status, 405);

    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg
        .args(["-nostdin", "-loglevel", "warning", "-t", "3", "-i"])
        .arg(origin.facts["url"].as_str().unwrap());
    let output = ffmpeg.args(["-c", "copy", "-f", "null", "-"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");

    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    let entries: Vec<LogEntry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A forwarded request is logged only by nginx, with the viewer's port.
    let of_viewer: Vec<_> = entries.iter().filter(|entry| entry.http_user_agent == "test").collect();
    let first = of_viewer.iter().position(|entry| entry.uri == path).unwrap();
    assert_eq!((of_viewer[first].connection_requests, of_viewer[first + 1].connection_requests), (1, 2));
    assert_eq!(of_viewer[first].remote_port, of_viewer[first + 1].remote_port);
    assert_eq!(of_viewer.iter().filter(|entry| entry.uri == path).count(), 1);
    assert_eq!(of_viewer[first].body_bytes_sent, file.len() as u64);
}

#[test]
fn faults_that_change_responses() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    let mut origin = Origin::start(&["--faults", "--access-log", log.to_str().unwrap()]);
    let path = segment(&origin);
    let full_size = origin.get(&path).body.len();

    set_faults(&origin, &["status=503,path=*.ts"]);
    let statuses =
        [origin.get(&path).status, origin.get("/stream.m3u8").status, origin.get("/health").status];
    assert_eq!(statuses, [503, 200, 200]);

    set_faults(&origin, &["status=429,count=2"]);
    assert_eq!([(); 3].map(|()| origin.get("/stream.m3u8").status), [429, 429, 200]);

    set_faults(&origin, &["missing-segments"]);
    assert_eq!(
        [origin.get(&path).status, origin.get(&path).status, origin.get("/stream.m3u8").status],
        [404, 404, 200]
    );

    set_faults(&origin, &["drop,path=*.m3u8"]);
    let dropped = observe(origin.port(), "/stream.m3u8");
    assert_eq!((dropped.error, dropped.body), (Some(ErrorKind::ConnectionReset), 0));
    assert_eq!(origin.get(&path).status, 200);

    set_faults(&origin, &["truncate=25%,path=*.ts"]);
    let truncated = observe(origin.port(), &path);
    assert_eq!((truncated.body, truncated.error), (full_size / 4, None), "of {full_size}");

    set_faults(&origin, &[]);
    assert_eq!(observe(origin.port(), &path).body, full_size);

    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    let entries: Vec<LogEntry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let logged = |name: &str, uri: &str| -> Vec<(u16, u64, bool)> {
        let of = entries.iter().filter(|entry| entry.http_user_agent == name && entry.uri == uri);
        of.map(|entry| (entry.status, entry.body_bytes_sent, entry.request_completion == "OK")).collect()
    };
    let size = |bytes: usize| bytes as u64;
    assert_eq!(
        logged("observer", &path),
        [(200, size(full_size / 4), false), (200, size(full_size), true)],
        "each request once, as the viewer received it"
    );
    assert_eq!(logged("observer", "/stream.m3u8"), [(444, 0, false)]);
    let statuses: Vec<u16> = logged("test", &path).iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [200, 503, 404, 404, 200]);
}

#[test]
fn faults_that_slow_responses_down() {
    let origin = Origin::start(&["--faults", "--video-bitrate", "800"]);
    let path = segment(&origin);
    let plain = observe(origin.port(), &path);
    assert!(plain.end < Duration::from_millis(300), "{:?}", plain.end);

    set_faults(&origin, &["delay=400ms"]);
    let delayed = observe(origin.port(), &path);
    assert!((400..800).contains(&delayed.head.as_millis()), "{:?}", delayed.head);
    assert_eq!(delayed.body, plain.body);

    set_faults(&origin, &["slow-first-byte=500ms"]);
    let late = observe(origin.port(), &path);
    assert!(late.head < Duration::from_millis(300), "the head is not delayed: {:?}", late.head);
    assert!((500..900).contains(&late.first_byte.unwrap().as_millis()), "{:?}", late.first_byte);
    assert_eq!(late.body, plain.body);

    set_faults(&origin, &["bandwidth=400k,path=*.ts"]);
    let slow = observe(origin.port(), &path);
    let expected = plain.body as f64 * 8.0 / 400e3;
    let took = slow.end.as_secs_f64();
    assert!((expected * 0.9..expected * 1.3 + 0.3).contains(&took), "{took} s instead of {expected} s");
    assert_eq!(slow.body, plain.body);
}

#[test]
fn playlists_that_stall_and_regress() {
    let origin = Origin::start(&["--faults"]);
    let now = || sequence(&origin.get("/stream.m3u8"));
    eventually("the playlist advances", WAIT, || (now() >= 2).then_some(()));

    set_faults(&origin, &["stalled-playlist"]);
    let stalled = origin.get("/stream.m3u8");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(origin.get("/stream.m3u8").body, stalled.body, "the stalled playlist does not change");
    set_faults(&origin, &[]);
    assert!(now() >= sequence(&stalled) + 2, "the origin continued meanwhile");

    set_faults(&origin, &["regressing-playlist=2,count=1"]);
    let (regressed, current) = (now(), now());
    assert!((2..=3).contains(&(current - regressed)), "{regressed} before {current}");
}

#[test]
fn faults_that_kill_processes() {
    let origin = Origin::start(&["--faults"]);
    let exporter = origin.facts["nginx_metrics"].as_str().unwrap().split(':').nth(2).unwrap();
    let exporter: u16 = exporter.trim_end_matches("/metrics").parse().unwrap();
    let metrics = || String::from_utf8(ask(exporter, "GET", "/metrics").unwrap().body).unwrap();
    assert!(metrics().contains("\nhls_origin_faults_on 0\n"));

    let (encoder, before) = (origin.child_named("ffmpeg").unwrap(), origin.playlist().unwrap().0);
    set_faults(&origin, &["encoder-death"]);
    eventually("another encoder", WAIT, || origin.child_named("ffmpeg").filter(|now| *now != encoder));
    let (after, _) = eventually("the stream continues", WAIT, || {
        origin.playlist().filter(|(now, text)| text.contains("DISCONTINUITY") && !now.segments.is_empty())
    });
    assert!(after.media_sequence >= before.media_sequence);

    let server = origin.child_named("nginx").unwrap();
    let started = Instant::now();
    set_faults(&origin, &["nginx-death,every=60s,down=4s"]);
    eventually("nginx is gone", WAIT, || origin.child_named("nginx").is_none().then_some(()));
    assert!(metrics().contains("\nnginx_up 0\n"));
    assert!(
        metrics()
            .contains("hls_origin_fault_strikes_total{id=\"2\",fault=\"nginx-death,every=1m0s,down=4s\"} 1")
    );
    // A viewer that connects meanwhile waits instead of being refused.
    let answer = observe(origin.port(), "/stream.m3u8");
    assert!(started.elapsed() > Duration::from_millis(3900) && answer.body > 50, "{:?}", started.elapsed());
    assert_ne!(eventually("another nginx", WAIT, || origin.child_named("nginx")), server);
    assert!(metrics().contains("\nnginx_up 1\n"));
}

#[test]
fn initial_faults_start_at_ready_and_the_same_seed_gives_the_same_faults() {
    let statuses = |seed: &str| -> Vec<u16> {
        let flags =
            ["--embedded", "--fault", "status=500,rate=50%", "--fault", "delay=1ms", "--fault-seed", seed];
        let origin = Origin::start(&flags);
        (0..40).map(|_| origin.get("/vod.m3u8").status).collect()
    };
    let (one, again, other) = (statuses("7"), statuses("7"), statuses("8"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let failed = one.iter().filter(|status| **status == 500).count();
    assert!((8..=32).contains(&failed) && one.iter().all(|status| [200, 500].contains(status)), "{one:?}");
}

#[test]
fn the_fault_command_lists_adds_and_removes_faults() {
    let origin = Origin::start(&["--embedded", "--fault", "drop,path=/none,rate=1%"]);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let list = "1\tdrop,path=/none,rate=1%\tinjected 0 times\n";
    assert_eq!(said(&fault(&origin, &["list"])), list);
    let added = fault(&origin, &["add", "status=404,path=*.ts", "delay=5ms"]);
    assert_eq!(
        said(&added),
        format!("{list}2\tstatus=404,path=*.ts\tinjected 0 times\n3\tdelay=5ms\tinjected 0 times\n")
    );
    assert_eq!(origin.get("/vod_00000.ts").status, 404);
    assert_eq!(said(&fault(&origin, &["remove", "1", "3"])), "2\tstatus=404,path=*.ts\tinjected 1 times\n");
    assert_eq!(said(&fault(&origin, &["clear"])), "no active faults\n");
    assert_eq!(origin.get("/vod_00000.ts").status, 200);

    for (words, code, reason) in [
        (&["add", "delay=1ms", "statsu=1"][..], 2, "unknown kind of fault \"statsu\""),
        (&["remove", "9"], 2, "there is no active fault with this number"),
        (&["add", "nginx-death"], 2, "the embedded origin has no process to kill"),
        (&["add"], 2, "<FAULT>... is missing"),
    ] {
        let output = fault(&origin, words);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(reason), "{words}");
    }
    assert_eq!(said(&fault(&origin, &["list"])), "no active faults\n", "all faults are added or none");

    // A web page that reaches this machine by a name of its own (DNS rebinding) is rejected.
    let mut stream = TcpStream::connect(control(&origin)).unwrap();
    stream.write_all(b"DELETE /faults HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn invalid_faults_are_rejected() {
    let (code, said) = refusal(&["--fault", "delay"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("invalid fault \"delay\": delay needs a value") && said.contains("write delay=200ms"),
        "{said}"
    );
    let (code, said) = refusal(&["--fault-seed", "1"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("have no effect without faults"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_hls-origin"))
        .args(["fault", "--control", "127.0.0.1:1", "list"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("cannot reach the fault control of an origin at 127.0.0.1:1"), "{said}");
}
