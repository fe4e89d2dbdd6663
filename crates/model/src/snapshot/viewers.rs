//! Viewers: their life cycles, their playback, and one row for each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::requests::{PerKind, by_status};
use crate::merge::{Merge, average, larger, merge_fields};

/// Ends of viewers' processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exits {
    /// Played to the end, or stopped when asked to.
    pub success: u64,
    /// Failed with an error, or ended before the end of the stream.
    pub error: u64,
    /// Ended by a signal.
    pub signal: u64,
}

/// Viewers' life cycles, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// Viewers that arrived. If viewers come and go, several have the same number one after another.
    pub arrived: u64,
    /// Viewers that were stopped before the end, because their session or their stage of the load was over.
    pub ramped_down: u64,
    /// Viewers that were rejected because the limit was reached.
    pub rejected: u64,
    /// Viewers that should have played by now: those that played, had the time to begin, or failed.
    pub expected: u64,
    /// Processes started, first starts included.
    pub starts: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Times that the playback of a viewer stalled, because its buffer was empty.
    #[serde(default)]
    pub stalled: u64,
    /// Viewers that stalled at least once.
    #[serde(default)]
    pub stalled_viewers: u64,
    /// Viewers that failed permanently: they are not started again.
    pub given_up: u64,
    /// Viewers that played at least once.
    pub played: u64,
    /// Processes that had to be killed.
    pub killed: u64,
    /// Viewers whose player read media, although no request of theirs was seen.
    #[serde(default)]
    pub unseen: u64,
    /// Ends, by kind.
    pub exits: Exits,
}

merge_fields! { Exits { success, error, signal } }
merge_fields! { Lifetimes {
    arrived, ramped_down, rejected, expected, starts, restarts, stalled, stalled_viewers, given_up, played, killed, unseen,
    exits,
} }

/// Playback at this moment, over the viewers that play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Playback {
    /// Viewers at or above real time.
    pub above_realtime: u64,
    /// Viewers below 0.9 x real time.
    pub below_realtime: u64,
    /// Viewers that are stalled now.
    pub stalled_now: u64,
    /// Mean speed; absent until the window of a viewer is full.
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

impl Merge for Playback {
    fn merge(&mut self, other: &Self) {
        let weigh = |of: fn(&Self) -> Option<f64>| {
            let weight = |playback: &Self| (playback.above_realtime + playback.below_realtime) as f64;
            average((of(self), weight(self)), (of(other), weight(other)))
        };
        let averages = (weigh(|p| p.average_speed), weigh(|p| p.average_drift_seconds));
        let Self {
            above_realtime,
            below_realtime,
            stalled_now,
            average_speed: _,
            high_drift,
            average_drift_seconds: _,
            max_drift_seconds,
        } = other;
        (self.average_speed, self.average_drift_seconds) = averages;
        self.above_realtime.merge(above_realtime);
        self.below_realtime.merge(below_realtime);
        self.stalled_now.merge(stalled_now);
        self.high_drift.merge(high_drift);
        larger(&mut self.max_drift_seconds, max_drift_seconds);
    }
}

/// Playback time of the viewers, by the media that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlaybackTime {
    /// Viewer-seconds in which media was shown.
    pub viewed_seconds: f64,
    /// Viewer-seconds in which playback stalled for lack of media, after the beginning.
    pub stalled_seconds: f64,
    /// The longest stall of a viewer, seconds.
    #[serde(default)]
    pub longest_stall_seconds: f64,
    /// Media that was jumped over because it was missing, seconds.
    #[serde(default)]
    pub missing_seconds: f64,
    /// Media among this that the server did not have, seconds.
    #[serde(default)]
    pub unavailable_seconds: f64,
    /// Media that reached viewers in time while they were expected to play, seconds.
    pub expected_media_seconds: f64,
    /// Stalled time divided by stalled and viewing time (CTA-2066); absent if nothing was viewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuffering: Option<f64>,
    /// Media that arrived in time divided by media that was expected. At whatever bit rate it has, that is the
    /// throughput divided by the throughput that the viewers need; what is read ahead does not make it more
    /// than 1. Absent if nothing was viewed or expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput_ratio: Option<f64>,
}

impl PlaybackTime {
    /// The same times with the ratios that follow from them and from the seconds in which viewers were
    /// expected to play.
    #[must_use]
    pub fn with_ratios(self, expected_viewer_seconds: f64) -> Self {
        let viewing = self.viewed_seconds + self.stalled_seconds;
        let due = viewing > 0.0 && expected_viewer_seconds > 0.0;
        Self {
            rebuffering: (viewing > 0.0).then(|| self.stalled_seconds / viewing),
            throughput_ratio: due.then(|| self.expected_media_seconds / expected_viewer_seconds),
            ..self
        }
    }

