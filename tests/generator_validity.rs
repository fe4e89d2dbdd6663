//! The validity of a run: whether the load generator was able to measure, by the evidence of its own processes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::other_work::{OtherWork, Sleeper};
use hls_swarm_test_support::processes;
use hls_swarm_test_support::server::{Answer, Server, Then};
use hls_swarm_test_support::stream::{endless, served};
use hls_swarm_test_support::swarm::{Outcome, Running, Swarm};

fn invalid_because(outcome: &Outcome) -> String {
    outcome.report["invalid_because"].to_string()
}

/// A thread that sleeps and is late for less than this share of its life did not have to wait. On an idle machine it is
/// late for 1 %.
const HARDLY_LATE: f64 = 0.05;

/// Runs beside the other work and asserts that only a machine on which processes of the usual priority have to wait
/// makes the run INVALID. A sleeper in this process shows that independently.
fn assert_valid_beside_other_work(run: Swarm) {
    let sleeper = Sleeper::start();
    let outcome = run.run();
    let late = sleeper.end();
    if late < HARDLY_LATE {
        assert_eq!(outcome.code(), 0, "this process was late for only {late:.3}\n{}", outcome.stdout);
    }
    outcome.assert_judged(0, "pass");
    assert!(outcome.number("/generator/saturated_seconds") > 0.0, "the processors were not busy");
    assert!(outcome.code() == 5 || outcome.stdout.contains("! warning: "), "{}", outcome.stdout);
    let (waited, lived) = (
        outcome.number("/generator/waits/viewer_wait_seconds"),
        outcome.number("/generator/waits/viewer_sampled_seconds"),
    );
    assert!(waited > 0.0 && waited < lived, "{waited} of {lived}");
    let error = outcome.number("/latency_error_seconds/max");
    assert!(error > 0.0 && error >= outcome.number("/latency_error_seconds/mean"), "{error}");
}

