//! The files for Prometheus and Grafana: they equal the program's output, every metric in them exists, each alert
//! fires only when it should, and a real Prometheus that scrapes a real run returns data for every query of
//! the dashboard.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use hls_swarm::monitoring::output::names;
use hls_swarm::monitoring::{dashboard, rules, scrape};
use hls_swarm_model::metric::counters::{Counter, SeenIn};
use hls_swarm_model::metric::{PREFIX, catalogue};
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::program::{Companion, program};
use hls_swarm_test_support::swarm::{Running, Swarm};
use hls_swarm_test_support::waiting::eventually;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/observability");

/// All expressions, each with its location.
fn expressions() -> Vec<(String, String)> {
    let alerts = rules::ALERTS.iter().map(|alert| (alert.name.to_owned(), alert.expression.to_owned()));
    let panels = dashboard::rows().into_iter().flat_map(|(_, panels)| panels);
    let queries = panels.flat_map(|panel| {
        let title = panel.title;
        panel.queries.into_iter().map(move |(legend, expression)| (format!("{title}: {legend}"), expression))
    });
    alerts.chain(queries).collect()
}

#[test]
fn the_files_are_up_to_date() {
    // The hosts are the services of containers/compose.yaml.
    let hosts = ["swarm:17091", "origin:9100", "origin:9113"].map(|host| [host.to_owned()]);
    let [swarm, node, nginx] = &hosts;
    let composed: [scrape::Job<'_>; 3] =
        [("hls-swarm", swarm), ("origin-node", node), ("origin-nginx", nginx)];
    let printed = [
        ("prometheus-rules.yml", rules::render()),
        ("grafana-dashboard.json", dashboard::render().unwrap()),
        ("../containers/prometheus.yml", scrape::render("prometheus-rules.yml", &composed)),
    ];
    for (name, text) in printed {
        let path = Path::new(FOLDER).join(name);
        if std::env::var_os("UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, text).unwrap();
            continue;
        }
        let stands = std::fs::read_to_string(&path).unwrap();
        assert_eq!(stands, text, "observability/{name} is old: run `make reference`");
    }
}

#[test]
fn every_metric_that_is_named_exists() {
    let known: BTreeSet<&str> = catalogue().iter().filter_map(|metric| metric.series.as_deref()).collect();
    let mut named = BTreeSet::new();
    for (place, expression) in expressions() {
        for name in names(&expression, PREFIX) {
            let short = name.trim_start_matches(PREFIX).trim_end_matches("_bucket");
            assert!(known.contains(short), "{place} uses {name}, which is not a metric");
            named.insert(name);
        }
    }
    assert!(named.len() > 30, "{named:?}");
}

#[test]
fn each_alert_fires_when_it_should_and_not_otherwise() {
    let tests = std::fs::read_to_string(Path::new(FOLDER).join("prometheus-rules-test.yml")).unwrap();
    for alert in rules::ALERTS {
        for (name, count) in [
            (format!("name: {} fires\n", alert.name), 1),
            (format!("name: {} keeps silent\n", alert.name), 1),
        ] {
            assert_eq!(tests.matches(&name).count(), count, "{name}");
        }
    }
    let output = promtool(&["check", "rules", "prometheus-rules.yml"], "");
    assert!(output.contains(&format!("{} rules found", rules::ALERTS.len())), "{output}");
    let output = promtool(&["test", "rules", "prometheus-rules-test.yml"], "");
    assert!(output.contains("SUCCESS"), "{output}");
}

/// Runs promtool in the folder of the files; a failure is one of the test.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = program("promtool");
    command
        .args(arguments)
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[expect(clippy::disallowed_methods, reason = "a test's own process, awaited below")]
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(output.status.success(), "promtool {arguments:?}: {text}");
    text
}

/// Whether an expression is about what only native viewers report: what their players see, and the segments that they read.
fn needs_players(expression: &str) -> bool {
    let counters = Counter::ALL.iter().map(|counter| counter.info());
    let counters = counters
        .filter(|info| matches!(info.seen_in, SeenIn::Players | SeenIn::Segments))
        .map(|info| info.name);
    let others =
        ["live_latency_by_", "buffer_length_", "bitrate_played_", "stalls_by_reason_", "excluded_stall_"];
    counters.chain(others).any(|name| expression.contains(&format!("hls_swarm_{name}")))
}