    /// The difference from `before`, an earlier moment of the same run, without ratios.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            viewed_seconds: self.viewed_seconds - before.viewed_seconds,
            // The end of a stall may show that it does not count.
            stalled_seconds: (self.stalled_seconds - before.stalled_seconds).max(0.0),
            longest_stall_seconds: self.longest_stall_seconds,
            missing_seconds: self.missing_seconds - before.missing_seconds,
            unavailable_seconds: self.unavailable_seconds - before.unavailable_seconds,
            expected_media_seconds: self.expected_media_seconds - before.expected_media_seconds,
            rebuffering: None,
            throughput_ratio: None,
        }
    }
}

impl Merge for PlaybackTime {
    /// Adds the times; the ratios follow from them once all is added.
    fn merge(&mut self, other: &Self) {
        let Self {
            viewed_seconds,
            stalled_seconds,
            longest_stall_seconds,
            missing_seconds,
            unavailable_seconds,
            expected_media_seconds,
            rebuffering: _,
            throughput_ratio: _,
        } = other;
        self.viewed_seconds.merge(viewed_seconds);
        self.stalled_seconds.merge(stalled_seconds);
        larger(&mut self.longest_stall_seconds, longest_stall_seconds);
        self.missing_seconds.merge(missing_seconds);
        self.unavailable_seconds.merge(unavailable_seconds);
        self.expected_media_seconds.merge(expected_media_seconds);
        (self.rebuffering, self.throughput_ratio) = (None, None);
    }
}

/// The state of a viewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ViewerState {
    /// Its process is up, nothing played yet.
    #[default]
    Starting,
    /// It plays.
    Playing,
    /// Its buffer is empty.
    #[serde(alias = "silent")]
    Stalled,
    /// Its process has ended; it will be started again.
    Waiting,
    /// Its process has ended and will not be started again.
    Ended,
}

/// One viewer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewerRow {
    /// Number, from 1.
    pub viewer: u32,
    /// Its state.
    pub state: ViewerState,
    /// Number of starts.
    pub starts: u32,
    /// Media that it played, seconds.
    #[serde(default)]
    pub media_seconds: f64,
    /// Time from its start to its first frame, of the latest play of the stream, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_seconds: Option<f64>,
    /// Times that its playback stalled.
    #[serde(default)]
    pub stalls: u64,
    /// Time for which its playback stalled after the first frame, seconds.
    #[serde(default)]
    pub stalled_seconds: f64,
    /// The longest of these stalls, seconds.
    #[serde(default)]
    pub longest_stall_seconds: f64,
    /// Media that it jumped over because it was missing, seconds.
    #[serde(default)]
    pub missing_seconds: f64,
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
    #[serde(with = "by_status")]
    pub http_status: BTreeMap<u16, u64>,
    /// Bytes that the kernel received for it.
    #[serde(default)]
    pub received: u64,
    /// Bytes of response heads.
    #[serde(default)]
    pub head_bytes: u64,
    /// The last error of its process, as FFmpeg printed it; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Viewers that have no row of their own, because there are many, added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherViewers {
    /// Their number.
    pub viewers: u64,
    /// Number of starts.
    pub starts: u64,
    /// Media that they played, seconds.
    #[serde(default)]
    pub media_seconds: f64,
    /// Times that their playback stalled.
    #[serde(default)]
    pub stalls: u64,
    /// Time for which their playback stalled, seconds.
    #[serde(default)]
    pub stalled_seconds: f64,
    /// The longest of these stalls, seconds.
    #[serde(default)]
    pub longest_stall_seconds: f64,
    /// Media that they jumped over because it was missing, seconds.
    #[serde(default)]
    pub missing_seconds: f64,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Responses, by status code.
    #[serde(with = "by_status")]
    pub http_status: BTreeMap<u16, u64>,
    /// Bytes that the kernel received for them.
    #[serde(default)]
    pub received: u64,
    /// Bytes of response heads.
    #[serde(default)]
    pub head_bytes: u64,
}

merge_fields! { OtherViewers {
    viewers, starts, media_seconds, stalls, stalled_seconds, longest_stall_seconds = larger, missing_seconds, requests,
    bytes, http_status, received, head_bytes,
} }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_without_playback_has_no_ratio() {
        let none = PlaybackTime::default().with_ratios(0.0);
        assert_eq!((none.rebuffering, none.throughput_ratio), (None, None));
        let times = PlaybackTime {
            viewed_seconds: 99.0,
            stalled_seconds: 1.0,
            expected_media_seconds: 110.0,
            ..PlaybackTime::default()
        };
        let ratios = times.with_ratios(100.0);
        assert_eq!((ratios.rebuffering, ratios.throughput_ratio), (Some(0.01), Some(1.1)));
    }
}
