//! The flags of `hls-origin`. What they mean together with the profile is decided in
//! `profile`.

pub mod service;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::service::ServiceArgs;

/// Test origin for HTTP Live Streaming: FFmpeg makes a test stream, nginx serves it.
///
/// Prints `READY URL` and one line of JSON as soon as playlist and first segment can be fetched,
/// then runs until SIGTERM or SIGINT. Nothing but the cached loop is left behind.
/// `hls-origin render nginx|ffmpeg|systemd` prints what would run, `hls-origin fault` turns faults of a
/// running origin on and off.
#[derive(Clone, Debug, Parser)]
// The last one of a repeated flag holds, so that a wrapper's flags can be overridden.
#[command(name = "hls-origin", version, max_term_width = 100, args_override_self = true)]
pub struct OriginArgs {
    /// Profile: default, low-latency, 4k-abr, stress, logged, debug, tap, tap-logged, or the path of
    /// a TOML file
    #[arg(long, env = "HLS_ORIGIN_PROFILE", default_value = "default", value_name = "NAME|FILE")]
    pub profile: String,

    /// Print the profile with all flags applied as TOML, which is a valid profile, and exit
    #[arg(long)]
    pub dry_run: bool,

    /// Directory below which segments and nginx's files live [default: a tmpfs where there is one]
    #[arg(long, env = "HLS_ORIGIN_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Directory of the cached loops [default: hls-swarm below XDG_CACHE_HOME or ~/.cache]
    #[arg(long, env = "HLS_ORIGIN_CACHE_DIR", value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Directory that stores the media sequence, so that a new start continues where the last one
    /// ended (systemd's StateDirectory= sets it) [default: each start begins at 0]
    #[arg(long, env = "STATE_DIRECTORY", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Write the JSON line of READY to this file as well, once the stream can be fetched
    #[arg(long, env = "HLS_ORIGIN_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// FFmpeg to use
    #[arg(long, env = "HLS_ORIGIN_FFMPEG", default_value = "ffmpeg", value_name = "PROGRAM")]
    pub ffmpeg: PathBuf,

    /// nginx to use
    #[arg(long, env = "HLS_ORIGIN_NGINX", default_value = "nginx", value_name = "PROGRAM")]
    pub nginx: PathBuf,

    /// What to log on standard error
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// Flags that go before the profile.
    #[command(flatten)]
    pub stream: StreamArgs,

    /// What surrounds the stream.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// Flags that go before the profile.
    #[command(flatten)]
    pub serving: ServingArgs,
}

/// What stream there is; each goes before the profile's key of the same name.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Stream (default: by profile)")]
pub struct StreamArgs {
    /// Encode once and replay a loop, or encode in real time if the machine is fast enough
    #[arg(long, env = "HLS_ORIGIN_ENCODER", value_name = "MODE")]
    pub encoder: Option<EncoderMode>,

    /// Length of the loop in seconds; 0 = the shortest one that repeats without a gap
    #[arg(long, env = "HLS_ORIGIN_LOOP_SECONDS", value_name = "SECONDS")]
    pub loop_seconds: Option<u32>,

    /// Length of a segment in seconds
    #[arg(long, env = "HLS_ORIGIN_SEGMENT_SECONDS", value_name = "SECONDS")]
    pub segment_seconds: Option<u32>,

    /// Segments in the playlist
    #[arg(long, env = "HLS_ORIGIN_LIST_SIZE", value_name = "COUNT")]
    pub list_size: Option<u32>,

    /// Segments kept after they left the playlist
    #[arg(long, env = "HLS_ORIGIN_DELETE_THRESHOLD", value_name = "COUNT")]
    pub delete_threshold: Option<u32>,

    /// Size of the video, WIDTHxHEIGHT; the sizes of the ladder are scaled in proportion
    #[arg(long, env = "HLS_ORIGIN_VIDEO_SIZE", value_name = "SIZE")]
    pub video_size: Option<String>,

    /// Frames per second
    #[arg(long, env = "HLS_ORIGIN_FPS", value_name = "FPS")]
    pub fps: Option<u32>,

    /// Average video bitrate in 1000 bit/s; its maximum and the bitrates of the ladder are scaled in proportion
    #[arg(long, env = "HLS_ORIGIN_VIDEO_BITRATE", value_name = "KBPS")]
    pub video_bitrate: Option<u32>,

    /// Variants below the first one: WIDTHxHEIGHT@KBPS, separated by commas; "none" for one variant
    #[arg(long, env = "HLS_ORIGIN_LADDER", value_name = "VARIANTS", value_delimiter = ',')]
    pub ladder: Option<Vec<String>>,

    /// Audio bitrate in 1000 bit/s
    #[arg(long, env = "HLS_ORIGIN_AUDIO_BITRATE", value_name = "KBPS")]
    pub audio_bitrate: Option<u32>,

    /// Serve the audio as a separate rendition
    #[arg(long, env = "HLS_ORIGIN_SEPARATE_AUDIO", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub separate_audio: Option<bool>,

