//! A run over time, for everything that shows it: the HTML report, the live page, the comparison, the dashboard, and CSV.
//!
//! Windows are as long as the target duration of the stream (2 s at least), because each viewer requests about one
//! segment in such a time; counts per second would show the beat between seconds and segments. Their number is bounded:
//! where there would be more than [`MAX_WINDOWS`], each becomes twice as long. Everything in a window is a count or a sum,
//! so that windows can be joined, and those of several runs can be added.

pub mod breaks;
pub mod buckets;
pub mod failures;
pub mod lanes;
mod merge;

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::merge::{Merge, merge_fields};
use crate::verdict::threshold::Threshold;
use buckets::LogBuckets;
use failures::{FailureClass, FailureGroup};
use lanes::Lane;

/// The largest number of windows.
pub const MAX_WINDOWS: usize = 240;
/// The largest number of marks.
pub const MAX_MARKS: usize = 100;

/// A run over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Length of a window, seconds: the target duration of the stream, times a power of two.
    #[serde(deserialize_with = "some_seconds")]
    pub window_seconds: u64,
    /// The windows in chronological order.
    #[serde(serialize_with = "one_per_line", deserialize_with = "bounded_windows")]
    pub windows: Vec<Window>,
    /// Events that are drawn as lines across all drawings, in chronological order.
    pub marks: Vec<Mark>,
    /// The lanes of all viewers, if they are few, or of the worst ones and a sample; by viewer number.
    #[serde(deserialize_with = "bounded_lanes")]
    pub lanes: Vec<Lane>,
    /// The number of viewers that the lanes stand for.
    pub lanes_of: u64,
    /// Startup times of all viewers.
    pub startup: LogBuckets,
    /// The threshold on the duration of segments above which they are slow; `None` = slower than real time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowLimit>,
    /// Failures in groups, the largest first.
    pub failures: Vec<FailureGroup>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            window_seconds: 2,
            windows: Vec::new(),
            marks: Vec::new(),
            lanes: Vec::new(),
            lanes_of: 0,
            startup: LogBuckets::default(),
            slow: None,
            failures: Vec::new(),
        }
    }
}

/// A limit of segment durations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowLimit {
    /// The threshold, as it was written.
    pub threshold: String,
    /// The limit, seconds.
    pub seconds: f64,
    /// Whether it is a limit of the time to the first byte; otherwise of the time to the last one.
    pub to_first_byte: bool,
}

impl SlowLimit {
    /// The limit that a threshold sets, if it is about segments.
    #[must_use]
    pub fn of(threshold: &Threshold) -> Option<Self> {
        let to_first_byte = match threshold.metric() {
            "segment_total" => false,
            "segment_ttfb" => true,
            _ => return None,
        };
        let seconds = threshold.upper_limit()?;
        Some(Self { threshold: threshold.to_string(), seconds, to_first_byte })
    }
}

/// The sums of one window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Its beginning, seconds of the run.
    pub second: u64,
    /// The part of it in which the run was observed, seconds.
    pub seconds: f64,
    /// Viewer-seconds by state.
    pub viewers: ViewerSeconds,
    /// Requests and attempts to connect.
    pub attempts: u64,
    /// Requests for playlists.
    #[serde(default)]
    pub playlists: u64,
    /// Requests for segments.
    pub segments: u64,
    /// Body bytes of all kinds.
    pub bytes: u64,
    /// Bytes of whole segments with a known duration.
    pub segment_bytes: u64,
    /// Playing time of these segments; segments of several renditions that are played together count once.
    pub media_seconds: f64,
    /// Segments that arrived, from the request to the first byte.
    pub segment_ttfb: LogBuckets,
    /// The same segments, from the request to the last byte.
    pub segment_total: LogBuckets,
    /// Media shown, seconds.
    #[serde(default)]
    pub viewed_seconds: f64,
    /// Time stalled, seconds; below 0 where a stall turned out not to count.
    #[serde(default)]
    pub stalled_seconds: f64,
    /// Stalls.
    #[serde(default)]
    pub stalls: u64,
    /// Viewers that were started again.
    pub restarts: u64,
    /// Live latency by the edge of the playlist, seconds; without samples unless players report it.
    pub live_latency: Samples,
    /// Buffer of the viewers, seconds; without samples unless players report it.
    pub buffer: Samples,
    /// BANDWIDTH times the time for which media of it was shown, bits; 0 unless players report it.
    #[serde(default)]
    pub bits_played: f64,
    /// That time, seconds.
    #[serde(default)]
    pub bits_played_seconds: f64,
    /// Busy share of all processors of the load generator, percent.
    #[serde(default, skip_serializing_if = "Samples::is_empty")]
    pub cpu_percent: Samples,
    /// Share of one processor that this program used itself, percent.
    #[serde(default, skip_serializing_if = "Samples::is_empty")]
    pub own_cpu_percent: Samples,
    /// Busy share of the origin's processors, percent; without samples unless scraped.
    #[serde(default, skip_serializing_if = "Samples::is_empty")]
    pub origin_cpu_percent: Samples,
    /// Bytes per second that the origin's machine sent; without samples unless scraped.
    #[serde(default, skip_serializing_if = "Samples::is_empty")]
    pub origin_transmit_bytes_per_second: Samples,
    /// Failures by class; they add up to the errors of the run.
    pub errors: BTreeMap<FailureClass, u64>,
}

