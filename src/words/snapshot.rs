//! What is known at one moment: the only thing that views may look at.
//!
//! Plain data. A field that was not measured is `None` and is absent from every view.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

use super::exchange::{Kind, Source};

/// One value for each kind of object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerKind<T>([T; 5]);

impl<T> Index<Kind> for PerKind<T> {
    type Output = T;

    fn index(&self, kind: Kind) -> &T {
        let [manifest, segment, init, key, other] = &self.0;
        match kind {
            Kind::Manifest => manifest,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
            Kind::Other => other,
        }
    }
}

impl<T> IndexMut<Kind> for PerKind<T> {
    fn index_mut(&mut self, kind: Kind) -> &mut T {
        let [manifest, segment, init, key, other] = &mut self.0;
        match kind {
            Kind::Manifest => manifest,
            Kind::Segment => segment,
            Kind::Init => init,
            Kind::Key => key,
            Kind::Other => other,
        }
    }
}

impl<T> PerKind<T> {
    /// Each kind with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &T)> {
        Kind::ALL.into_iter().zip(&self.0)
    }
}

impl PerKind<u64> {
    /// The sum over all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl<'de> Deserialize<'de> for PerKind<u64> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, u64>::deserialize(deserializer)?;
        let mut counts = Self::default();
        for kind in Kind::ALL {
            counts[kind] = named.get(kind.name()).copied().unwrap_or(0);
        }
        Ok(counts)
    }
}

impl Serialize for PerKind<u64> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(kind, count)| (kind.name(), count)))
    }
}

/// Order statistics of a set of durations, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many durations.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// How long the parts of an exchange took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExchangeTimes {
    /// From the request to the first byte of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttfb: Option<Quantiles>,
    /// From the first byte to the arrival of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<Quantiles>,
}

/// Latencies, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// By kind of object.
    pub by_kind: PerKind<ExchangeTimes>,
    /// Segments, from the request to the last byte.
    pub segment_total: Option<Quantiles>,
    /// TCP connect.
    pub connect: Option<Quantiles>,
    /// Name look-up.
    pub dns: Option<Quantiles>,
    /// TLS handshake.
    pub tls: Option<Quantiles>,
    /// From the start of a viewer to its first whole segment.
    pub startup: Option<Quantiles>,
}

impl Latency {
    /// Each measured latency with its name in reports and its words for people, in the order of tables.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String, Quantiles)> {
        let mut rows = Vec::new();
        for (kind, times) in self.by_kind.iter() {
            let total = self.segment_total.filter(|_| kind == Kind::Segment);
            for (part, quantiles) in [("ttfb", times.ttfb), ("download", times.download), ("total", total)] {
                let name = kind.name();
                rows.extend(quantiles.map(|q| (format!("{name}.{part}"), format!("{name} {part}"), q)));
            }
        }
        let others = [
            ("connect", "connect", self.connect),
            ("dns", "dns", self.dns),
            ("tls_handshake", "tls", self.tls),
            ("startup", "start-up", self.startup),
        ];
        for (name, words, quantiles) in others {
            rows.extend(quantiles.map(|q| (name.to_owned(), words.to_owned(), q)));
        }
        rows
    }
}

/// A Prometheus histogram: cumulative counts for upper bounds, sum and count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// `(upper bound in seconds, values at or below it)`.
    pub cumulative: Vec<(f64, u64)>,
    /// Sum of all values, seconds.
    pub sum: f64,
    /// Number of values.
    pub count: u64,
}

/// How viewers' processes ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exits {
    /// Played to the end, or stopped when asked to.
    pub success: u64,
    /// Died with an error, or ended a stream that has no end.
    pub error: u64,
    /// Ended by a signal.
    pub signal: u64,
}

/// Viewers' life cycles, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lives {
    /// Processes started, first starts included.
    pub starts: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Times that a viewer fell below real time for too long.
    pub stalled: u64,
    /// Viewers that were given up.
    pub gave_up: u64,
    /// Viewers that played at least once.
    pub ever_played: u64,
    /// Processes that had to be killed.
    pub killed: u64,
    /// Ends, by how.
    pub exits: Exits,
}

/// Playback at this moment, over the viewers that play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Playback {
    /// Viewers at or above real time.
    pub above_realtime: u64,
    /// Viewers below 0.9 x real time.
    pub below_realtime: u64,
    /// Viewers that are stalled now.
    pub stalled_now: u64,
    /// Mean speed; absent while nobody's window is full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_speed: Option<f64>,
    /// Viewers more than 5 s behind.
    pub high_drift: u64,
    /// Mean drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_drift_seconds: Option<f64>,
    /// Largest drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drift_seconds: Option<f64>,
}

/// Windows of segment throughput, seconds; names of metrics carry them.
pub const THROUGHPUT_WINDOWS: [usize; 4] = [1, 30, 60, 300];

/// Rates over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Playlist requests per second, over 10 s.
    pub manifest_per_second: f64,
    /// Segment requests per second, over 10 s.
    pub segment_per_second: f64,
    /// Body bytes per second, all kinds, over 10 s.
    pub bytes_per_second: f64,
    /// Segment bytes per second over each of [`THROUGHPUT_WINDOWS`].
    pub segment_bytes_per_second: [f64; 4],
}

/// Errors, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Responses with a status of 400 or above.
    pub http: u64,
    /// Exchanges that the peer or the network broke off.
    pub broken: u64,
    /// Exchanges and connects given up after the time-out.
    pub timeouts: u64,
    /// Connections that could not be made.
    pub connect: u64,
    /// Errors over requests (failed connects count as both); absent before the first request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// Where the figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Of requests and status codes.
    pub requests: Source,
    /// Of bytes.
    pub bytes: Source,
}

/// How well independent sources agree; 1.0 is complete agreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Bytes that viewers read (heads and bodies) over bytes that the kernel received for them, plain
    /// connections only. Below 1 by what was still unread when a viewer stopped. Absent without
    /// a probe and where all is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<f64>,
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
}

/// What a viewer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewerState {
    /// Its process is up, nothing played yet.
    #[default]
    Starting,
    /// It plays.
    Playing,
    /// It is below real time for too long.
    Stalled,
    /// Its process has ended; it will be started again.
    Waiting,
    /// It has ended for good.
    Ended,
}

/// One viewer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewerRow {
    /// Number, from 1.
    pub viewer: u32,
    /// What it is doing.
    pub state: ViewerState,
    /// How often it was started.
    pub starts: u32,
    /// Media played by all its processes, seconds.
    pub media_seconds: f64,
    /// Current speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<f64>,
    /// Current drift, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_seconds: Option<f64>,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Responses, by status code.
    pub http_status: BTreeMap<u16, u64>,
    /// Bytes that the kernel received for it.
    pub received: u64,
    /// Bytes of response heads.
    pub head_bytes: u64,
    /// Why its process died last, in FFmpeg's words; absent while none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_words: Option<String>,
}

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
    pub due_viewer_seconds: f64,
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
    pub lives: Lives,
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
    /// The generator's own condition.
    pub generator: Generator,
    /// One row per viewer.
    pub viewers: Vec<ViewerRow>,
}
