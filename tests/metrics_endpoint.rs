//! The Prometheus endpoint of a real run: its metrics are well-formed, complete, and equal to those in
//! the report.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_model::metric::{PREFIX, Type, catalogue};
use hls_swarm_test_support::exposition::{Exposition, read};
use hls_swarm_test_support::fake_ffmpeg::{FakeFfmpeg, real};
use hls_swarm_test_support::http::{Answer, ask};
use hls_swarm_test_support::nginx::{Nginx, Site};
use hls_swarm_test_support::stream::vod;
use hls_swarm_test_support::swarm::{Outcome, Running, Swarm};
use hls_swarm_test_support::waiting::eventually;

const METRICS_FLAG: [&str; 2] = ["--metrics", "127.0.0.1:0"];

fn port(running: &Running) -> u16 {
    let line = running.wait_for_line("✓ metrics: http://127.0.0.1:");
    line.rsplit_once(':').unwrap().1.trim_end_matches("/metrics").parse().unwrap()
}

fn scrape(port: u16) -> Exposition {
    let answer = ask(port, "GET", "/metrics").unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let scraped = read(&String::from_utf8(answer.body).unwrap());
    assert_in_catalogue(&scraped);
    scraped
}

/// Checks that names, types, and help texts are those of the metric catalogue.
fn assert_in_catalogue(scraped: &Exposition) {
    for (name, family) in scraped {
        let short = name.strip_prefix(PREFIX).unwrap();
        if short == "info" {
            assert_eq!(family.kind, "gauge");
            continue;
        }
        let metric = catalogue().iter().find(|metric| metric.series.as_deref() == Some(short)).unwrap();
        let expected = (family.kind.as_str(), family.help.replace("\\\"", "\""));
        assert_eq!(expected, (metric.kind.name(), metric.help.clone()), "{name}");
        for sample in family.samples.keys().filter(|_| metric.kind != Type::Histogram) {
            let labels = sample.strip_prefix(name).unwrap();
            let first = metric.label.map(|(name, _)| name).or(metric.labels.first().copied());
            let expected = first.map(|name| format!("{{{name}=\""));
            assert!(expected.map_or(labels.is_empty(), |expected| labels.starts_with(&expected)), "{sample}");
        }
    }
}

/// A sample by its name without prefix, and with its labels.
fn sample(scraped: &Exposition, sample: &str) -> Option<f64> {
    let name = sample.split('{').next().unwrap();
    scraped.get(&format!("{PREFIX}{name}"))?.samples.get(&format!("{PREFIX}{sample}")).copied()
}

/// Two viewers play a VOD of two seconds once and then idle, so that nothing changes between
/// the last scrape and the report. Returns all scrapes and the report.
fn play(arguments: &[&str]) -> (Vec<Exposition>, Outcome) {
    let folder = TempDir::new().unwrap();
    vod(folder.path(), 2);
    let nginx = Nginx::start(folder.path(), Site::default());
    let url = format!("http://127.0.0.1:{}/vod.m3u8", nginx.plain);
    let fake = FakeFfmpeg::playing(&format!("{} \"$@\"\nsleep 1000", real().display()));
    let fixed = ["--clients", "2", "--ffmpeg", &fake.path(), &url];
    let running = Swarm::new(&[&METRICS_FLAG[..], arguments, &fixed].concat()).start();
    let port = port(&running);
    let mut scrapes = Vec::new();
    eventually("both have played, and a second more", Duration::from_secs(30), || {
        let scraped = ask(port, "GET", "/metrics").is_ok().then(|| scrape(port))?;
        let elapsed = sample(&scraped, "test_elapsed_seconds").unwrap();
        scrapes.push(scraped);
        std::thread::sleep(Duration::from_millis(300));
        (elapsed > 5.0).then_some(())
    });
    running.signal(Signal::SIGINT);
    (scrapes, running.end())
}

