//! Four shards as one run: they start together, the sum of their counts equals the origin's log, and
//! the common verdict names the shard that failed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::swarm::{Running, Swarm, was_starved};
use hls_swarm_test_support::waiting::eventually;

/// A collector on a free port, with its own folder.
struct Collector {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
    heard: Vec<String>,
    url: String,
    folder: TempDir,
}

impl Collector {
    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hls-swarm"));
        command.args(["collect", "--listen=127.0.0.1:0", "--report=merged.json"]).args(arguments);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
        });
        let mut collector = Self { child, lines, heard: Vec::new(), url: String::new(), folder };
        collector.url = eventually("the collector's address", Duration::from_secs(10), || {
            let line = collector.lines.recv_timeout(Duration::from_secs(10)).ok()?;
            let url = line
                .split("http://")
                .nth(1)
                .map(|rest| format!("http://{}", rest.trim_end_matches(['"', '}', ','])));
            collector.heard.push(line);
            url
        });
        collector
    }

    /// Exit code, standard output, standard error.
    fn end(mut self) -> (Option<i32>, String, String, Option<Value>) {
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        // Its last lines may not have arrived yet; the channel closes after them.
        self.heard.extend(std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_secs(5)).ok()));
        let report = std::fs::read_to_string(self.folder.path().join("merged.json")).ok();
        let report = report.map(|text| serde_json::from_str(&text).unwrap());
        (code, said, self.heard.join("\n"), report)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn shard(number: usize, collector: &str, stream: &str, more: &[&str]) -> Running {
    let shard = format!("--shard={number}/4");
    let common = ["--clients=8", "--ramp-rate=40", "--ramp-jitter=0s", "--duration=10s", "--log-format=json"];
    let own = [&shard, "--collector", collector, stream];
    Swarm::new(&[&common[..], &own, more].concat()).start()
}

/// The start time that a shard printed, in seconds of the day.
fn started(stderr: &str) -> f64 {
    let line = stderr.lines().find(|line| line.contains("all shards are ready: starting")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let time = line["timestamp"].as_str().unwrap().split('T').nth(1).unwrap().trim_end_matches('Z');
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// Requests of viewers by number, as nginx logged them.
fn requests_by_viewer(log: &Path) -> BTreeMap<u64, u64> {
    let mut requests_by_viewer = BTreeMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let agent = line["http_user_agent"].as_str().unwrap();
        if let Some((_, viewer)) = agent.split_once("/client-") {
            *requests_by_viewer.entry(viewer.parse().unwrap()).or_default() += 1;
        }
    }
    requests_by_viewer
}

/// The expected exit code, or that of INVALID if the machine was too busy.
fn expected_or_invalid(report: &Value, code: i32) -> i32 {
    if was_starved(report) { 5 } else { code }
}

#[test]
fn four_shards_start_together_and_their_sum_equals_the_origins_log() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("access.log");
    let origin = Origin::start(&["--access-log", log.to_str().unwrap()]);
    let stream = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let collector = Collector::start(&["--shards=4"]);
    let shards: Vec<Running> = (0..4)
        .map(|number| {
            std::thread::sleep(Duration::from_millis(200));
            shard(number, &collector.url, &stream, &[])
        })
        .collect();
    let ended: Vec<_> = shards.into_iter().map(Running::end).collect();
    let (code, said, heard, report) = collector.end();
    assert_eq!(code, Some(expected_or_invalid(report.as_ref().unwrap(), 0)), "{said}\n{heard}");
    let starts: Vec<f64> = ended.iter().map(|shard| started(&shard.stderr)).collect();
    let spread = starts.iter().copied().fold(0.0, f64::max) - starts.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread < 0.2, "{starts:?}");

    let report = report.unwrap();
    drop(origin);
    let by_viewer = requests_by_viewer(&log);
    assert_eq!(
        by_viewer.keys().copied().collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>(),
        "each number once"
    );
    let ours: u64 =
        report["requests"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ours, by_viewer.values().sum::<u64>());
    assert_eq!(report["target_clients"], 8);
}

