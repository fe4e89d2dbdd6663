//! A run over time: one point per step, the step being one second or, in long runs, more.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The figures of one step. Counts are those of the step, gauges those at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Start of the step, seconds of the run.
    pub second: u64,
    /// Viewers that should have been up.
    pub target: u64,
    /// Viewers whose process was up.
    pub active: u64,
    /// Viewers that played.
    pub playing: u64,
    /// Viewers that were stalled.
    #[serde(default)]
    pub stalled: u64,
    /// Playlist requests.
    pub manifests: u64,
    /// Segment requests.
    pub segments: u64,
    /// Body bytes of all kinds.
    pub bytes: u64,
    /// Requests and connection attempts that failed.
    pub errors: u64,
    /// Segments, from the request to the last byte, seconds; absent if none arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Percentiles>,
    /// Busy share of all processors, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Share of one processor that this program used itself, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_cpu_percent: Option<f64>,
    /// Busy share of the origin's processors, percent; absent unless scraped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_cpu_percent: Option<f64>,
    /// Bytes per second that the origin's machine sent; absent unless scraped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_transmit_bytes_per_second: Option<f64>,
    /// Average BANDWIDTH of the media that was shown, bits per second; absent unless players report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bitrate_played: Option<f64>,
    /// Average buffer of the viewers, seconds; absent unless players report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_seconds: Option<f64>,
    /// Average live latency of the viewers by the edge of their playlists, seconds; absent unless players report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_latency_seconds: Option<f64>,
}

/// Percentiles of one step, seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// Points in chronological order. A step in which this program was stopped has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Length of a step, seconds; a power of two.
    #[serde(deserialize_with = "some_seconds")]
    pub step_seconds: u64,
    /// The points.
    #[serde(serialize_with = "one_per_line")]
    pub points: Vec<Point>,
}

fn some_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(D::Error::custom("its series has steps of 0 s")),
        seconds => Ok(seconds),
    }
}

/// One line per point: a run of an hour has 3600 of them.
fn one_per_line<S: Serializer>(points: &[Point], to: S) -> Result<S::Ok, S::Error> {
    let lines: Vec<Box<RawValue>> = points
        .iter()
        .map(serde_json::value::to_raw_value)
        .collect::<Result<_, _>>()
        .map_err(S::Error::custom)?;
    to.collect_seq(lines)
}

impl Default for Series {
    fn default() -> Self {
        Self { step_seconds: 1, points: Vec::new() }
    }
}
