//! The state of a run at one moment: the only input of all outputs.
//!
//! Plain data. A field that was not measured is `None` and is absent from every view.

pub(crate) mod canaries;
pub(crate) mod content;
pub(crate) mod insight;
pub(crate) mod latency;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod protocol;
pub(crate) mod quality;
pub(crate) mod requests;
pub(crate) mod trust;
pub(crate) mod variant;
pub(crate) mod viewers;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::Criterion;
use crate::merge::{self, Merge, larger};
use crate::metric::counters::Counters;
use crate::timeline::Timeline;

use requests::{by_status, with_total};

pub use canaries::{Canaries, Group};
pub use content::{BitRates, ContentChecks, Deviation, DeviationKind, DifferingBodies, SentBody};
pub use insight::{
    Ages, CacheCounts, Edge, FailedObject, FaultyPlaylist, Insight, MAX_FAILED_OBJECTS, OTHER_ADDRESSES,
    PlaylistFaults,
};
pub use latency::{Buckets, Latency, LatencyError, PerTiming, Quantiles, Timing};
pub use load::{ManualChange, ManualChanges, StageRow, StreamRow, capacity};
pub use origin::{Gauge, Origin, SegmentSizes};
pub use protocol::ProtocolRow;
pub use quality::Quality;
pub use requests::{CacheResults, Errors, PerKind, Rates, THROUGHPUT_WINDOWS};
pub use trust::{Agreement, Generator, PlaybackSource, Sources, Waits};
pub use variant::{OTHER, VariantRow};
pub use viewers::{Exits, Lifetimes, OtherViewers, Playback, PlaybackTime, ViewerRow, ViewerState};

/// Everything known at one moment, as reports hold it. Fields that only matter during the run are not written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Seconds since the run began.
    pub elapsed_seconds: f64,
    /// Planned length, `None` = until stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned_seconds: Option<f64>,
    /// Viewers that the plan asks for, or that manual changes have asked for, if those were more.
    pub target_clients: u64,
    /// Viewers that should be up by now.
    #[serde(rename = "expected_at_end")]
    pub target_now: u64,
    /// Viewers whose process is up.
    #[serde(skip)]
    pub active_clients: u64,
    /// Viewers that play now (stalled ones not included).
    #[serde(rename = "playing_at_end")]
    pub playing_clients: u64,
    /// The largest number of concurrent viewers.
    pub peak_clients: u64,
    /// Viewer-seconds that [`Self::active_ratio`] is an average over.
    pub expected_viewer_seconds: f64,
    /// Average over time of viewers playing per viewer that should play, once the ramp was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_ratio: Option<f64>,
    /// Requests by kind.
    pub requests: PerKind<u64>,
    /// Body bytes that reached viewers, by kind.
    #[serde(serialize_with = "with_total")]
    pub bytes: PerKind<u64>,
    /// Bytes of response heads.
    #[serde(default)]
    pub head_bytes: u64,
    /// Bytes that the kernel received for the viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_bytes: Option<u64>,
    /// Responses by status code.
    #[serde(with = "by_status")]
    pub http_status: BTreeMap<u16, u64>,
    /// Counts of single events.
    #[serde(flatten)]
    pub counters: Counters,
    /// Cache hits and misses that edges reported.
    pub cache: CacheResults,
    /// Insights about the stream and the caches in front of it.
    pub insight: Insight,
    /// Checks of the media itself; absent where no viewer read a segment.
    #[serde(rename = "content_checks", default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentChecks>,
    /// Rates.
    #[serde(skip)]
    pub rates: Rates,
    /// Latencies.
    #[serde(rename = "latency_seconds")]
    pub latency: Latency,
    /// By how much waiting for a processor has made latencies too long.
    #[serde(rename = "latency_error_seconds", default, skip_serializing_if = "Option::is_none")]
    pub latency_error: Option<LatencyError>,
    /// Latencies as Prometheus histograms.
    #[serde(skip)]
    pub latency_buckets: PerTiming<Buckets>,
    /// Playback now.
    #[serde(default)]
    pub playback: Playback,
    /// Errors.
    pub errors: Errors,
    /// Reasons for failed connections, with their counts.
    #[serde(with = "reasons")]
    pub connect_failures: Vec<(String, u64)>,
    /// Life cycles.
    #[serde(rename = "viewers")]
    pub lifetimes: Lifetimes,
    /// Reasons why viewers ended, most frequent first.
    #[serde(with = "reasons")]
    pub exit_reasons: Vec<(String, u64)>,
    /// Lifetimes of processes, seconds.
    #[serde(rename = "uptime_seconds", skip_serializing_if = "Option::is_none")]
    pub uptime: Option<Quantiles>,
    /// The same as a Prometheus histogram.
    #[serde(skip)]
    pub uptime_buckets: Buckets,
    /// Sources of the figures.
    #[serde(rename = "source")]
    pub sources: Sources,
    /// Agreement between sources.
    pub agreement: Agreement,
    /// The origin's own figures, if it is scraped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The condition of the load generator.
    pub generator: Generator,
    /// Playback time of the viewers.
    #[serde(default)]
    pub playback_time: PlaybackTime,
    /// Quality of experience as players report it; absent where players do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Real players beside native viewers; absent without `--canaries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries: Option<Canaries>,
    /// The versions of HTTP that viewers spoke.
    #[serde(default)]
    pub protocols: Vec<ProtocolRow>,
    /// The stages of the load that have begun.
    pub stages: Vec<StageRow>,
    /// The streams, if there are several.
    pub streams: Vec<StreamRow>,
    /// The variants and renditions, if viewers read multivariant playlists.
    #[serde(default)]
    pub variants: Vec<VariantRow>,
    /// Manual changes of the load.
    pub manual_changes: ManualChanges,
    /// The threshold that has failed for longer than the run allows, if there is one. At the end it is one of the
    /// criteria.
    #[serde(skip)]
    pub aborted_by: Option<Criterion>,
    /// The run as it is drawn, up to this moment: the live page and the dashboard take their windows from here. That of
    /// a finished run is in [`crate::report::Recording`].
    #[serde(skip)]
    pub timeline: Timeline,
    /// One row per viewer; of many viewers those of the worst ones and of a sample.
    #[serde(rename = "per_viewer")]
    pub viewers: Vec<ViewerRow>,
    /// The sum over the viewers without a row; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_viewers: Option<OtherViewers>,
}

