//! Where figures come from, how far they agree, and how the load generator itself fares.

use serde::{Deserialize, Serialize};

use crate::exchange::Source;

/// Where the figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Of requests and status codes.
    pub requests: Source,
    /// Of bytes.
    pub bytes: Source,
    /// Of playback. Absent in reports of versions that only knew FFmpeg's progress.
    #[serde(default)]
    pub playback: PlaybackSource,
}

/// What shows whether a viewer plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaybackSource {
    /// The player reports how far it has played.
    #[default]
    Progress,
    /// Media arrives. Nothing is known of speed, drift, stalls and rebuffering.
    Media,
}

/// How well independent sources agree; 1.0 is complete agreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Bytes that viewers read (heads and bodies) over bytes that the kernel received for them, plain
    /// connections only. Below 1 by what was still unread when a viewer stopped. Absent without
    /// a probe and where all is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<f64>,
    /// Viewers' requests over those that the origin's nginx counted in the same time. Below 1 by what
    /// others asked; above 1 where answers came from a cache in between. Absent unless scraped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_requests: Option<f64>,
    /// Whole segments that had the size that the origin published, over those whose size it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment_sizes: Option<f64>,
}

/// The load generator's own condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Mean busy share of all processors of this machine, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Seconds of the run in which all processors were busy (98 % or more).
    pub saturated_seconds: u64,
    /// Seconds of the run in which the processors were sampled.
    pub sampled_seconds: u64,
    /// Mean share of one processor that this program itself used (viewers not included), percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_cpu_percent: Option<f64>,
    /// How late a timer of ours fired at worst, milliseconds.
    pub max_lag_ms: f64,
    /// 99th percentile of the same, milliseconds.
    pub p99_lag_ms: f64,
    /// Records of the probe that never arrived.
    pub events_lost: u64,
    /// Lines of FFmpeg that were read.
    pub lines_parsed: u64,
    /// Of these, lines that gave a reason beyond the bound, which was not kept.
    pub lines_dropped: u64,
    /// Viewers of which such lines were dropped. Absent in reports of versions that did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients_degraded: Option<u64>,
    /// Largest share of lines dropped between two ticks, 0 to 1; absent before the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_drop_rate: Option<f64>,
}