    /// A WebVTT rendition beside the stream
    #[arg(long, env = "HLS_ORIGIN_SUBTITLES", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub subtitles: Option<bool>,

    /// Container of the segments: ts, fmp4
    #[arg(long, env = "HLS_ORIGIN_FORMAT", value_name = "FORMAT")]
    pub format: Option<FormatName>,

    /// Encryption of the segments: none, aes-128 (the key is served beside the stream)
    #[arg(long, env = "HLS_ORIGIN_ENCRYPTION", value_name = "METHOD")]
    pub encryption: Option<EncryptionName>,

    /// A VOD of this many seconds instead of a live stream; 0 = live
    #[arg(long, env = "HLS_ORIGIN_VOD", value_name = "SECONDS")]
    pub vod: Option<u32>,

    /// Names of additional streams, separated by commas: each is served at /NAME/stream.m3u8
    #[arg(long, env = "HLS_ORIGIN_STREAMS", value_name = "NAMES", value_delimiter = ',')]
    pub streams: Option<Vec<String>>,
}

/// Where and how it is served; each goes before the profile's key of the same name.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Serving (default: by profile)")]
pub struct ServingArgs {
    /// Address to serve on; 0.0.0.0 or :: for every interface
    #[arg(long, env = "HLS_ORIGIN_LISTEN", value_name = "IP")]
    pub listen: Option<IpAddr>,

    /// Port to serve on; 0 takes a free one and keeps it
    #[arg(long, env = "HLS_ORIGIN_PORT", value_name = "PORT")]
    pub port: Option<u16>,

    /// Serve HTTPS, too, with a certificate that is created at each start
    #[arg(long, env = "HLS_ORIGIN_TLS", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub tls: Option<bool>,

    /// Port for HTTPS; 0 takes a free one and keeps it
    #[arg(long, env = "HLS_ORIGIN_TLS_PORT", value_name = "PORT")]
    pub tls_port: Option<u16>,

    /// HTTP/2 over TLS, if nginx supports it
    #[arg(long, env = "HLS_ORIGIN_HTTP2", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub http2: Option<bool>,

    /// Log requests to this file, one line of JSON each: all requests unless the profile selects some
    #[arg(long, env = "HLS_ORIGIN_ACCESS_LOG", value_name = "FILE")]
    pub access_log: Option<String>,

    /// Requests per second that one address may send; 0 = no limit
    #[arg(long, env = "HLS_ORIGIN_ADDRESS_REQUESTS_PER_SECOND", value_name = "N")]
    pub address_requests_per_second: Option<u32>,

    /// Connections that one address may have (HTTP/2: concurrent requests); 0 = no limit
    #[arg(long, env = "HLS_ORIGIN_ADDRESS_CONNECTIONS", value_name = "N")]
    pub address_connections: Option<u32>,

    /// Requests per second that one token may send; 0 = no limit
    #[arg(long, env = "HLS_ORIGIN_TOKEN_REQUESTS_PER_SECOND", value_name = "N")]
    pub token_requests_per_second: Option<u32>,

    /// Connections that one token may have (HTTP/2: concurrent requests); 0 = no limit
    #[arg(long, env = "HLS_ORIGIN_TOKEN_CONNECTIONS", value_name = "N")]
    pub token_connections: Option<u32>,

    /// Query argument with the token of a viewer; without it, the header Authorization is the token
    #[arg(long, env = "HLS_ORIGIN_TOKEN_ARGUMENT", value_name = "NAME")]
    pub token_argument: Option<String>,

    /// Number of requests above a rate that are still answered
    #[arg(long, env = "HLS_ORIGIN_LIMIT_BURST", value_name = "N")]
    pub limit_burst: Option<u32>,

    /// Status code of requests above a limit: 429 or 503
    #[arg(long, env = "HLS_ORIGIN_LIMIT_STATUS", value_name = "STATUS")]
    pub limit_status: Option<u16>,
}

/// How the stream is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncoderMode {
    /// Encode a loop once and replay it
    Loop,
    /// Encode in real time; replay a loop if the machine is too slow
    Live,
}

/// Container of the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// MPEG-TS
    Ts,
    /// Fragmented MP4 (CMAF)
    Fmp4,
}

/// Encryption of the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncryptionName {
    /// Not encrypted
    None,
    /// Whole segments with AES-128-CBC
    #[value(name = "aes-128")]
    Aes128,
}

/// Print what `hls-origin` would run with these flags, and exit.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-origin render", version, max_term_width = 100, args_override_self = true)]
pub struct RenderArgs {
    /// What to print.
    #[command(subcommand)]
    pub command: RenderCommand,
}

/// What can be printed.
#[derive(Clone, Debug, Subcommand)]
// One is made per process, so its size is of no interest.
#[allow(clippy::large_enum_variant, reason = "boxing would hide clap's flatten for nothing")]
pub enum RenderCommand {
    /// nginx.conf, each directive with its reason
    Nginx(OriginArgs),
    /// The command lines of FFmpeg, as a shell takes them
    Ffmpeg(OriginArgs),
    /// A hardened systemd unit that runs the origin with these flags
    Systemd(OriginArgs),
}
