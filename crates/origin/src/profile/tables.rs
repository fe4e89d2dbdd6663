//! The keys of a profile. `profiles/origin/default.toml` documents each of them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cli::EncoderMode;
use crate::cli::service::MetricsPort;

/// A profile, merged over the profile `default`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Number of segments in the playlist.
    pub list_size: u32,
    /// Number of segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// Live or VOD.
    pub kind: Kind,
    /// Duration of a VOD in seconds.
    pub vod_seconds: u32,
    /// Container of the segments.
    pub format: Format,
    /// Whether segments are encrypted.
    pub encryption: Encryption,
    /// Whether there is a WebVTT rendition.
    pub subtitles: bool,
    /// Names of additional streams.
    pub streams: Vec<String>,
    /// Video settings.
    pub video: Video,
    /// Audio settings.
    pub audio: Audio,
    /// Encoder settings.
    pub encoder: Encoder,
    /// Address and ports.
    pub serve: Serve,
    /// The access log.
    pub log: Log,
    /// Request and connection limits.
    pub limits: Limits,
    /// Ports of the metrics; optional in a profile.
    #[serde(default, skip_serializing_if = "Metrics::is_default")]
    pub metrics: Metrics,
}

/// Ports of the metrics endpoints; `None` is the default port.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Port of the host's metrics: a number, 0 for a free port, or `"off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<MetricsPort>,
    /// Port of the metrics of nginx and the origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx_port: Option<MetricsPort>,
}

impl Metrics {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Video settings.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// `WIDTHxHEIGHT` in pixels.
    pub size: String,
    /// Frames per second.
    pub fps: u32,
    /// Average bitrate in 1000 bit/s.
    pub bitrate_kbps: u32,
    /// Maximum bitrate in 1000 bit/s.
    pub max_bitrate_kbps: u32,
    /// x264 preset.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// x264 tune, or `none`.
    pub tune: String,
    /// Additional variants, each `WIDTHxHEIGHT@KBPS`; their maximum bitrates are in the proportion of the first one.
    pub ladder: Vec<String>,
}

/// Audio settings: AAC-LC, 48 kHz, stereo.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Bitrate in 1000 bit/s.
    pub bitrate_kbps: u32,
    /// Whether audio is a separate rendition.
    pub separate: bool,
}

/// Encoder settings.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Encode once and replay, or encode in real time.
    pub mode: Mode,
    /// Length of the loop in seconds; 0 for the shortest one that repeats without a gap.
    pub loop_seconds: u32,
}

/// Address and ports of the server.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Address.
    pub listen: IpAddr,
    /// Port for HTTP; 0 for a free one.
    pub port: u16,
    /// Whether HTTPS is served, too.
    pub tls: bool,
    /// Port for HTTPS; 0 for a free one.
    pub tls_port: u16,
    /// Whether HTTPS supports HTTP/2.
    pub http2: bool,
}

/// The access log.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The requests to log.
    pub access: Access,
    /// Path; empty for the default path.
    pub file: String,
    /// Size of the buffer in 1024 bytes; 0 for none.
    pub buffer_kb: u32,
    /// Maximum time that a line stays in the buffer, in seconds.
    pub flush_seconds: u32,
    /// gzip level; 0 for no compression.
    pub gzip_level: u32,
}

/// Request and connection limits; 0 means no limit.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per second of one address.
    pub address_requests_per_second: u32,
    /// Connections (with HTTP/2: concurrent requests) of one address.
    pub address_connections: u32,
    /// Requests per second of one token.
    pub token_requests_per_second: u32,
    /// Connections (with HTTP/2: concurrent requests) of one token.
    pub token_connections: u32,
    /// Name of the query argument that holds the token.
    pub token_argument: String,
    /// Number of requests above the rate that are still answered.
    pub burst: u32,
    /// Status code of rejected requests.
    pub status: u16,
}

/// The type of the stream.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sliding window without an end.
    Live,
    /// All segments from the start, with an end.
    Vod,
}

/// Container of the segments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// MPEG-TS.
    Ts,
    /// Fragmented MP4 with an initialization section (CMAF).
    Fmp4,
}

/// Whether segments are encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Encryption {
    /// Not encrypted.
    #[serde(rename = "none")]
    None,
    /// AES-128-CBC for whole segments (RFC 8216 section 5.2).
    #[serde(rename = "aes-128")]
    Aes128,
}

/// How the stream is created.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A loop is encoded once, cached, and replayed without encoding.
    Loop,
    /// The stream is encoded in real time, if the machine is fast enough.
    Live,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// None.
    Off,
    /// Those for segments.
    Segments,
    /// All.
    All,
}

impl From<EncoderMode> for Mode {
    fn from(typed: EncoderMode) -> Self {
        match typed {
            EncoderMode::Loop => Self::Loop,
            EncoderMode::Live => Self::Live,
        }
    }
}
