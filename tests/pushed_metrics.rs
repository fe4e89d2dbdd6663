//! The outputs of metrics that are not scraped: OTLP over HTTP, and OpenMetrics at the end. Both hold the values of the
//! Prometheus exposition.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, number_data_point};
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;

use hls_swarm::output::{openmetrics, prometheus};
use hls_swarm_test_support::http::ask;
use hls_swarm_test_support::origin::Origin;
use hls_swarm_test_support::program::{Companion, program};
use hls_swarm_test_support::recorded::{SECOND, recorded, run};
use hls_swarm_test_support::swarm::{Outcome, Swarm};
use hls_swarm_test_support::waiting::eventually;

/// Values by the name of the sample and its labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// A number as a label, written in one way.
fn bound(value: f64) -> String {
    if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() }
}

/// The samples of an exposition in text. Those of OpenMetrics are dated.
fn of_text(text: &str, dated: bool) -> Samples {
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = if dated { line.rsplit_once(' ').unwrap().0 } else { line };
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels = labels.trim_end_matches('}').trim_end_matches('"');
        let label = |text: &str| {
            let (name, value) = text.split_once("=\"").unwrap();
            let value = match name {
                "le" if value != "+Inf" => bound(value.parse().unwrap()),
                _ => value.to_owned(),
            };
            (name.to_owned(), value)
        };
        let labels = labels.split("\",").filter(|text| !text.is_empty()).map(label).collect();
        let known = samples.insert((name.to_owned(), labels), value.parse().unwrap());
        assert_eq!(known, None, "{line} occurs twice");
    }
    samples
}

fn labels(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |one: &KeyValue| match &one.value.as_ref().unwrap().value {
        Some(AnyValue::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|one| (one.key.clone(), text(one))).collect()
}

/// The samples of an OTLP message.
fn of_message(message: &ExportMetricsServiceRequest) -> Samples {
    let mut samples = Samples::new();
    let number = |point: &NumberDataPoint| match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        other => panic!("{other:?}"),
    };
    let scopes = message.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    for metric in scopes.flat_map(|scope| &scope.metrics) {
        let mut add = |suffix: &str, labels: BTreeMap<String, String>, value: f64| {
            let known = samples.insert((format!("{}{suffix}", metric.name), labels), value);
            assert_eq!(known, None, "{} occurs twice", metric.name);
        };
        match metric.data.as_ref().unwrap() {
            Data::Gauge(gauge) => {
                gauge.data_points.iter().for_each(|point| add("", labels(&point.attributes), number(point)));
            }
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && metric.name.ends_with("_total"), "{}", metric.name);
                sum.data_points.iter().for_each(|point| add("", labels(&point.attributes), number(point)));
            }
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let labels = labels(&point.attributes);
                    let bounds = point.explicit_bounds.iter().copied().chain([f64::INFINITY]);
                    let mut cumulative = 0;
                    for (upper, count) in bounds.zip(&point.bucket_counts) {
                        cumulative += count;
                        let mut labels = labels.clone();
                        labels.insert("le".to_owned(), bound(upper));
                        add("_bucket", labels, cumulative as f64);
                    }
                    assert_eq!(cumulative, point.count, "{}", metric.name);
                    add("_count", labels.clone(), point.count as f64);
                    add("_sum", labels, point.sum.unwrap());
                }
            }
            other => panic!("{other:?}"),
        }
    }
    samples
}

#[test]
fn openmetrics_holds_the_values_of_the_exposition() {
    let snapshot = recorded().snapshot(12 * SECOND);
    let exposition = of_text(&prometheus::render(&snapshot, &run()), false);
    let text = openmetrics::render(&snapshot, &run(), 1_700_000_000.5).unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("\n# TYPE hls_swarm_segment_requests counter\n"), "{text}");
    assert!(text.lines().all(|line| line.starts_with('#') || line.ends_with(" 1700000000.500")), "{text}");
    let samples = of_text(&text, true);
    assert!(samples.len() > 100, "{}", samples.len());
    assert_eq!(samples, exposition);
}

/// A receiver of OTLP that keeps what it gets, and answers with a status.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Receiver {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let kept = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut reader = BufReader::new(connection.unwrap());
                let mut head = Vec::new();
                for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty())
                {
                    head.push(line.to_ascii_lowercase());
                }
                assert_eq!(head.first().unwrap(), "post /v1/metrics http/1.1");
                assert!(head.contains(&"content-type: application/x-protobuf".to_owned()), "{head:?}");
                assert!(head.contains(&"api-key: s3cret".to_owned()), "{head:?}");
                let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                kept.lock().unwrap().push(body);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                reader.into_inner().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { url, bodies }
    }
}

/// Three native viewers of the embedded stream, for 12 s.
fn play(otlp: &str, folder: &TempDir) -> Outcome {
    let origin = Origin::start(&["--embedded"]);
    let url = format!("http://127.0.0.1:{}/stream.m3u8", origin.port());
    let file = folder.path().join("run.om").display().to_string();
    let arguments = [
        &["--engine", "native", "--clients", "3", "--duration", "12s", "--otlp", otlp][..],
        &["--openmetrics", &file, url.as_str()],
    ];
    Swarm::new(&arguments.concat()).env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret").run()
}

