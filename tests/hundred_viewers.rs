//! A hundred real viewers: all play, and all stop within three seconds without being killed. The
//! test has its own module, because it needs the whole machine.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::processes::zombies;
use hls_swarm_test_support::swarm::Swarm;
use hls_swarm_test_support::waiting::eventually;

#[test]
fn a_hundred_viewers_stop_within_three_seconds() {
    let origin = Origin::start(&[]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let swarm =
        Swarm::new(&["--clients", "100", "--ramp-rate", "20", "--metrics", "127.0.0.1:0", &url]).start();
    let line = swarm.wait_for_line("✓ metrics: ");
    let port = line.rsplit_once(':').unwrap().1.trim_end_matches("/metrics").parse().unwrap();
    eventually("all play", Duration::from_secs(60), || {
        let text = String::from_utf8(ask(port, "GET", "/metrics").ok()?.body).ok()?;
        text.lines().any(|line| line == "hls_swarm_playing_clients 100").then_some(())
    });
    assert_eq!(swarm.children("ffmpeg").len(), 100);
    assert!(zombies(swarm.pid()).is_empty(), "all viewers are reaped");

    let asked = Instant::now();
    swarm.signal(Signal::SIGINT);
    let outcome = swarm.end();
    let took = asked.elapsed();
    println!("a hundred viewers and their supervisor were gone {took:?} after SIGINT");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(outcome.number("/viewers/exits/success"), 100.0, "{}", outcome.stdout);
    for none in ["/viewers/killed", "/viewers/exits/signal", "/viewers/exits/error", "/generator/events_lost"]
    {
        assert_eq!(outcome.number(none), 0.0, "{none}");
    }
    assert_eq!(outcome.number("/viewers/played"), 100.0);
    outcome.assert_judged(0, "pass");
}
