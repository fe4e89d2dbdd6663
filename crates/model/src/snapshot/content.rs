//! What checks of the media itself have found: its times, its bytes, and its bit rates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::{self, Merge, either, first, larger, merge_fields};

/// The largest number of deviations, and of segments with different bodies, that are listed.
pub(crate) const MAX_FINDINGS: usize = 20;

/// The way in which the times of a segment deviate from its playlist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviationKind {
    /// Its media does not last as long as EXTINF announces.
    #[default]
    Duration,
    /// It begins after the end of the segment before, without EXT-X-DISCONTINUITY.
    Gap,
    /// It begins before the end of the segment before, without EXT-X-DISCONTINUITY.
    Overlap,
}

/// A segment whose times deviate from its playlist.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Deviation {
    /// The way in which they do.
    pub kind: DeviationKind,
    /// Last element of its path.
    pub name: String,
    /// Its variant or rendition, if a multivariant playlist names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its media sequence number.
    pub media_sequence: u64,
    /// EXTINF, seconds.
    pub extinf_seconds: f64,
    /// By how much its media is longer than EXTINF (negative: shorter), or the length of the gap or overlap; seconds.
    pub deviation_seconds: f64,
}

impl Deviation {
    /// It as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { name, extinf_seconds, deviation_seconds, .. } = self;
        match self.kind {
            DeviationKind::Duration => {
                let lasts = extinf_seconds + deviation_seconds;
                format!("{name} lasts {lasts:.3} s, and its EXTINF is {extinf_seconds:.3} s")
            }
            DeviationKind::Gap => {
                format!("{name} begins {deviation_seconds:.3} s after the end of the segment before")
            }
            DeviationKind::Overlap => {
                format!("{name} begins {deviation_seconds:.3} s before the end of the segment before")
            }
        }
    }

    fn same(&self, other: &Self) -> bool {
        (self.kind, self.media_sequence, &self.name, &self.variant)
            == (other.kind, other.media_sequence, &other.name, &other.variant)
    }
}

merge_fields! { Deviation {
    kind = first, name = first, variant = either, media_sequence = first, extinf_seconds = first,
    deviation_seconds = first,
} }

/// A body of a segment that was sent with different ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBody {
    /// Bytes.
    pub bytes: u64,
    /// The first 16 digits of its SHA-256.
    pub sha256: String,
    /// The number of times that it was read.
    pub times: u64,
    /// The servers that sent it, by address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<String>,
}

impl Merge for SentBody {
    fn merge(&mut self, other: &Self) {
        let Self { bytes: _, sha256: _, times, edges } = other;
        self.times.merge(times);
        self.edges.extend(edges.iter().cloned());
        self.edges.sort_unstable();
        self.edges.dedup();
    }
}

/// A segment that was sent with different bodies under one URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DifferingBodies {
    /// Last element of its path.
    pub name: String,
    /// Its variant or rendition, if a multivariant playlist names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Its media sequence number.
    pub media_sequence: u64,
    /// The bodies, the one that was read first first.
    pub bodies: Vec<SentBody>,
}

impl DifferingBodies {
    /// It as a sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let bodies: Vec<String> = self
            .bodies
            .iter()
            .map(|body| {
                let from = if body.edges.is_empty() { "?".to_owned() } else { body.edges.join(", ") };
                format!("{} bytes, SHA-256 {}… from {from}", body.bytes, body.sha256)
            })
            .collect();
        format!("{} has {} bodies: {}", self.name, bodies.len(), bodies.join("; "))
    }
}

impl Merge for DifferingBodies {
    fn merge(&mut self, other: &Self) {
        let Self { name: _, variant: _, media_sequence: _, bodies } = other;
        merge::rows(&mut self.bodies, bodies, |a, b| a.sha256 == b.sha256);
    }
}

/// The bit rates of a variant, by RFC 8216bis (4.4.6.2): each segment counts once, however many viewers received it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BitRates {
    /// The name of the variant.
    pub name: String,
    /// The audio rendition whose bit rates are part of these, where audio is separate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<String>,
    /// BANDWIDTH, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<u64>,
    /// AVERAGE-BANDWIDTH, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average_bandwidth: Option<u64>,
    /// The largest bit rate of contiguous segments that last between 0.5 and 1.5 target durations, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<f64>,
    /// The bit rate of all segments that were read, bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Their duration, seconds (EXTINF).
    pub media_seconds: f64,
}