#[test]
fn counters_never_decrease_and_end_at_the_values_of_the_report() {
    let (scrapes, outcome) = play(&[]);
    for pair in scrapes.windows(2) {
        for (name, family) in pair[0].iter().filter(|(_, family)| family.kind == "counter") {
            for (sample, before) in &family.samples {
                assert!(pair[1][name].samples[sample] >= *before, "{sample} fell");
            }
        }
    }
    let last = scrapes.last().unwrap();
    for (metric, pointer) in [
        ("target_clients", "/target_clients"),
        ("manifest_requests_total", "/requests/manifest"),
        ("segment_requests_total", "/requests/segment"),
        ("unknown_requests_total", "/requests/other"),
        ("bytes_downloaded_total", "/bytes/total"),
        ("segment_bytes_downloaded_total", "/bytes/segment"),
        ("kernel_received_bytes_total", "/received_bytes"),
        ("http_responses_total{status_code=\"200\"}", "/http_status/200"),
        ("broken_exchanges_total", "/errors/broken"),
        ("connect_errors_total", "/errors/connect"),
        ("timeouts_total", "/errors/timeouts"),
        ("error_rate", "/errors/rate"),
        ("client_starts_total", "/viewers/starts"),
        ("client_restarts_total", "/viewers/restarts"),
        ("kernel_bytes_agreement", "/agreement/kernel_bytes"),
        ("probe_records_lost_total", "/generator/events_lost"),
        ("inferred_latency_p99_seconds", "/latency_seconds/segment/total/p99"),
    ] {
        let (scraped, reported) = (sample(last, metric).unwrap_or(f64::NAN), outcome.number(pointer));
        // Parsing JSON may lose the last digit.
        assert!(
            (scraped - reported).abs() <= reported.abs() * 1e-12,
            "{metric} {scraped}, {pointer} {reported}"
        );
    }
    assert_eq!(sample(last, "segment_requests_total"), Some(4.0), "two viewers, two segments each");
    assert_eq!(sample(last, "client_starts_total"), Some(2.0));
    assert_eq!(sample(last, "source{requests=\"probe\"}"), Some(1.0));
    assert_eq!(sample(last, "inferred_latency_seconds_count"), None, "a part of a histogram is not a family");
    let histogram = &last["hls_swarm_inferred_latency_seconds"].samples;
    assert_eq!(histogram["hls_swarm_inferred_latency_seconds_count"], 4.0);
    assert_eq!(histogram["hls_swarm_inferred_latency_seconds_bucket{le=\"+Inf\"}"], 4.0);
    for (series, count) in [
        ("connect_seconds", "/latency_seconds/connect/count"),
        ("startup_seconds", "/latency_seconds/startup/count"),
    ] {
        let name = format!("{PREFIX}{series}");
        assert_eq!(last[&name].samples[&format!("{name}_count")], outcome.number(count), "{name}");
    }
    for part in ["ttfb", "download", "duration"] {
        let name = format!("{PREFIX}request_{part}_seconds");
        let samples = &last[&name].samples;
        assert_eq!(samples[&format!("{name}_count{{kind=\"segment\"}}")], 4.0, "{name}");
        assert_eq!(samples[&format!("{name}_bucket{{kind=\"segment\",le=\"+Inf\"}}")], 4.0, "{name}");
        let sum =
            outcome.number(&format!("/latency_seconds/segment/{}/max", part.replace("duration", "total")));
        assert!(samples[&format!("{name}_sum{{kind=\"segment\"}}")] >= sum * 0.999, "{name}");
    }
    // None of these was measured: plain HTTP, an address instead of a name, no viewer has ended.
    for absent in [
        "tls_handshake_seconds",
        "dns_seconds",
        "uptime_p50_seconds",
        "client_uptime_seconds",
        "client_speed",
    ] {
        assert!(!last.contains_key(&format!("{PREFIX}{absent}")), "{absent}");
    }
}

#[test]
fn without_the_probe_its_metrics_are_absent_and_viewers_have_series_on_request() {
    let (scrapes, outcome) = play(&["--probe", "off", "--prom-client-metrics"]);
    let last = scrapes.last().unwrap();
    for absent in ["kernel_received_bytes_total", "kernel_bytes_agreement", "probe_records_lost_total"] {
        assert!(!last.contains_key(&format!("{PREFIX}{absent}")), "{absent}");
    }
    assert_eq!(sample(last, "source{requests=\"log\"}"), Some(1.0));
    assert_eq!(sample(last, "segment_requests_total"), Some(outcome.number("/requests/segment")));
    let own: Vec<f64> = (1..=2)
        .map(|viewer| sample(last, &format!("client_bytes_total{{client_id=\"{viewer}\"}}")).unwrap())
        .collect();
    assert_eq!(Some(own.iter().sum::<f64>()), sample(last, "bytes_downloaded_total"));
    assert!(own.iter().all(|bytes| *bytes > 0.0));
    // There are no figures about requests before the first one.
    let first = &scrapes[0];
    if sample(first, "manifest_requests_total") == Some(0.0) {
        assert!(
            !first.contains_key("hls_swarm_error_rate")
                && !first.contains_key("hls_swarm_request_ttfb_seconds")
        );
    }
}

