//! What is known at one moment: the only thing that views may look at.
//!
//! Plain data. A field that was not measured is `None` and is absent from every view.

pub(crate) mod errors;
pub(crate) mod insight;
pub(crate) mod latency;
pub(crate) mod lifetimes;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod per_kind;
pub(crate) mod playback;
pub(crate) mod rates;
pub(crate) mod trust;
pub(crate) mod viewer;

use std::collections::BTreeMap;

use super::verdict::Criterion;

pub use crate::snapshot::lifetimes::{Exits, Lifetimes};

pub use errors::Errors;
pub use insight::{
    Ages, CacheCounts, Edge, FailedObject, FaultyPlaylist, Insight, OTHER_ADDRESSES, PlaylistFaults,
};
pub use latency::{Buckets, ExchangeTimes, Latency, Quantiles};
pub use load::{ManualChange, ManualChanges, PlaybackTime, StageRow, StreamRow, capacity};
pub use origin::{Gauge, Origin, SegmentSizes};
pub use per_kind::PerKind;
pub use playback::Playback;
pub use rates::{Rates, THROUGHPUT_WINDOWS};
pub use trust::{Agreement, Generator, PlaybackSource, Sources};
pub use viewer::{ViewerRow, ViewerState};

/// Everything known at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// Planned length, `None` = until stopped.
    pub planned_seconds: Option<f64>,
    /// Viewers that the plan asks for.
    pub target_clients: u64,
    /// Viewers that should be up by now.
    pub target_now: u64,
    /// Viewers whose process is up.
    pub active_clients: u64,
    /// Viewers that play now (stalled ones not included).
    pub playing_clients: u64,
    /// Most viewers that were up at once.
    pub peak_clients: u64,
    /// Viewer-seconds that [`Self::active_ratio`] is a mean over.
    pub expected_viewer_seconds: f64,
    /// Mean over time of viewers playing per viewer that should play, once the ramp was over.
    pub active_ratio: Option<f64>,
    /// Requests by kind.
    pub requests: PerKind<u64>,
    /// Body bytes that reached viewers, by kind.
    pub bytes: PerKind<u64>,
    /// Bytes of response heads.
    pub head_bytes: u64,
    /// Bytes that the kernel received for the viewers.
    pub received_bytes: Option<u64>,
    /// Responses by status code.
    pub http_status: BTreeMap<u16, u64>,
    /// Requests that got no response.
    pub unanswered: u64,
    /// Exchanges that were in flight when a viewer stopped.
    pub in_flight_at_stop: u64,
    /// Requests sent into kept connections that the server had closed; no server saw them, and they
    /// are neither requests nor errors.
    pub stale_requests: u64,
    /// Cache hits and misses that the edge reported.
    pub cache: (u64, u64),
    /// What stands out about the stream and the caches before it.
    pub insight: Insight,
    /// Rates.
    pub rates: Rates,
    /// Latencies.
    pub latency: Latency,
    /// Segment latency as a Prometheus histogram.
    pub latency_buckets: Buckets,
    /// Playback now.
    pub playback: Playback,
    /// Errors.
    pub errors: Errors,
    /// Why connects failed, and how often.
    pub connect_failures: Vec<(String, u64)>,
    /// Reconnects that FFmpeg announced.
    pub reconnections: u64,
    /// Life cycles.
    pub lifetimes: Lifetimes,
    /// Why viewers ended, most frequent first.
    pub exit_reasons: Vec<(String, u64)>,
    /// How long processes lived, seconds.
    pub uptime: Option<Quantiles>,
    /// The same as a Prometheus histogram.
    pub uptime_buckets: Buckets,
    /// Where figures come from.
    pub sources: Sources,
    /// Agreement between sources.
    pub agreement: Agreement,
    /// The origin's own account, where it is scraped.
    pub origin: Option<Origin>,
    /// The generator's own condition.
    pub generator: Generator,
    /// What viewers got to see.
    pub watching: PlaybackTime,
    /// The stages that were asked for, as far as they have come.
    pub stages: Vec<StageRow>,
    /// The streams, where there are several.
    pub streams: Vec<StreamRow>,
    /// What was changed by hand.
    pub manual_changes: ManualChanges,
    /// The threshold that has failed for longer than the run bears, if one has.
    pub aborted_by: Option<Criterion>,
    /// One row per viewer.
    pub viewers: Vec<ViewerRow>,
}

impl Snapshot {
    /// Whether players reported how far they had played. Otherwise `playback`, `watching`, stalls and the media
    /// time of viewers were not measured, and no view may show them.
    #[must_use]
    pub fn has_progress(&self) -> bool {
        self.sources.playback == PlaybackSource::Progress
    }

    /// Times that a viewer stalled, if that was measured.
    #[must_use]
    pub fn stalls(&self) -> Option<u64> {
        self.has_progress().then_some(self.lifetimes.stalled)
    }

    /// Playback now, if it was measured.
    #[must_use]
    pub fn measured_playback(&self) -> Option<&Playback> {
        self.has_progress().then_some(&self.playback)
    }

    /// Requests and connects that were tried, and how many of them failed.
    #[must_use]
    pub fn attempts(&self) -> (u64, u64) {
        let tried = self.requests.total() + self.errors.connect;
        (tried, (self.errors.rate.unwrap_or(0.0) * tried as f64).round() as u64)
    }
}
