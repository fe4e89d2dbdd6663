//! The Grafana dashboard: rows of panels, each with its expressions over metrics of the catalogue.

use serde_json::{Value, json};

use hls_swarm_model::metric::PREFIX;
use hls_swarm_model::metric::counters::Counter;

/// One curve: its legend, and its expression. `$instance` is the load generator that was chosen.
pub type Query = (String, String);

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Its curves.
    pub queries: Vec<Query>,
}

/// One row: its title and its panels.
pub type Row = (&'static str, Vec<Panel>);

fn panel<const N: usize>(title: &'static str, unit: &'static str, queries: [(&str, String); N]) -> Panel {
    let queries = queries.map(|(legend, expression)| (legend.to_owned(), expression));
    Panel { title, unit, queries: queries.into() }
}

/// The series of a metric from the chosen load generators.
fn series(name: &str) -> String {
    format!("{PREFIX}{name}{{instance=~\"$instance\"}}")
}

fn sum(name: &str) -> String {
    format!("sum({})", series(name))
}

fn max(name: &str) -> String {
    format!("max({})", series(name))
}

fn max_by(labels: &str, name: &str) -> String {
    format!("max by ({labels}) ({})", series(name))
}

/// The rate per second over the last 10 s.
fn rate(name: &str) -> String {
    format!("sum(rate({}[10s]))", series(name))
}

fn rate_by(labels: &str, name: &str) -> String {
    format!("sum by ({labels}) (rate({}[10s]))", series(name))
}

/// The increase during the last minute.
fn increase(name: &str) -> String {
    format!("sum(increase({}[1m]))", series(name))
}

/// A quantile of a histogram over the last minute; `label` chooses one of its series.
fn quantile(quantile: f64, name: &str, label: &str) -> String {
    format!(
        "histogram_quantile({quantile:.2}, sum by (le) \
         (rate({PREFIX}{name}_bucket{{instance=~\"$instance\"{label}}}[1m])))"
    )
}

fn quantiles(title: &'static str, name: &str, kind: &str) -> Panel {
    let label = if kind.is_empty() { String::new() } else { format!(",kind=\"{kind}\"") };
    panel(
        title,
        "s",
        [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)].map(|(legend, q)| (legend, quantile(q, name, &label))),
    )
}

/// One curve per event counter of the catalogue.
fn events() -> Panel {
    let query = |counter: &Counter| {
        let info = counter.info();
        (info.title.to_owned(), increase(&format!("{}_total", info.name)))
    };
    Panel { title: "Events, last minute", unit: "short", queries: Counter::ALL.iter().map(query).collect() }
}

