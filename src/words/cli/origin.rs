//! The flags of `hls-origin`. What they mean together with the profile is decided in
//! `pure::origin::stream`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

/// Test origin for HTTP Live Streaming: FFmpeg makes a test stream, nginx serves it.
///
/// Prints `READY URL` and one line of JSON as soon as playlist and first segment can be fetched,
/// then runs until SIGTERM or SIGINT. Nothing but the cached loop is left behind.
#[derive(Clone, Debug, Parser)]
// The last one of a repeated flag holds, so that a wrapper's flags can be overridden.
#[command(name = "hls-origin", version, max_term_width = 100, args_override_self = true)]
pub struct OriginArgs {
    /// Profile: default, low-latency, or the path of a TOML file
    #[arg(long, default_value = "default", value_name = "NAME|FILE")]
    pub profile: String,

    /// Address to serve on; loopback unless asked otherwise (0.0.0.0 or :: for every interface)
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub listen: IpAddr,

    /// Port to serve on; 0 takes a free one and keeps it
    #[arg(long, default_value_t = 17080)]
    pub port: u16,

    /// Directory below which segments and nginx's files live [default: a tmpfs where there is one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Directory of the cached loops [default: hls-swarm below XDG_CACHE_HOME or ~/.cache]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Write every request as one line of JSON to this file
    #[arg(long, value_name = "FILE")]
    pub access_log: Option<PathBuf>,

    /// Write the JSON line of READY to this file as well, once the stream can be fetched
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// FFmpeg to use
    #[arg(long, default_value = "ffmpeg", value_name = "PROGRAM")]
    pub ffmpeg: PathBuf,

    /// nginx to use
    #[arg(long, default_value = "nginx", value_name = "PROGRAM")]
    pub nginx: PathBuf,

    /// What to log on standard error
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub log_level: String,

    /// Flags that go before the profile.
    #[command(flatten)]
    pub stream: StreamArgs,
}

/// Flags that go before the profile.
#[derive(Args, Clone, Debug, Default)]
pub struct StreamArgs {
    /// Encode once and replay a loop, or encode in real time [default: by profile]
    #[arg(long, value_name = "MODE", help_heading = "Stream")]
    pub encoder: Option<EncoderMode>,

    /// Length of the loop in seconds [default: the shortest that replays without a gap]
    #[arg(long, value_name = "SECONDS", help_heading = "Stream")]
    pub loop_seconds: Option<u32>,

    /// Length of a segment in seconds [default: by profile]
    #[arg(long, value_name = "SECONDS", help_heading = "Stream")]
    pub segment_seconds: Option<u32>,

    /// Segments in the playlist [default: by profile]
    #[arg(long, value_name = "COUNT", help_heading = "Stream")]
    pub list_size: Option<u32>,

    /// Size of the picture, WIDTHxHEIGHT [default: by profile]
    #[arg(long, value_name = "SIZE", help_heading = "Stream")]
    pub video_size: Option<String>,

    /// Frames per second [default: by profile]
    #[arg(long, value_name = "FPS", help_heading = "Stream")]
    pub fps: Option<u32>,

    /// Average rate of the picture in 1000 bit/s [default: by profile]
    #[arg(long, value_name = "KBPS", help_heading = "Stream")]
    pub video_bitrate: Option<u32>,
}

/// How the stream comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EncoderMode {
    /// Encode a loop once and replay it
    Loop,
    /// Encode in real time
    Live,
}
