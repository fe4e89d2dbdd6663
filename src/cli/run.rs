//! The flags of `hls-swarm` as they were typed, which are the keys of a profile too. Nothing is
//! resolved here: what was not given stays `None`, and `config::plan` knows the defaults.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_cli::logging::LogFormat;

use super::load::{StageArg, StreamArg};

pub use hls_swarm_hls::selection::VariantSelection;

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

    /// Scenario: a built-in name, or a TOML file; goes over the profile, flags and environment over it
    #[arg(long, value_name = "NAME|FILE")]
    #[serde(skip)]
    pub scenario: Option<String>,

    /// Concurrent viewers [default: 10]; stages have numbers of their own
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
    /// Go to CLIENTS viewers on a straight line over DURATION, up, down or level; repeat for more stages
    #[arg(long = "stage", value_name = "DURATION:CLIENTS", help_heading = "Load")]
    #[serde(rename = "stage", skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageArg>,
    /// Viewers that come by themselves, per second in the mean; CLIENTS is the most at once
    #[arg(long, value_name = "PER_SECOND", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<f64>,
    /// How long each of them stays: 5m, exp:5m (exponential, the mean) or file:PATH (one duration per line)
    #[arg(long, value_name = "LENGTH", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Begin at a moment (2026-12-01T20:00:00Z) or the next time that the clock shows 20:00
    #[arg(long, value_name = "WHEN", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    /// Only share I (from 0) of N of the viewers, for a run that is divided over machines
    #[arg(long, value_name = "I/N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Seed of all random choices, to repeat a run [default: random, printed in the report]
    #[arg(long, value_name = "N", help_heading = "Load")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,

    /// A stream with its share of the viewers, WEIGHT:URL, in place of HLS_URL; may be repeated
    #[arg(long = "stream", value_name = "[WEIGHT:]URL", help_heading = "Stream")]
    #[serde(rename = "stream", skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamArg>,
    /// Which variants of a master playlist to play: all, each (one per viewer in turn), highest, lowest,
    /// first, a height (720p), or a bandwidth (<=3M, >=800k) [default: all]
    #[arg(long, env = "VARIANT", value_name = "VARIANT", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantSelection>,
    /// Where there is no such variant: play the URL as given, or fail [default: fallback]
    #[arg(long, value_enum, value_name = "POLICY", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_failure_policy: Option<ProbeFailurePolicy>,
    /// Extra request header, "Name: value"; {env:NAME} and {file:PATH} stand for secrets, in the URL too;
    /// may be repeated
    #[arg(long = "header", value_name = "HEADER", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// File with extra request headers, one per line, that must not be seen: they are in no report,
    /// no list of processes, and not in what --dry-run prints
    #[arg(long, value_name = "FILE", help_heading = "Stream")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_file: Option<PathBuf>,
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

    /// Connect to this address; host name, SNI and TLS verification stay: ADDRESS, HOST:ADDRESS or
    /// HOST:PORT:ADDRESS; several addresses (commas, or repeated) are dealt out in turn
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolve: Vec<String>,
    /// Local address that viewers connect from: addresses, ranges (10.0.0.1-10.0.0.50) and networks
    /// (10.0.0.0/24), dealt out in turn; may be repeated
    #[arg(long, value_name = "ADDRESSES", help_heading = "Network")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ip: Vec<String>,
    /// Most that a viewer reads, bits per second: 3M, or several with weights (3M,2*8M) dealt out in turn
    #[arg(long, value_name = "RATES", help_heading = "Network")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_cap: Option<String>,

    /// What plays: FFmpeg, or the command line of --player [default: ffmpeg]
    #[arg(long, value_enum, help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// Play with this command line in place of FFmpeg; {url} stands for the URL (implies --engine command)
    #[arg(long, value_name = "COMMAND", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<String>,
    /// FFmpeg binary [default: ffmpeg]
    #[arg(long, value_name = "PATH", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<PathBuf>,
    /// Source of requests and bytes: the socket probe inside FFmpeg, or FFmpeg's log [default: auto]
    #[arg(long, value_enum, help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<ProbeMode>,
    /// Read FFmpeg's log where the probe cannot be loaded; without it such a run is refused [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<bool>,
    /// How many different reasons in FFmpeg's words are kept of one viewer [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_buffer: Option<u32>,
    /// How much FFmpeg says with --ffmpeg-debug [default: debug; the log fallback always needs trace]
    #[arg(long, value_enum, value_name = "LEVEL", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats_loglevel: Option<FfmpegLevel>,
    /// Carry every line that FFmpeg says to our own log
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Viewers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg_debug: Option<bool>,
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

    /// Hosts that may be loaded, names or *.example.com; may be repeated [default: any, after a question]
    #[arg(long = "allow-host", value_name = "HOST", help_heading = "Safety")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Load a public address with many viewers without being asked
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Safety")]
    #[serde(skip)]
    pub yes: Option<bool>,
    /// End the run when this share of the requests fails for this long, RATE:DURATION, or off [default: 50%:10s]
    #[arg(long, value_name = "RATE:DURATION", help_heading = "Safety")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_storm: Option<String>,

    /// Host of the origin's exporters: sets --origin-metrics, --nginx-metrics and --segment-sizes-url
    #[arg(long, value_name = "HOST", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_host: Option<String>,
    /// Port of the node exporter there [default: 9100]
    #[arg(long, value_name = "PORT", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_node_port: Option<u16>,
    /// Port of the nginx exporter there [default: 9113]
    #[arg(long, value_name = "PORT", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_nginx_port: Option<u16>,
    /// Node exporter of the origin, shown beside our own figures, or off
    #[arg(long, value_name = "URL", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics: Option<String>,
    /// Nginx exporter of the origin, or off
    #[arg(long, value_name = "URL", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx_metrics: Option<String>,
    /// How often exporters are asked [default: 2s]
    #[arg(long, value_name = "DURATION", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_interval: Option<GoDuration>,
    /// What percentiles of the origin's figures cover, at most 300s [default: 30s]
    #[arg(long, value_name = "DURATION", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_window: Option<GoDuration>,
    /// Segment sizes that the origin publishes as JSON, held against what viewers read, or off
    #[arg(long, value_name = "URL", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes_url: Option<String>,
    /// How often the sizes are fetched [default: 1s]
    #[arg(long, value_name = "DURATION", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes_interval: Option<GoDuration>,
    /// Random delay added to each fetch [default: 500ms]
    #[arg(long, value_name = "DURATION", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes_jitter: Option<GoDuration>,
    /// Segments whose size is remembered [default: 300]
    #[arg(long, value_name = "N", help_heading = "Origin")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_cache_window: Option<u32>,

    /// Criterion of the verdict, e.g. 'segment_ttfb:p95<500ms', or a set: standard, aws; may be repeated
    #[arg(long = "threshold", value_name = "EXPRESSION|SET", help_heading = "Results")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<String>,
    /// End the run (exit code 4) once a threshold has failed for so long, held against the last seconds of
    /// the run; 0 = never [default: 0]
    #[arg(long, value_name = "DURATION", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abort_after: Option<GoDuration>,
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
    /// Address of `hls-swarm collect`: start together with all shards, and leave the verdict to it
    #[arg(long, env = "COLLECTOR", value_name = "URL", help_heading = "Results")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
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

