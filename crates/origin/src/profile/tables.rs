//! The keys of a profile, which are flags too. `profiles/origin/default.toml` has their defaults.
//!
//! A new key is a field here, with a value in that file: the id of its flag is its place in the TOML.

use std::net::IpAddr;
use std::sync::LazyLock;

use clap::{Arg, Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use hls_swarm_base::duration::GoDuration;

use super::DEFAULT;
use crate::cli::service::MetricsPort;

/// The profile `default` as a table; a test reads it as a profile.
static DEFAULTS: LazyLock<Table> = LazyLock::new(|| DEFAULT.parse().unwrap_or_default());

/// Gives a flag the default that the profile `default` has for its key, so that help texts show it.
#[must_use]
pub fn with_default(flag: Arg) -> Arg {
    let id = flag.get_id().as_str();
    let value = match id.split_once('.') {
        Some((table, key)) => DEFAULTS.get(table).and_then(|table| table.get(key)),
        None => DEFAULTS.get(id),
    };
    let text = match value {
        None | Some(Value::Table(_) | Value::Array(_)) => return flag.required(false),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    flag.default_value(text).required(false)
}

/// A profile, with the profile `default` merged beneath.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Stream")]
pub struct Profile {
    /// Length of a segment in seconds
    #[arg(long, value_name = "SECONDS")]
    pub segment_seconds: u32,
    /// Number of segments in the playlist
    #[arg(long, value_name = "COUNT")]
    pub list_size: u32,
    /// Number of segments kept after they left the playlist
    #[arg(long, value_name = "COUNT")]
    pub delete_threshold: u32,
    /// Length of a part of Low-Latency HLS, for example 500ms; 0s for none
    #[arg(long, value_name = "TIME")]
    pub part_duration: GoDuration,
    /// A sliding window, or a VOD playlist.
    #[arg(skip)]
    pub kind: Kind,
    /// Length of the VOD stream in seconds.
    #[arg(skip)]
    pub vod_seconds: u32,
    /// Container of the segments
    #[arg(long, value_name = "FORMAT")]
    pub format: Format,
    /// Encryption of the segments; the key is served beside the stream
    #[arg(long, value_name = "METHOD")]
    pub encryption: Encryption,
    /// Add a WebVTT rendition
    #[arg(long)]
    pub subtitles: bool,
    /// Names of additional streams, separated by commas; each is served at /NAME/stream.m3u8
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub streams: Vec<String>,
    /// The video.
    #[command(flatten)]
    pub video: Video,
    /// The audio.
    #[command(flatten)]
    pub audio: Audio,
    /// The production of the stream.
    #[command(flatten)]
    pub encoder: Encoder,
    /// The addresses and ports of the server.
    #[command(flatten)]
    pub serve: Serve,
    /// The access log.
    #[command(flatten)]
    pub log: Log,
    /// Limits of rate and of connections.
    #[command(flatten)]
    pub limits: Limits,
    /// Metrics for Prometheus; optional, because they are not part of the stream.
    #[command(flatten)]
    #[serde(default, skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
}

/// Ports of the metrics; a missing one has its usual number.
#[derive(Args, Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Metrics")]
pub struct Metrics {
    /// Port of the host's metrics, with node_exporter's names; 0 = a free one, off = none. By default
    /// 9100, or a free one with --port 0
    #[arg(id = "metrics.node_port", long = "node-metrics-port", value_name = "PORT|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<MetricsPort>,
    /// Port of nginx's metrics and the origin's own (hls_origin_…); 0 = a free one, off = none. By default
    /// 9113, or a free one with --port 0
    #[arg(id = "metrics.nginx_port", long = "nginx-metrics-port", value_name = "PORT|off")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx_port: Option<MetricsPort>,
}

impl Metrics {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The video.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// Video size, WIDTHxHEIGHT; the sizes of the other variants are scaled with it
    #[arg(id = "video.size", long = "video-size", value_name = "SIZE")]
    pub size: String,
    /// Frames per second
    #[arg(id = "video.fps", long = "fps", value_name = "FPS")]
    pub fps: u32,
    /// Average video bitrate in kbit/s; its maximum and the bitrates of the other variants are scaled with it
    #[arg(id = "video.bitrate_kbps", long = "video-bitrate", value_name = "KBPS")]
    pub bitrate_kbps: u32,
    /// Maximum of the rate control in kbit/s.
    #[arg(skip)]
    pub max_bitrate_kbps: u32,
    /// Preset of x264.
    #[arg(skip)]
    pub preset: String,
    /// H.264 profile.
    #[arg(skip)]
    pub h264_profile: String,
    /// Tune of x264, or `none`.
    #[arg(skip)]
    pub tune: String,
    /// Additional variants: WIDTHxHEIGHT@KBPS, separated by commas; none for a single variant
    #[arg(id = "video.ladder", long = "ladder", value_name = "VARIANTS", value_delimiter = ',')]
    pub ladder: Vec<String>,
}

/// The audio: AAC-LC, 48 kHz, stereo.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Audio bitrate in kbit/s
    #[arg(id = "audio.bitrate_kbps", long = "audio-bitrate", value_name = "KBPS")]
    pub bitrate_kbps: u32,
    /// Put the audio into its own rendition
    #[arg(id = "audio.separate", long = "separate-audio")]
    pub separate: bool,
}

/// The production of the stream.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Encode a loop once and replay it, or encode in real time where the machine is fast enough
    #[arg(id = "encoder.mode", long = "encoder", value_name = "MODE")]
    pub mode: Mode,
    /// Length of the loop in seconds; 0 selects the shortest that replays without a gap
    #[arg(id = "encoder.loop_seconds", long = "loop-seconds", value_name = "SECONDS")]
    pub loop_seconds: u32,
}

