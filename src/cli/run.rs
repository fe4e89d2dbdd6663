//! The flags of a run, which are also the keys of a profile. Nothing is resolved here: `config::plan` decides what the
//! values mean together.
//!
//! To add a flag, add a field to one of these groups. Its attribute is the only place of its default; `config::plan`
//! resolves its value.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hls_swarm_base::duration::{GoDuration, or_milliseconds, or_seconds};
use hls_swarm_base::error::Failure;
use hls_swarm_base::profile_text::Keys;
use hls_swarm_cli::arguments::switch;
use hls_swarm_cli::layers::{Given, defaults, ids};
use hls_swarm_cli::logging::LogFormat;
use hls_swarm_client::Http;
use hls_swarm_player::Preset;
use hls_swarm_profiles::sizing::swarm::CLIENTS;

use super::load::{StageArg, StreamArg};

pub use hls_swarm_hls::selection::VariantSelection;

/// Default port of the Prometheus endpoint.
pub const METRICS_PORT: u16 = 17_091;

/// The flags of a run.
#[derive(Args, Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
// If a flag is repeated, the last value applies, so that a wrapper's flags can be overridden.
#[command(args_override_self = true, mut_args = switch)]
pub struct RunArgs {
    /// Where the configuration comes from, and what is done with it.
    #[command(flatten)]
    #[serde(skip)]
    pub action: ActionArgs,
    /// How many viewers there are, and when.
    #[command(flatten)]
    #[serde(flatten)]
    pub load: LoadArgs,
    /// What is played, and how it is requested.
    #[command(flatten)]
    #[serde(flatten)]
    pub stream: StreamArgs,
    /// What is changed about the viewers' network.
    #[command(flatten)]
    #[serde(flatten)]
    pub network: NetworkArgs,
    /// How viewers are run.
    #[command(flatten)]
    #[serde(flatten)]
    pub viewers: ViewerArgs,
    /// What may be loaded, and what ends a run early.
    #[command(flatten)]
    #[serde(flatten)]
    pub safety: SafetyArgs,
    /// What is read from the origin's exporters.
    #[command(flatten)]
    #[serde(flatten)]
    pub origin: OriginMetricsArgs,
    /// Criteria, and where results go.
    #[command(flatten)]
    #[serde(flatten)]
    pub results: ResultArgs,
    /// Where the values come from.
    #[arg(skip)]
    #[serde(skip)]
    pub given: Given,
}

impl RunArgs {
    /// Reads the keys of a profile; keys that it does not have keep their defaults. `what` names the
    /// profile to the user.
    ///
    /// # Errors
    /// A usage failure that names the profile, the line and the key.
    pub fn read(what: &str, text: &str) -> Result<Self, Failure> {
        fn group<T: Args + serde::de::DeserializeOwned>(keys: &mut Keys<'_>) -> Result<T, Failure> {
            keys.take(ids::<T>())
        }
        let help = "compare with `hls-swarm --dry-run URL`, which prints a complete profile";
        let mut keys = Keys::parse(what, text, help)?;
        let args = Self {
            action: ActionArgs::default(),
            load: group(&mut keys)?,
            stream: group(&mut keys)?,
            network: group(&mut keys)?,
            viewers: group(&mut keys)?,
            safety: group(&mut keys)?,
            origin: group(&mut keys)?,
            results: group(&mut keys)?,
            given: Given::default(),
        };
        keys.finish().map(|()| args)
    }
}

macro_rules! clap_defaults {
    ($($group:ty),*) => {
        $(impl Default for $group {
            fn default() -> Self {
                defaults()
            }
        })*
    };
}

// Keys that a profile lacks, and fields that a test leaves out, have clap's defaults.
clap_defaults!(
    RunArgs,
    ActionArgs,
    LoadArgs,
    StreamArgs,
    NetworkArgs,
    ViewerArgs,
    SafetyArgs,
    OriginMetricsArgs,
    ResultArgs
);

/// Where the configuration comes from, and what is done with it. These are not keys of a profile.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(next_help_heading = "Configuration")]
pub struct ActionArgs {
    /// Profile to start from: a built-in name or a TOML file; environment and flags override it
    #[arg(long, value_name = "NAME|FILE")]
    pub profile: Option<String>,
    /// Scenario: a built-in name or a TOML file; overrides the profile
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Option<String>,
    /// Print the resolved configuration as TOML, which is a valid profile, and exit
    #[arg(long)]
    pub dry_run: bool,
    /// Run one viewer for 10 s and give a verdict; the same as `hls-swarm check`
    #[arg(long)]
    pub check: bool,
    /// Print the command line of viewer 1 and exit
    #[arg(long)]
    pub print_cmd: bool,
    /// Load a public address with many viewers without confirmation
    #[arg(long)]
    pub yes: bool,
}