/// All rows. Sums go over all instances that were chosen: one load generator, or many shards.
#[must_use]
pub fn rows() -> Vec<Row> {
    let expected = format!("sum({} * {})", series("target_clients"), series("ramp_progress"));
    vec![
        (
            "Viewers",
            vec![
                panel(
                    "Viewers",
                    "short",
                    [
                        ("should be up", expected),
                        ("up", sum("active_clients")),
                        ("playing", sum("playing_clients")),
                        ("stalled", sum("stalled_clients")),
                    ],
                ),
                panel(
                    "Playback speed",
                    "none",
                    [("average, 1 = real time", format!("avg({})", series("average_speed")))],
                ),
                panel(
                    "Drift",
                    "s",
                    [
                        ("average", format!("avg({})", series("average_drift_seconds"))),
                        ("largest", max("max_drift_seconds")),
                    ],
                ),
            ],
        ),
        (
            "Throughput",
            vec![
                panel(
                    "Body bytes",
                    "bps",
                    [
                        ("all kinds", format!("8 * {}", rate("bytes_downloaded_total"))),
                        ("segments", format!("8 * {}", rate("segment_bytes_downloaded_total"))),
                    ],
                ),
                panel(
                    "Requests",
                    "reqps",
                    [
                        ("playlists", rate("manifest_requests_total")),
                        ("segments", rate("segment_requests_total")),
                    ],
                ),
            ],
        ),
        (
            "Latency, last minute",
            vec![
                quantiles("Segments, request to last byte", "request_duration_seconds", "segment"),
                quantiles("Segments, first byte", "request_ttfb_seconds", "segment"),
                quantiles("Playlists, first byte", "request_ttfb_seconds", "manifest"),
            ],
        ),
        (
            "Startup and connections, whole run",
            vec![
                panel("Startup", "s", whole_run("startup_seconds")),
                panel("TCP connect", "s", whole_run("connect_seconds")),
            ],
        ),
        (
            "Quality of experience, of viewers whose players report it",
            vec![
                quantiles("Live latency by edge", "live_latency_by_edge_seconds", ""),
                quantiles("Buffer length", "buffer_length_seconds", ""),
                panel(
                    "Bitrate played, whole run",
                    "bps",
                    [("{{instance}}", series("bitrate_played_bits_per_second"))],
                ),
                panel(
                    "Stalls by reason, last minute",
                    "short",
                    [(
                        "{{reason}}",
                        format!("sum by (reason) (increase({}[1m]))", series("stalls_by_reason_total")),
                    )],
                ),
                panel(
                    "Rebuffering, and viewers without a stall, whole run",
                    "percentunit",
                    [
                        ("rebuffering", max("rebuffering_ratio")),
                        ("without a stall", format!("min({})", series("viewers_without_stall_ratio"))),
                        ("excluded: we were late", max("excluded_stall_ratio")),
                    ],
                ),
            ],
        ),
        (
            "Errors",
            vec![
                panel(
                    "Share of requests that failed, whole run",
                    "percentunit",
                    [("{{instance}}", series("error_rate"))],
                ),
                panel(
                    "Responses by status code",
                    "reqps",
                    [("{{status_code}}", rate_by("status_code", "http_responses_total"))],
                ),
                panel(
                    "Timeouts, failed connections, interruptions",
                    "short",
                    [
                        ("timeouts", increase("timeouts_total")),
                        ("failed connections", increase("connect_errors_total")),
                        ("interrupted", increase("broken_exchanges_total")),
                    ],
                ),
                panel(
                    "Viewer processes",
                    "short",
                    [
                        ("restarts", increase("client_restarts_total")),
                        (
                            "ended: {{category}}",
                            format!("sum by (category) (increase({}[1m]))", series("client_exits_total")),
                        ),
                    ],
                ),
            ],
        ),
        ("Events", vec![events()]),
        (
            "Streams and stages, where there are several",
            vec![
                panel(
                    "Requests by stream",
                    "reqps",
                    [("{{stream}}: {{url}}", rate_by("stream, url", "stream_requests_total"))],
                ),
                panel(
                    "Segments by stream, p95, whole run",
                    "s",
                    [("{{stream}}: {{url}}", max_by("stream, url", "stream_segment_p95_seconds"))],
                ),
                panel(
                    "Share of requests that failed, by stage",
                    "percentunit",
                    [("{{stage}}: {{name}}", max_by("stage, name", "stage_error_rate"))],
                ),
                panel(
                    "Segments by stage, p95",
                    "s",
                    [("{{stage}}: {{name}}", max_by("stage, name", "stage_segment_p95_seconds"))],
                ),
            ],
        ),
        (
            "Variants and renditions",
            vec![
                panel(
                    "Viewers that play it",
                    "short",
                    [("{{variant}}", format!("sum by (variant) ({})", series("variant_playing_clients")))],
                ),
                panel(
                    "Body bytes",
                    "bps",
                    [("{{variant}}", format!("8 * {}", rate_by("variant", "variant_bytes_total")))],
                ),
                panel(
                    "Share of requests that failed, whole run",
                    "percentunit",
                    [("{{variant}}", max_by("variant", "variant_error_rate"))],
                ),
                panel(
                    "Segments, p95, whole run",
                    "s",
                    [("{{variant}}", max_by("variant", "variant_segment_p95_seconds"))],
                ),
            ],
        ),
        (
            "Origin",
            vec![
                panel("Processors", "percentunit", [("busy", max("origin_cpu_ratio"))]),
                panel(
                    "Network",
                    "bps",
                    [
                        ("sends", format!("8 * {}", max("origin_transmit_bytes_per_second"))),
                        ("receives", format!("8 * {}", max("origin_receive_bytes_per_second"))),
                    ],
                ),
                panel(
                    "nginx",
                    "short",
                    [
                        ("connections", max("origin_connections")),
                        ("requests per second", max("origin_requests_per_second")),
                    ],
                ),
                panel(
                    "Agreement with the viewers, 1 = equal",
                    "none",
                    [("requests", max("origin_requests_agreement"))],
                ),
            ],
        ),
        (
            "Load generator",
            vec![
                panel(
                    "Processors of the generator",
                    "percentunit",
                    [("{{instance}}, average of the run", series("generator_cpu_ratio"))],
                ),
                panel(
                    "Trust",
                    "short",
                    [
                        ("records lost", sum("probe_records_lost_total")),
                        ("timers late, s", max("generator_lag_max_seconds")),
                        ("bytes read / received", format!("min({})", series("kernel_bytes_agreement"))),
                    ],
                ),
            ],
        ),
    ]
}

