//! Every fault as it looks from outside, and that what is not made wrong stays as it was.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::access_log::format::Entry;
use hls_swarm_test_support::http::{Answer, Connection, ask};
use hls_swarm_test_support::origin::{Origin, refusal};
use hls_swarm_test_support::patience::eventually;

const WAIT: Duration = Duration::from_secs(15);

fn control(origin: &Origin) -> String {
    origin.facts["control"].as_str().unwrap_or_else(|| panic!("{}", origin.facts)).to_owned()
}

/// The sub-command as users type it.
fn fault(origin: &Origin, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hls-origin"));
    command.args(["fault", "--control", &control(origin)]).args(words).output().unwrap()
}

/// Leaves exactly these faults on.
fn only(origin: &Origin, faults: &[&str]) {
    assert!(fault(origin, &["clear"]).status.success());
    if !faults.is_empty() {
        let output = fault(origin, &[&["add"], faults].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What came over a connection of its own: when the head was complete, when the first byte of the body
/// came, when all was over, the bytes, and how it ended.
struct Seen {
    head: Duration,
    first_byte: Option<Duration>,
    end: Duration,
    body: usize,
    error: Option<ErrorKind>,
}

fn watch(port: u16, path: &str) -> Seen {
    let began = Instant::now();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(WAIT)).unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: origin\r\nUser-Agent: watch\r\nConnection: close\r\n\r\n");
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
            head.get_or_insert((began.elapsed(), end + 4));
            if bytes.len() > end + 4 {
                first_byte.get_or_insert(began.elapsed());
            }
        }
    };
    let (head, length) = head.unwrap_or_default();
    Seen { head, first_byte, end: began.elapsed(), body: bytes.len() - length, error }
}

fn segment(origin: &Origin) -> String {
    let (listed, _) = eventually("a segment is listed", WAIT, || origin.playlist());
    format!("/{}", listed.segments.last().unwrap())
}

fn sequence(answer: &Answer) -> u64 {
    hls_swarm_origin::publisher::playlist::read(&String::from_utf8_lossy(&answer.body))
        .unwrap()
        .media_sequence
}

/// What the front answers itself stands in the same log as what nginx answers, whichever way the profile asks
/// for a log; one that would be compressed is plain then, because two write to it.
#[test]
fn both_write_the_log_that_the_profile_asks_for() {
    let mut origin = Origin::start(&["--profile", "debug", "--faults"]);
    let log = std::path::PathBuf::from(origin.facts["access_log"].as_str().unwrap());
    only(&origin, &["status=418,path=*.m3u8"]);
    assert_eq!(origin.get("/stream.m3u8").status, 418);
    assert_eq!(origin.get("/gone.ts").status, 404);
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for status in [418, 404] {
        assert_eq!(entries.iter().filter(|entry| entry.status == status).count(), 1, "{status}: {text}");
    }
}

#[test]
fn without_a_fault_everything_passes_as_it_is() {
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
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // nginx logs it, with the viewer's own port, and nobody logs it twice.
    let of_viewer: Vec<_> = entries.iter().filter(|entry| entry.http_user_agent == "desk").collect();
    let first = of_viewer.iter().position(|entry| entry.uri == path).unwrap();
    assert_eq!((of_viewer[first].connection_requests, of_viewer[first + 1].connection_requests), (1, 2));
    assert_eq!(of_viewer[first].remote_port, of_viewer[first + 1].remote_port);
    assert_eq!(of_viewer.iter().filter(|entry| entry.uri == path).count(), 1);
    assert_eq!(of_viewer[first].body_bytes_sent, file.len() as u64);
}

