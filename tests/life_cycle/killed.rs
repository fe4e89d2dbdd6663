//! `kill -9` of the supervisor: no viewer is alive one second later.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::processes::send;
use hls_swarm_test_support::stream::{endless, vod};
use hls_swarm_test_support::swarm::{Running, Swarm};
use hls_swarm_test_support::waiting::eventually;

const SECOND: Duration = Duration::from_secs(1);

/// Kills the supervisor and returns the time until its last process ended.
fn kill_and_time(running: Running) -> Duration {
    let killed = Instant::now();
    running.signal(Signal::SIGKILL);
    eventually("all are gone a second after the kill", SECOND, || running.family().is_empty().then_some(()));
    let time = killed.elapsed();
    assert_eq!(running.end().code(), 137);
    time
}

#[test]
fn real_viewers_die_with_a_killed_supervisor() {
    let folder = TempDir::new().unwrap();
    // More than the buffer of a player, which FFmpeg fills at once where it can.
    vod(folder.path(), 75);
    let nginx = Nginx::start(folder.path(), Site::default());
    let url = format!("http://127.0.0.1:{}/vod.m3u8", nginx.plain);
    let start = || {
        let running = Swarm::new(&["--clients", "8", "--ramp-rate", "100", &url]).start();
        eventually("eight viewers", Duration::from_secs(20), || {
            (running.children("ffmpeg").len() == 8).then_some(())
        });
        running
    };
    println!("eight viewers were gone {:?} after kill -9", kill_and_time(start()));

    // The guard dies first: then the kernel's death signal still ends what we started.
    let running = start();
    let guard = running.children("hls-guard");
    assert_eq!(guard.len(), 1);
    send(guard[0].pid, Signal::SIGKILL);
    println!("without a guard they were gone after {:?}", kill_and_time(running));
}

#[test]
fn process_groups_die_with_a_killed_supervisor() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("trap '' TERM INT HUP; sleep 1000 & play 1000"));
    let url = server.url("/live.m3u8");
    let running = Swarm::new(&["--clients", "2", "--ffmpeg", &fake.path(), &url]).start();
    eventually("grandchildren", Duration::from_secs(20), || {
        (running.family().iter().filter(|one| one.name == "sleep").count() >= 4).then_some(())
    });
    kill_and_time(running);
}

#[test]
fn capability_detection_dies_with_a_killed_supervisor() {
    let (server, fake) = (endless(), FakeFfmpeg::always("trap '' TERM; sleep 1000 & sleep 1000"));
    let running = Swarm::new(&["--ffmpeg", &fake.path(), &server.url("/live.m3u8")]).start();
    eventually("the question", Duration::from_secs(20), || {
        (running.family().iter().filter(|one| one.name == "sleep").count() == 2).then_some(())
    });
    kill_and_time(running);
}
