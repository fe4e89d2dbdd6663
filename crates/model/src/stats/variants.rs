//! Statistics by variant and rendition, as multivariant playlists name them.

use std::collections::HashMap;
use std::sync::Arc;

use super::attempts::Attempt;
use super::distribution::Distribution;
use super::exchanges::{Failures, durations};
use crate::exchange::{Exchange, Kind};
use crate::listed::{SegmentId, VariantLabel};
use crate::snapshot::variant::{self, MAX_ROWS, OTHER, VariantRow};
use crate::snapshot::{PerKind, Timing};

/// How long a viewer plays a variant after its last segment, at least, nanoseconds.
const PLAYS_FOR_NS: u64 = 10_000_000_000;
/// The same in durations of that segment.
const PLAYS_FOR_SEGMENTS: u64 = 3;

/// All variants and renditions that were requested.
#[derive(Clone, Debug)]
pub(crate) struct Variants {
    timeout_ns: u64,
    figures: Vec<Figures>,
    /// The indices of the figures, by name.
    places: HashMap<String, usize>,
    /// Figures of requests that belong to none of them.
    other: Box<Figures>,
    /// By viewer: what it has received.
    received: HashMap<u32, Vec<Received>>,
}

/// A variant that a viewer received whole segments of.
#[derive(Clone, Copy, Debug)]
struct Received {
    /// Its index; `None` = other.
    place: Option<usize>,
    /// The viewer plays it until then, unless it receives another segment.
    until_ns: u64,
}

/// The figures of one variant.
#[derive(Clone, Debug)]
struct Figures {
    label: Option<Arc<VariantLabel>>,
    requests: PerKind<u64>,
    bytes: PerKind<u64>,
    failures: Failures,
    viewers: u64,
    whole_segments: u64,
    whole_bytes: u64,
    media_us: u64,
    peak_bits_per_second: Option<f64>,
    segment_ttfb: Distribution,
    segment_total: Distribution,
}

impl Figures {
    fn new(label: Option<Arc<VariantLabel>>, timeout_ns: u64) -> Self {
        Self {
            label,
            requests: PerKind::default(),
            bytes: PerKind::default(),
            failures: Failures::new(timeout_ns),
            viewers: 0,
            whole_segments: 0,
            whole_bytes: 0,
            media_us: 0,
            peak_bits_per_second: None,
            segment_ttfb: Distribution::new(),
            segment_total: Distribution::new(),
        }
    }

    fn name(&self) -> &str {
        self.label.as_ref().map_or(OTHER, |label| &label.name)
    }

    fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        self.requests[exchange.kind] += 1;
        self.bytes[exchange.kind] += exchange.body_bytes;
        self.failures.add(attempt);
        for (timing, nanos) in durations(exchange) {
            match timing {
                Timing::Ttfb(Kind::Segment) => self.segment_ttfb.add_ns(nanos),
                Timing::Total(Kind::Segment) => self.segment_total.add_ns(nanos),
                _ => {}
            }
        }
    }

    fn whole(&mut self, segment: SegmentId, bytes: u64) {
        self.whole_segments += 1;
        if segment.duration_us > 0 {
            self.whole_bytes += bytes;
            self.media_us += segment.duration_us;
            let bits = bytes as f64 * 8e6 / segment.duration_us as f64;
            self.peak_bits_per_second = Some(self.peak_bits_per_second.map_or(bits, |peak| peak.max(bits)));
        }
    }

    fn row(&self, playing: u64) -> VariantRow {
        let label = self.label.as_ref();
        VariantRow {
            name: self.name().to_owned(),
            rendition: label.map(|label| label.rendition),
            codecs: label.and_then(|label| label.codecs.clone()),
            announced_bits_per_second: label.and_then(|label| label.bandwidth),
            viewers: self.viewers,
            playing,
            requests: self.requests,
            bytes: self.bytes,
            errors: self.failures.errors(),
            whole_segments: self.whole_segments,
            whole_bytes: self.whole_bytes,
            media_seconds: self.media_us as f64 / 1e6,
            measured_bits_per_second: None,
            peak_bits_per_second: self.peak_bits_per_second,
            segment_ttfb: self.segment_ttfb.quantiles(),
            segment_total: self.segment_total.quantiles(),
        }
        .with_bit_rate()
    }
}

impl Variants {
    /// None yet; `timeout_ns` is the viewers' network timeout.
    pub(crate) fn new(timeout_ns: u64) -> Self {
        Self {
            timeout_ns,
            figures: Vec::new(),
            places: HashMap::new(),
            other: Box::new(Figures::new(None, timeout_ns)),
            received: HashMap::new(),
        }
    }

