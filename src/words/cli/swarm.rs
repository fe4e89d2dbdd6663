//! The flags of `hls-swarm` as they were typed, which are the keys of a profile too. Nothing is
//! resolved here: what was not given stays `None`, and `pure::plan` knows the defaults.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::words::duration::GoDuration;

/// Load test an HLS stream with real FFmpeg viewers and measure exactly what each of them got.
#[derive(Clone, Debug, Default, PartialEq, Parser, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[command(args_override_self = true, name = "hls-swarm", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct SwarmArgs {
    /// Playlist to play: http:// or https://, master or media
    #[arg(env = "STREAM_URL", value_name = "HLS_URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// Profile to start from: a built-in name, or a TOML file; flags and environment override it
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip)]
    pub profile: Option<String>,
    /// Print the resolved plan as TOML, which is a valid profile, and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(skip)]
    pub dry_run: Option<bool>,

    /// Concurrent viewers [default: 10]
    #[arg(long, env = "CLIENTS", value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<u32>,
    /// Viewers started per second [default: 5]
    #[arg(long, env = "RAMP_RATE", value_name = "PER_SECOND", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_rate: Option<f64>,
    /// Random delay added to each start [default: 200ms]
    #[arg(long, value_name = "DURATION", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_jitter: Option<GoDuration>,
    /// Length of the run, ramp included; 0 = until stopped [default: 0]
    #[arg(long, value_name = "DURATION", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// Seed of all random choices, to repeat a run [default: random, printed in the report]
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,

    /// Which variants of a master playlist to play [default: all]
    #[arg(long, env = "VARIANT", value_enum, help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// Extra request header, "Name: value"; may be repeated
    #[arg(long = "header", value_name = "HEADER", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Viewer k sends USER_AGENT/client-k [default: hls-swarm/VERSION]
    #[arg(long, value_name = "USER_AGENT", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Ask caches not to answer (Cache-Control: no-cache, no-store, must-revalidate)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache: Option<bool>,
    /// Network read and write time-out of a viewer [default: 15s]
    #[arg(long, value_name = "DURATION", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Let FFmpeg reconnect while it opens the stream [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect: Option<bool>,
    /// Longest reconnect delay, seconds [default: 5]
    #[arg(long, value_name = "SECONDS", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconnect_delay: Option<u32>,
    /// How often FFmpeg tries a segment again [default: 3]
    #[arg(long, value_name = "N", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seg_retry: Option<u32>,
    /// Expected segment duration, until a playlist tells [default: 6s]
    #[arg(long, value_name = "DURATION", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_duration: Option<GoDuration>,
    /// Read a VOD stream as fast as it comes instead of at real time
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaced: Option<bool>,
    /// Do not verify TLS certificates (needs --dangerous)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// Confirm that --insecure is meant
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dangerous: Option<bool>,

    /// FFmpeg binary [default: ffmpeg]
    #[arg(long, value_name = "PATH", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<PathBuf>,
    /// Source of requests and bytes: the socket probe inside FFmpeg, or FFmpeg's log [default: auto]
    #[arg(long, value_enum, help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeMode>,
    /// Stop and start a stalled viewer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_on_stall: Option<bool>,
    /// Starts after a failure, per viewer; 0 = unlimited [default: 0]
    #[arg(long, value_name = "N", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// Extra FFmpeg input argument, before -i; may be repeated
    #[arg(long = "ffmpeg-arg", value_name = "ARG", allow_hyphen_values = true, help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ffmpeg_args: Vec<String>,
    /// Run one viewer for 10 s and give a verdict
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip)]
    pub check: Option<bool>,
    /// Print the FFmpeg command of viewer 1 and exit
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip)]
    pub print_cmd: Option<bool>,
    /// Run in spite of failed preflight checks
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_preflight: Option<bool>,

    /// Criterion of the verdict, e.g. 'segment_ttfb:p95<500ms' or 'error_rate<0.1%'; may be repeated
    #[arg(long = "threshold", value_name = "EXPRESSION", help_heading = "Results")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<String>,
    /// Address of the Prometheus endpoint, or off [default: 0.0.0.0:17091; port from METRICS_PORT]
    #[arg(long, value_name = "ADDRESS", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Export series per viewer too (for fewer than 200 viewers)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prom_client_metrics: Option<bool>,
    /// Write a report; its ending decides: .json, .html, .xml (JUnit), .md, .csv; may be repeated
    #[arg(long = "report", value_name = "FILE", help_heading = "Results")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<PathBuf>,
    /// Write each exchange as one line of JSON: an access log from the viewers' side
    #[arg(long, value_name = "FILE", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_log: Option<PathBuf>,
    /// Live dashboard; log lines instead where there is no terminal, or TERM is dumb [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tui: Option<bool>,
    /// Log format [default: text on a terminal, json otherwise]
    #[arg(long, value_enum, help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Log level: error, warn, info, debug, trace [default: info]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// Log in detail (the same as --log-level debug)
    #[arg(short = 'v', long = "verbose", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verbose: Option<bool>,
}

/// Variants of a master playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Every variant at once, each viewer all of them.
    #[default]
    All,
    /// The variant of the highest BANDWIDTH.
    Highest,
    /// The variant of the lowest BANDWIDTH.
    Lowest,
    /// The variant that stands first.
    First,
}

/// Where requests and bytes are to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProbeMode {
    /// The probe; FFmpeg's log where the probe cannot be loaded.
    #[default]
    Auto,
    /// The probe, or no run.
    Require,
    /// FFmpeg's log: inferred.
    Off,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

const EXAMPLES: &str = "\
Examples:
  hls-swarm http://127.0.0.1:17080/stream.m3u8
  hls-swarm --clients 100 --ramp-rate 20 --duration 5m --report run.json https://cdn.example/live.m3u8
  hls-swarm report show run.json     (also: compare A B, merge A B…; hls-swarm report --help)

Exit codes:
  0 pass   1 internal   2 usage   3 preflight   4 a criterion was not met
  5 invalid run (the generator was the bottleneck, or facts were lost)   6 no viewer ever played
  128+n stopped by signal n before the planned end";
