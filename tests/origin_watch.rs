//! The origin's own figures compared with ours: requests that its nginx counted, sizes that it published, and
//! the load of its machine, which is this one.

use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::server::{Answer, Server};
use hls_swarm_test_support::swarm::Swarm;

fn exporter(origin: &Origin, name: &str) -> String {
    origin.facts[name].as_str().unwrap().to_owned()
}

#[test]
fn the_origin_counts_the_requests_of_the_viewers() {
    let origin = Origin::start(&[]);
    let port = origin.port();
    let (node, nginx) = (exporter(&origin, "node_metrics"), exporter(&origin, "nginx_metrics"));
    let sizes = format!("http://127.0.0.1:{port}/files/json/");
    let stream = format!("http://127.0.0.1:{port}/stream.m3u8");
    let outcome = Swarm::new(&[
        "--clients=4",
        "--ramp-rate=20",
        "--duration=12s",
        "--origin-metrics-interval=500ms",
        "--segment-sizes-interval=500ms",
        "--segment-sizes-jitter=100ms",
        "--origin-metrics",
        &node,
        "--nginx-metrics",
        &nginx,
        "--segment-sizes-url",
        &sizes,
        &stream,
    ])
    .run();

    outcome.assert_judged(0, "pass");
    let (theirs, ours) = (outcome.number("/origin/requests"), outcome.number("/origin/viewer_requests"));
    assert!(ours > 40.0, "{ours}");
    assert_eq!(theirs, ours, "nginx's count minus our own scrapes equals the viewers' requests");
    assert_eq!(outcome.number("/agreement/origin_requests"), 1.0);

    let (lookups, found) =
        (outcome.number("/origin/segment_sizes/lookups"), outcome.number("/origin/segment_sizes/found"));
    // The last segments may not have been published before the end.
    assert!(lookups > 20.0 && found >= lookups - 8.0, "{found} of {lookups}");
    assert_eq!(outcome.number("/agreement/segment_sizes"), 1.0, "each had the size that was published");

    // Both are figures of the same machine.
    let cpu = outcome.number("/origin/cpu_percent/p50");
    let own = outcome.number("/generator/cpu_percent");
    assert!((cpu - own).abs() < 35.0, "{cpu} % by the exporter, {own} % by ourselves");
    let sent = outcome.number("/origin/transmit_bytes_per_second/max");
    assert!(sent > outcome.number("/bytes/total") / 12.0, "{sent}");
    assert!(outcome.said().contains("agreement 1.0000"), "{}", outcome.stdout);
}

#[test]
fn an_exporter_that_fails_is_reported_and_does_not_end_the_run() {
    let origin = Origin::start(&["--node-metrics-port=off", "--nginx-metrics-port=off"]);
    let server = Server::start(|_, _| Answer::ok("text/html", b"<html>this is not an exporter</html>"));
    let wrong = server.url("/metrics");
    let stream = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let outcome = Swarm::new(&[
        "--clients=1",
        "--duration=5s",
        "--origin-metrics-interval=500ms",
        "--origin-metrics",
        &wrong,
        "--nginx-metrics",
        "http://127.0.0.1:1/metrics",
        &stream,
    ])
    .run();
    outcome.assert_judged(0, "pass");
    let report = &outcome.report;
    let failures = report["origin"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(report["origin"].get("cpu_percent").is_none(), "what was not measured is absent");
    let stderr = &outcome.stderr;
    for said in ["it is not a node exporter", "Connection refused"] {
        assert_eq!(stderr.matches(said).count(), 1, "once, not at each scrape: {stderr}");
    }
}
