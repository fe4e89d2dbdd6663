//! Real players beside native viewers (`--canaries`): the same figures of both, and where they disagree.

use serde::{Deserialize, Serialize};

use super::latency::Quantiles;
use super::requests::{Errors, PerKind};
use crate::merge::{Merge, merge_fields};

/// Whole segments of a group from which on its figures are compared.
const FEWEST_SEGMENTS: u64 = 5;
/// Differences that do not count: of startup, seconds; of the time to the first byte, seconds; of shares.
const STARTUP: f64 = 0.5;
const TTFB: f64 = 0.05;
const SHARE: f64 = 0.01;
/// Two durations or speeds disagree if one is more than this many times the other.
const FACTOR: f64 = 2.0;
/// A download that is this many times as fast as playback is fast enough for any player.
const FAST: f64 = 4.0;

/// The viewers of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Viewers that were started.
    pub viewers: u64,
    /// Viewers that played.
    pub played: u64,
    /// Viewers that stalled.
    pub stalled_viewers: u64,
    /// Stalls.
    pub stalls: u64,
    /// Time for which they stalled, seconds.
    pub stalled_seconds: f64,
    /// Media that they played, seconds.
    pub media_seconds: f64,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Errors.
    pub errors: Errors,
    /// Segments that arrived whole and whose duration is known, with their duration, body bytes, and the time from the
    /// request to the last byte, seconds.
    pub segments: u64,
    /// See `segments`.
    pub segment_media_seconds: f64,
    /// See `segments`.
    pub segment_bytes: u64,
    /// See `segments`.
    pub segment_seconds: f64,
    /// Startup time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub startup: Option<Quantiles>,
    /// Segments, from the request to the first byte, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_ttfb: Option<Quantiles>,
}

/// Percentiles follow from the whole distributions.
fn derived(_: &mut Option<Quantiles>, _: &Option<Quantiles>) {}

merge_fields! { Group {
    viewers, played, stalled_viewers, stalls, stalled_seconds, media_seconds, requests, bytes, errors, segments,
    segment_media_seconds, segment_bytes, segment_seconds, startup = derived, segment_ttfb = derived,
} }

impl Group {
    /// Bits per second while segments were under way; absent without a segment.
    #[must_use]
    pub fn throughput(&self) -> Option<f64> {
        (self.segment_seconds > 0.0).then(|| self.segment_bytes as f64 * 8.0 / self.segment_seconds)
    }

    /// Media per time while segments were under way: 1 = as fast as playback. Absent without a segment.
    #[must_use]
    pub fn speed(&self) -> Option<f64> {
        (self.segment_seconds > 0.0).then(|| self.segment_media_seconds / self.segment_seconds)
    }

    /// Stalled time divided by stalled and viewing time; absent if nothing was viewed.
    #[must_use]
    pub fn rebuffering(&self) -> Option<f64> {
        (self.media_seconds > 0.0).then(|| self.stalled_seconds / (self.stalled_seconds + self.media_seconds))
    }
}

/// Canaries and native viewers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Canaries {
    /// FFmpeg viewers.
    pub canaries: Group,
    /// Native viewers.
    pub native: Group,
    /// What they disagree in, a sentence each.
    #[serde(default)]
    pub disagreements: Vec<String>,
}

impl Merge for Canaries {
    fn merge(&mut self, other: &Self) {
        let Self { canaries, native, disagreements: _ } = other;
        self.canaries.merge(canaries);
        self.native.merge(native);
    }
}