#[test]
fn stages_and_streams_have_series_that_end_at_the_values_of_the_report() {
    let server = hls_swarm_test_support::stream::endless();
    let fake = FakeFfmpeg::playing("ask; sleep 1000");
    let streams = [format!("2:{}", server.url("/a.m3u8")), server.url("/b.m3u8")];
    let load = ["--stage", "1s:3", "--stage", "60s:3", "--ramp-jitter", "0s"];
    let what = ["--ffmpeg", &fake.path(), "--stream", &streams[0], "--stream", &streams[1]];
    let running = Swarm::new(&[&METRICS_FLAG[..], &load, &what].concat()).start();
    let port = port(&running);
    let label = |stream: usize| {
        let url = server.url(["/a.m3u8", "/b.m3u8"][stream - 1]);
        format!("{{stream=\"{stream}\",url=\"{url}\"}}")
    };
    let stages = ["{stage=\"1\",name=\"up to 3\"}", "{stage=\"2\",name=\"3 viewers\"}"];
    let last =
        eventually("all have requested the playlist, and the level is held", Duration::from_secs(30), || {
            let scraped = ask(port, "GET", "/metrics").is_ok().then(|| scrape(port))?;
            let requested = sample(&scraped, "manifest_requests_total");
            let late =
                sample(&scraped, &format!("stage_seconds{}", stages[1])).is_some_and(|lasted| lasted > 3.0);
            (requested == Some(3.0) && late).then_some(scraped)
        });
    running.signal(Signal::SIGINT);
    let outcome = running.end();
    let scraped = |name: &str| sample(&last, name);
    assert_eq!(scraped("stage"), Some(2.0));
    for (place, label) in (0..).zip(stages) {
        let reported = |field: &str| outcome.number(&format!("/stages/{place}/{field}"));
        assert_eq!(scraped(&format!("stage_clients{label}")), Some(reported("clients")));
        assert_eq!(scraped(&format!("stage_requests_total{label}")), Some(reported("requests/manifest")));
        assert_eq!(scraped(&format!("stage_bytes_total{label}")), Some(reported("bytes/manifest")));
        // It was interrupted before the first segment.
        assert_eq!(scraped(&format!("stage_met{label}")), None);
        assert_eq!(scraped(&format!("stage_segment_p95_seconds{label}")), None);
    }
    for (place, clients) in [(1, 2.0), (2, 1.0)] {
        let (label, reported) =
            (label(place), |field: &str| outcome.number(&format!("/streams/{}/{field}", place - 1)));
        assert_eq!(scraped(&format!("stream_clients{label}")), Some(clients));
        // They have received no media.
        assert_eq!(scraped(&format!("stream_playing_clients{label}")), Some(0.0));
        assert_eq!(scraped(&format!("stream_requests_total{label}")), Some(clients));
        assert_eq!(reported("requests/manifest"), clients);
        assert_eq!(scraped(&format!("stream_bytes_total{label}")), Some(reported("bytes/manifest")));
        assert_eq!(scraped(&format!("stream_error_rate{label}")), Some(0.0));
    }
}

#[test]
fn other_paths_and_methods_are_refused() {
    let server = hls_swarm_test_support::stream::endless();
    let fake = FakeFfmpeg::playing("play 1000");
    let (path, url) = (fake.path(), server.url("/live.m3u8"));
    let running =
        Swarm::new(&[&METRICS_FLAG[..], &["--clients", "1", "--ffmpeg", &path, &url]].concat()).start();
    let port = port(&running);
    eventually("the run has begun", Duration::from_secs(20), || {
        (running.children("ffmpeg").len() == 1).then_some(())
    });
    let status = |method: &str, path: &str| ask(port, method, path).map(|answer| answer.status).unwrap();
    assert_eq!(
        (status("GET", "/metrics"), status("HEAD", "/metrics"), status("GET", "/health")),
        (200, 200, 200)
    );
    assert_eq!((status("GET", "/"), status("HEAD", "/"), status("GET", "/metrics/x")), (421, 421, 404));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused: Answer = ask(port, method, "/metrics").unwrap();
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    running.signal(Signal::SIGTERM);
    running.end();
    assert!(ask(port, "GET", "/metrics").is_err(), "the port is closed");
}

