//! The bit rates of variants, by RFC 8216bis (4.4.6.2), from one body of each segment.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::listed::{Rendition, VariantLabel};
use crate::segment_read::SegmentRead;
use crate::snapshot::BitRates;

/// The number of variants and renditions, as in the table of variants.
const VARIANTS: usize = 50;
/// The number of segments of each that are kept to find contiguous ones.
const SEGMENTS: usize = 4000;

/// The bit rates of all variants and renditions, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct VariantRates(BTreeMap<String, Rates>);

#[derive(Clone, Debug)]
struct Rates {
    label: Arc<VariantLabel>,
    /// By media sequence number: bytes, and microseconds.
    segments: BTreeMap<u64, (u64, u64)>,
    bytes: u64,
    us: u64,
    peak: Option<f64>,
}

impl VariantRates {
    /// Adds a segment that was not read before.
    pub(super) fn add(&mut self, read: &SegmentRead) {
        let Some(label) = &read.variant else { return };
        if read.announced_us == 0 || label.rendition == Rendition::Subtitles {
            return;
        }
        if self.0.len() >= VARIANTS && !self.0.contains_key(&label.name) {
            return;
        }
        let new =
            || Rates { label: Arc::clone(label), segments: BTreeMap::new(), bytes: 0, us: 0, peak: None };
        let rates = self.0.entry(label.name.clone()).or_insert_with(new);
        rates.add(read.sequence, (read.bytes, read.announced_us), read.target_us);
    }

    /// One row for each variant.
    pub(super) fn rows(&self) -> Vec<BitRates> {
        let main = self.0.values().filter(|rates| rates.label.rendition == Rendition::Main);
        let row = |rates: &Rates| {
            let audio = rates.label.audio.as_deref().and_then(|name| self.0.get(name));
            let with = |of: fn(&Rates) -> Option<f64>| Some(of(rates)? + audio.and_then(of).unwrap_or(0.0));
            BitRates {
                name: rates.label.name.clone(),
                audio: audio.map(|audio| audio.label.name.clone()),
                bandwidth: rates.label.bandwidth,
                average_bandwidth: rates.label.average_bandwidth,
                peak: with(|rates| rates.peak),
                average: with(|rates| Some(rates.bytes as f64 * 8e6 / rates.us.max(1) as f64)),
                media_seconds: rates.us as f64 / 1e6,
            }
        };
        main.map(row).collect()
    }
}

impl Rates {
    fn add(&mut self, sequence: u64, segment: (u64, u64), target_us: u64) {
        // A redundant variant has the same segments under another URL.
        if self.segments.contains_key(&sequence) {
            return;
        }
        self.segments.insert(sequence, segment);
        self.bytes += segment.0;
        self.us += segment.1;
        let (least, most) = (target_us / 2, target_us.saturating_mul(3) / 2);
        let before = std::iter::successors(Some(sequence), |number| number.checked_sub(1));
        let (mut bytes, mut us) = (0, 0);
        for first in before {
            let Some((more, longer)) = self.segments.get(&first) else { break };
            (bytes, us) = (bytes + more, us + longer);
            if us > most {
                break;
            }
            self.peak_from(sequence.saturating_add(1), (bytes, us), least, most);
        }
        if self.segments.len() > SEGMENTS {
            self.segments.pop_first();
        }
    }

    /// Takes the segments so far, which end before `next`, and each longer sequence of segments, for a peak.
    fn peak_from(&mut self, mut next: u64, (mut bytes, mut us): (u64, u64), least: u64, most: u64) {
        while us <= most {
            if us >= least {
                let bits = bytes as f64 * 8e6 / us as f64;
                self.peak = Some(self.peak.map_or(bits, |peak| peak.max(bits)));
            }
            let Some((more, longer)) = self.segments.get(&next) else { return };
            (bytes, us, next) = (bytes + more, us + longer, next.saturating_add(1));
        }
    }
}
