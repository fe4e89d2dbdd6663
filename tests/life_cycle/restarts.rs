//! Starts along the ramp, and viewers that die, stall or finish.

use std::time::Duration;

use tempfile::TempDir;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::processes::zombies;
use hls_swarm_test_support::stream::{endless, vod};
use hls_swarm_test_support::swarm::Swarm;
use hls_swarm_test_support::waiting::eventually;

/// Shell command that records the time of a start, for `moments`.
const NOTE: &str = "date +%s.%N >>\"$(dirname \"$0\")/starts\"\n";

fn moments(fake: &FakeFfmpeg) -> Vec<f64> {
    fake.notes("starts").lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn viewers_start_along_the_ramp() {
    let (server, fake) = (endless(), FakeFfmpeg::playing(&format!("{NOTE}play 1000")));
    let url = server.url("/live.m3u8");
    let ramp = ["--clients", "12", "--ramp-rate", "4", "--ramp-jitter", "0s", "--duration", "5s"];
    let outcome = Swarm::new(&[&ramp[..], &["--ffmpeg", &fake.path(), &url]].concat()).run();
    let starts = moments(&fake);
    assert_eq!(starts.len(), 12);
    for (index, start) in starts.iter().enumerate() {
        let off = start - starts[0] - index as f64 / 4.0;
        assert!(off.abs() < 0.25, "viewer {} was {off:.3} s off: {starts:?}", index + 1);
    }
    assert_eq!((outcome.number("/viewers/starts"), outcome.number("/viewers/restarts")), (12.0, 0.0));
    assert_eq!((outcome.number("/peak_clients"), outcome.number("/viewers/exits/success")), (12.0, 12.0));
}

#[test]
fn an_interrupted_ramp_starts_no_more_viewers() {
    let (server, fake) = (endless(), FakeFfmpeg::playing(&format!("{NOTE}play 1000")));
    let url = server.url("/live.m3u8");
    let ramp = ["--clients", "500", "--ramp-rate", "2", "--ramp-jitter", "0s", "--duration", "3250ms"];
    let outcome = Swarm::new(&[&ramp[..], &["--ffmpeg", &fake.path(), &url]].concat()).run();
    assert_eq!(moments(&fake).len(), 7, "one immediately, two per second: {:?}", moments(&fake));
    assert_eq!(outcome.number("/viewers/starts"), 7.0);
    assert_eq!(outcome.number("/target_clients"), 500.0);
}

#[test]
fn restarts_are_spaced_and_a_run_that_never_plays_ends_with_the_reason() {
    let fake = FakeFfmpeg::playing(&format!("{NOTE}echo \"[error] no video for viewer $$\" >&2; exit 7"));
    let server = endless();
    let running =
        Swarm::new(&["--clients", "1", "--ffmpeg", &fake.path(), &server.url("/live.m3u8")]).start();
    // A viewer that has died is reaped, even before its restart is due.
    for _ in 0..6 {
        let seen = zombies(running.pid());
        std::thread::sleep(Duration::from_millis(300));
        let still = zombies(running.pid());
        assert!(!seen.iter().any(|pid| still.contains(pid)), "{seen:?} {still:?}");
    }
    let outcome = running.end();
    assert_eq!(outcome.code(), 6, "{}", outcome.stderr);
    assert!(outcome.elapsed < Duration::from_secs(10), "{:?}", outcome.elapsed);
    let starts = moments(&fake);
    let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((4..=5).contains(&gaps.len()), "{gaps:?}");
    for (gap, full) in gaps.iter().zip([0.25, 0.5, 1.0, 2.0, 4.0]) {
        assert!((full / 2.0..full + 0.8).contains(gap), "{gap} is not in proportion to {full}: {gaps:?}");
    }
    let reasons = outcome.reasons();
    assert_eq!(reasons.len(), 1, "one cause, reported once: {reasons:?}");
    assert_eq!(reasons[0].1, starts.len() as u64);
    assert!(reasons[0].0.contains("no video for viewer") && reasons[0].0.ends_with("exit code 7"));
}

#[test]
fn viewers_that_fail_too_often_are_given_up() {
    let server = endless();
    let url = server.url("/live.m3u8");
    for (viewer, played) in [("exit 1", 0.0), ("play 2; exit 1", 2.0)] {
        let fake = FakeFfmpeg::playing(viewer);
        let arguments = ["--clients", "2", "--max-restarts", "1", "--ffmpeg", &fake.path(), &url];
        let outcome = Swarm::new(&arguments).run();
        if played > 0.0 {
            outcome.assert_judged(4, "fail");
        } else {
            assert_eq!(outcome.code(), 6, "{}\n{}", outcome.stdout, outcome.stderr);
        }
        assert_eq!(outcome.report["end_reason"], "all viewers had ended or failed permanently");
        for (name, value) in [("starts", 4.0), ("restarts", 2.0), ("given_up", 2.0), ("played", played)] {
            assert_eq!(outcome.number(&format!("/viewers/{name}")), value, "{name}");
        }
        assert_eq!(outcome.reasons().iter().map(|(_, count)| count).sum::<u64>(), 4);
        assert!(outcome.elapsed < Duration::from_secs(12), "{:?}", outcome.elapsed);
    }
}

#[test]
fn processes_of_a_viewer_end_with_it() {
    let fake =
        FakeFfmpeg::playing("sleep 1000 & echo $! >>\"$(dirname \"$0\")/grandchildren\"\nplay 1; exit 1");
    let server = endless();
    let running =
        Swarm::new(&["--clients", "1", "--ffmpeg", &fake.path(), &server.url("/live.m3u8")]).start();
    let grandchildren =
        || -> Vec<u32> { fake.notes("grandchildren").lines().map(|line| line.parse().unwrap()).collect() };
    eventually("the viewer comes back", Duration::from_secs(20), || {
        (grandchildren().len() > 1).then_some(())
    });
    let first = grandchildren()[0];
    let alive = running.family().iter().any(|one| one.pid == first);
    assert!(!alive, "the child of the first viewer has outlived it");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end();
}

#[test]
fn a_viewer_that_plays_for_less_than_a_second_has_played() {
    let fake = FakeFfmpeg::playing("fetch; echo out_time_us=500000; echo progress=end; exit 1");
    let server = endless();
    let url = server.url("/live.m3u8");
    let arguments = ["--clients", "1", "--max-restarts", "1", "--ffmpeg", &fake.path(), &url];
    let outcome = Swarm::new(&arguments).run();
    assert_eq!(outcome.number("/viewers/played"), 1.0);
    let media = outcome.number("/per_viewer/0/media_seconds");
    assert!((0.1..=6.0).contains(&media), "{media} s of what each generation fetched");
    outcome.assert_judged(4, "fail");
}

#[test]
fn a_viewer_that_stalls_is_counted_and_restarted_only_on_request() {
    let server = endless();
    let url = server.url("/live.m3u8");
    let fake = FakeFfmpeg::playing(&format!(
        "{NOTE}play 3; while :; do echo out_time_us=3000000; echo progress=continue; sleep 1; done"
    ));
    let path = fake.path();
    let arguments = ["--clients", "1", "--duration", "17s", "--ffmpeg", &path, &url];
    let left_alone = Swarm::new(&arguments).start();
    let restarted = Swarm::new(&[&["--restart-on-stall"], &arguments[..]].concat()).start();
    let (left_alone, restarted) = (left_alone.end(), restarted.end());
    for (outcome, starts) in [(&left_alone, 1.0), (&restarted, 2.0)] {
        // The one that is started again stalls again.
        assert!((1.0..=starts).contains(&outcome.number("/viewers/stalled")), "{}", outcome.stdout);
        assert_eq!(outcome.number("/viewers/starts"), starts);
        assert_eq!(outcome.number("/viewers/killed"), 0.0);
    }
    left_alone.assert_judged(4, "fail");
    let (before, after) = (left_alone.number("/active_ratio"), restarted.number("/active_ratio"));
    assert!(before < 0.7 && before < after, "a restart helps: {before}, {after}");
    assert_eq!(left_alone.reasons(), []);
    assert_eq!(restarted.reasons(), [("FFmpeg printed no error; stopped because it stalled".to_owned(), 1)]);
    assert_eq!(moments(&fake).len(), 3);
}

#[test]
fn a_vod_is_played_again_after_its_end() {
    let folder = TempDir::new().unwrap();
    vod(folder.path(), 3);
    let nginx = Nginx::start(folder.path(), Site::default());
    let url = format!("http://127.0.0.1:{}/vod.m3u8", nginx.plain);
    // With a restart every three seconds, startup is a tenth of the time.
    let criterion = ["--threshold", "active_ratio>=70%"];
    let outcome =
        Swarm::new(&[&["--clients", "2", "--duration", "13s"][..], &criterion, &[&url]].concat()).run();
    // Each playback takes three seconds plus startup, without backoff and without busy restarts.
    let plays = outcome.number("/viewers/starts");
    assert!((6.0..=10.0).contains(&plays), "{plays}: {}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/restarts"), plays - 2.0);
    assert_eq!(outcome.number("/viewers/exits/success"), plays);
    assert_eq!((outcome.number("/viewers/killed"), outcome.number("/viewers/given_up")), (0.0, 0.0));
    assert_eq!(outcome.reasons(), [], "an end is not a failure");
    let media = outcome.number("/per_viewer/0/media_seconds");
    assert!((8.0..=14.0).contains(&media), "{media}");
    outcome.assert_judged(0, "pass");
}