impl Canaries {
    /// The names of the whole distributions in reports, with the percentiles that follow from them.
    pub(crate) fn each_quantiles(&mut self) -> [(&'static str, &mut Option<Quantiles>); 4] {
        [
            ("canaries.startup", &mut self.canaries.startup),
            ("canaries.segment.ttfb", &mut self.canaries.segment_ttfb),
            ("native.startup", &mut self.native.startup),
            ("native.segment.ttfb", &mut self.native.segment_ttfb),
        ]
    }

    /// The same figures with what they disagree in.
    #[must_use]
    pub fn compared(self) -> Self {
        Self { disagreements: disagreements(&self.canaries, &self.native), ..self }
    }
}

/// What canaries and native viewers disagree in. A difference counts where it is larger than what differs between two kinds of
/// players anyway: FFmpeg reads several segments before it begins, and takes a body more slowly than a program that only counts it.
fn disagreements(canaries: &Group, native: &Group) -> Vec<String> {
    let mut found = Vec::new();
    if native.played > 0 && canaries.viewers > 0 && canaries.played == 0 {
        found.push("native viewers play, and no canary does".to_owned());
    }
    if canaries.played > 0 && native.viewers > 0 && native.played == 0 {
        found.push("the canaries play, and no native viewer does".to_owned());
    }
    if canaries.segments.min(native.segments) < FEWEST_SEGMENTS {
        return found;
    }
    let far = |a: f64, b: f64, least: f64| (a - b).abs() > least && a.max(b) > FACTOR * a.min(b);
    if let (Some(one), Some(other)) = (canaries.startup, native.startup)
        && far(one.p50, other.p50, STARTUP)
    {
        found.push(format!(
            "startup: {:.2} s of canaries, {:.2} s of native viewers (median)",
            one.p50, other.p50
        ));
    }
    if let (Some(one), Some(other)) = (canaries.segment_ttfb, native.segment_ttfb)
        && far(one.p95, other.p95, TTFB)
    {
        let (one, other) = (one.p95 * 1000.0, other.p95 * 1000.0);
        found.push(format!(
            "time to first byte of segments: {one:.0} ms of canaries, {other:.0} ms of native viewers (95th percentile)"
        ));
    }
    if let (Some(one), Some(other)) = (canaries.speed(), native.speed())
        && one.min(other) < FAST
        && far(one, other, 0.0)
    {
        found.push(format!(
            "throughput: segments arrive {one:.1} times as fast as they play at canaries, {other:.1} times at native viewers"
        ));
    }
    if let (Some(one), Some(other)) = (canaries.rebuffering(), native.rebuffering())
        && (one - other).abs() > SHARE
    {
        let (one, other) = (one * 100.0, other * 100.0);
        found.push(format!("rebuffering: {one:.1} % of canaries, {other:.1} % of native viewers"));
    }
    if let (Some(one), Some(other)) = (canaries.errors.rate, native.errors.rate)
        && (one - other).abs() > SHARE
    {
        let (one, other) = (one * 100.0, other * 100.0);
        found.push(format!("errors: {one:.1} % of the requests of canaries, {other:.1} % of native viewers"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(seconds: f64) -> Option<Quantiles> {
        Some(Quantiles { count: 10, p50: seconds, p95: seconds, p99: seconds, max: seconds })
    }

    fn group(startup: f64, ttfb: f64) -> Group {
        Group {
            viewers: 5,
            played: 5,
            media_seconds: 100.0,
            segments: 50,
            segment_media_seconds: 100.0,
            segment_bytes: 25_000_000,
            segment_seconds: 2.0,
            startup: quantiles(startup),
            segment_ttfb: quantiles(ttfb),
            ..Group::default()
        }
    }

    fn compare(canaries: Group, native: Group) -> Vec<String> {
        Canaries { canaries, native, ..Canaries::default() }.compared().disagreements
    }

    #[test]
    fn what_differs_between_players_anyway_is_no_disagreement() {
        let slower = Group { segment_seconds: 20.0, ..group(0.6, 0.01) };
        assert_eq!(compare(slower, group(0.2, 0.001)), Vec::<String>::new());
        assert_eq!(group(0.2, 0.1).throughput(), Some(1e8));
    }

    #[test]
    fn each_figure_can_disagree() {
        for (changed, word) in [
            (group(2.0, 0.01), "startup: 2.00 s of canaries, 0.30 s of native viewers"),
            (group(0.3, 0.4), "first byte of segments: 400 ms of canaries, 10 ms"),
            (Group { segment_seconds: 90.0, ..group(0.3, 0.01) }, "throughput: segments arrive 1.1 times"),
            (Group { stalled_seconds: 5.0, ..group(0.3, 0.01) }, "rebuffering: 4.8 %"),
            (
                Group { errors: Errors { rate: Some(0.2), ..Errors::default() }, ..group(0.3, 0.01) },
                "errors: 20.0 %",
            ),
        ] {
            let native =
                Group { errors: Errors { rate: Some(0.0), ..Errors::default() }, ..group(0.3, 0.01) };
            let found = compare(changed, native);
            assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
        }
        let none = Group { played: 0, segments: 0, ..group(0.3, 0.01) };
        assert_eq!(compare(none.clone(), group(0.3, 0.01)), ["native viewers play, and no canary does"]);
        assert_eq!(compare(group(0.3, 0.01), none), ["the canaries play, and no native viewer does"]);
    }
}