    /// The index of a variant; `None` if there is no room for it.
    fn place(&mut self, label: &Arc<VariantLabel>) -> Option<usize> {
        let known = self.places.get(&label.name).copied();
        if known.is_some() || self.figures.len() >= MAX_ROWS {
            return known;
        }
        let place = self.figures.len();
        self.figures.push(Figures::new(Some(Arc::clone(label)), self.timeout_ns));
        self.places.insert(label.name.clone(), place);
        Some(place)
    }

    /// Adds an exchange.
    pub(crate) fn add(&mut self, exchange: &Exchange, attempt: Attempt) {
        let place = exchange.variant.as_ref().and_then(|label| self.place(label));
        let Self { figures, other, received, .. } = self;
        let figures = place.and_then(|place| figures.get_mut(place)).unwrap_or(other);
        figures.add(exchange, attempt);
        let Some(segment) = exchange.whole_segment() else { return };
        figures.whole(segment, exchange.body_bytes);
        let took = exchange.first_byte_ns.unwrap_or(0).saturating_add(exchange.download_ns.unwrap_or(0));
        let plays_for = segment.duration_us.saturating_mul(1000 * PLAYS_FOR_SEGMENTS).max(PLAYS_FOR_NS);
        let until_ns = exchange.started_ns.saturating_add(took).saturating_add(plays_for);
        let received = received.entry(exchange.viewer).or_default();
        match received.iter_mut().find(|one| one.place == place) {
            Some(one) => one.until_ns = until_ns,
            None => {
                figures.viewers += 1;
                received.push(Received { place, until_ns });
            }
        }
    }

    /// Notes that the process of a viewer has ended.
    pub(crate) fn ended(&mut self, viewer: u32) {
        self.received.get_mut(&viewer).into_iter().flatten().for_each(|one| one.until_ns = 0);
    }

    /// A row for each variant and rendition at `at_ns`, and one for the rest. Empty if no multivariant playlist was seen,
    /// because then there is nothing to tell apart.
    pub(crate) fn rows(&self, at_ns: u64) -> Vec<VariantRow> {
        if self.figures.is_empty() {
            return Vec::new();
        }
        let (mut playing, mut others) = (vec![0; self.figures.len()], 0);
        for one in self.received.values().flatten().filter(|one| one.until_ns >= at_ns) {
            *one.place.and_then(|place| playing.get_mut(place)).unwrap_or(&mut others) += 1;
        }
        let other = Some((&*self.other, others)).filter(|(other, _)| other.requests.total() > 0);
        let all = self.figures.iter().zip(playing).chain(other);
        let mut rows: Vec<VariantRow> = all.map(|(figures, playing)| figures.row(playing)).collect();
        variant::sort(&mut rows);
        rows
    }

