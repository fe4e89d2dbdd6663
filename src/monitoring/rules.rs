//! Alert rules: conditions that need attention, and what they mean.

use std::fmt::Write;

use crate::monitoring::output::quoted;

/// One alert.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// The condition in PromQL.
    pub expression: &'static str,
    /// How long it has to hold.
    pub hold: &'static str,
    /// `warning`: needs attention; `critical`: the test or the stream is failing.
    pub severity: &'static str,
    /// What it means, in one sentence with the value.
    pub summary: &'static str,
}

/// All alerts.
pub const ALERTS: [Alert; 11] = [
    Alert {
        name: "HlsSwarmViewersMissing",
        expression: "hls_swarm_active_clients / (hls_swarm_target_clients * hls_swarm_ramp_progress) < 0.9",
        hold: "30s",
        severity: "critical",
        summary: "Only {{ $value | humanizePercentage }} of the viewers that should be up are",
    },
    Alert {
        name: "HlsSwarmViewersStalled",
        expression: "hls_swarm_stalled_clients > 0",
        hold: "30s",
        severity: "warning",
        summary: "{{ $value }} viewers have been below real time for 30 s",
    },
    Alert {
        name: "HlsSwarmErrors",
        expression: "hls_swarm_error_rate > 0.01",
        hold: "10s",
        severity: "critical",
        summary: "{{ $value | humanizePercentage }} of the requests of this run failed",
    },
    Alert {
        name: "HlsSwarmSlowSegments",
        expression: "histogram_quantile(0.95, sum by (instance, le) \
                     (rate(hls_swarm_request_duration_seconds_bucket{kind=\"segment\"}[1m]))) > 1",
        hold: "30s",
        severity: "warning",
        summary: "95 % of the segments of the last minute took up to {{ $value | humanizeDuration }}",
    },
    Alert {
        name: "HlsSwarmLinesDropped",
        expression: "hls_swarm_stats_drop_rate > 0.01",
        hold: "10s",
        severity: "warning",
        summary: "{{ $value | humanizePercentage }} of FFmpeg's lines could not be kept",
    },
    Alert {
        name: "HlsSwarmFactsLost",
        expression: "increase(hls_swarm_probe_records_lost_total[1m]) > 0",
        hold: "0s",
        severity: "critical",
        summary: "{{ $value }} records of viewers were lost in a minute; the run will be invalid",
    },
    Alert {
        name: "HlsSwarmRestarts",
        expression: "increase(hls_swarm_client_restarts_total[1m]) > 10",
        hold: "0s",
        severity: "warning",
        summary: "{{ $value }} viewers were started again within a minute",
    },
    Alert {
        name: "HlsSwarmGeneratorBusy",
        expression: "hls_swarm_generator_cpu_ratio > 0.95",
        hold: "30s",
        severity: "critical",
        summary: "The load generator's processors are {{ $value | humanizePercentage }} busy: it measures itself",
    },
    Alert {
        name: "HlsOriginBusy",
        expression: "hls_swarm_origin_cpu_ratio > 0.9",
        hold: "30s",
        severity: "warning",
        summary: "The origin's processors are {{ $value | humanizePercentage }} busy",
    },
    Alert {
        name: "HlsOriginDisagrees",
        expression: "abs(1 - hls_swarm_origin_requests_agreement) > 0.1",
        hold: "1m",
        severity: "warning",
        summary: "Viewers and origin disagree: {{ $value | humanizePercentage }} of the requests are not theirs",
    },
    Alert {
        name: "HlsOriginProcessDown",
        expression: "hls_origin_process_up == 0",
        hold: "5s",
        severity: "critical",
        summary: "{{ $labels.process }} of the origin is down",
    },
];

/// The rules as Prometheus reads them.
#[must_use]
pub fn render() -> String {
    let mut text = String::from(
        "# Written by `hls-swarm monitoring rules`.\ngroups:\n  - name: hls-swarm\n    rules:\n",
    );
    for alert in ALERTS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "      - alert: {}", alert.name);
        let _ = writeln!(text, "        expr: {}", quoted(alert.expression));
        let _ = writeln!(text, "        for: {}", alert.hold);
        let _ = writeln!(text, "        labels:\n          severity: {}", alert.severity);
        let _ = writeln!(text, "        annotations:\n          summary: {}", quoted(alert.summary));
    }
    text
}