#[test]
fn a_scraper_that_hangs_delays_nothing() {
    let server = hls_swarm_test_support::stream::endless();
    let fake = FakeFfmpeg::playing("play 1000");
    let (path, url) = (fake.path(), server.url("/live.m3u8"));
    let running = Swarm::new(
        &[&METRICS_FLAG[..], &["--clients", "1", "--duration", "3s", "--ffmpeg", &path, &url]].concat(),
    )
    .start();
    let port = port(&running);
    // Fewer than the connections that the server holds at the same time.
    let silent: Vec<_> =
        (0..20).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(1500));
    assert!(!scrape(port).is_empty(), "others are served meanwhile");
    let outcome = running.end();
    assert!(outcome.elapsed < Duration::from_secs(6), "{:?}", outcome.elapsed);
    drop(silent);
}

/// What the server sends to this request within two seconds.
fn answered(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let (began, mut all, mut buffer) = (Instant::now(), Vec::new(), [0; 65_536]);
    while began.elapsed() < Duration::from_secs(4) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => all.extend_from_slice(&buffer[..read]),
            Err(_) => {}
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn the_live_page_follows_the_run_and_is_for_this_host() {
    let server = hls_swarm_test_support::stream::endless();
    let fake = FakeFfmpeg::playing("play 1000");
    let (path, url) = (fake.path(), server.url("/live.m3u8"));
    let what = ["--clients", "1", "--title", "An evening", "--ffmpeg", &path, &url];
    let running = Swarm::new(&[&METRICS_FLAG[..], &what].concat()).start();
    let port = port(&running);
    let page = eventually("a page", Duration::from_secs(20), || {
        let page = answered(port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        page.contains("<figure").then_some(page)
    });
    assert!(page.starts_with("HTTP/1.1 200 "), "{page:.200}");
    for expected in
        ["frame-ancestors 'none'", "cache-control: no-store", "x-frame-options: DENY", "<h1>An evening</h1>"]
    {
        assert!(page.contains(expected), "{expected}");
    }
    let events = answered(port, "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    assert!(events.contains("text/event-stream") && events.contains("event: page"), "{events:.500}");
    assert!(events.contains("id=\"viewers\""), "{events:.500}");
    // A name could be that of someone else's page, which would then read this one.
    for path in ["/", "/events"] {
        let refused = answered(
            port,
            &format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
        );
        assert!(refused.starts_with("HTTP/1.1 421 "), "{refused:.200}");
    }
    // Readers that do not read take no more than their part of the connections, and do not delay the end of the run.
    let readers: Vec<_> = (0..12)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let full = answered(port, "GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    assert!(full.starts_with("HTTP/1.1 503 "), "{full:.200}");
    assert!(!scrape(port).is_empty(), "metrics are served meanwhile");
    running.signal(Signal::SIGTERM);
    let outcome = running.end();
    assert!(outcome.elapsed < Duration::from_secs(60), "{:?}", outcome.elapsed);
    drop(readers);
}

#[test]
fn the_live_page_can_be_turned_off() {
    let server = hls_swarm_test_support::stream::endless();
    let fake = FakeFfmpeg::playing("play 1000");
    let (path, url) = (fake.path(), server.url("/live.m3u8"));
    let what = ["--clients", "1", "--live-page", "off", "--ffmpeg", &path, &url];
    let running = Swarm::new(&[&METRICS_FLAG[..], &what].concat()).start();
    let port = port(&running);
    let status = |path: &str| ask(port, "GET", path).map(|answer| answer.status).unwrap();
    assert_eq!((status("/"), status("/events"), status("/health")), (404, 404, 200));
    running.signal(Signal::SIGTERM);
    running.end();
}