#[test]
fn answers_that_are_wrong() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("access.log");
    let mut origin = Origin::start(&["--faults", "--access-log", log.to_str().unwrap()]);
    let path = segment(&origin);
    let whole = origin.get(&path).body.len();

    only(&origin, &["status=503,path=*.ts"]);
    let statuses =
        [origin.get(&path).status, origin.get("/stream.m3u8").status, origin.get("/health").status];
    assert_eq!(statuses, [503, 200, 200]);

    only(&origin, &["status=429,count=2"]);
    assert_eq!([(); 3].map(|()| origin.get("/stream.m3u8").status), [429, 429, 200]);

    only(&origin, &["missing-segments"]);
    assert_eq!(
        [origin.get(&path).status, origin.get(&path).status, origin.get("/stream.m3u8").status],
        [404, 404, 200]
    );

    only(&origin, &["drop,path=*.m3u8"]);
    let dropped = watch(origin.port(), "/stream.m3u8");
    assert_eq!((dropped.error, dropped.body), (Some(ErrorKind::ConnectionReset), 0));
    assert_eq!(origin.get(&path).status, 200);

    only(&origin, &["truncate=25%,path=*.ts"]);
    let truncated = watch(origin.port(), &path);
    assert_eq!((truncated.body, truncated.error), (whole / 4, None), "of {whole}");

    only(&origin, &[]);
    assert_eq!(watch(origin.port(), &path).body, whole);

    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0));
    let text = std::fs::read_to_string(&log).unwrap();
    let entries: Vec<Entry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |name: &str, uri: &str| -> Vec<(u16, u64, bool)> {
        let of = entries.iter().filter(|entry| entry.http_user_agent == name && entry.uri == uri);
        of.map(|entry| (entry.status, entry.body_bytes_sent, entry.request_completion == "OK")).collect()
    };
    let size = |bytes: usize| bytes as u64;
    assert_eq!(
        told("watch", &path),
        [(200, size(whole / 4), false), (200, size(whole), true)],
        "each once, as the viewer got it"
    );
    assert_eq!(told("watch", "/stream.m3u8"), [(444, 0, false)]);
    let statuses: Vec<u16> = told("desk", &path).iter().map(|(status, ..)| *status).collect();
    assert_eq!(statuses, [200, 503, 404, 404, 200]);
}

#[test]
fn answers_that_are_slow() {
    let origin = Origin::start(&["--faults", "--video-bitrate", "800"]);
    let path = segment(&origin);
    let plain = watch(origin.port(), &path);
    assert!(plain.end < Duration::from_millis(300), "{:?}", plain.end);

    only(&origin, &["delay=400ms"]);
    let delayed = watch(origin.port(), &path);
    assert!((400..800).contains(&delayed.head.as_millis()), "{:?}", delayed.head);
    assert_eq!(delayed.body, plain.body);

    only(&origin, &["slow-first-byte=500ms"]);
    let late = watch(origin.port(), &path);
    assert!(late.head < Duration::from_millis(300), "the head comes at once: {:?}", late.head);
    assert!((500..900).contains(&late.first_byte.unwrap().as_millis()), "{:?}", late.first_byte);
    assert_eq!(late.body, plain.body);

    only(&origin, &["bandwidth=400k,path=*.ts"]);
    let slow = watch(origin.port(), &path);
    let expected = plain.body as f64 * 8.0 / 400e3;
    let took = slow.end.as_secs_f64();
    assert!((expected * 0.9..expected * 1.3 + 0.3).contains(&took), "{took} s instead of {expected} s");
    assert_eq!(slow.body, plain.body);
}

#[test]
fn playlists_that_stand_still_and_go_back() {
    let origin = Origin::start(&["--faults"]);
    let now = || sequence(&origin.get("/stream.m3u8"));
    eventually("the playlist slides", WAIT, || (now() >= 2).then_some(()));

    only(&origin, &["stalled-playlist"]);
    let stalled = origin.get("/stream.m3u8");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(origin.get("/stream.m3u8").body, stalled.body, "not a letter changes");
    only(&origin, &[]);
    assert!(now() >= sequence(&stalled) + 2, "it went on behind it");

    only(&origin, &["regressing-playlist=2,count=1"]);
    let (back, forth) = (now(), now());
    assert!((2..=3).contains(&(forth - back)), "{back} before {forth}");
}