/// A run of viewers against an origin of its own, both scraped by a real Prometheus.
struct OriginStats {
    _origin: Origin,
    running: Running,
    swarm: String,
    _prometheus: Companion,
    port: u16,
    _folder: TempDir,
}

impl OriginStats {
    fn start() -> Self {
        // A ladder, so that there are variants to tell apart.
        let ladder = ["--video-size=640x360", "--video-bitrate=800", "--ladder=320x180@350"];
        let origin = Origin::start(&ladder);
        let fact = |name: &str| origin.facts[name].as_str().unwrap().to_owned();
        let stream = |weight| format!("--stream={weight}:http://127.0.0.1:{}/master.m3u8", origin.port());
        let (node, nginx) = (fact("node_metrics"), fact("nginx_metrics"));
        let running = Swarm::new(&[
            "--stage=2s:3",
            "--stage=1h:3",
            "--allow-host=127.0.0.1",
            "--metrics",
            "127.0.0.1:0",
            "--origin-metrics-interval=500ms",
            "--origin-metrics",
            &node,
            "--nginx-metrics",
            &nginx,
            &stream(2),
            &stream(1),
        ])
        .start();
        let host = |url: &str| url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
        let line = running.wait_for_line("✓ metrics: http://");
        let swarm = host(line.rsplit_once("metrics: ").unwrap().1.trim());
        let folder = TempDir::new().unwrap();
        let rules = folder.path().join("rules.yml");
        std::fs::write(&rules, rules::render()).unwrap();
        let configuration = folder.path().join("prometheus.yml");
        let jobs: [scrape::Job<'_>; 2] =
            [("hls-swarm", std::slice::from_ref(&swarm)), ("origin-nginx", &[host(&nginx)])];
        let text =
            scrape::render(&rules.display().to_string(), &jobs).replace("interval: 2s", "interval: 1s");
        std::fs::write(&configuration, text).unwrap();
        // Prometheus cannot tell which port it took, so it is given one that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let prometheus = Companion::start(
            program("prometheus")
                .arg(format!("--config.file={}", configuration.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--log.level=error"),
        );
        Self { running, swarm, _prometheus: prometheus, port, _folder: folder, _origin: origin }
    }

    /// What Prometheus answers to a query; `None` while it has no sample.
    fn query(&self, expression: &str) -> Option<usize> {
        let encoded: String = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = ask(self.port, "GET", &format!("/api/v1/query?query={encoded}")).ok()?;
        // Not ready yet.
        if answer.status == 503 {
            return None;
        }
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let samples = answer["data"]["result"].as_array().unwrap();
        (!samples.is_empty()).then_some(samples.len())
    }
}

#[test]
fn a_real_prometheus_answers_every_query_of_the_dashboard() {
    let watched = OriginStats::start();
    for (_, panels) in dashboard::rows() {
        for panel in panels {
            for (legend, expression) in panel.queries {
                let expression = expression.replace("$instance", ".*");
                if needs_players(&expression) {
                    // Prometheus accepts it; these viewers have none of it.
                    assert_eq!(watched.query(&expression), None, "{expression}");
                    continue;
                }
                let what = format!("data for {}: {legend}: {expression}", panel.title);
                eventually(&what, Duration::from_secs(40), || watched.query(&expression));
            }
        }
    }
    let output = ask(watched.port, "GET", "/api/v1/rules").unwrap();
    let output: Value = serde_json::from_slice(&output.body).unwrap();
    let rules = output["data"]["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), rules::ALERTS.len());
    assert!(rules.iter().all(|rule| rule["health"] == "ok"), "{output}");

    // The same scrape, by the rules of Prometheus for names, types and help.
    let port = watched.swarm.rsplit_once(':').unwrap().1.parse().unwrap();
    let scraped = String::from_utf8(ask(port, "GET", "/metrics").unwrap().body).unwrap();
    promtool(&["check", "metrics"], &scraped);
    watched.running.signal(Signal::SIGINT);
    // The stages were to last for an hour.
    watched.running.end().assert_judged(130, "aborted");
}
