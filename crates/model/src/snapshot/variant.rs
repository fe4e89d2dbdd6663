//! The variants and renditions that viewers played, with their figures.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::latency::Quantiles;
use super::requests::{Errors, PerKind};
use crate::listed::Rendition;
use crate::merge::{self, Merge};

/// The largest number of variants and renditions with rows of their own. A multivariant playlist may list thousands.
pub(crate) const MAX_ROWS: usize = 50;

/// The name of the row for everything else: multivariant playlists, keys, and variants beyond the limit.
pub const OTHER: &str = "other";

/// A variant or a rendition, with its figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VariantRow {
    /// Its name after the multivariant playlist, such as `1280x720@2500k` or `audio:English`; or [`OTHER`].
    pub name: String,
    /// Its media; absent for [`OTHER`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rendition: Option<Rendition>,
    /// CODECS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codecs: Option<String>,
    /// BANDWIDTH, bits per second: the largest bit rate of a segment, separate audio included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced_bits_per_second: Option<u64>,
    /// Viewers that received a whole segment of it.
    pub viewers: u64,
    /// Of these, viewers that play it now: their last whole segment arrived within three times its duration, or within
    /// ten seconds.
    pub playing: u64,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Errors.
    pub errors: Errors,
    /// Segments that arrived whole.
    pub whole_segments: u64,
    /// Body bytes of these segments.
    pub whole_bytes: u64,
    /// Their duration, seconds (EXTINF).
    pub media_seconds: f64,
    /// Bit rate of these segments on average, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_bits_per_second: Option<f64>,
    /// The largest bit rate of one of these segments, bits per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bits_per_second: Option<f64>,
    /// Segments, from the request to the first byte, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_ttfb: Option<Quantiles>,
    /// Segments, from the request to the last byte, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_total: Option<Quantiles>,
}

impl VariantRow {
    /// The name of the whole distribution of `segment_ttfb` in reports.
    #[must_use]
    pub fn ttfb_histogram(name: &str) -> String {
        format!("variant.{name}.segment.ttfb")
    }

    /// The name of the whole distribution of `segment_total` in reports.
    #[must_use]
    pub fn total_histogram(name: &str) -> String {
        format!("variant.{name}.segment.total")
    }

    /// The same figures with the bit rate that follows from them.
    #[must_use]
    pub fn with_bit_rate(self) -> Self {
        let known = self.media_seconds > 0.0;
        let rate = known.then(|| self.whole_bytes as f64 * 8.0 / self.media_seconds);
        Self { measured_bits_per_second: rate, ..self }
    }

    /// Whether a segment had a larger bit rate than BANDWIDTH, which is its upper bound (RFC 8216, 4.3.4.2).
    #[must_use]
    pub fn exceeds_bandwidth(&self) -> bool {
        let announced = self.announced_bits_per_second.map(|bits| bits as f64);
        self.peak_bits_per_second.zip(announced).is_some_and(|(peak, announced)| peak > announced)
    }
}

/// Sorts rows as people read them: variants by bandwidth, then renditions by name, then [`OTHER`].
pub(crate) fn sort(rows: &mut [VariantRow]) {
    rows.sort_by_cached_key(|row| {
        let kind = (row.rendition.is_none(), row.rendition);
        (kind, Reverse(row.announced_bits_per_second), row.name.clone())
    });
}

/// Adds the rows of another part of the load.
pub(crate) fn merge_rows(rows: &mut Vec<VariantRow>, others: &[VariantRow]) {
    merge::rows(rows, others, |a, b| a.name == b.name);
    sort(rows);
}

impl Merge for VariantRow {
    fn merge(&mut self, other: &Self) {
        let Self {
            name: _,
            rendition,
            codecs,
            announced_bits_per_second,
            viewers,
            playing,
            requests,
            bytes,
            errors,
            whole_segments,
            whole_bytes,
            media_seconds,
            measured_bits_per_second: _,
            peak_bits_per_second,
            segment_ttfb,
            segment_total,
        } = other;
        merge::either(&mut self.rendition, rendition);
        merge::either(&mut self.codecs, codecs);
        merge::larger(&mut self.announced_bits_per_second, announced_bits_per_second);
        self.viewers.merge(viewers);
        self.playing.merge(playing);
        self.requests.merge(requests);
        self.bytes.merge(bytes);
        self.errors.merge(errors);
        self.whole_segments.merge(whole_segments);
        self.whole_bytes.merge(whole_bytes);
        self.media_seconds.merge(media_seconds);
        merge::larger(&mut self.peak_bits_per_second, peak_bits_per_second);
        self.segment_ttfb.merge(segment_ttfb);
        self.segment_total.merge(segment_total);
        *self = std::mem::take(self).with_bit_rate();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, rendition: Option<Rendition>, bits: Option<u64>) -> VariantRow {
        VariantRow { name: name.into(), rendition, announced_bits_per_second: bits, ..VariantRow::default() }
    }

    #[test]
    fn variants_come_first_and_the_rest_last() {
        let mut rows = vec![
            row(OTHER, None, None),
            row("subtitles:en", Some(Rendition::Subtitles), None),
            row("low", Some(Rendition::Main), Some(1)),
            row("audio:b", Some(Rendition::Audio), None),
            row("audio:a", Some(Rendition::Audio), None),
            row("high", Some(Rendition::Main), Some(2)),
        ];
        sort(&mut rows);
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["high", "low", "audio:a", "audio:b", "subtitles:en", OTHER]);
    }

    #[test]
    fn the_bit_rate_of_a_sum_is_that_of_all_segments() {
        let part = |whole_bytes, media_seconds, peak| VariantRow {
            whole_bytes,
            media_seconds,
            peak_bits_per_second: Some(peak),
            ..row("a", Some(Rendition::Main), Some(1000))
        };
        let mut rows = vec![part(1000, 8.0, 1100.0).with_bit_rate()];
        assert_eq!(rows[0].measured_bits_per_second, Some(1000.0));
        merge_rows(&mut rows, &[part(5000, 24.0, 900.0), row("b", None, None)]);
        assert_eq!((rows.len(), rows[0].measured_bits_per_second), (2, Some(1500.0)));
        assert!(rows[0].exceeds_bandwidth() && !rows[1].exceeds_bandwidth());
        assert_eq!(row("c", None, None).with_bit_rate().measured_bits_per_second, None);
    }
}