/// Quantiles over the whole run: viewers start up in the ramp, and hardly ever afterwards.
fn whole_run(name: &str) -> [(&'static str, String); 3] {
    let quantile = |q: f64| {
        format!("histogram_quantile({q:.2}, sum by (le) ({PREFIX}{name}_bucket{{instance=~\"$instance\"}}))")
    };
    [("p50", quantile(0.5)), ("p95", quantile(0.95)), ("p99", quantile(0.99))]
}

const WIDTH: usize = 24;
const HEIGHT: usize = 8;

/// The dashboard as Grafana imports it.
///
/// # Errors
/// None that a table of texts can cause.
pub fn render() -> serde_json::Result<String> {
    let mut panels = Vec::new();
    let mut y = 0;
    for (title, row) in rows() {
        let id = panels.len() + 1;
        panels.push(json!({
            "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": WIDTH, "h": 1 },
        }));
        y += 1;
        let width = WIDTH / row.len();
        for (column, panel) in row.iter().enumerate() {
            panels.push(graph(panels.len() + 1, panel, (column * width, y, width)));
        }
        y += HEIGHT;
    }
    let dashboard = json!({
        "uid": "hls-swarm",
        "title": "hls-swarm",
        "tags": ["hls", "load test"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "refresh": "5s",
        "time": { "from": "now-15m", "to": "now" },
        "timezone": "browser",
        "templating": { "list": [data_source(), instances()] },
        "panels": panels,
    });
    Ok(serde_json::to_string_pretty(&dashboard)? + "\n")
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${source}" })
}

fn data_source() -> Value {
    json!({ "name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1 })
}

fn instances() -> Value {
    let query = "label_values(hls_swarm_target_clients, instance)";
    json!({
        "name": "instance", "label": "Load generator", "type": "query", "datasource": source(),
        "query": { "query": query, "refId": "instances" }, "definition": query,
        "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
        "current": { "text": "All", "value": "$__all" },
    })
}

/// The name of a query in its panel, as Grafana itself counts: A to Z, and then AA.
fn ref_id(place: u32) -> String {
    let letter = |place: u32| char::from_u32(u32::from('A') + place % 26).unwrap_or('A');
    match place / 26 {
        0 => letter(place).to_string(),
        more => format!("{}{}", letter(more - 1), letter(place)),
    }
}

fn graph(id: usize, panel: &Panel, (x, y, width): (usize, usize, usize)) -> Value {
    let targets: Vec<Value> = (0..)
        .zip(&panel.queries)
        .map(|(place, (legend, expression))| {
            json!({
                "refId": ref_id(place), "expr": expression, "legendFormat": legend, "datasource": source(),
            })
        })
        .collect();
    json!({
        "id": id, "type": "timeseries", "title": panel.title, "datasource": source(),
        "gridPos": { "x": x, "y": y, "w": width, "h": HEIGHT },
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0 }, "overrides": [] },
        "options": { "legend": { "displayMode": "list", "placement": "bottom" }, "tooltip": { "mode": "multi" } },
        "targets": targets,
    })
}
