//! The keys of a profile, as they are written. `profiles/origin/default.toml` says what each means.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::cli::EncoderMode;
use crate::cli::service::MetricsPort;

/// A profile as written, with the profile `default` underneath.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Segments in the playlist.
    pub list_size: u32,
    /// Segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// A sliding window, or a whole film.
    pub kind: Kind,
    /// Length of the film in seconds.
    pub vod_seconds: u32,
    /// Container of the segments.
    pub format: Format,
    /// Whether segments are encrypted.
    pub encryption: Encryption,
    /// Whether there is a WebVTT rendition.
    pub subtitles: bool,
    /// Names of further streams.
    pub streams: Vec<String>,
    /// The picture.
    pub video: Video,
    /// The sound.
    pub audio: Audio,
    /// How the stream comes into being.
    pub encoder: Encoder,
    /// Where it is served.
    pub serve: Serve,
    /// The access log.
    pub log: Log,
    /// Limits of rate and of connections.
    pub limits: Limits,
    /// Metrics for Prometheus; optional, because it says nothing of the stream.
    #[serde(default, skip_serializing_if = "Metrics::is_usual")]
    pub metrics: Metrics,
}

/// Ports of the metrics; what is missing is the usual port.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The host's: a number, 0 for a free one, or `"off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<MetricsPort>,
    /// nginx's and the origin's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nginx_port: Option<MetricsPort>,
}

impl Metrics {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The picture.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// `WIDTHxHEIGHT` in pixels.
    pub size: String,
    /// Frames per second.
    pub fps: u32,
    /// Average rate in 1000 bit/s.
    pub bitrate_kbps: u32,
    /// Ceiling of the rate control in 1000 bit/s.
    pub max_bitrate_kbps: u32,
    /// Preset of x264.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// Tune of x264, or `none`.
    pub tune: String,
    /// Further variants, each `WIDTHxHEIGHT@KBPS`; their ceilings are in the first one's proportion.
    pub ladder: Vec<String>,
}

/// The sound: AAC-LC, 48 kHz, stereo.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Rate in 1000 bit/s.
    pub bitrate_kbps: u32,
    /// A rendition of its own.
    pub separate: bool,
}

/// How the stream comes into being.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// Encode once and replay, or encode in real time.
    pub mode: Mode,
    /// Length of the loop in seconds; 0 for the shortest that has no gap.
    pub loop_seconds: u32,
}

/// Where the stream is served.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Serve {
    /// Address.
    pub listen: IpAddr,
    /// Port for HTTP; 0 for a free one.
    pub port: u16,
    /// HTTPS as well.
    pub tls: bool,
    /// Port for HTTPS; 0 for a free one.
    pub tls_port: u16,
    /// HTTP/2 over TLS.
    pub http2: bool,
}

/// The access log.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What is logged.
    pub access: Access,
    /// Path; empty for the usual place.
    pub file: String,
    /// Size of the buffer in 1024 bytes; 0 for none.
    pub buffer_kb: u32,
    /// Longest time of a line in the buffer, in seconds.
    pub flush_seconds: u32,
    /// Level of compression; 0 for none.
    pub gzip_level: u32,
}

/// Limits of rate and of connections; 0 stands for none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests per second of one address.
    pub address_requests_per_second: u32,
    /// Connections (under HTTP/2: requests at once) of one address.
    pub address_connections: u32,
    /// Requests per second of one token.
    pub token_requests_per_second: u32,
    /// Connections (under HTTP/2: requests at once) of one token.
    pub token_connections: u32,
    /// Name of the query argument that holds the token.
    pub token_argument: String,
    /// Requests above the rate that are still answered.
    pub burst: u32,
    /// Status of a request that is refused.
    pub status: u16,
}

/// A sliding window, or a whole film.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A sliding window that never ends.
    Live,
    /// All segments from the start, and an end.
    Vod,
}

/// Container of the segments.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// MPEG-TS.
    Ts,
    /// Fragmented MP4 with an initialization section, as CMAF has it.
    Fmp4,
}

/// Whether segments are encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Encryption {
    /// Not at all.
    #[serde(rename = "none")]
    None,
    /// Whole segments with AES-128-CBC (RFC 8216 section 5.2).
    #[serde(rename = "aes-128")]
    Aes128,
}

/// How the stream comes into being.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A loop is encoded once, cached, and replayed without encoding.
    Loop,
    /// The stream is encoded in real time, if the machine proves that it can.
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