/// Texts with their counts, as objects.
mod reasons {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Reason {
        reason: String,
        count: u64,
    }

    pub(super) fn serialize<S: Serializer>(counted: &[(String, u64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(counted.iter().map(|(reason, count)| Reason { reason: reason.clone(), count: *count }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, u64)>, D::Error> {
        let reasons = Vec::<Reason>::deserialize(from)?;
        Ok(reasons.into_iter().map(|Reason { reason, count }| (reason, count)).collect())
    }
}

/// The name of the whole distribution of lifetimes in reports.
pub(crate) const UPTIME: &str = "uptime";

impl Snapshot {
    /// Whether stalls were measured. Otherwise `playback`, `playback_time` and stalls say nothing about the stream, and
    /// no view may show them.
    #[must_use]
    pub fn has_playback(&self) -> bool {
        self.sources.playback.has_buffer()
    }

    /// Whether it was measured which media was missing.
    #[must_use]
    pub fn knows_missing_media(&self) -> bool {
        !matches!(self.sources.playback, PlaybackSource::Inferred | PlaybackSource::Downloads)
    }

    /// Times that a viewer stalled, if that was measured.
    #[must_use]
    pub fn stalls(&self) -> Option<u64> {
        self.has_playback().then_some(self.lifetimes.stalled)
    }

    /// Viewers that played and never stalled, as a share of those that played; `None` if stalls were not measured.
    #[must_use]
    pub fn share_without_stall(&self) -> Option<f64> {
        let Lifetimes { played, stalled_viewers, .. } = self.lifetimes;
        let measured = self.has_playback() && played > 0;
        measured.then(|| played.saturating_sub(stalled_viewers) as f64 / played as f64)
    }

    /// Stalled time that does not count because this program was late, as a share of all viewing time; `None` if it was
    /// not measured.
    #[must_use]
    pub fn excluded_share(&self) -> Option<f64> {
        let time = &self.playback_time;
        self.quality.as_ref()?.excluded_share(time.viewed_seconds + time.stalled_seconds)
    }

    /// Playback now, if it was measured.
    #[must_use]
    pub fn measured_playback(&self) -> Option<&Playback> {
        self.has_playback().then_some(&self.playback)
    }

    /// Visits all order statistics, each with the name of its whole distribution in reports. One that could
    /// not be kept is set to `None`.
    pub(crate) fn each_quantiles(&mut self, mut visit: impl FnMut(&str, &mut Option<Quantiles>)) {
        for (timing, quantiles) in self.latency.iter_mut() {
            visit(&timing.name(), quantiles);
        }
        visit(UPTIME, &mut self.uptime);
        for edge in &mut self.insight.edges {
            visit(&Edge::histogram(&edge.address), &mut edge.ttfb);
        }
        self.insight.ages.retain_mut(|ages| {
            let mut quantiles = Some(ages.seconds);
            visit(&Ages::histogram(&ages.kind), &mut quantiles);
            quantiles.inspect(|quantiles| ages.seconds = *quantiles).is_some()
        });
        for row in &mut self.stages {
            visit(&StageRow::histogram(row.stage), &mut row.segment_total);
        }
        for (place, row) in (1..).zip(&mut self.streams) {
            visit(&StreamRow::histogram(place), &mut row.segment_total);
        }
        for row in &mut self.protocols {
            visit(&ProtocolRow::handshake_histogram(row.http), &mut row.handshake);
        }
        for row in &mut self.variants {
            visit(&VariantRow::ttfb_histogram(&row.name), &mut row.segment_ttfb);
            visit(&VariantRow::total_histogram(&row.name), &mut row.segment_total);
        }
        let groups = self.canaries.iter_mut().flat_map(Canaries::each_quantiles);
        groups.for_each(|(name, quantiles)| visit(name, quantiles));
    }
}

/// Adds another run of the same time. What follows from other figures is recomputed; percentiles follow from
/// distributions, which are not here: see [`crate::report::Report`].
impl Merge for Snapshot {
    fn merge(&mut self, other: &Self) {
        self.active_ratio = merge::average(
            (self.active_ratio, self.expected_viewer_seconds),
            (other.active_ratio, other.expected_viewer_seconds),
        );
        let Self {
            elapsed_seconds,
            planned_seconds,
            target_clients,
            target_now,
            active_clients,
            playing_clients,
            peak_clients,
            expected_viewer_seconds,
            active_ratio: _,
            requests,
            bytes,
            head_bytes,
            received_bytes,
            http_status,
            counters,
            cache,
            insight,
            content,
            rates: _,
            latency,
            latency_error,
            latency_buckets: _,
            playback,
            errors,
            connect_failures,
            lifetimes,
            exit_reasons,
            uptime,
            uptime_buckets: _,
            sources,
            agreement,
            origin,
            generator,
            playback_time,
            quality,
            canaries,
            protocols,
            stages,
            streams,
            variants,
            manual_changes,
            aborted_by: _,
            timeline: _,
            viewers,
            other_viewers,
        } = other;
        larger(&mut self.elapsed_seconds, elapsed_seconds);
        // A whole of which a part runs until it is stopped has no planned end.
        self.planned_seconds = self.planned_seconds.zip(*planned_seconds).map(|(a, b)| a.max(b));
        self.target_clients.merge(target_clients);
        self.target_now.merge(target_now);
        self.active_clients.merge(active_clients);
        self.playing_clients.merge(playing_clients);
        self.peak_clients.merge(peak_clients);
        self.expected_viewer_seconds.merge(expected_viewer_seconds);
        self.requests.merge(requests);
        self.bytes.merge(bytes);
        self.head_bytes.merge(head_bytes);
        self.received_bytes.merge(received_bytes);
        Merge::merge(&mut self.http_status, http_status);
        self.counters.merge(counters);
        self.cache.merge(cache);
        self.insight.merge(insight);
        self.content.merge(content);
        self.latency.merge(latency);
        self.latency_error.merge(latency_error);
        self.playback.merge(playback);
        self.errors.merge(errors);
        merge::counted(&mut self.connect_failures, connect_failures);
        self.lifetimes.merge(lifetimes);
        merge::counted(&mut self.exit_reasons, exit_reasons);
        self.uptime.merge(uptime);
        self.sources.merge(sources);
        self.agreement.merge(agreement);
        self.origin.merge(origin);
        self.agreement.origin_requests = self.origin.as_ref().and_then(Origin::requests_agreement);
        self.agreement.segment_sizes = self.origin.as_ref().and_then(Origin::sizes_agreement);
        self.generator.merge(generator);
        self.playback_time.merge(playback_time);
        self.playback_time = self.playback_time.with_ratios(self.expected_viewer_seconds);
        Quality::merge_parts(&mut self.quality, quality);
        self.canaries.merge(canaries);
        protocol::merge_rows(&mut self.protocols, protocols);
        merge::rows(&mut self.stages, stages, |a, b| (a.stage, &a.name) == (b.stage, &b.name));
        self.stages.sort_by(|a, b| (a.stage, &a.name).cmp(&(b.stage, &b.name)));
        for (place, row) in streams.iter().enumerate() {
            match self.streams.get_mut(place) {
                Some(known) => known.merge(row),
                None => self.streams.push(row.clone()),
            }
        }
        variant::merge_rows(&mut self.variants, variants);
        self.manual_changes.merge(manual_changes);
        self.viewers.extend(viewers.iter().cloned());
        self.other_viewers.merge(other_viewers);
    }
}
