//! Concurrent starts, crashes of every process, and that nothing is left behind.

use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::processes::{descendants, send, survivors};
use hls_swarm_test_support::waiting::eventually;

#[test]
fn two_concurrent_starts_share_one_encoding_and_use_different_ports() {
    let cache = TempDir::new().unwrap();
    // Large enough that the second start finds the first one encoding.
    let arguments = ["--video-size", "640x360", "--fps", "30", "--video-bitrate", "800"];
    let (mut one, mut other) = std::thread::scope(|scope| {
        let start = || Origin::start_with_cache(cache.path(), &arguments);
        let (one, other) = (scope.spawn(start), scope.spawn(start));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_ne!(one.port(), other.port());
    assert_ne!(one.directory(), other.directory());
    for origin in [&one, &other] {
        assert_eq!(origin.get("/health").status, 200);
        origin.signal(Signal::SIGTERM);
    }
    assert_eq!((one.end(), other.end()), (Some(0), Some(0)));
    let encodings =
        [one.standard_error(), other.standard_error()].concat().matches("encoding a loop").count();
    assert_eq!(encodings, 1, "the second start uses the loop of the first one");
    let kept: Vec<_> =
        std::fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 1, "one loop and nothing else: {kept:?}");
}

#[test]
fn a_killed_encoder_restarts_and_the_media_sequence_continues() {
    let origin = Origin::start(&[]);
    let mut last = 0;
    let mut advance = |seconds: u64, enough: &dyn Fn(u64, &str) -> bool| {
        eventually("the stream advances", Duration::from_secs(seconds), || {
            let (listed, text) = origin.playlist()?;
            assert!(listed.media_sequence >= last, "back from {last} to {}", listed.media_sequence);
            last = listed.media_sequence;
            enough(last, &text).then_some(listed)
        })
    };
    advance(20, &|sequence, _| sequence >= 1);
    for _ in 0..2 {
        let encoder = origin.child_named("ffmpeg").unwrap();
        send(encoder, Signal::SIGKILL);
        // The discontinuity is marked, because the timestamps restart.
        let listed = advance(20, &|_, text| text.contains("#EXT-X-DISCONTINUITY\n"));
        assert_ne!(origin.child_named("ffmpeg"), Some(encoder));
        for segment in &listed.segments {
            assert_eq!(origin.get(&format!("/{segment}")).status, 200, "{segment}");
        }
        let recovered = listed.media_sequence + 4;
        advance(20, &|sequence, text| sequence >= recovered && !text.contains("#EXT-X-DISCONTINUITY\n"));
    }
    // The files of the killed processes are removed as well. Expected are: listed, delisted and unfinished
    // segments, both playlists and FFmpeg's list.
    let www = origin.directory().join("www");
    eventually("strays are removed", Duration::from_secs(40), || {
        let files = std::fs::read_dir(&www).unwrap().count();
        (files <= 4 + 5 + 1 + 3).then_some(())
    });
}

#[test]
fn an_encoder_that_keeps_failing_ends_the_origin_with_the_reason() {
    let mut origin = Origin::start(&[]);
    let runtime_dir = origin.directory();
    std::fs::remove_file(runtime_dir.join("loop.nut")).unwrap();
    send(origin.child_named("ffmpeg").unwrap(), Signal::SIGKILL);
    assert_eq!(origin.end(), Some(1));
    let said = origin.standard_error();
    assert!(said.contains("error: ffmpeg keeps failing, most recently with exit code 1: "), "{said}");
    assert!(said.contains("loop.nut: No such file or directory") && !runtime_dir.exists(), "{said}");
}

#[test]
fn a_killed_nginx_restarts_on_the_same_port() {
    let origin = Origin::start(&[]);
    for _ in 0..2 {
        let master = origin.child_named("nginx").unwrap();
        let workers = descendants(master);
        assert!(!workers.is_empty());
        send(master, Signal::SIGKILL);
        eventually("nginx is replaced", Duration::from_secs(10), || {
            origin.child_named("nginx").filter(|now| *now != master)
        });
        eventually("it serves again", Duration::from_secs(10), || {
            ask(origin.port(), "GET", "/health").ok().filter(|answer| answer.status == 200)
        });
        assert_eq!(survivors(&workers), [], "no worker of the killed master process may keep the port");
    }
}

#[test]
fn a_stalled_stream_is_unhealthy() {
    let origin = Origin::start(&[]);
    assert_eq!(origin.get("/health").status, 200);
    let encoder = origin.child_named("ffmpeg").unwrap();
    send(encoder, Signal::SIGSTOP);
    eventually("health reports it", Duration::from_secs(10), || {
        (origin.get("/health").status == 503).then_some(())
    });
    send(encoder, Signal::SIGCONT);
    eventually("health recovers", Duration::from_secs(10), || {
        (origin.get("/health").status == 200).then_some(())
    });
    assert_eq!(origin.child_named("ffmpeg"), Some(encoder));
}

#[test]
fn a_stuck_encoder_is_replaced() {
    let origin = Origin::start(&[]);
    let encoder = origin.child_named("ffmpeg").unwrap();
    send(encoder, Signal::SIGSTOP);
    eventually("the encoder is replaced", Duration::from_secs(40), || {
        origin.child_named("ffmpeg").filter(|now| *now != encoder)
    });
    eventually("health recovers", Duration::from_secs(10), || {
        (origin.get("/health").status == 200).then_some(())
    });
}

#[test]
fn a_graceful_shutdown_leaves_nothing_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("ready.json");
        let mut origin = Origin::start(&["--ready-file", file.to_str().unwrap()]);
        let (children, runtime_dir) = (descendants(origin.pid()), origin.directory());
        // Guard, nginx with a worker, FFmpeg.
        assert!(children.len() >= 4 && runtime_dir.is_dir() && file.exists(), "{children:?}");
        origin.signal(signal);
        assert_eq!(origin.end(), Some(0), "{signal}");
        assert_eq!(survivors(&children), []);
        assert!(!runtime_dir.exists() && !file.exists());
        assert!(ask(origin.port(), "GET", "/health").is_err(), "the port is closed");
    }
}

#[test]
fn a_second_signal_ends_it_immediately_and_leaves_nothing() {
    let mut origin = Origin::start(&[]);
    let (children, runtime_dir) = (descendants(origin.pid()), origin.directory());
    // A stopped encoder cannot end gracefully, so that the second signal has something to cut short.
    send(origin.child_named("ffmpeg").unwrap(), Signal::SIGSTOP);
    origin.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    origin.signal(Signal::SIGTERM);
    assert_eq!(origin.end(), Some(128 + 15));
    eventually("everything is gone", Duration::from_secs(1), || {
        survivors(&children).is_empty().then_some(())
    });
    assert!(!runtime_dir.exists());
}

#[test]
fn a_killed_origin_leaves_nothing_behind() {
    let mut origin = Origin::start(&[]);
    let (children, runtime_dir) = (descendants(origin.pid()), origin.directory());
    assert!(children.len() >= 4, "{children:?}");
    origin.signal(Signal::SIGKILL);
    assert_eq!(origin.end(), None);
    eventually("everything is gone", Duration::from_secs(1), || {
        (survivors(&children).is_empty() && !runtime_dir.exists()).then_some(())
    });
}
