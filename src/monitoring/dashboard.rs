//! The Grafana dashboard: rows of panels, each with its expressions.

use serde_json::{Value, json};

/// One curve: its legend, and its expression. `$instance` is the load generator that was chosen.
pub type Query = (&'static str, &'static str);

/// One panel.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// Grafana's name of the unit.
    pub unit: &'static str,
    /// Its curves.
    pub queries: &'static [Query],
}

/// One row: its title and its panels.
pub type Row = (&'static str, &'static [Panel]);

const fn panel(title: &'static str, unit: &'static str, queries: &'static [Query]) -> Panel {
    Panel { title, unit, queries }
}

/// All rows. Sums go over all instances that were chosen: one load generator, or many shards.
pub const ROWS: [Row; 7] = [
    (
        "Viewers",
        &[
            panel(
                "Viewers",
                "short",
                &[
                    (
                        "should be up",
                        "sum(hls_swarm_target_clients{instance=~\"$instance\"} * hls_swarm_ramp_progress{instance=~\"$instance\"})",
                    ),
                    ("up", "sum(hls_swarm_active_clients{instance=~\"$instance\"})"),
                    ("playing", "sum(hls_swarm_playing_clients{instance=~\"$instance\"})"),
                    ("stalled", "sum(hls_swarm_stalled_clients{instance=~\"$instance\"})"),
                ],
            ),
            panel(
                "Playback speed",
                "none",
                &[("mean, 1 = real time", "avg(hls_swarm_average_speed{instance=~\"$instance\"})")],
            ),
            panel(
                "Drift",
                "s",
                &[
                    ("mean", "avg(hls_swarm_average_drift_seconds{instance=~\"$instance\"})"),
                    ("largest", "max(hls_swarm_max_drift_seconds{instance=~\"$instance\"})"),
                ],
            ),
        ],
    ),
    (
        "Throughput",
        &[
            panel(
                "Body bytes",
                "bps",
                &[
                    (
                        "all kinds",
                        "8 * sum(rate(hls_swarm_bytes_downloaded_total{instance=~\"$instance\"}[10s]))",
                    ),
                    (
                        "segments",
                        "8 * sum(rate(hls_swarm_segment_bytes_downloaded_total{instance=~\"$instance\"}[10s]))",
                    ),
                ],
            ),
            panel(
                "Requests",
                "reqps",
                &[
                    (
                        "playlists",
                        "sum(rate(hls_swarm_manifest_requests_total{instance=~\"$instance\"}[10s]))",
                    ),
                    ("segments", "sum(rate(hls_swarm_segment_requests_total{instance=~\"$instance\"}[10s]))"),
                ],
            ),
        ],
    ),
    (
        "Latency",
        &[
            panel(
                "Segments, request to last byte, last minute",
                "s",
                &[
                    (
                        "p50",
                        "histogram_quantile(0.50, sum by (le) (rate(hls_swarm_inferred_latency_seconds_bucket{instance=~\"$instance\"}[1m])))",
                    ),
                    (
                        "p95",
                        "histogram_quantile(0.95, sum by (le) (rate(hls_swarm_inferred_latency_seconds_bucket{instance=~\"$instance\"}[1m])))",
                    ),
                    (
                        "p99",
                        "histogram_quantile(0.99, sum by (le) (rate(hls_swarm_inferred_latency_seconds_bucket{instance=~\"$instance\"}[1m])))",
                    ),
                ],
            ),
            panel(
                "First byte, whole run",
                "s",
                &[
                    (
                        "segment p{{percentile}}",
                        "max by (percentile) (hls_swarm_segment_ttfb_seconds{instance=~\"$instance\"})",
                    ),
                    (
                        "playlist p{{percentile}}",
                        "max by (percentile) (hls_swarm_manifest_ttfb_seconds{instance=~\"$instance\"})",
                    ),
                ],
            ),
            panel(
                "Start-up and connect, whole run",
                "s",
                &[
                    (
                        "start-up p{{percentile}}",
                        "max by (percentile) (hls_swarm_startup_seconds{instance=~\"$instance\"})",
                    ),
                    (
                        "connect p{{percentile}}",
                        "max by (percentile) (hls_swarm_connect_seconds{instance=~\"$instance\"})",
                    ),
                ],
            ),
        ],
    ),
    (
        "Errors",
        &[
            panel(
                "Share of requests that failed, whole run",
                "percentunit",
                &[("{{instance}}", "hls_swarm_error_rate{instance=~\"$instance\"}")],
            ),
            panel(
                "Responses by status code",
                "reqps",
                &[(
                    "{{status_code}}",
                    "sum by (status_code) (rate(hls_swarm_http_responses_total{instance=~\"$instance\"}[10s]))",
                )],
            ),
            panel(
                "Time-outs, connects, broken off",
                "short",
                &[
                    ("time-outs", "sum(increase(hls_swarm_timeouts_total{instance=~\"$instance\"}[1m]))"),
                    (
                        "connects failed",
                        "sum(increase(hls_swarm_connect_errors_total{instance=~\"$instance\"}[1m]))",
                    ),
                    (
                        "broken off",
                        "sum(increase(hls_swarm_broken_exchanges_total{instance=~\"$instance\"}[1m]))",
                    ),
                ],
            ),
            panel(
                "Viewers' lives",
                "short",
                &[
                    (
                        "restarts",
                        "sum(increase(hls_swarm_client_restarts_total{instance=~\"$instance\"}[1m]))",
                    ),
                    (
                        "ended: {{category}}",
                        "sum by (category) (increase(hls_swarm_client_exits_total{instance=~\"$instance\"}[1m]))",
                    ),
                ],
            ),
        ],
    ),
    (
        "Streams and stages, where there are several",
        &[
            panel(
                "Requests by stream",
                "reqps",
                &[(
                    "{{stream}}: {{url}}",
                    "sum by (stream, url) (rate(hls_swarm_stream_requests_total{instance=~\"$instance\"}[10s]))",
                )],
            ),
            panel(
                "Segments by stream, p95, whole run",
                "s",
                &[(
                    "{{stream}}: {{url}}",
                    "max by (stream, url) (hls_swarm_stream_segment_p95_seconds{instance=~\"$instance\"})",
                )],
            ),
            panel(
                "Share of requests that failed, by stage",
                "percentunit",
                &[(
                    "{{stage}}: {{name}}",
                    "max by (stage, name) (hls_swarm_stage_error_rate{instance=~\"$instance\"})",
                )],
            ),
            panel(
                "Segments by stage, p95",
                "s",
                &[(
                    "{{stage}}: {{name}}",
                    "max by (stage, name) (hls_swarm_stage_segment_p95_seconds{instance=~\"$instance\"})",
                )],
            ),
        ],
    ),
    (
        "Origin",
        &[
            panel(
                "Processors",
                "percent",
                &[("busy", "max(hls_swarm_origin_cpu_percent{instance=~\"$instance\"})")],
            ),
            panel(
                "Network",
                "bps",
                &[
                    ("sends", "8 * max(hls_swarm_origin_transmit_bytes_per_second{instance=~\"$instance\"})"),
                    (
                        "receives",
                        "8 * max(hls_swarm_origin_receive_bytes_per_second{instance=~\"$instance\"})",
                    ),
                ],
            ),
            panel(
                "nginx",
                "short",
                &[
                    ("connections", "max(hls_swarm_origin_connections{instance=~\"$instance\"})"),
                    (
                        "requests per second",
                        "max(hls_swarm_origin_requests_per_second{instance=~\"$instance\"})",
                    ),
                ],
            ),
            panel(
                "Agreement with the viewers, 1 = equal",
                "none",
                &[("requests", "max(hls_swarm_origin_requests_agreement{instance=~\"$instance\"})")],
            ),
        ],
    ),
    (
        "Load generator",
        &[
            panel(
                "Processors of the generator",
                "percent",
                &[(
                    "{{instance}}, mean of the run",
                    "hls_swarm_generator_cpu_percent{instance=~\"$instance\"}",
                )],
            ),
            panel(
                "Trust",
                "short",
                &[
                    ("records lost", "sum(hls_swarm_probe_records_lost_total{instance=~\"$instance\"})"),
                    ("timers late, s", "max(hls_swarm_generator_lag_max_seconds{instance=~\"$instance\"})"),
                    (
                        "bytes read / received",
                        "min(hls_swarm_kernel_bytes_agreement{instance=~\"$instance\"})",
                    ),
                ],
            ),
        ],
    ),
];

const WIDTH: usize = 24;
const HEIGHT: usize = 8;

/// The dashboard as Grafana imports it.
///
/// # Errors
/// None that a table of texts can cause.
pub fn render() -> serde_json::Result<String> {
    let mut panels = Vec::new();
    let mut y = 0;
    for (title, row) in ROWS {
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

fn graph(id: usize, panel: &Panel, (x, y, width): (usize, usize, usize)) -> Value {
    let targets: Vec<Value> = ('A'..)
        .zip(panel.queries)
        .map(|(letter, (legend, expression))| {
            json!({
                "refId": letter.to_string(), "expr": expression, "legendFormat": legend, "datasource": source(),
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
