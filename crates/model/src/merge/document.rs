//! The JSON report as it is read. `views::json` writes it; a test holds that reading loses nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use hls_swarm_hls::selection::VariantSelection;

use crate::series::Series;
use crate::snapshot::{
    Agreement, Errors, Generator, Insight, Lifetimes, ManualChanges, Origin, PerKind, Playback, PlaybackTime,
    Quantiles, Sources, StageRow, StreamRow, ViewerRow,
};
use crate::verdict::Verdict;

/// The report. Fields that came later than the schema have a default.
#[derive(Debug, Deserialize)]
pub struct Document {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    pub(crate) end_reason: String,
    pub(crate) url: String,
    pub(crate) variant: VariantSelection,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) ffmpeg: Option<String>,
    #[serde(default)]
    pub(crate) player: Option<String>,
    pub(crate) seed: Option<u64>,
    pub(crate) began_unix: u64,
    pub(crate) target_clients: u64,
    pub(crate) peak_clients: u64,
    pub(crate) expected_at_end: Option<u64>,
    #[serde(default)]
    pub(crate) playing_at_end: u64,
    pub(crate) active_ratio: Option<f64>,
    #[serde(default)]
    pub(crate) expected_viewer_seconds: f64,
    pub(crate) planned_seconds: Option<f64>,
    pub(crate) elapsed_seconds: f64,
    pub(crate) requests: PerKind<u64>,
    pub(crate) bytes: PerKind<u64>,
    pub(crate) head_bytes: u64,
    pub(crate) received_bytes: Option<u64>,
    pub(crate) http_status: BTreeMap<u16, u64>,
    pub(crate) unanswered: u64,
    #[serde(default)]
    pub(crate) stale_requests: u64,
    pub(crate) in_flight_at_stop: u64,
    pub(crate) cache: CacheCounts,
    pub(crate) errors: Errors,
    pub(crate) connect_failures: Vec<Reason>,
    pub(crate) latency_seconds: LatencyTable,
    pub(crate) uptime_seconds: Option<Quantiles>,
    #[serde(default)]
    pub(crate) playback: Playback,
    pub(crate) viewers: Lifetimes,
    #[serde(default)]
    pub(crate) reconnections: u64,
    pub(crate) exit_reasons: Vec<Reason>,
    pub(crate) source: Sources,
    pub(crate) agreement: Agreement,
    #[serde(default)]
    pub(crate) insight: Insight,
    pub(crate) origin: Option<Origin>,
    pub(crate) generator: Generator,
    #[serde(default)]
    pub(crate) watching: PlaybackTime,
    #[serde(default)]
    pub(crate) stages: Vec<StageRow>,
    #[serde(default)]
    pub(crate) streams: Vec<StreamRow>,
    #[serde(default)]
    pub(crate) manual_changes: ManualChanges,
    pub(crate) series: Option<Series>,
    #[serde(default)]
    pub(crate) histograms: BTreeMap<String, String>,
    pub(crate) per_viewer: Vec<ViewerRow>,
}

/// What the edge said about its cache.
#[derive(Debug, Deserialize)]
pub struct CacheCounts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

/// A reason and how often it was met.
#[derive(Debug, Deserialize)]
pub struct Reason {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// Latencies by kind, and those that have none.
#[derive(Debug, Default, Deserialize)]
pub struct LatencyTable {
    pub(crate) manifest: Option<Times>,
    pub(crate) segment: Option<Times>,
    pub(crate) init: Option<Times>,
    pub(crate) key: Option<Times>,
    pub(crate) other: Option<Times>,
    pub(crate) connect: Option<Quantiles>,
    pub(crate) dns: Option<Quantiles>,
    pub(crate) tls_handshake: Option<Quantiles>,
    pub(crate) startup: Option<Quantiles>,
}

/// The parts of an exchange.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Times {
    pub(crate) ttfb: Option<Quantiles>,
    pub(crate) download: Option<Quantiles>,
    pub(crate) total: Option<Quantiles>,
}