/// What happens where a master playlist has no variant as it is wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProbeFailurePolicy {
    /// The URL is played as it was given, with a warning.
    #[default]
    Fallback,
    /// Nothing is started.
    Fail,
}

/// How much FFmpeg says where its words are carried to our log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FfmpegLevel {
    /// Only what failed.
    Error,
    /// What went wrong.
    Warning,
    /// What it does.
    Info,
    /// In detail.
    Verbose,
    /// Every request.
    #[default]
    Debug,
    /// Every line of every response.
    Trace,
}

impl FfmpegLevel {
    /// As FFmpeg calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Verbose => "verbose",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Where requests and bytes are to come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// FFmpeg.
    #[default]
    Ffmpeg,
    /// Any dynamically linked player, by its command line.
    Command,
}

/// Where requests and bytes come from.
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

const EXAMPLES: &str = "\
Examples:
  hls-swarm http://127.0.0.1:17080/stream.m3u8
  hls-swarm --clients 100 --ramp-rate 20 --duration 5m --report run.json https://cdn.example/live.m3u8
  hls-swarm report show run.json     (also: compare A B, merge A B…; hls-swarm report --help)
  hls-swarm config show --profile stress     (what it means; also: config check FILE)

Exit codes:
  0 pass   1 internal   2 usage   3 preflight   4 a criterion was not met
  5 invalid run (the generator was the bottleneck, or facts were lost)   6 no viewer ever played
  128+n stopped by signal n before the planned end";

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{CommandFactory, Parser};

    use hls_swarm_cli::go_style::translate;

    use super::*;

    fn parse(line: &str) -> SwarmArgs {
        let words = std::iter::once("hls-swarm").chain(line.split_whitespace()).map(OsString::from);
        SwarmArgs::try_parse_from(translate(words, &SwarmArgs::command())).unwrap()
    }

    #[test]
    fn both_styles_mean_the_same() {
        for (go, clap) in [
            ("-clients 50 http://a/b", "--clients 50 http://a/b"),
            ("-clients=50 -ramp-rate=10 http://a/b", "--clients=50 --ramp-rate=10 http://a/b"),
            ("-restart-on-stall=false http://a/b", "--restart-on-stall=false http://a/b"),
            ("-restart-on-stall http://a/b", "--restart-on-stall http://a/b"),
            ("-duration 1h30m -v http://a/b", "--duration 1h30m --verbose http://a/b"),
            ("-header X:1 -header Y:2 http://a/b", "--header X:1 --header Y:2 http://a/b"),
            ("-reconnect=false -no-cache http://a/b", "--reconnect=false --no-cache http://a/b"),
        ] {
            assert_eq!(parse(go), parse(clap), "{go}");
        }
    }

    #[test]
    fn what_a_flag_takes_is_left_alone() {
        assert_eq!(
            parse("--ffmpeg-arg -timeout -ffmpeg-arg -clients u").ffmpeg_args,
            ["-timeout", "-clients"]
        );
        assert_eq!(parse("-clients 3 -- u").url.as_deref(), Some("u"));
    }

    #[test]
    fn unknown_names_are_left_to_clap() {
        let words = ["hls-swarm", "-cliens", "5"].map(OsString::from);
        assert_eq!(translate(words.clone(), &SwarmArgs::command()), words);
    }
}
