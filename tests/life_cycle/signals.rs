//! Signals to the supervisor, and viewers that do not stop.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use hls_swarm_test_support::fake_ffmpeg::FakeFfmpeg;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::other_work::OtherWork;
use hls_swarm_test_support::stream::endless;
use hls_swarm_test_support::swarm::{Running, Swarm};
use hls_swarm_test_support::waiting::eventually;

fn wait_for_sleepers(running: &Running, count: usize) {
    eventually("viewers play", Duration::from_secs(20), || {
        (running.family().iter().filter(|one| one.name == "sleep").count() >= count).then_some(())
    });
    std::thread::sleep(Duration::from_millis(1500));
}

#[test]
fn a_run_that_is_stopped_has_a_verdict_and_an_interrupted_run_is_aborted() {
    let origin = Origin::start(&[]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    // Both run concurrently, because they wait for playback anyway.
    let until_stopped = Swarm::new(&["--clients", "2", &url]).start();
    let cut_short = Swarm::new(&["--clients", "2", "--duration", "1h", &url]).start();
    let hung_up = Swarm::new(&["--clients", "1", "--duration", "1h", &url]).start();
    for (running, all) in
        [(&until_stopped, "playing 2/2"), (&cut_short, "playing 2/2"), (&hung_up, "playing 1/1")]
    {
        running.wait_for_line(all);
    }
    let asked = Instant::now();
    until_stopped.signal(Signal::SIGINT);
    cut_short.signal(Signal::SIGTERM);
    hung_up.signal(Signal::SIGHUP);
    for (running, code, verdict) in
        [(until_stopped, 0, "pass"), (cut_short, 143, "aborted"), (hung_up, 129, "aborted")]
    {
        let outcome = running.end();
        assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
        outcome.assert_judged(code, verdict);
        assert_eq!(outcome.report["end_reason"], "stopped on request");
        assert_eq!(outcome.number("/viewers/played"), outcome.number("/target_clients"));
        assert_eq!(outcome.number("/viewers/exits/success"), outcome.number("/target_clients"));
        for none in ["/viewers/killed", "/viewers/exits/signal", "/viewers/exits/error", "/viewers/restarts"]
        {
            assert_eq!(outcome.number(none), 0.0, "{none}");
        }
        assert_eq!(outcome.reasons(), [], "a viewer that stops on request has no failure reason");
    }
}

#[test]
fn a_viewer_that_ignores_term_is_killed_after_five_seconds_and_that_is_reported() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("trap '' TERM; play 1000"));
    let url = server.url("/live.m3u8");
    let running = Swarm::new(&["--clients", "2", "--ffmpeg", &fake.path(), &url]).start();
    wait_for_sleepers(&running, 2);
    let asked = Instant::now();
    running.signal(Signal::SIGINT);
    let outcome = running.end();
    let took = asked.elapsed();
    assert!((5.0..7.0).contains(&took.as_secs_f64()), "{took:?}");
    assert_eq!((outcome.number("/viewers/killed"), outcome.number("/viewers/exits/signal")), (2.0, 2.0));
    assert_eq!(outcome.reasons(), [("killed, because it did not stop when asked to".to_owned(), 2)]);
    assert_eq!(outcome.number("/viewers/played"), 2.0);
}

#[test]
fn a_second_signal_ends_the_run_immediately() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("trap '' TERM; sleep 1000 & play 1000"));
    let url = server.url("/live.m3u8");
    let running = Swarm::new(&["--clients", "2", "--ffmpeg", &fake.path(), &url]).start();
    wait_for_sleepers(&running, 4);
    running.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(500));
    assert!(running.children("ffmpeg").len() == 2, "SIGTERM is sent first");
    let insisted = Instant::now();
    running.signal(Signal::SIGINT);
    let outcome = running.end();
    assert!(insisted.elapsed() < Duration::from_secs(1), "{:?}", insisted.elapsed());
    outcome.assert_judged(130, "aborted");
    assert_eq!(outcome.number("/viewers/killed"), 2.0);
}

