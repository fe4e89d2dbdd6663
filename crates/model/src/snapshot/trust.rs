//! The sources of the figures, their agreement, and the condition of the load generator.

use serde::{Deserialize, Serialize};

use crate::exchange::Source;
use crate::merge::{Merge, average, larger, merge_fields};

/// The sources of the figures.
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

/// The source of the figures about playback, the best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaybackSource {
    /// The players of the viewers, which know what they would have shown.
    Players,
    /// The segments that arrived, and their durations in the playlists.
    #[default]
    #[serde(alias = "progress")]
    Arrivals,
    /// Segments arrived at the pace of playback, without a buffer: nothing is known of speed, drift, stalls and
    /// rebuffering.
    #[serde(alias = "media")]
    Unbuffered,
    /// FFmpeg's log shows which segments were requested, but not when they were complete, nor their durations. The same
    /// figures are unknown, and the media that was played is estimated.
    Inferred,
    /// Every rendition is downloaded, and nothing is played.
    Downloads,
}

impl PlaybackSource {
    /// Whether viewers have the buffer of a player, so that an empty one is a stall.
    #[must_use]
    pub const fn has_buffer(self) -> bool {
        matches!(self, Self::Players | Self::Arrivals)
    }
}

/// A value that was inferred in one part is not measured as a whole.
fn worse(this: &mut Source, other: &Source) {
    if *other == Source::Log {
        *this = Source::Log;
    }
}

/// A value that some parts have not measured is not measured as a whole.
fn less_known(this: &mut PlaybackSource, other: &PlaybackSource) {
    *this = (*this).max(*other);
}

merge_fields! { Sources { requests = worse, bytes = worse, playback = less_known } }

/// The agreement of independent sources; 1.0 is complete agreement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Bytes that viewers read (heads and bodies) over bytes that the kernel received for them, plain
    /// connections only. Below 1 by what was still unread when a viewer stopped. Absent without
    /// a probe and where all is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<f64>,
    /// Viewers' requests over those that the origin's nginx counted in the same time. Below 1 by what
    /// others asked; above 1 where answers came from a cache in between. Absent unless scraped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_requests: Option<f64>,
    /// Whole segments that had the size that the origin published, over those whose size it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_sizes: Option<f64>,
}

impl Merge for Agreement {
    /// Keeps the value that is farthest from 1: a good shard must not hide a bad one. What concerns the origin
    /// follows from its merged counts.
    fn merge(&mut self, other: &Self) {
        let farther = |one: Option<f64>, two: Option<f64>| {
            one.into_iter().chain(two).max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()))
        };
        let Self { kernel_bytes, origin_requests, segment_sizes } = other;
        self.kernel_bytes = farther(self.kernel_bytes, *kernel_bytes);
        self.origin_requests = farther(self.origin_requests, *origin_requests);
        self.segment_sizes = farther(self.segment_sizes, *segment_sizes);
    }
}

/// How long the processes of a run were ready to run and did not run. Sums, so that those of shards can be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waits {
    /// Time that the threads of this program waited for a processor, in `sampled_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_wait_seconds: Option<f64>,
    /// Time that viewers waited for a processor, in `viewer_sampled_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_wait_seconds: Option<f64>,
    /// The part of the viewers' lives in which their waiting was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub viewer_sampled_seconds: Option<f64>,
    /// The part of this time that is not in the first 5 s of a viewer, in which it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_wait_seconds: Option<f64>,
    /// The part of the sampled lives that is not in the first 5 s of a viewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_sampled_seconds: Option<f64>,
    /// Time for which the control group was throttled because of its CPU quota, added over processors; absent without
    /// a quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_seconds: Option<f64>,
    /// Time for which any process of this machine waited for a processor (pressure stall information).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_seconds: Option<f64>,
    /// How many times a viewer was stopped (SIGSTOP).
    pub viewer_stops: u64,
    /// Time for which viewers were stopped, at least.
    pub viewer_stopped_seconds: f64,
}

merge_fields! {
    Waits {
        own_wait_seconds, viewer_wait_seconds, viewer_sampled_seconds, started_wait_seconds, started_sampled_seconds,
        throttled_seconds, cpu_pressure_seconds, viewer_stops, viewer_stopped_seconds,
    }
}

impl Waits {
    /// Seconds that a viewer waited for a processor per second of its life; `None` = not measured.
    #[must_use]
    pub fn of_viewers(&self) -> Option<f64> {
        let sampled = self.viewer_sampled_seconds.filter(|seconds| *seconds > 0.0)?;
        Some(self.viewer_wait_seconds? / sampled)
    }

    /// The same after the first seconds of each viewer, in which it starts; where no viewer lived longer, of all.
    #[must_use]
    pub fn of_started_viewers(&self) -> Option<f64> {
        let sampled = self.started_sampled_seconds.filter(|seconds| *seconds > 0.0);
        sampled.map_or_else(|| self.of_viewers(), |sampled| Some(self.started_wait_seconds? / sampled))
    }
}

/// The condition of the load generator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Average busy share of all processors of this machine, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Seconds of the run in which all processors were busy (98 % or more).
    pub saturated_seconds: u64,
    /// Seconds of the run in which the processors were sampled.
    pub sampled_seconds: u64,
    /// Average share of one processor that this program itself used (viewers not included), percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_cpu_percent: Option<f64>,
    /// How long its processes waited for a processor.
    #[serde(default)]
    pub waits: Waits,
    /// The longest delay with which a timer of this program fired, milliseconds.
    pub max_lag_ms: f64,
    /// The 99th percentile of these delays, milliseconds.
    pub p99_lag_ms: f64,
    /// Records of the probe that never arrived.
    pub events_lost: u64,
    /// Lines of FFmpeg that were read.
    pub lines_parsed: u64,
    /// Of these, lines that gave a reason beyond the bound, which was not kept.
    pub lines_dropped: u64,
    /// Viewers of which such lines were dropped.
    pub clients_degraded: u64,
    /// Largest share of lines dropped between two ticks, 0 to 1; absent before the first line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_drop_rate: Option<f64>,
}

impl Merge for Generator {
    fn merge(&mut self, other: &Self) {
        let weigh = |of: fn(&Self) -> Option<f64>| {
            average((of(self), self.sampled_seconds as f64), (of(other), other.sampled_seconds as f64))
        };
        let (cpu, own_cpu) = (weigh(|g| g.cpu_percent), weigh(|g| g.own_cpu_percent));
        let Self {
            cpu_percent: _,
            saturated_seconds,
            sampled_seconds,
            own_cpu_percent: _,
            waits,
            max_lag_ms,
            p99_lag_ms,
            events_lost,
            lines_parsed,
            lines_dropped,
            clients_degraded,
            peak_drop_rate,
        } = other;
        (self.cpu_percent, self.own_cpu_percent) = (cpu, own_cpu);
        self.waits.merge(waits);
        self.saturated_seconds.merge(saturated_seconds);
        self.sampled_seconds.merge(sampled_seconds);
        larger(&mut self.max_lag_ms, max_lag_ms);
        larger(&mut self.p99_lag_ms, p99_lag_ms);
        self.events_lost.merge(events_lost);
        self.lines_parsed.merge(lines_parsed);
        self.lines_dropped.merge(lines_dropped);
        self.clients_degraded.merge(clients_degraded);
        larger(&mut self.peak_drop_rate, peak_drop_rate);
    }
}
