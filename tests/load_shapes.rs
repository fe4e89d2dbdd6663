//! Load shapes of real runs: stages up and down, viewers that arrive and leave, shards, several streams,
//! a start time, and a threshold that ends the run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::server::Server;
use hls_swarm_test_support::stream::{endless, served};
use hls_swarm_test_support::swarm::{Outcome, Swarm};

/// Requests the playlist once per second and plays in real time.
fn viewer() -> FakeFfmpeg {
    FakeFfmpeg::playing("play 100")
}

fn run(arguments: &[&str]) -> Outcome {
    let (server, fake) = (endless(), viewer());
    let url = server.url("/live.m3u8");
    let common = ["--ramp-jitter", "0s", "--ffmpeg", &fake.path(), &url];
    Swarm::new(&[arguments, &common].concat()).run()
}

fn column(outcome: &Outcome, pointer: &str, field: &str) -> Vec<Value> {
    let rows = outcome.report.pointer(pointer).and_then(Value::as_array).unwrap();
    rows.iter().map(|row| row[field].clone()).collect()
}

#[test]
fn stages_ramp_up_and_down_and_ramped_down_viewers_have_not_failed() {
    let outcome = run(&["--stage", "2s:4", "--stage", "3s:4", "--stage", "1s:1", "--stage", "2s:1"]);
    assert_eq!(column(&outcome, "/stages", "clients"), [4, 4, 1, 1]);
    assert_eq!(column(&outcome, "/stages", "met"), [Value::Null, true.into(), Value::Null, true.into()]);
    assert_eq!(outcome.number("/viewers/arrived"), 4.0);
    assert_eq!(outcome.number("/viewers/ramped_down"), 3.0);
    assert_eq!((outcome.number("/peak_clients"), outcome.number("/viewers/exits/success")), (4.0, 4.0));
    for none in ["/viewers/given_up", "/viewers/restarts", "/viewers/killed", "/viewers/exits/error"] {
        assert_eq!(outcome.number(none), 0.0, "{none}");
    }
    assert!((outcome.number("/elapsed_seconds") - 8.0).abs() < 0.5, "{}", outcome.stdout);
    assert!(outcome.said().contains("holds 4 viewers, the most that were tried"), "{}", outcome.stdout);
    outcome.assert_judged(0, "pass");
}

#[test]
fn viewers_arrive_and_leave_and_rejected_viewers_are_counted() {
    let arrivals = ["--arrival-rate", "8", "--session", "2s", "--clients", "4", "--duration", "7s"];
    let outcome = run(&[&arrivals[..], &["--seed", "5"]].concat());
    let number = |name: &str| outcome.number(&format!("/viewers/{name}"));
    assert!(outcome.number("/peak_clients") <= 4.0);
    assert!(number("arrived") > 4.0 && number("ramped_down") > 2.0, "{}", outcome.stdout);
    let came = number("arrived") + number("rejected");
    assert!(number("rejected") > 5.0 && (30.0..85.0).contains(&came), "{}", outcome.stdout);
    assert_eq!((number("restarts"), number("exits/error"), number("given_up")), (0.0, 0.0, 0.0));
    assert_eq!(number("exits/success"), number("starts"));
    assert!(outcome.said().contains("were rejected"), "{}", outcome.stdout);
    outcome.assert_judged(0, "pass");
}

#[test]
fn shards_share_the_viewers_and_their_streams() {
    let (server, fake) = (endless(), viewer());
    let streams = [format!("2:{}", server.url("/a.m3u8")), server.url("/b.m3u8")];
    let start = |shard: &str| {
        let load = ["--stage", "1s:7", "--stage", "2s:7", "--ramp-jitter", "0s", "--shard", shard];
        let what = ["--ffmpeg", &fake.path(), "--stream", &streams[0], "--stream", &streams[1]];
        Swarm::new(&[&load[..], &what].concat()).start()
    };
    let (one, other) = (start("0/2"), start("1/2"));
    let (one, other) = (one.end(), other.end());
    assert_eq!(column(&one, "/per_viewer", "viewer"), [1, 3, 5, 7]);
    assert_eq!(column(&other, "/per_viewer", "viewer"), [2, 4, 6]);
    assert_eq!(column(&one, "/stages", "clients"), [4, 4]);
    // Streams are assigned as a, b, a by viewer number, in every shard.
    assert_eq!(column(&one, "/streams", "clients"), [3, 1]);
    assert_eq!(column(&other, "/streams", "clients"), [2, 1]);
    for outcome in [one, other] {
        let of_streams: u64 = column(&outcome, "/streams", "requests")
            .iter()
            .map(|kinds| {
                kinds.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>()
            })
            .sum();
        let all = outcome.report["requests"].as_object().unwrap();
        assert_eq!(of_streams, all.values().map(|count| count.as_u64().unwrap()).sum::<u64>());
    }
}