/// How many viewers there are, and when.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Load")]
#[serde(default)]
pub struct LoadArgs {
    /// Number of concurrent viewers; not used with --stage. With --find-limit, the largest number to try
    #[arg(short, long, value_name = "N", default_value_t = CLIENTS as u32)]
    pub clients: u32,
    /// Viewers started per second
    #[arg(short, long, value_name = "PER_SECOND", default_value_t = 5.0)]
    pub ramp_rate: f64,
    /// Upper bound of the random delay added to each start; a bare number is in milliseconds
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = or_milliseconds)]
    pub ramp_jitter: GoDuration,
    /// Length of the run, including the ramp; 0 runs until stopped
    #[arg(short, long, value_name = "DURATION", default_value = "0s")]
    pub duration: GoDuration,
    /// Ramp linearly to CLIENTS viewers over DURATION, up or down; repeat for more stages
    #[arg(id = "stage", long = "stage", value_name = "DURATION:CLIENTS")]
    #[serde(rename = "stage", skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageArg>,
    /// Mean number of viewers that arrive per second (Poisson); --clients limits how many play at once
    #[arg(long, value_name = "PER_SECOND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<f64>,
    /// How long viewers of --arrival-rate stay: 5m, exp:5m (exponential with this mean) or file:PATH (one
    /// duration per line)
    #[arg(long, value_name = "LENGTH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Raise the load until a criterion fails, and find the largest number of viewers, up to --clients, with which
    /// all criteria are met
    #[arg(long)]
    pub find_limit: bool,
    /// With --find-limit: exit with code 4 if the limit is below N viewers
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
    /// With --find-limit: how long each level is held
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub hold: GoDuration,
    /// Start at this time: 2026-12-01T20:00:00Z, or 20:00 for the next time the clock shows it
    #[arg(long, value_name = "WHEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<String>,
    /// Run only shard I (from 0) of N of the viewers, to divide a run over several machines
    #[arg(long, value_name = "I/N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Seed of all random choices, to repeat a run; by default a random one, which the report shows
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// What is played, and how it is requested.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Stream")]
#[serde(default)]
pub struct StreamArgs {
    /// Playlist to play: an http:// or https:// URL of a multivariant or media playlist
    #[arg(value_name = "HLS_URL", help_heading = None::<&str>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Stream with its share of the viewers, in place of HLS_URL; may be repeated
    #[arg(id = "stream", long = "stream", value_name = "[WEIGHT:]URL")]
    #[serde(rename = "stream", skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamArg>,
    /// Variants of a multivariant playlist to play: all, each (one per viewer, in turn), highest, lowest,
    /// first, a height (720p) or a bandwidth (<=3M, >=800k)
    #[arg(long, value_name = "VARIANT", default_value = "all")]
    #[schemars(with = "String")]
    pub variant: VariantSelection,
    /// What to do if there is no such variant: play the URL as given, or fail
    #[arg(long, value_enum, value_name = "POLICY", default_value = "fallback")]
    pub probe_failure_policy: ProbeFailurePolicy,
    /// Additional request header, "Name: value"; {env:NAME} and {file:PATH} insert secrets, in URLs too;
    /// may be repeated
    #[arg(long = "header", value_name = "HEADER")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// File of secret request headers, one per line; they appear in no report, process list or log
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_file: Option<PathBuf>,
    /// Host that may receive secret headers too, or all below a name (*.example.com); otherwise they go to the
    /// scheme, host and port of the stream's URL only; may be repeated
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub header_hosts: Vec<String>,
    /// User agent; viewer k sends USER_AGENT/client-k
    #[arg(long, value_name = "USER_AGENT", default_value = concat!("hls-swarm/", env!("CARGO_PKG_VERSION")))]
    pub user_agent: String,
    /// Ask caches to forward requests (Cache-Control: no-cache, no-store, must-revalidate)
    #[arg(long)]
    pub no_cache: bool,
    /// Network read and write timeout of a viewer; a bare number is in seconds
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = or_seconds)]
    pub timeout: GoDuration,
    /// Let FFmpeg reconnect while it opens the stream
    #[arg(long, default_value_t = true)]
    pub reconnect: bool,
    /// Longest delay between reconnections, in seconds
    #[arg(long, alias = "reconnect-delay-max", value_name = "SECONDS", default_value_t = 5)]
    pub reconnect_delay: u32,
    /// Number of times that FFmpeg retries a segment
    #[arg(long, alias = "seg-max-retry", value_name = "N", default_value_t = 3)]
    pub seg_retry: u32,
    /// Expected segment duration, used until a playlist is known
    #[arg(long, value_name = "DURATION", default_value = "6s")]
    pub target_duration: GoDuration,
    /// Download a VOD stream as fast as possible instead of in real time
    #[arg(long)]
    pub unpaced: bool,
    /// Do not verify TLS certificates; needs --dangerous
    #[arg(long)]
    pub insecure: bool,
    /// Confirm --insecure
    #[arg(long)]
    pub dangerous: bool,
}