#[test]
fn other_work_on_all_processors_is_a_warning() {
    let origin = Origin::start(&["--embedded"]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let _other_work = OtherWork::on_all_processors(19);
    let arguments = ["--clients", "3", "--duration", "10s", &url];
    assert_valid_beside_other_work(Swarm::new(&arguments));
    if nix::unistd::geteuid().is_root() {
        let other_user = "chown -R 65534:65534 . && chmod 755 . && export HOME=\"$PWD\" && \
                      exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"";
        assert_valid_beside_other_work(Swarm::after(other_user, &arguments));
    }
}

/// A control group with a CPU quota, removed at the end.
struct Quota(PathBuf);

impl Quota {
    /// `None` if this user cannot create one here.
    fn new(percent: u32) -> Option<Self> {
        let name = format!("hls-swarm-test-{}", std::process::id());
        let version_2 = Path::new("/sys/fs/cgroup").join(&name);
        let version_1 = Path::new("/sys/fs/cgroup/cpu").join(&name);
        for (group, file, text) in [
            (version_1, "cpu.cfs_quota_us", (percent * 1000).to_string()),
            (version_2, "cpu.max", format!("{} 100000", percent * 1000)),
        ] {
            if group.parent().is_some_and(Path::exists) && std::fs::create_dir(&group).is_ok() {
                let group = Self(group);
                if std::fs::write(group.0.join(file), text).is_ok() {
                    return Some(group);
                }
            }
        }
        None
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A process that has just ended may still be a member.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_cpu_quota_that_throttles_makes_the_run_invalid() {
    let Some(quota) = Quota::new(30) else {
        println!("NOT RUN: this user cannot create a control group with a CPU quota here");
        return;
    };
    let origin = Origin::start(&["--embedded"]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let join = format!("echo $$ > {}/cgroup.procs", quota.0.display());
    // The start of all these viewers alone takes more than the quota of the whole run.
    let load = ["--clients", "60", "--ramp-rate", "20", "--ramp-jitter", "0s", "--duration", "12s"];
    let outcome = Swarm::after(&join, &[&load[..], &[&url]].concat()).run();
    assert_eq!(outcome.code(), 5, "{}\n{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.report["verdict"], "invalid");
    let because = invalid_because(&outcome);
    // Beside other work the group may not even use up its quota; then its processes wait for a processor instead.
    assert!(because.contains("CPU quota") || because.contains("waited for a processor"), "{because}");
    assert!(outcome.report.pointer("/generator/waits/throttled_seconds").is_some(), "{because}");
}

fn stop_one_viewer(running: &Running, once: &str) {
    running.wait_for_line(once);
    let viewers = running.children("ffmpeg");
    processes::send(viewers[0].pid, Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(1500));
    processes::send(viewers[0].pid, Signal::SIGCONT);
}

#[test]
fn viewers_that_were_stopped_make_the_run_invalid_and_are_not_blamed_on_the_stream() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("play 1000"));
    let url = server.url("/live.m3u8");
    let running =
        Swarm::new(&["--clients", "3", "--duration", "10s", "--ffmpeg", &fake.path(), &url]).start();
    stop_one_viewer(&running, "playing 3/3");
    let outcome = running.end();
    assert_eq!(
        (outcome.code(), outcome.number("/generator/waits/viewer_stops")),
        (5, 1.0),
        "{}",
        outcome.stdout
    );
    assert!(
        invalid_because(&outcome).contains("viewers were stopped 1 times"),
        "{}",
        invalid_because(&outcome)
    );
    let stopped = outcome.number("/generator/waits/viewer_stopped_seconds");
    assert!((0.4..=4.0).contains(&stopped), "{stopped}");
}

#[test]
fn wrong_content_and_missing_segments_fail_an_invalid_run() {
    let began = Instant::now();
    for (body, threshold) in [
        ("200 OK\r\nContent-Length: 15\r\n\r\n<html>log in</h", "segments_bad_content==0"),
        ("404 Not Found\r\nContent-Length: 4\r\n\r\ngone", "segments_skipped==0"),
    ] {
        // Every third segment is not there.
        let server = Server::start(move |target, _| {
            let number =
                target.strip_prefix("/s").and_then(|rest| rest.strip_suffix(".ts")?.parse::<u64>().ok());
            match number {
                Some(number) if number.is_multiple_of(3) => {
                    Answer::new(format!("HTTP/1.1 {body}"), Then::Keep)
                }
                _ => served(target, began),
            }
        });
        let viewer = "(while :; do for segment in $(curl --silent --noproxy '*' $url | grep ^s); do \
                      curl --silent --noproxy '*' --output /dev/null ${url%/*}/$segment; done; sleep 0.5; done) & \
                      play 1000";
        let fake = FakeFfmpeg::playing(viewer);
        let url = server.url("/live.m3u8");
        let arguments =
            ["--clients", "3", "--duration", "12s", "--ffmpeg", &fake.path(), "--error-storm", "off"];
        // The built-in criterion would fail, too.
        let thresholds = ["--threshold", "error_rate<100%", "--threshold", threshold, &url];
        let running = Swarm::new(&[&arguments[..], &thresholds].concat()).start();
        // Some of the viewers may be stalled.
        stop_one_viewer(&running, "playing ");
        let outcome = running.end();
        assert_eq!(outcome.code(), 4, "{threshold}: {}\n{}", outcome.stdout, outcome.stderr);
        assert!(invalid_because(&outcome).contains("viewers were stopped"), "{}", outcome.stdout);
        let criteria = outcome.report["criteria"].as_array().unwrap();
        let failed = criteria.iter().find(|criterion| criterion["limit"] == threshold).unwrap();
        assert_eq!((&failed["met"], &failed["certain"]), (&false.into(), &true.into()), "{failed}");
    }
}

#[test]
fn stalls_because_we_were_late_do_not_count_against_the_stream() {
    let origin = Origin::start(&["--embedded"]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let running = Swarm::new(&["--engine", "native", "--clients", "3", "--duration", "24s", &url]).start();
    std::thread::sleep(Duration::from_secs(8));
    // Longer than what a viewer of this stream has buffered.
    running.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(9));
    running.signal(Signal::SIGCONT);
    let outcome = running.end();
    assert_eq!(outcome.code(), 5, "{}\n{}", outcome.stdout, outcome.stderr);
    let excluded = outcome.number("/stalls_excluded");
    assert!(excluded >= 3.0, "{excluded} stalls were excluded\n{}", outcome.stdout);
    assert_eq!(outcome.number("/viewers/stalled"), 0.0, "{}", outcome.stdout);
    assert_eq!(outcome.number("/playback_time/rebuffering"), 0.0, "{}", outcome.stdout);
    assert!(outcome.number("/quality/excluded_seconds") > 1.0, "{}", outcome.stdout);
    assert!(
        invalid_because(&outcome).contains("because this program was late"),
        "{}",
        invalid_because(&outcome)
    );
}

#[test]
fn what_the_server_did_fails_an_invalid_run() {
    // Most responses are 503, which no stopped viewer causes.
    let began = Instant::now();
    let server = Server::start(move |target, _| match target {
        "/a.ts" => Answer::new(&b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"[..], Then::Keep),
        _ => served(target, began),
    });
    let viewer = "(while :; do curl --silent --noproxy '*' --output /dev/null ${url%/*}/a.ts; sleep 0.2; done) & \
                  play 1000";
    let fake = FakeFfmpeg::playing(viewer);
    let url = server.url("/live.m3u8");
    let arguments =
        ["--clients", "3", "--duration", "10s", "--ffmpeg", &fake.path(), "--error-storm", "off", &url];
    let running = Swarm::new(&arguments).start();
    stop_one_viewer(&running, "playing 3/3");
    let outcome = running.end();
    assert_eq!(outcome.code(), 4, "{}\n{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.report["verdict"], "fail");
    assert!(invalid_because(&outcome).contains("viewers were stopped"), "{}", outcome.stdout);
    let criteria = outcome.report["criteria"].as_array().unwrap();
    let errors = criteria.iter().find(|criterion| criterion["name"] == "error_rate").unwrap();
    assert_eq!((&errors["met"], &errors["certain"]), (&false.into(), &true.into()), "{errors}");
    assert!(outcome.said().contains("whatever the load generator did"), "{}", outcome.stdout);
}
