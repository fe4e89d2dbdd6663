//! The JSON report as it is read. `views::json` writes it; a test holds that reading loses nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::words::cli::swarm::Variant;
use crate::words::series::Series;
use crate::words::snapshot::{
    Agreement, Errors, Generator, Hands, Insight, Lives, Origin, PerKind, Playback, Quantiles, Sources,
    StageRow, StreamRow, ViewerRow, Watching,
};
use crate::words::verdict::Verdict;

/// The report. Fields that came later than the schema have a default.
#[derive(Debug, Deserialize)]
pub struct Document {
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    pub(super) ended_because: String,
    pub(super) url: String,
    pub(super) variant: Variant,
    pub(super) version: String,
    pub(super) ffmpeg: String,
    pub(super) seed: Option<u64>,
    pub(super) began_unix: u64,
    pub(super) target_clients: u64,
    pub(super) peak_clients: u64,
    pub(super) due_at_end: Option<u64>,
    #[serde(default)]
    pub(super) playing_at_end: u64,
    pub(super) active_ratio: Option<f64>,
    #[serde(default)]
    pub(super) due_viewer_seconds: f64,
    pub(super) planned_seconds: Option<f64>,
    pub(super) elapsed_seconds: f64,
    pub(super) requests: PerKind<u64>,
    pub(super) bytes: PerKind<u64>,
    pub(super) head_bytes: u64,
    pub(super) received_bytes: Option<u64>,
    pub(super) http_status: BTreeMap<u16, u64>,
    pub(super) unanswered: u64,
    #[serde(default)]
    pub(super) stale_requests: u64,
    pub(super) in_flight_at_stop: u64,
    pub(super) cache: CacheCounts,
    pub(super) errors: Errors,
    pub(super) connect_failures: Vec<Reason>,
    pub(super) latency_seconds: LatencyTable,
    pub(super) uptime_seconds: Option<Quantiles>,
    pub(super) playback: Playback,
    pub(super) viewers: Lives,
    #[serde(default)]
    pub(super) reconnections: u64,
    pub(super) exit_reasons: Vec<Reason>,
    pub(super) source: Sources,
    pub(super) agreement: Agreement,
    #[serde(default)]
    pub(super) insight: Insight,
    pub(super) origin: Option<Origin>,
    pub(super) generator: Generator,
    #[serde(default)]
    pub(super) watching: Watching,
    #[serde(default)]
    pub(super) stages: Vec<StageRow>,
    #[serde(default)]
    pub(super) streams: Vec<StreamRow>,
    #[serde(default)]
    pub(super) by_hand: Hands,
    pub(super) series: Option<Series>,
    #[serde(default)]
    pub(super) histograms: BTreeMap<String, String>,
    pub(super) per_viewer: Vec<ViewerRow>,
}

/// What the edge said about its cache.
#[derive(Debug, Deserialize)]
pub struct CacheCounts {
    pub(super) hits: u64,
    pub(super) misses: u64,
}

/// A reason and how often it was met.
#[derive(Debug, Deserialize)]
pub struct Reason {
    pub(super) reason: String,
    pub(super) count: u64,
}

/// Latencies by kind, and those that have none.
#[derive(Debug, Default, Deserialize)]
pub struct LatencyTable {
    pub(super) manifest: Option<Times>,
    pub(super) segment: Option<Times>,
    pub(super) init: Option<Times>,
    pub(super) key: Option<Times>,
    pub(super) other: Option<Times>,
    pub(super) connect: Option<Quantiles>,
    pub(super) dns: Option<Quantiles>,
    pub(super) tls_handshake: Option<Quantiles>,
    pub(super) startup: Option<Quantiles>,
}

/// The parts of an exchange.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Times {
    pub(super) ttfb: Option<Quantiles>,
    pub(super) download: Option<Quantiles>,
    pub(super) total: Option<Quantiles>,
}