/// What is changed about the viewers' network.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Network")]
#[serde(default)]
pub struct NetworkArgs {
    /// Connect to this address and keep host name, SNI and TLS verification: ADDRESS, HOST:ADDRESS or
    /// HOST:PORT:ADDRESS; several addresses (separated by commas, or repeated) are used in turn
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolve: Vec<String>,
    /// Local addresses that viewers connect from, used in turn: addresses, ranges (10.0.0.1-10.0.0.50) and
    /// networks (10.0.0.0/24); may be repeated
    #[arg(long, value_name = "ADDRESSES")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_ip: Vec<String>,
    /// Limit how fast a viewer downloads, in bits per second: 3M, or several with weights (3M,2*8M) used in
    /// turn
    #[arg(long, value_name = "RATES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_cap: Option<String>,
}

/// How viewers are run.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Viewers")]
#[serde(default)]
pub struct ViewerArgs {
    /// Engine that plays: FFmpeg, the command line of --player (which implies command), or native viewers, of which
    /// thousands run in one process
    #[arg(long, value_enum, value_name = "ENGINE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineKind>,
    /// Play with this command line instead of FFmpeg; {url} is replaced by the URL of the stream
    #[arg(long, value_name = "COMMAND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<String>,
    /// Algorithm by which native viewers choose among the variants: that of a player, or fixed, which stays with
    /// the first one; not used with --variant. By default that of --preset
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abr: Option<AbrArg>,
    /// How native viewers describe their requests to CDNs, as the player of --preset does (CMCD, CTA-5004): not at all, in
    /// the query, or in headers
    #[arg(long, value_enum, value_name = "MODE", default_value = "off")]
    pub cmcd: CmcdArg,
    /// Version of --cmcd: 1 (CTA-5004), or 2 (CTA-5004-B), which has more keys
    #[arg(long, value_name = "VERSION", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub cmcd_version: u8,
    /// Content ID that native viewers send with --cmcd (cid): at most 128 printable ASCII characters
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmcd_cid: Option<String>,
    /// The version of HTTP that native viewers speak: 1.1; 2 or 3 and nothing else; or auto: as browsers do, 2 or 1.1 as the
    /// server chooses, and 3 once it is announced (Alt-Svc). 2 and 3 need https
    #[arg(long, value_enum, value_name = "VERSION", default_value = "1.1")]
    pub http: HttpArg,
    /// The first N viewers are FFmpeg processes among native viewers, and the report compares both
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub canaries: u32,
    /// Let each native viewer look names up itself, instead of once for all viewers of a thread
    #[arg(long)]
    pub resolve_per_viewer: bool,
    /// FFmpeg program; by default the small FFmpeg for viewers if it is installed, and otherwise ffmpeg from PATH
    #[arg(long, value_name = "PATH")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<PathBuf>,
    /// Player whose buffer rules viewers follow: when playback begins, when it resumes after a stall, and how far they read
    /// ahead
    #[arg(long, value_enum, value_name = "PLAYER", default_value = "hlsjs")]
    pub preset: PresetArg,
    /// Source of requests and bytes: the socket probe inside FFmpeg, or FFmpeg's log
    #[arg(long, value_enum, value_name = "MODE", default_value = "auto")]
    pub probe: ProbeMode,
    /// Fall back to FFmpeg's log if the probe cannot be loaded; with false such a run is refused
    #[arg(long, default_value_t = true)]
    pub stats: bool,
    /// Memory that a viewer may allocate, in MiB; 0 = no limit
    #[arg(long, value_name = "MIB", default_value_t = crate::engine::confinement::DEFAULT_MEMORY_MIB)]
    pub viewer_memory: u32,
    /// User that viewers run as; only root can choose
    #[arg(long, value_name = "USER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_user: Option<String>,
    /// Variable of the environment that viewers get besides those that all programs need (PREFIX* for several); may be
    /// repeated
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub viewer_env: Vec<String>,
    /// Number of different FFmpeg messages to keep per viewer
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub stats_buffer: u32,
    /// FFmpeg's log level with --ffmpeg-debug; reading requests from the log always needs trace
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "debug")]
    pub stats_loglevel: FfmpegLevel,
    /// Copy every line of FFmpeg's log to the log of hls-swarm
    #[arg(long)]
    pub ffmpeg_debug: bool,
    /// Restart a stalled viewer
    #[arg(long)]
    pub restart_on_stall: bool,
    /// Maximum number of restarts of a failed viewer; 0 = no limit
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_restarts: u32,
    /// Additional FFmpeg argument, placed before -i; may be repeated
    #[arg(long = "ffmpeg-arg", value_name = "ARG", allow_hyphen_values = true)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ffmpeg_args: Vec<String>,
    /// Run even if preflight checks fail
    #[arg(long)]
    pub skip_preflight: bool,
}

