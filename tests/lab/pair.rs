//! The figures of the pair are correct.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use hls_swarm_origin::access_log::LogEntry;

use crate::lab::machines::{Played, ask, play, play_port, script, ssh};
use crate::lab::waiting::eventually;

/// The origin's access log, in the machine.
const LOG: &str = "/run/hls/access.ndjson";
/// That of the origin with parts, a second one in the same machine.
const LOW_LATENCY_LOG: &str = "/run/hls/parts.ndjson";
const LOW_LATENCY_PORT: u16 = 17180;

/// Requests by viewer and kind.
type Counts = BTreeMap<(u64, &'static str), u64>;

fn reported(report: &Value) -> Counts {
    let rows = report["per_viewer"].as_array().unwrap();
    let count = |row: &Value, kind| {
        ((row["viewer"].as_u64().unwrap(), kind), row["requests"][kind].as_u64().unwrap())
    };
    rows.iter().flat_map(|row| ["manifest", "segment", "init"].map(|kind| count(row, kind))).collect()
}

fn logged(log: &str) -> Counts {
    let mut counts = Counts::new();
    for line in log.lines() {
        let entry: LogEntry = serde_json::from_str(line).unwrap();
        // Viewer k has the user agent client-k; the origin's own checks and preflight have others.
        let Some((_, viewer)) = entry.http_user_agent.split_once("/client-") else { continue };
        let kind = match entry.uri.rsplit_once('.') {
            Some((_, "m3u8")) => "manifest",
            Some((name, "mp4")) if name.contains("init") => "init",
            _ => "segment",
        };
        *counts.entry((viewer.parse().unwrap(), kind)).or_default() += 1;
    }
    counts
}

#[test]
#[ignore = "boots two machines: make lab-test"]
fn the_report_equals_the_access_log() {
    // On a busy host, emulated machines may be too slow for the thresholds, and the run reports this. Its counts
    // must be correct nevertheless.
    for attempt in 1..=2 {
        ask("origin", &format!(": >{LOG}"));
        let played = play("");
        compare(&played, LOG, 10);
        assert!(played.number("/elapsed_seconds") >= 30.0);
        let criteria = played.report["criteria"].as_array().unwrap();
        if played.report["verdict"] == "pass" {
            assert!(criteria.len() >= 6 && criteria.iter().all(|one| one["met"] == true), "{criteria:?}");
            assert_eq!(played.code, Some(0));
            return;
        }
        println!("attempt {attempt}: {}", played.report["invalid_because"]);
    }
    panic!("the lab's scenario did not pass, see its summary above");
}

/// Compares the report of a run with an access log that has nothing but that run.
fn compare(played: &Played, log: &str, viewers: usize) {
    let reported = reported(&played.report);
    assert_eq!(reported.len(), 3 * viewers, "{viewers} viewers, three kinds: {reported:?}");
    let total: u64 = reported.values().sum();
    assert!(total >= 100, "{}", played.summary);
    // nginx writes its line when the connection is closed, which takes a moment.
    let log =
        eventually("as many lines in the log as requests in the report", Duration::from_secs(10), || {
            Some(logged(&ask("origin", &format!("cat {log}"))))
                .filter(|log| log.values().sum::<u64>() >= total)
        });
    // A viewer without requests has no lines.
    let asked: Counts = reported.into_iter().filter(|(_, requests)| *requests > 0).collect();
    assert_eq!(asked, log, "requests by viewer and kind: report, then access log");
    println!("{total} requests in the report and in the access log");
}

/// Twenty-eight native viewers and two FFmpeg viewers beside them.
#[test]
#[ignore = "boots two machines: make lab-test"]
fn native_viewers_and_canaries_equal_the_access_log() {
    ask("origin", &format!(": >{LOG}"));
    let played = play("--engine native --clients 30 --ramp-rate 6 --canaries 2 --duration 20s");
    compare(&played, LOG, 30);
    assert_eq!(played.number("/canaries/canaries/played"), 2.0, "{}", played.summary);
    assert_eq!(played.number("/canaries/native/played"), 28.0, "{}", played.summary);
}

/// Native viewers play the parts of a low-latency stream.
#[test]
#[ignore = "boots two machines: make lab-test"]
fn low_latency_viewers_equal_the_access_log() {
    // The stream of the lab, whose loop is in the image, in parts.
    ask(
        "origin",
        &format!(
            "cd /run/hls && hls-origin --profile /usr/share/hls-lab/origin/lab.toml --format fmp4 --part-duration 500ms \
             --list-size 12 --listen 0.0.0.0 --port {LOW_LATENCY_PORT} --node-metrics-port off --nginx-metrics-port off \
             --cache-dir /run/loops --access-log {LOW_LATENCY_LOG} --ready-file parts.ready --log-level warn \
             >/dev/console 2>&1 </dev/null & echo $! >/run/hls/parts.pid"
        ),
    );
    eventually("the origin with parts is ready", Duration::from_secs(60), || {
        std::thread::sleep(Duration::from_millis(500));
        ssh("origin", "test -s /run/hls/parts.ready").status.success().then_some(())
    });
    let played = play_port(LOW_LATENCY_PORT, "--engine native --clients 10 --ramp-rate 5 --duration 20s");
    ask("origin", "kill $(cat /run/hls/parts.pid)");
    compare(&played, LOW_LATENCY_LOG, 10);
    assert!(played.number("/parts_loaded") >= 100.0, "{}", played.summary);
}

/// The shortest times of a run in milliseconds, from the exchange log. A busy host adds varying delays to an
/// emulated machine, and the shortest of many shows that of the link.
struct Shortest {
    connect: f64,
    first_byte: f64,
}

impl Shortest {
    fn measure() -> Self {
        let log = "/run/hls/exchanges.ndjson";
        let played = play(&format!("--clients 5 --ramp-rate 2 --duration 12s --exchange-log {log}"));
        assert_eq!(played.number("/errors/http"), 0.0, "{}", played.summary);
        let exchanges: Vec<Value> = ask("client", &format!("cat {log}"))
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let shortest = |what: &str| {
            let times: Vec<f64> = exchanges.iter().filter_map(|exchange| exchange[what].as_f64()).collect();
            assert!(times.len() >= 10, "{} exchanges with {what}", times.len());
            times.into_iter().fold(f64::INFINITY, f64::min) * 1000.0
        };
        let found = Self { connect: shortest("connect"), first_byte: shortest("ttfb") };
        let median = |what: &str| played.number(&format!("/latency_seconds/{what}/p50")) * 1000.0;
        println!(
            "connect: shortest {:.1} ms, median {:.1} ms; first byte of a playlist: shortest {:.1} ms, median {:.1} ms",
            found.connect,
            median("connect"),
            found.first_byte,
            median("manifest/ttfb")
        );
        found
    }
}

#[test]
#[ignore = "boots two machines: make lab-test"]
fn a_delay_of_50_ms_shows_in_connects_and_first_bytes() {
    let before = Shortest::measure();
    ask("origin", "hls-swarm impair 50ms");
    let after = Shortest::measure();
    ask("origin", "hls-swarm impair clean");
    assert!(!ask("origin", "tc qdisc show dev eth0").contains("netem"), "`clean` must remove the delay");
    // 50 ms ± 10 ms: the shortest of many is close to 40 ms, and not shorter.
    for (what, rise) in
        [("connect", after.connect - before.connect), ("first byte", after.first_byte - before.first_byte)]
    {
        assert!((36.0..62.0).contains(&rise), "{what} rose by {rise:.1} ms");
    }
    assert!(after.connect >= 40.0 && after.first_byte >= 40.0, "no packet may be faster than the delay");
}

/// Waits until this number of viewers play, according to the run's Prometheus endpoint.
fn until_playing(wanted: &str) {
    let line = format!("hls_swarm_playing_clients {wanted}");
    eventually(&format!("{wanted} viewers play"), Duration::from_secs(120), || {
        std::thread::sleep(Duration::from_millis(500));
        let metrics = ssh("client", "wget -q -O - http://127.0.0.1:17091/metrics");
        String::from_utf8_lossy(&metrics.stdout).lines().any(|found| found == line).then_some(())
    });
}

#[test]
#[ignore = "boots two machines: make lab-test"]
fn viewers_recover_from_a_power_cut_of_the_origin() {
    let played = std::thread::scope(|scope| {
        // A power cut of ten seconds would exceed the error-rate limit and end the run before the origin is back.
        let run =
            scope.spawn(|| play("--clients 5 --ramp-rate 2 --duration 5m --timeout 4s --error-storm off"));
        until_playing("5");
        let cut = Instant::now();
        let reset = script("microvm").args(["reset", "origin"]).output().unwrap();
        assert!(reset.status.success(), "{reset:?}");
        println!("the origin serves again {:.1} s after the cut", cut.elapsed().as_secs_f32());
        until_playing("5");
        println!("all viewers play again {:.1} s after the cut", cut.elapsed().as_secs_f32());
        ask("client", "kill -TERM $(pidof hls-swarm | tr ' ' '\\n' | sort -n | head -n 1)");
        run.join().unwrap()
    });
    assert_eq!(played.report["verdict"], "aborted", "{}", played.summary);
    assert_eq!(played.report["playing_at_end"], 5, "{}", played.summary);
    assert_eq!(played.report["viewers"]["given_up"], 0, "{}", played.summary);
    // The report must show the effects of the power cut.
    let harm = ["/viewers/restarts", "/errors/connect", "/errors/timeouts"].map(|what| played.number(what));
    assert!(harm.iter().sum::<f64>() > 0.0, "{}", played.summary);
}