#[test]
fn a_threshold_that_keeps_failing_ends_the_run() {
    let threshold = ["--threshold", "peak_clients>100", "--abort-after", "2s"];
    let outcome = run(&[&["--clients", "2", "--duration", "60s"][..], &threshold].concat());
    assert!(outcome.number("/elapsed_seconds") < 10.0, "{}", outcome.stdout);
    let because = outcome.report["end_reason"].as_str().unwrap();
    assert!(because.contains("peak_clients>100"), "{because}");
    outcome.assert_judged(4, "fail");
}

/// Two viewers with one request for the playlist per second each; the server's answer to the k-th of them is bad if
/// `broken(k)`.
fn run_against(broken: impl Fn(usize) -> bool + Send + Sync + 'static, arguments: &[&str]) -> Outcome {
    let (began, playlists) = (Instant::now(), AtomicUsize::new(0));
    let server = Server::start(move |target, _| {
        let mut answer = served(target, began);
        if !target.ends_with(".ts") && broken(playlists.fetch_add(1, Ordering::SeqCst)) {
            answer.pieces = vec![b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_vec()];
        }
        answer
    });
    let (fake, url) = (viewer(), server.url("/live.m3u8"));
    let common = ["--clients", "2", "--ramp-jitter", "0s", "--ffmpeg", &fake.path(), &url];
    Swarm::new(&[arguments, &common].concat()).run()
}

/// The first request is preflight's.
#[test]
fn a_run_that_recovers_from_a_bad_start_continues() {
    let arguments = ["--threshold", "error_rate<5%", "--abort-after", "9s", "--duration", "16s"];
    let outcome = run_against(|before| (1..5).contains(&before), &arguments);
    assert_eq!(outcome.report["end_reason"], "it reached its planned length", "{}", outcome.stdout);
    // The error rate of the whole run is above the threshold at any time, so the verdict is a failure.
    assert!(outcome.number("/errors/rate") > 0.05, "{}", outcome.stdout);
    outcome.assert_judged(4, "fail");
}

#[test]
fn a_run_that_starts_to_fail_is_aborted_in_time() {
    let arguments = ["--threshold", "error_rate<60%", "--abort-after", "6s", "--duration", "60s"];
    let outcome = run_against(|before| before > 24, &arguments);
    // 12 s without errors, two thirds of a window of 2 s, and the 6 s of --abort-after.
    assert!((17.0..27.0).contains(&outcome.number("/elapsed_seconds")), "{}", outcome.stdout);
    assert!(outcome.number("/errors/rate") < 0.6, "{}", outcome.stdout);
    let because = outcome.report["end_reason"].as_str().unwrap();
    assert!(because.contains("error_rate<60%"), "{because}");
    outcome.assert_judged(4, "fail");
}

#[test]
fn a_start_time_is_awaited_and_the_wait_can_be_interrupted() {
    let (server, fake) = (endless(), viewer());
    let url = server.url("/live.m3u8");
    let at = |when: &str| Swarm::new(&["--ffmpeg", &fake.path(), "--start-at", when, &url]);
    let waiting = at("2999-01-01T00:00:00Z").start();
    waiting.wait_for_line("waiting until 2999-01-01T00:00:00Z");
    waiting.signal(Signal::SIGINT);
    let outcome = waiting.end();
    assert_eq!((outcome.code(), outcome.report), (130, Value::Null));
    assert!(outcome.elapsed < Duration::from_secs(20));
    let missed = at("2020-01-01T00:00:00Z").run();
    assert_eq!(missed.code(), 2, "{}", missed.stderr);
    assert!(missed.stderr.contains("\"2020-01-01T00:00:00Z\" for --start-at: it was"), "{}", missed.stderr);
}