#[test]
fn processes_that_die() {
    let origin = Origin::start(&["--faults"]);
    let exporter = origin.facts["nginx_metrics"].as_str().unwrap().split(':').nth(2).unwrap();
    let exporter: u16 = exporter.trim_end_matches("/metrics").parse().unwrap();
    let metrics = || String::from_utf8(ask(exporter, "GET", "/metrics").unwrap().body).unwrap();
    assert!(metrics().contains("\nhls_origin_faults_on 0\n"));

    let (encoder, before) = (origin.child_named("ffmpeg").unwrap(), origin.playlist().unwrap().0);
    only(&origin, &["encoder-death"]);
    eventually("another encoder", WAIT, || origin.child_named("ffmpeg").filter(|now| *now != encoder));
    let (after, _) = eventually("the stream goes on", WAIT, || {
        origin.playlist().filter(|(now, text)| text.contains("DISCONTINUITY") && !now.segments.is_empty())
    });
    assert!(after.media_sequence >= before.media_sequence);

    let server = origin.child_named("nginx").unwrap();
    let began = Instant::now();
    only(&origin, &["nginx-death,every=60s,down=4s"]);
    eventually("nginx is gone", WAIT, || origin.child_named("nginx").is_none().then_some(()));
    assert!(metrics().contains("\nnginx_up 0\n"));
    assert!(
        metrics()
            .contains("hls_origin_fault_strikes_total{id=\"2\",fault=\"nginx-death,every=1m0s,down=4s\"} 1")
    );
    // A viewer that comes meanwhile waits instead of being refused.
    let answer = watch(origin.port(), "/stream.m3u8");
    assert!(began.elapsed() > Duration::from_millis(3900) && answer.body > 50, "{:?}", began.elapsed());
    assert_ne!(eventually("another nginx", WAIT, || origin.child_named("nginx")), server);
    assert!(metrics().contains("\nnginx_up 1\n"));
}

#[test]
fn faults_from_the_start_begin_at_ready_and_the_same_seed_gives_the_same() {
    let asked = |seed: &str| -> Vec<u16> {
        let flags =
            ["--embedded", "--fault", "status=500,rate=50%", "--fault", "delay=1ms", "--fault-seed", seed];
        let origin = Origin::start(&flags);
        (0..40).map(|_| origin.get("/vod.m3u8").status).collect()
    };
    let (one, again, other) = (asked("7"), asked("7"), asked("8"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    let failed = one.iter().filter(|status| **status == 500).count();
    assert!((8..=32).contains(&failed) && one.iter().all(|status| [200, 500].contains(status)), "{one:?}");
}

#[test]
fn the_sub_command_lists_adds_and_removes() {
    let origin = Origin::start(&["--embedded", "--fault", "drop,path=/none,rate=1%"]);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let list = "1\tdrop,path=/none,rate=1%\t0 strikes\n";
    assert_eq!(said(&fault(&origin, &["list"])), list);
    let added = fault(&origin, &["add", "status=404,path=*.ts", "delay=5ms"]);
    assert_eq!(said(&added), format!("{list}2\tstatus=404,path=*.ts\t0 strikes\n3\tdelay=5ms\t0 strikes\n"));
    assert_eq!(origin.get("/vod_00000.ts").status, 404);
    assert_eq!(said(&fault(&origin, &["remove", "1", "3"])), "2\tstatus=404,path=*.ts\t1 strikes\n");
    assert_eq!(said(&fault(&origin, &["clear"])), "no faults are on\n");
    assert_eq!(origin.get("/vod_00000.ts").status, 200);

    for (words, code, reason) in [
        (&["add", "delay=1ms", "statsu=1"][..], 2, "there is no kind \"statsu\""),
        (&["remove", "9"], 2, "no such fault is on"),
        (&["add", "nginx-death"], 2, "the embedded origin runs no other program"),
        (&["add"], 2, "<FAULT>... is missing"),
    ] {
        let output = fault(&origin, words);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(words.contains(reason), "{words}");
    }
    assert_eq!(said(&fault(&origin, &["list"])), "no faults are on\n", "all or none");

    // A page in a browser that reaches this machine by a name of its own is turned away.
    let mut stream = TcpStream::connect(control(&origin)).unwrap();
    stream.write_all(b"DELETE /faults HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let (code, said) = refusal(&["--fault", "delay"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("fault \"delay\": delay needs a value") && said.contains("write delay=200ms"),
        "{said}"
    );
    let (code, said) = refusal(&["--fault-seed", "1"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("have no meaning without faults"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_hls-origin"))
        .args(["fault", "--control", "127.0.0.1:1", "list"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("no origin's control of faults answers at 127.0.0.1:1"), "{said}");
}