/// The addresses and ports of the server.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[command(next_help_heading = "Serving")]
pub struct Serve {
    /// Address to listen on; 0.0.0.0 or :: for every interface
    #[arg(id = "serve.listen", long = "listen", value_name = "IP")]
    pub listen: IpAddr,
    /// Port for HTTP; 0 uses a free one and keeps it
    #[arg(id = "serve.port", long = "port", value_name = "PORT")]
    pub port: u16,
    /// Serve HTTPS as well, with a certificate made at the start
    #[arg(id = "serve.tls", long = "tls")]
    pub tls: bool,
    /// Port for HTTPS; 0 uses a free one and keeps it
    #[arg(id = "serve.tls_port", long = "tls-port", value_name = "PORT")]
    pub tls_port: u16,
    /// Serve HTTP/2 over TLS, if nginx supports it
    #[arg(id = "serve.http2", long = "http2")]
    pub http2: bool,
    /// Serve HTTP/3 on the UDP port of the same number, too, and announce it (Alt-Svc); needs nginx 1.25 with its module
    #[arg(id = "serve.http3", long = "http3")]
    pub http3: bool,
}

/// The access log.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The requests that are logged.
    #[arg(skip)]
    pub access: Access,
    /// Log requests to this file, one JSON object per line; all requests unless the profile selects some
    #[arg(id = "log.file", long = "access-log", value_name = "FILE", hide_default_value = true)]
    pub file: String,
    /// Size of the buffer in units of 1024 bytes; 0 for none.
    #[arg(skip)]
    pub buffer_kb: u32,
    /// Longest time that a line stays in the buffer, in seconds.
    #[arg(skip)]
    pub flush_seconds: u32,
    /// Level of compression; 0 for none.
    #[arg(skip)]
    pub gzip_level: u32,
}

/// Limits of rate and of connections; 0 = no limit.
#[derive(Args, Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per second allowed per address; 0 = no limit
    #[arg(id = "limits.address_requests_per_second", long = "address-requests-per-second", value_name = "N")]
    pub address_requests_per_second: u32,
    /// Connections allowed per address (with HTTP/2: concurrent requests); 0 = no limit
    #[arg(id = "limits.address_connections", long = "address-connections", value_name = "N")]
    pub address_connections: u32,
    /// Requests per second allowed per token; 0 = no limit
    #[arg(id = "limits.token_requests_per_second", long = "token-requests-per-second", value_name = "N")]
    pub token_requests_per_second: u32,
    /// Connections allowed per token (with HTTP/2: concurrent requests); 0 = no limit
    #[arg(id = "limits.token_connections", long = "token-connections", value_name = "N")]
    pub token_connections: u32,
    /// Query argument that contains a viewer's token; the header Authorization can contain it as well
    #[arg(id = "limits.token_argument", long = "token-argument", value_name = "NAME")]
    pub token_argument: String,
    /// Requests above the rate that are still answered
    #[arg(id = "limits.burst", long = "limit-burst", value_name = "N")]
    pub burst: u32,
    /// Status of a request above a limit: 429 or 503
    #[arg(id = "limits.status", long = "limit-status", value_name = "STATUS")]
    pub status: u16,
}

/// A sliding window, or a VOD playlist.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sliding window that never ends.
    #[default]
    Live,
    /// All segments from the start, and an end.
    Vod,
}

/// Container of the segments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// MPEG-TS
    Ts,
    /// Fragmented MP4 with an initialization section (CMAF)
    Fmp4,
}

/// Encryption of the segments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema, ValueEnum)]
pub enum Encryption {
    /// Not encrypted
    #[serde(rename = "none")]
    None,
    /// Whole segments with AES-128-CBC (RFC 8216 section 5.2)
    #[serde(rename = "aes-128")]
    #[value(name = "aes-128")]
    Aes128,
}

/// The production of the stream.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Encode a loop once, cache it, and replay it
    Loop,
    /// Encode in real time; replay a loop if the machine is too slow for that
    Live,
}

/// The requests that are logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// None.
    #[default]
    Off,
    /// Those for segments.
    Segments,
    /// All.
    All,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hls_swarm_cli::layers::{ids, written};

    use super::*;

    #[test]
    fn every_flag_is_a_key_of_the_profile_and_shows_its_default() {
        let keys = written(&DEFAULTS);
        let command = Profile::augment_args(clap::Command::new("p")).mut_args(with_default);
        for flag in command.get_arguments() {
            let id = flag.get_id().as_str();
            if id.starts_with("metrics.") {
                continue;
            }
            assert!(keys.contains(id), "{id} is not a key of profiles/origin/default.toml");
            let is_list = ["streams", "video.ladder"].contains(&id);
            assert!(is_list != flag.get_default_values().iter().any(|_| true), "{id}");
        }
        let without_flag: BTreeSet<String> =
            keys.into_iter().filter(|key| !ids::<Profile>().contains(key)).collect();
        let expected = [
            "kind",
            "vod_seconds",
            "video.max_bitrate_kbps",
            "video.preset",
            "video.h264_profile",
            "video.tune",
            "log.access",
            "log.buffer_kb",
            "log.flush_seconds",
            "log.gzip_level",
        ];
        assert_eq!(without_flag, expected.map(str::to_owned).into());
    }
}