    /// Whole distributions by name, for the report.
    pub(crate) fn histograms(&self) -> impl Iterator<Item = (String, &Distribution)> {
        let all = self.figures.iter().chain([&*self.other]).filter(|_| !self.figures.is_empty());
        all.flat_map(|figures| {
            let name = figures.name();
            [
                (VariantRow::ttfb_histogram(name), &figures.segment_ttfb),
                (VariantRow::total_histogram(name), &figures.segment_total),
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::Content;
    use crate::exchange::Outcome;
    use crate::listed::Rendition;
    use crate::stats::exchanges::Fault;
    use crate::stats::tests::{SECOND, segment};

    const GOOD: Attempt = Attempt { fault: None, is_repeat: false };

    fn label(name: &str) -> Option<Arc<VariantLabel>> {
        let (name, bandwidth) = (name.to_owned(), Some(1_000_000));
        Some(Arc::new(VariantLabel {
            name,
            rendition: Rendition::Main,
            bandwidth,
            average_bandwidth: None,
            audio: None,
            codecs: None,
        }))
    }

    /// A segment of 2 s, which arrives 1 s after second `at`.
    fn of(name: &str, viewer: u32, at: u64) -> Exchange {
        let id = SegmentId {
            playlist: 1,
            sequence: at,
            duration_us: 2_000_000,
            rendition: Rendition::Main,
            encrypted: false,
            from_start: true,
        };
        Exchange {
            variant: label(name),
            segment: Some(id),
            started_ns: at * SECOND,
            first_byte_ns: Some(SECOND / 4),
            download_ns: Some(SECOND * 3 / 4),
            ..segment(viewer)
        }
    }

    fn figures(rows: &[VariantRow]) -> Vec<(&str, u64, u64, u64)> {
        let figures = |row: &VariantRow| (row.viewers, row.playing, row.whole_segments);
        rows.iter()
            .map(|row| {
                let (viewers, playing, whole) = figures(row);
                (row.name.as_str(), viewers, playing, whole)
            })
            .collect()
    }

    #[test]
    fn a_viewer_plays_a_variant_until_its_segments_have_been_missing_for_a_while() {
        let mut variants = Variants::new(SECOND);
        variants.add(&of("high", 1, 1), GOOD);
        variants.add(&of("high", 1, 3), GOOD);
        variants.add(&of("high", 2, 3), GOOD);
        variants.add(&of("low", 1, 5), GOOD);
        assert_eq!(figures(&variants.rows(6 * SECOND)), [("high", 2, 2, 3), ("low", 1, 1, 1)]);
        assert_eq!(figures(&variants.rows(15 * SECOND)), [("high", 2, 0, 3), ("low", 1, 1, 1)]);
        variants.ended(1);
        assert_eq!(figures(&variants.rows(6 * SECOND)), [("high", 2, 1, 3), ("low", 1, 0, 1)]);
    }

    #[test]
    fn only_whole_segments_are_played_and_measured() {
        let mut variants = Variants::new(SECOND);
        variants.add(&of("a", 1, 1), GOOD);
        let bad = Attempt { fault: Some(Fault::Http), is_repeat: false };
        variants.add(&Exchange { status: Some(404), ..of("a", 2, 1) }, bad);
        variants.add(&Exchange { outcome: Outcome::ClosedByPeer, ..of("a", 3, 1) }, GOOD);
        variants.add(&Exchange { content: Some(Content::Html), ..of("a", 4, 1) }, GOOD);
        variants.add(&Exchange { kind: Kind::Playlist, segment: None, ..of("a", 5, 1) }, GOOD);
        let rows = variants.rows(SECOND);
        let row = &rows[0];
        assert_eq!(figures(&rows), [("a", 1, 1, 1)]);
        assert_eq!((row.requests.total(), row.errors.http, row.errors.attempts), (5, 1, 5));
        // 1000 bytes in 2 s.
        assert_eq!((row.measured_bits_per_second, row.peak_bits_per_second), (Some(4000.0), Some(4000.0)));
        assert_eq!((row.media_seconds, row.announced_bits_per_second), (2.0, Some(1_000_000)));
        assert_eq!(
            row.segment_total.unwrap().count,
            2,
            "as for the whole run, where bad content is not measured"
        );
    }

    #[test]
    fn variants_beyond_the_limit_have_one_row() {
        let mut variants = Variants::new(SECOND);
        for number in 0..1000_u32 {
            variants.add(&of(&format!("v{number}"), number, 1), GOOD);
        }
        variants.add(&Exchange { variant: None, ..of("", 1, 1) }, GOOD);
        let rows = variants.rows(SECOND);
        assert_eq!(
            (rows.len(), variants.figures.len(), variants.places.len()),
            (MAX_ROWS + 1, MAX_ROWS, MAX_ROWS)
        );
        let other = rows.last().unwrap();
        assert_eq!((other.name.as_str(), other.requests.total()), (OTHER, 1001 - MAX_ROWS as u64));
        assert_eq!(other.viewers, 951, "viewer 1 has a row of its own, and the rest");
    }

    #[test]
    fn without_a_multivariant_playlist_there_is_nothing_to_tell_apart() {
        let mut variants = Variants::new(SECOND);
        variants.add(&Exchange { variant: None, ..of("", 1, 1) }, GOOD);
        assert!(variants.rows(SECOND).is_empty() && variants.histograms().next().is_none());
    }

    proptest! {
        #[test]
        fn rows_add_up_to_all_requests(
            seen in prop::collection::vec((0_u32..80, 1_u32..6, any::<bool>()), 0..300),
        ) {
            let mut variants = Variants::new(SECOND);
            for (name, viewer, named) in &seen {
                let exchange = of(&format!("v{name}"), *viewer, 1);
                let variant = exchange.variant.clone().filter(|_| *named);
                variants.add(&Exchange { variant, ..exchange }, GOOD);
            }
            let rows = variants.rows(SECOND);
            prop_assert!(rows.len() <= MAX_ROWS + 1);
            if seen.iter().any(|(_, _, named)| *named) {
                let requests: u64 = rows.iter().map(|row| row.requests.total()).sum();
                let bytes: u64 = rows.iter().map(|row| row.bytes.total()).sum();
                prop_assert_eq!((requests, bytes), (seen.len() as u64, seen.len() as u64 * 1000));
                prop_assert!(rows.iter().all(|row| row.viewers <= 5 && row.playing == row.viewers));
            } else {
                prop_assert!(rows.is_empty());
            }
        }
    }
}