#[test]
fn the_last_push_and_the_file_hold_the_same_values() {
    let (receiver, folder) = (Receiver::start("200 OK"), TempDir::new().unwrap());
    let outcome = play(&receiver.url, &folder);
    outcome.assert_judged(0, "pass");
    let file = folder.path().join("run.om");
    let text = std::fs::read_to_string(&file).unwrap();
    let bodies = receiver.bodies.lock().unwrap();
    // At once, after 10 s, and at the end.
    assert_eq!(bodies.len(), 3, "{}", outcome.stderr);
    let last = ExportMetricsServiceRequest::decode(&**bodies.last().unwrap()).unwrap();
    let (pushed, written) = (of_message(&last), of_text(&text, true));
    assert_eq!(pushed, written);
    let segments = ("hls_swarm_segment_requests_total".to_owned(), BTreeMap::new());
    assert_eq!(pushed[&segments], outcome.number("/requests/segment"));
    // promtool reads the file as Prometheus would.
    let blocks = folder.path().join("blocks");
    let imported = program("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &blocks])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&imported.stderr).into_owned();
    assert!(imported.status.success(), "{said}");
    let listed = Command::new("promtool").args(["tsdb", "list"]).arg(&blocks).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let block = listed.lines().nth(1).unwrap();
    let count = written.len().to_string();
    assert!(block.split_whitespace().any(|cell| cell == count), "{count} samples:\n{listed}");
}

#[test]
fn a_receiver_that_refuses_costs_a_warning_and_nothing_else() {
    let (receiver, folder) = (Receiver::start("503 Service Unavailable"), TempDir::new().unwrap());
    let outcome = play(&receiver.url, &folder);
    outcome.assert_judged(0, "pass");
    let said = &outcome.stderr;
    assert!(said.contains("were not pushed to http://127.0.0.1:") && said.contains("status 503"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

/// A database that OTLP is pushed to, and that answers queries as Prometheus does.
struct Database {
    /// Ends with this.
    _program: Companion,
    port: u16,
    is_victoria_metrics: bool,
}

impl Database {
    /// Starts `binary`: VictoriaMetrics, or a Prometheus with an OTLP receiver.
    fn start(binary: &str, folder: &TempDir) -> Self {
        std::fs::write(folder.path().join("prometheus.yml"), "").unwrap();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let help = Command::new(binary).arg("--help").output().unwrap();
        let help = String::from_utf8_lossy(&[help.stdout, help.stderr].concat()).into_owned();
        let is_victoria_metrics = help.contains("opentelemetry.usePrometheusNaming");
        let mut command = Command::new(binary);
        command.current_dir(folder.path());
        if is_victoria_metrics {
            // What was stored just now is part of the answer.
            command.args(["-storageDataPath=data", "-search.latencyOffset=0s"]);
            command.arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        } else {
            let flag = if help.contains("web.enable-otlp-receiver") {
                "--web.enable-otlp-receiver"
            } else {
                "--enable-feature=otlp-write-receiver"
            };
            command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", flag]);
            command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        }
        let _program =
            Companion::start(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()));
        let path = if is_victoria_metrics { "/health" } else { "/-/ready" };
        eventually("the database is ready", Duration::from_secs(20), || {
            ask(port, "GET", path).ok().filter(|answer| answer.status == 200)
        });
        Self { _program, port, is_victoria_metrics }
    }

    /// The URL to push to.
    fn url(&self) -> String {
        let path =
            if self.is_victoria_metrics { "opentelemetry/v1/metrics" } else { "api/v1/otlp/v1/metrics" };
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// The newest values of all metrics, without the labels that say whose they are.
    fn stored(&self) -> Samples {
        let query = "/api/v1/query?nocache=1&query=%7B__name__%3D~%22hls_swarm_.%2B%22%7D";
        let answer = ask(self.port, "GET", query).unwrap();
        let found: Value = serde_json::from_slice(&answer.body).unwrap();
        let (name, others): (&str, &[&str]) = if self.is_victoria_metrics {
            ("service.name", &["service.instance.id", "service.version"])
        } else {
            ("job", &["instance"])
        };
        let mut stored = Samples::new();
        for row in found["data"]["result"].as_array().unwrap() {
            let mut labels: BTreeMap<String, String> = serde_json::from_value(row["metric"].clone()).unwrap();
            let metric = labels.remove("__name__").unwrap();
            assert_eq!(labels.remove(name).as_deref(), Some("hls-swarm"));
            others.iter().for_each(|other| assert!(labels.remove(*other).is_some(), "{other}"));
            if let Some(le) = labels.get_mut("le").filter(|le| *le != "+Inf") {
                *le = bound(le.parse().unwrap());
            }
            stored.insert((metric, labels), row["value"][1].as_str().unwrap().parse().unwrap());
        }
        stored
    }
}

/// Needs a database with an OTLP receiver. Debian's Prometheus is built without one; its VictoriaMetrics has one from
/// Debian 13 on.
#[test]
#[ignore = "needs OTLP_PROMETHEUS=PROGRAM"]
fn a_database_that_is_pushed_to_has_the_values() {
    let folder = TempDir::new().unwrap();
    let database = Database::start(&std::env::var("OTLP_PROMETHEUS").unwrap(), &folder);
    let outcome = play(&database.url(), &folder);
    outcome.assert_judged(0, "pass");
    assert!(!outcome.stderr.contains("not pushed"), "{}", outcome.stderr);
    let written = of_text(&std::fs::read_to_string(folder.path().join("run.om")).unwrap(), true);
    // VictoriaMetrics answers with new series after a few seconds.
    let stored = eventually("as many values as were written", Duration::from_secs(30), || {
        Some(database.stored()).filter(|stored| stored.len() >= written.len())
    });
    assert_eq!(stored.keys().collect::<Vec<_>>(), written.keys().collect::<Vec<_>>());
    // It keeps about 13 digits.
    let precision = if database.is_victoria_metrics { 1e-12 } else { 0.0 };
    for (name, value) in &written {
        let got = stored[name];
        assert!((got - value).abs() <= precision * value.abs(), "{name:?}: {got} {value}");
    }
}