/// What may be loaded, and what ends a run early.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Safety")]
#[serde(default)]
pub struct SafetyArgs {
    /// Host that may be loaded, a name or *.example.com; may be repeated. By default any host, after
    /// confirmation
    #[arg(long = "allow-host", value_name = "HOST")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// End the run if this share of the requests fails for this long; or off
    #[arg(long, value_name = "RATE:DURATION", default_value = "50%:10s")]
    pub error_storm: String,
}

/// What is read from the origin's exporters.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Origin")]
#[serde(default)]
pub struct OriginMetricsArgs {
    /// Host of the origin's exporters; sets --origin-metrics, --nginx-metrics and --segment-sizes-url
    #[arg(long, value_name = "HOST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics_host: Option<String>,
    /// Port of the node exporter on that host
    #[arg(long, value_name = "PORT", default_value_t = 9100)]
    pub origin_metrics_node_port: u16,
    /// Port of the nginx exporter on that host
    #[arg(long, value_name = "PORT", default_value_t = 9113)]
    pub origin_metrics_nginx_port: u16,
    /// URL of the origin's node exporter, or off
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_metrics: Option<String>,
    /// URL of the origin's nginx exporter, or off
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx_metrics: Option<String>,
    /// Interval between scrapes of the exporters
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    pub origin_metrics_interval: GoDuration,
    /// Time that the percentiles of the origin's figures cover, at most 300s
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    pub origin_metrics_window: GoDuration,
    /// URL of the segment sizes that the origin publishes as JSON, compared with what viewers read; or off
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes_url: Option<String>,
    /// Interval between fetches of the segment sizes
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub segment_sizes_interval: GoDuration,
    /// Upper bound of the random delay added to each fetch
    #[arg(long, value_name = "DURATION", default_value = "500ms")]
    pub segment_sizes_jitter: GoDuration,
    /// Number of segment sizes to remember
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub segment_cache_window: u32,
}

/// Criteria, and where results go.
#[derive(Args, Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[command(next_help_heading = "Results")]
#[serde(default)]
pub struct ResultArgs {
    /// Criterion of the verdict, such as 'segment_ttfb:p95<500ms', or a set: standard, aws; may be repeated
    #[arg(short = 't', long = "threshold", value_name = "EXPRESSION|SET")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<String>,
    /// End the run (exit code 4) once a threshold has failed for this long, judged by the last seconds of
    /// the run; 0 never ends it
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub abort_after: GoDuration,
    /// Address of the Prometheus endpoint: ADDRESS:PORT, PORT or off
    #[arg(long, alias = "metrics-port", value_name = "ADDRESS", default_value_t = metrics_address())]
    pub metrics: String,
    /// Export series per viewer as well, for fewer than 200 viewers
    #[arg(long)]
    pub prom_client_metrics: bool,
    /// Write a report; the file extension selects the format: .json, .html, .xml (JUnit), .md, .csv; may be
    /// repeated
    #[arg(short = 'o', long = "report", value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<PathBuf>,
    /// Push the metrics to this OTLP receiver over HTTP every 10 s and at the end; headers are in
    /// OTEL_EXPORTER_OTLP_HEADERS
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<String>,
    /// Write the final metrics as OpenMetrics, for jobs that end before Prometheus scrapes them
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub openmetrics: Option<PathBuf>,
    /// Title of the run in reports and on the live page
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Notes about the run in reports and on the live page
    #[arg(long, value_name = "TEXT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Peers that may open the live page on the port of the metrics, besides this host: an address, a network
    /// (10.0.0.0/8), or any; off turns it off; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub live_page: Vec<String>,
    /// Write each exchange as one line of JSON: an access log from the viewers' side
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange_log: Option<PathBuf>,
    /// URL of `hls-swarm collect`, which starts all shards together and gives the verdict
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector: Option<String>,
    /// File with the token of that collector (its --token-file)
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collector_token_file: Option<PathBuf>,
    /// Show a live dashboard; without a terminal, or with TERM=dumb, log lines are written instead
    #[arg(long, default_value_t = true)]
    pub tui: bool,
    /// Log format; by default text on a terminal, and JSON otherwise
    #[arg(long, value_enum, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<LogFormat>,
    /// Log level: error, warn, info, debug, trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// Log more; the same as --log-level debug
    #[arg(short, long)]
    pub verbose: bool,
}

