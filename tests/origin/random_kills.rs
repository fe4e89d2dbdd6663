//! FFmpeg and nginx are killed at random while real viewers play: no playlist regresses, every viewer soon plays
//! again, and nothing is left behind.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use hls_swarm_test_support::hls::History;
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::processes::{descendants, send, survivors};
use hls_swarm_test_support::waiting::eventually;

const PLAYLISTS: [&str; 2] = ["stream.m3u8", "v1.m3u8"];
/// Maximum time until a viewer has received a complete segment again, in seconds.
const MAX_INTERRUPTION: f64 = 10.0;

fn monotonic() -> f64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9
}

fn watch_playlists(port: u16, stop: &AtomicBool) -> Vec<History> {
    let mut histories: Vec<History> = PLAYLISTS.iter().map(|_| History::default()).collect();
    while !stop.load(Ordering::Relaxed) {
        for (playlist, history) in PLAYLISTS.iter().zip(&mut histories) {
            // nginx may have just been killed.
            let Ok(answer) = ask(port, "GET", &format!("/{playlist}")) else { continue };
            if answer.status == 200 {
                let text = String::from_utf8(answer.body).unwrap();
                history.take(&text).unwrap_or_else(|wrong| panic!("{playlist}: {wrong}\n{text}"));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    histories
}

fn kill_at_random(viewers: u32, kills: u32, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut origin = Origin::start(&["--ladder", "128x72@60"]);
    let (port, runtime_dir) = (origin.port(), origin.directory());
    let folder = TempDir::new().unwrap();
    let exchanges = folder.path().join("exchanges");
    let stop = AtomicBool::new(false);
    let mut killed = Vec::new();
    let length = 8 + kills * 5 + 12;
    let histories = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch_playlists(port, &stop));
        let swarm = scope.spawn(|| {
            Command::new(env!("CARGO_BIN_EXE_hls-swarm"))
                .args([
                    "--clients",
                    &viewers.to_string(),
                    "--ramp-rate",
                    "20",
                    "--metrics",
                    "off",
                    "--tui=false",
                ])
                .args(["--duration", &format!("{length}s"), "--log-level", "warn", "--exchange-log"])
                .arg(&exchanges)
                .arg(format!("http://127.0.0.1:{port}/stream.m3u8"))
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .output()
                .unwrap()
        });
        std::thread::sleep(Duration::from_secs(6));
        for _ in 0..kills {
            let target = if random.bool() { "ffmpeg" } else { "nginx" };
            let pid =
                eventually("the process is running", Duration::from_secs(10), || origin.child_named(target));
            send(pid, Signal::SIGKILL);
            killed.push((target, monotonic()));
            std::thread::sleep(Duration::from_millis(random.u64(2500..5000)));
        }
        let swarm = swarm.join().unwrap();
        assert!(!String::from_utf8_lossy(&swarm.stderr).contains("panicked"));
        stop.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let encoder_kills = killed.iter().filter(|(target, _)| *target == "ffmpeg").count() as u64;
    for history in &histories {
        let marked = history.seen.values().map(|one| one.discontinuity).max().unwrap();
        assert!(
            marked <= encoder_kills && (encoder_kills == 0 || marked > 0),
            "{marked} discontinuities after {encoder_kills} kills of the encoder"
        );
    }
    assert_eq!(histories[0].seen.len(), histories[1].seen.len());

    let mut received = BTreeMap::<u64, Vec<f64>>::new();
    for line in std::fs::read_to_string(&exchanges).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let got = line["kind"] == "segment" && line["status"].as_u64().is_some_and(|status| status < 300);
        let times = line["started"].as_f64().zip(line["download"].as_f64()).filter(|_| got);
        let at = times.map(|(started, download)| started + download);
        received.entry(line["viewer"].as_u64().unwrap()).or_default().extend(at);
    }
    assert_eq!(received.len(), viewers as usize, "every viewer has played");
    let mut longest = 0.0_f64;
    for (target, at) in &killed {
        for (viewer, times) in &received {
            let again =
                times.iter().filter(|time| *time > at).fold(f64::INFINITY, |one, other| one.min(*other)) - at;
            longest = longest.max(again);
            assert!(
                again <= MAX_INTERRUPTION,
                "viewer {viewer} played again {again} s after a kill of {target}"
            );
        }
    }
    println!("{kills} kills, {viewers} viewers: the longest pause after a kill was {longest:.1} s");

    let children = descendants(origin.pid());
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(0), "{}", origin.standard_error());
    let started = Instant::now();
    eventually("no process is left", Duration::from_secs(2), || {
        survivors(&children).is_empty().then_some(())
    });
    assert!(!runtime_dir.exists() && started.elapsed() < Duration::from_secs(2));
}

#[test]
fn viewers_keep_playing_when_processes_are_killed() {
    kill_at_random(6, 4, 4);
}

#[test]
#[ignore = "two minutes; run alone"]
fn twenty_viewers_keep_playing_when_processes_are_killed_twenty_times() {
    kill_at_random(20, 20, 20);
}