/// Viewer-seconds by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewerSeconds {
    /// Viewers that should be up.
    pub wanted: f64,
    /// Of these, those that played.
    pub playing: f64,
    /// Those that were stalled.
    #[serde(default)]
    pub stalled: f64,
    /// Those that were starting.
    pub starting: f64,
    /// Those whose process was not up, because it had ended or had not been started yet.
    pub waiting: f64,
}

/// A sum of samples, and how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The sum.
    pub sum: f64,
    /// The number of samples.
    pub samples: u64,
}

impl Samples {
    /// The average; `None` without samples.
    #[must_use]
    pub fn average(&self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum / self.samples as f64)
    }

    /// Whether there is no sample.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.samples == 0
    }
}

merge_fields! { Samples { sum, samples } }
merge_fields! { ViewerSeconds { wanted, playing, stalled, starting, waiting } }

impl Window {
    /// Viewers in a state, on average.
    #[must_use]
    pub fn average(&self, viewer_seconds: f64) -> f64 {
        if self.seconds > 0.0 { viewer_seconds / self.seconds } else { 0.0 }
    }

    /// Body bits per second.
    #[must_use]
    pub fn throughput(&self) -> f64 {
        self.average(self.bytes as f64 * 8.0)
    }

    /// Bits per second of the media that arrived, per viewer that plays it; `None` where no segment with a known
    /// duration arrived.
    #[must_use]
    pub fn bits_per_viewer(&self) -> Option<f64> {
        (self.media_seconds > 0.0).then(|| self.segment_bytes as f64 * 8.0 / self.media_seconds)
    }

    /// Stalled time divided by stalled and viewing time; `None` if nothing was shown.
    #[must_use]
    pub fn rebuffering(&self) -> Option<f64> {
        let stalled = self.stalled_seconds.max(0.0);
        let all = stalled + self.viewed_seconds;
        (all > 0.0).then(|| stalled / all)
    }

    /// Failures of all classes.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.errors.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Failures per attempt; `None` without attempts.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.attempts > 0).then(|| self.failed() as f64 / self.attempts as f64)
    }

    /// Average BANDWIDTH of the media that was shown, bits per second; `None` unless players report it.
    #[must_use]
    pub fn bitrate_played(&self) -> Option<f64> {
        (self.bits_played_seconds > 0.0).then(|| self.bits_played / self.bits_played_seconds)
    }

    /// What is one value per machine, not per viewer.
    fn of_machines(&mut self) -> [&mut Samples; 4] {
        let Self {
            cpu_percent, own_cpu_percent, origin_cpu_percent, origin_transmit_bytes_per_second, ..
        } = self;
        [cpu_percent, own_cpu_percent, origin_cpu_percent, origin_transmit_bytes_per_second]
    }

    /// Adds a later window of the same run.
    pub(crate) fn join(&mut self, later: &Self) {
        let seconds = self.seconds + later.seconds;
        let mut later = later.clone();
        for (this, later) in self.of_machines().into_iter().zip(later.of_machines()) {
            later.merge(this);
            *this = Samples::default();
        }
        self.merge(&later);
        self.seconds = seconds;
    }
}

fn longer(this: &mut f64, other: &f64) {
    *this = this.max(*other);
}