#[test]
fn the_shard_that_fails_is_named() {
    let origin = Origin::start(&[]);
    let stream = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let collector = Collector::start(&["--shards=4"]);
    let impossible = ["--threshold", "segment_ttfb:p50<1us"];
    let shards: Vec<Running> = (0..4)
        .map(|number| shard(number, &collector.url, &stream, if number == 2 { &impossible } else { &[] }))
        .collect();
    shards
        .into_iter()
        .map(Running::end)
        .for_each(|shard| assert_eq!(shard.code(), 0, "the shard has sent its report"));
    let (code, said, heard, report) = collector.end();
    assert_eq!(code, Some(expected_or_invalid(report.as_ref().unwrap(), 4)), "{said}\n{heard}");
    assert!(said.contains("shard 2"), "{said}");
}

#[test]
fn a_shard_that_is_not_ready_is_named_and_an_unknown_shard_is_refused() {
    let origin = Origin::start(&[]);
    let stream = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let collector = Collector::start(&["--shards=3", "--ready-timeout=4s"]);
    let stranger = shard(1, &collector.url, &stream, &[]).end();
    assert_eq!(stranger.code(), 3);
    assert!(stranger.stderr.contains("this collector has 3 shards"), "{}", stranger.stderr);
    let (code, _, heard, _) = collector.end();
    assert_eq!(code, Some(3), "{heard}");
    // The failure itself is printed on standard error.
    assert!(heard.contains("shards 0, 1, 2 were not ready"), "{heard}");
}

/// Sends one request to the collector and returns the status.
fn posted(url: &str, request: &str, body: &str) -> u16 {
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: collector\r\nConnection: close\r\nContent-Length: {}",
        body.len()
    );
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_collector_beyond_loopback_wants_its_token() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (file("right", "a-token-of-the-test"), file("wrong", "another-token-of-it"));
    let origin = Origin::start(&[]);
    let stream = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let collector = Collector::start(&["--shards=1", "--token-file", &right]);
    let nonce = "0123456789abcdef";
    for request in ["POST /shards/0/ready?of=1&nonce=", "PUT /shards/0/report?nonce="] {
        assert_eq!(posted(&collector.url, &format!("{request}{nonce}"), "{}"), 401, "{request}");
    }
    assert_eq!(posted(&collector.url, "GET /health", ""), 200);
    let run = |token: &str| {
        let own = ["--shard=0/1", "--collector", &collector.url, "--collector-token-file", token, &stream];
        Swarm::new(&[&["--clients=1", "--duration=4s"][..], &own].concat()).start().end()
    };
    let refused = run(&wrong);
    assert_eq!(refused.code(), 3);
    assert!(refused.stderr.contains("--collector-token-file"), "{}", refused.stderr);
    assert_eq!(run(&right).code(), 0);
    let (code, said, heard, report) = collector.end();
    assert_eq!(code, Some(expected_or_invalid(report.as_ref().unwrap(), 0)), "{said}\n{heard}");
}

#[test]
fn malformed_requests_do_not_stop_the_collector() {
    let collector = Collector::start(&["--shards=1"]);
    for (request, body, status) in [
        ("POST /shards/0/ready", "", 400),
        ("POST /shards/-1/ready?of=1", "", 400),
        ("POST /shards/0/ready?of=%ff&seconds=NaN", "", 400),
        ("POST /shards/0/ready?of=1&nonce=0123456789abcdef&seconds=NaN", "", 400),
        ("POST /shards/0/ready?of=1&nonce=0123456789abcdef&variant=%0aERROR", "", 400),
        ("POST /shards/0/ready?of=1", "", 400),
        // Beyond the range of the clock.
        ("POST /shards/0/ready?of=1&nonce=0123456789abcdef&seconds=1e19", "", 200),
        ("POST /shards/0/ready?of=1&nonce=fedcba9876543210", "", 409),
        ("PUT /shards/0/report?nonce=fedcba9876543210", "{}", 400),
        ("PUT /shards/0/report?nonce=0123456789abcdef", "{\"schema\": 1}", 400),
        ("PUT /shards/99999999999/report", "{}", 400),
    ] {
        assert_eq!(posted(&collector.url, request, body), status, "{request}");
    }
    hls_swarm_test_support::processes::send(collector.child.id(), nix::sys::signal::Signal::SIGTERM);
    let (code, _, heard, _) = collector.end();
    assert_eq!(code, Some(6), "{heard}");
    assert!(heard.contains("none of 1 shards has reported"), "{heard}");
}