#[test]
fn a_second_signal_ends_a_run_that_hangs() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("play 1000"));
    let url = server.url("/live.m3u8");
    // Standard output is a pipe that is full and that no process reads.
    let full = "mkfifo full && exec 3<>full && head -c 65536 /dev/zero >&3 && exec >&3";
    let running = Swarm::after(full, &["--clients", "2", "--ffmpeg", &fake.path(), &url]).start();
    wait_for_sleepers(&running, 2);
    running.signal(Signal::SIGTERM);
    eventually("the viewers end", Duration::from_secs(10), || {
        running.children("ffmpeg").is_empty().then_some(())
    });
    std::thread::sleep(Duration::from_millis(500));
    let insisted = Instant::now();
    running.signal(Signal::SIGTERM);
    let outcome = running.end();
    let took = insisted.elapsed().as_secs_f64();
    assert!((4.5..8.0).contains(&took), "{took} s");
    assert_eq!(outcome.code(), 143, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("was ended by force"), "{}", outcome.stderr);
    assert_eq!(outcome.number("/viewers/played"), 2.0, "the report is written before the summary is printed");
}

#[test]
fn a_starved_run_ends_after_a_second_signal() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("play 1000"));
    let url = server.url("/live.m3u8");
    let running = Swarm::new(&["--clients", "60", "--ffmpeg", &fake.path(), &url]).start();
    running.wait_for_line("playing 60/60");
    // From now on, everything shares one processor with a program of higher priority.
    let other_work = OtherWork::on_the_first_processor();
    let viewers = running.family().into_iter().filter(|one| one.name != "hls-guard");
    let all = viewers.map(|one| one.pid).chain([running.pid()]);
    for pid in all.map(|pid| pid.to_string()) {
        for command in [["renice", "-n", "19", "-p"].as_slice(), &["taskset", "-a", "-c", "-p", "0"]] {
            // A process that has ended meanwhile is not starved.
            drop(hls_swarm_test_support::program::program(command[0]).args(&command[1..]).arg(&pid).output());
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    running.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    let insisted = Instant::now();
    running.signal(Signal::SIGTERM);
    let outcome = running.end();
    drop(other_work);
    assert!(insisted.elapsed() < Duration::from_secs(45), "{:?}", insisted.elapsed());
    // A run that ended before the second signal is judged. It may have waited for too short a time to be invalid, and
    // long enough for fewer than 90 % of its viewers to play.
    assert!(
        [143, 5, 4, 0].contains(&outcome.code()),
        "exit code {}\n{}\n{}",
        outcome.code(),
        outcome.stdout,
        outcome.stderr
    );
}

#[test]
fn a_signal_during_preflight_ends_the_run_immediately() {
    let (server, fake) = (endless(), FakeFfmpeg::always("trap '' TERM; sleep 1000 & sleep 1000"));
    let url = server.url("/live.m3u8");
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let running = Swarm::new(&["--ffmpeg", &fake.path(), &url]).start();
        eventually("the question", Duration::from_secs(20), || {
            (running.family().iter().filter(|one| one.name == "sleep").count() == 2).then_some(())
        });
        let asked = Instant::now();
        running.signal(signal);
        let outcome = running.end();
        assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        assert_eq!(outcome.code(), code, "{}", outcome.stderr);
        assert!(outcome.report.is_null());
    }
}

#[test]
fn a_run_ends_after_its_duration() {
    let (server, fake) = (endless(), FakeFfmpeg::playing("play 1000"));
    let url = server.url("/live.m3u8");
    let running = Swarm::new(&["--clients", "2", "--duration", "4s", "--ffmpeg", &fake.path(), &url]).start();
    let outcome = running.end();
    assert_eq!(outcome.report["end_reason"], "it reached its planned length");
    assert!((4.0..5.5).contains(&outcome.number("/elapsed_seconds")), "{:#}", outcome.report);
    outcome.assert_judged(0, "pass");
}

#[test]
fn viewers_that_report_progress_without_requests_make_the_run_invalid() {
    let say = "while :; do n=$((n + 1)); echo out_time_us=${n}000000; echo progress=continue; sleep 1; done";
    let (server, fake) = (endless(), FakeFfmpeg::playing(say));
    let url = server.url("/live.m3u8");
    let outcome = Swarm::new(&["--clients", "2", "--duration", "3s", "--ffmpeg", &fake.path(), &url]).run();
    assert_eq!(outcome.code(), 5, "{}", outcome.stdout);
    let because = outcome.report["invalid_because"].to_string();
    assert!(because.contains("2 viewers played without a single request"), "{because}");
}