/// Publishes `vod` as a live stream, one segment per second, and ends it with EXT-X-ENDLIST.
fn broadcast(www: &std::path::Path) {
    let vod = std::fs::read_to_string(www.join("vod.m3u8")).unwrap();
    let names: Vec<&str> = vod.lines().filter(|line| !line.starts_with('#')).collect();
    let publish = |first: usize, until: usize, end: &str| {
        let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:";
        let list: String = names[first..until].iter().map(|name| format!("#EXTINF:1,\n{name}\n")).collect();
        std::fs::write(www.join("next"), format!("{head}{first}\n{list}{end}")).unwrap();
        std::fs::rename(www.join("next"), www.join("live.m3u8")).unwrap();
    };
    for until in 4..names.len() {
        publish(until - 4, until, "");
        std::thread::sleep(Duration::from_secs(1));
    }
    publish(names.len() - 4, names.len(), "#EXT-X-ENDLIST\n");
}

#[test]
fn a_live_stream_that_ends_is_not_a_failure() {
    let folder = TempDir::new().unwrap();
    vod(folder.path(), 16);
    let nginx = Nginx::start(folder.path(), Site::default());
    let url = format!("http://127.0.0.1:{}/live.m3u8", nginx.plain);
    let www = folder.path().join("www");
    let broadcast = std::thread::spawn(move || broadcast(&www));
    eventually("the stream is on the air", Duration::from_secs(5), || {
        folder.path().join("www/live.m3u8").exists().then_some(())
    });
    let outcome = Swarm::new(&["--clients", "3", "--duration", "60s", &url]).run();
    broadcast.join().unwrap();
    assert!(outcome.number("/elapsed_seconds") < 30.0, "the run ends with its viewers: {}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/starts"), 3.0, "a stream that has ended is not played again");
    assert_eq!(outcome.number("/viewers/exits/success"), 3.0);
    assert_eq!(outcome.reasons(), [], "an end is not a failure");
    outcome.assert_judged(0, "pass");
}