/// Keeps the samples with the larger average: of several machines, the busiest one limits the load.
fn busier(this: &mut Samples, other: &Samples) {
    if other.average() > this.average() {
        *this = *other;
    }
}

// Windows of several runs at the same time.
merge_fields! { Window {
    second = crate::merge::first, seconds = longer, viewers, attempts, playlists, segments, bytes, segment_bytes,
    media_seconds, segment_ttfb, segment_total, viewed_seconds, stalled_seconds, stalls, restarts, live_latency, buffer,
    bits_played, bits_played_seconds, cpu_percent = busier, own_cpu_percent = busier, origin_cpu_percent = busier,
    origin_transmit_bytes_per_second = busier, errors,
} }

/// The kind of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkKind {
    /// A stage of the load begins.
    Stage,
    /// The load was changed manually, or paused.
    Change,
    /// The first failure of its kind.
    Failure,
    /// The first stall.
    Stall,
    /// The first time that a viewer was started again.
    Restart,
}

/// An event at one moment of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Time of the event, seconds of the run.
    pub second: f64,
    /// Its kind.
    pub kind: MarkKind,
    /// A description of a few words.
    pub text: String,
}

impl Timeline {
    /// The end of the last window that is observed, seconds of the run.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.windows.last().map_or(0.0, |last| last.second as f64 + last.seconds)
    }

    /// The windows from `from` to `to`, seconds of the run, joined into one; `None` if there are none.
    #[must_use]
    pub fn between(&self, from: f64, to: f64) -> Option<Window> {
        let inside = |window: &&Window| window.second as f64 >= from && (window.second as f64) < to;
        let mut windows = self.windows.iter().filter(inside);
        let mut joined = windows.next()?.clone();
        windows.for_each(|window| joined.join(window));
        Some(joined)
    }
}

fn some_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    match u64::deserialize(from)? {
        0 => Err(D::Error::custom("its timeline has windows of 0 s")),
        seconds => Ok(seconds),
    }
}

fn bounded_windows<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Window>, D::Error> {
    let windows = Vec::<Window>::deserialize(from)?;
    if windows.len() > MAX_WINDOWS {
        return Err(D::Error::custom(format!("its timeline has more than {MAX_WINDOWS} windows")));
    }
    if !windows.is_sorted_by(|one, next| one.second < next.second) {
        return Err(D::Error::custom("its timeline has windows in the wrong order"));
    }
    Ok(windows)
}

fn bounded_lanes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Lane>, D::Error> {
    let lanes = Vec::<Lane>::deserialize(from)?;
    if lanes.len() > lanes::MAX_LANES {
        return Err(D::Error::custom(format!("its timeline has more than {} lanes", lanes::MAX_LANES)));
    }
    Ok(lanes)
}

/// One line per window.
fn one_per_line<S: Serializer>(windows: &[Window], to: S) -> Result<S::Ok, S::Error> {
    let lines: Result<Vec<Box<RawValue>>, _> =
        windows.iter().map(|window| serde_json::value::to_raw_value(&window.rounded())).collect();
    to.collect_seq(lines.map_err(S::Error::custom)?)
}

impl Window {
    /// The same with times to the millisecond, which is more than is measured.
    fn rounded(&self) -> Self {
        let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let samples = |of: Samples| Samples { sum: round(of.sum), ..of };
        let ViewerSeconds { wanted, playing, stalled, starting, waiting } = self.viewers;
        Self {
            seconds: round(self.seconds),
            viewers: ViewerSeconds {
                wanted: round(wanted),
                playing: round(playing),
                stalled: round(stalled),
                starting: round(starting),
                waiting: round(waiting),
            },
            media_seconds: round(self.media_seconds),
            viewed_seconds: round(self.viewed_seconds),
            stalled_seconds: round(self.stalled_seconds),
            live_latency: samples(self.live_latency),
            buffer: samples(self.buffer),
            bits_played: self.bits_played.round(),
            bits_played_seconds: round(self.bits_played_seconds),
            cpu_percent: samples(self.cpu_percent),
            own_cpu_percent: samples(self.own_cpu_percent),
            origin_cpu_percent: samples(self.origin_cpu_percent),
            origin_transmit_bytes_per_second: samples(self.origin_transmit_bytes_per_second),
            ..self.clone()
        }
    }
}