/// AVERAGE-BANDWIDTH may be wrong by this share: the stream goes on after the segments that were read.
const AVERAGE_TOLERANCE: f64 = 0.1;

impl BitRates {
    /// Whether the peak is larger than BANDWIDTH, which is its upper bound.
    #[must_use]
    pub fn exceeds_bandwidth(&self) -> bool {
        self.peak.zip(self.bandwidth).is_some_and(|(peak, announced)| peak > announced as f64)
    }

    /// Whether the average is larger than AVERAGE-BANDWIDTH by more than a tenth.
    #[must_use]
    pub fn exceeds_average(&self) -> bool {
        let most = |announced: u64| announced as f64 * (1.0 + AVERAGE_TOLERANCE);
        self.average.zip(self.average_bandwidth).is_some_and(|(average, announced)| average > most(announced))
    }
}

impl Merge for BitRates {
    fn merge(&mut self, other: &Self) {
        let Self { name: _, audio, bandwidth, average_bandwidth, peak, average, media_seconds } = other;
        either(&mut self.audio, audio);
        larger(&mut self.bandwidth, bandwidth);
        larger(&mut self.average_bandwidth, average_bandwidth);
        larger(&mut self.peak, peak);
        self.average = merge::average((self.average, self.media_seconds), (*average, *media_seconds));
        self.media_seconds.merge(media_seconds);
    }
}

/// What checks of the media itself have found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContentChecks {
    /// Segments that were read, by URL without the query.
    pub segments: u64,
    /// Of these, segments whose times could not be read, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unread: BTreeMap<String, u64>,
    /// Bodies that were compared with the first one of the same URL.
    pub compared: u64,
    /// The largest deviations of times from playlists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<Deviation>,
    /// Segments that were sent with different bodies under one URL, the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differing: Vec<DifferingBodies>,
    /// The bit rates of variants, highest BANDWIDTH first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bit_rates: Vec<BitRates>,
}

impl ContentChecks {
    /// Sorts the rows as people read them, and keeps those that are listed.
    pub(crate) fn arrange(&mut self) {
        self.deviations.sort_by(|a, b| {
            let size = |one: &Deviation| one.deviation_seconds.abs();
            size(b).total_cmp(&size(a)).then_with(|| (a.kind, &a.name).cmp(&(b.kind, &b.name)))
        });
        self.deviations.truncate(MAX_FINDINGS);
        self.differing.sort_by(|a, b| (a.media_sequence, &a.name).cmp(&(b.media_sequence, &b.name)));
        self.differing.truncate(MAX_FINDINGS);
        self.bit_rates.sort_by(|a, b| b.bandwidth.cmp(&a.bandwidth).then_with(|| a.name.cmp(&b.name)));
    }

    /// Segments whose times could not be read.
    #[must_use]
    pub fn unread_segments(&self) -> u64 {
        self.unread.values().sum()
    }

    /// The number of variants whose bit rate exceeded BANDWIDTH; `None` if none was measured.
    #[must_use]
    pub fn over_bandwidth(&self) -> Option<u64> {
        let mut known = self.bit_rates.iter().filter(|row| row.peak.is_some()).peekable();
        known.peek()?;
        Some(known.filter(|row| row.exceeds_bandwidth()).count() as u64)
    }
}

impl Merge for ContentChecks {
    fn merge(&mut self, other: &Self) {
        let Self { segments, unread, compared, deviations, differing, bit_rates } = other;
        self.segments.merge(segments);
        Merge::merge(&mut self.unread, unread);
        self.compared.merge(compared);
        merge::rows(&mut self.deviations, deviations, Deviation::same);
        merge::rows(&mut self.differing, differing, |a, b| {
            (a.media_sequence, &a.name, &a.variant) == (b.media_sequence, &b.name, &b.variant)
        });
        merge::rows(&mut self.bit_rates, bit_rates, |a, b| a.name == b.name);
        self.arrange();
    }
}