fn metrics_address() -> String {
    format!("0.0.0.0:{METRICS_PORT}")
}

/// What happens if a multivariant playlist does not have the variant that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProbeFailurePolicy {
    /// The URL is played as given, with a warning.
    #[default]
    Fallback,
    /// Nothing is started.
    Fail,
}

/// FFmpeg's log level, if its log is copied to that of hls-swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FfmpegLevel {
    /// Only failures.
    Error,
    /// Problems.
    Warning,
    /// The main steps.
    Info,
    /// The steps in detail.
    Verbose,
    /// Every request.
    #[default]
    Debug,
    /// Every line of every response.
    Trace,
}

impl FfmpegLevel {
    /// FFmpeg's name of the level.
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

/// The engine that plays a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// FFmpeg.
    #[default]
    Ffmpeg,
    /// Any dynamically linked player, by its command line.
    Command,
    /// Players without a process, which download and do not decode.
    Native,
}

/// Algorithms by which native viewers choose among the variants of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AbrArg {
    /// hls.js: two averages of the throughput.
    #[value(name = "hlsjs")]
    HlsJs,
    /// ExoPlayer: a median of the throughput, and bounds on the buffer.
    #[value(name = "exoplayer")]
    ExoPlayer,
    /// Shaka Player: two averages, and 8 s between switches.
    Shaka,
    /// BOLA, as in dash.js: the length of the buffer.
    Bola,
    /// The first variant that is listed, always.
    Fixed,
}

/// How viewers describe their requests to CDNs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum CmcdArg {
    /// Not at all.
    #[default]
    Off,
    /// In the parameter CMCD of the query.
    Query,
    /// In the headers CMCD-Object, CMCD-Request, CMCD-Session, and CMCD-Status.
    Header,
}

/// The version of HTTP that native viewers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
pub enum HttpArg {
    /// HTTP/1.1.
    #[default]
    #[value(name = "1.1")]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 over TLS, and nothing else.
    #[value(name = "2")]
    #[serde(rename = "2")]
    Http2,
    /// HTTP/3, and nothing else.
    #[value(name = "3")]
    #[serde(rename = "3")]
    Http3,
    /// HTTP/2 or HTTP/1.1, as the server chooses, and HTTP/3 once the server announces it (Alt-Svc).
    #[serde(rename = "auto")]
    Auto,
}

impl From<HttpArg> for Http {
    fn from(http: HttpArg) -> Self {
        match http {
            HttpArg::Http1 => Self::Http1,
            HttpArg::Http2 => Self::Http2,
            HttpArg::Http3 => Self::Http3,
            HttpArg::Auto => Self::Auto,
        }
    }
}

/// Player whose buffer rules viewers follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum PresetArg {
    /// hls.js: begins with the first segment, and reads 30 s ahead.
    #[default]
    HlsJs,
    /// ExoPlayer (Media3): begins with 1 s of media, resumes with 2 s, and reads 50 s ahead.
    ExoPlayer,
    /// Shaka Player: begins with the first segment, and reads 10 s ahead.
    Shaka,
    /// A player without peculiarities: begins with the first segment, and reads 30 s ahead.
    Simple,
}

impl From<PresetArg> for Preset {
    fn from(preset: PresetArg) -> Self {
        match preset {
            PresetArg::HlsJs => Self::HlsJs,
            PresetArg::ExoPlayer => Self::ExoPlayer,
            PresetArg::Shaka => Self::Shaka,
            PresetArg::Simple => Self::Simple,
        }
    }
}

/// Source of requests and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ProbeMode {
    /// The probe; FFmpeg's log where the probe cannot be loaded.
    #[default]
    Auto,
    /// The probe; the run fails without it.
    Require,
    /// FFmpeg's log; figures are inferred.
    Off,
}
