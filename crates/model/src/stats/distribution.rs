//! A set of durations: percentiles within 0.1 % of the true value, and Prometheus buckets.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Serialize};

use crate::merge::Merge;
use crate::snapshot::{Buckets, Quantiles};
use crate::timeline::buckets::LogBuckets;
use crate::verdict::threshold::Statistic;

/// Three significant digits: a percentile is off by a thousandth at most.
const DIGITS: u8 = 3;

/// Durations, kept as microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// `None` only if the library rejects its constants; then nothing is recorded. A run has dozens of these, so a cell
    /// counts in four bytes: it stays at 4.3 billion, which takes 10,000 viewers several days to reach.
    histogram: Option<Histogram<u32>>,
    max_us: u64,
    sum_us: u64,
    bounds: &'static [f64],
    counts: Vec<u64>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    /// An empty set that answers percentiles.
    #[must_use]
    pub fn new() -> Self {
        Self::with_buckets(&[])
    }

    /// An empty set that also counts values at or below each of `bounds` (seconds, ascending).
    #[must_use]
    pub fn with_buckets(bounds: &'static [f64]) -> Self {
        let counts = vec![0; bounds.len()];
        Self { histogram: Histogram::new(DIGITS).ok(), max_us: 0, sum_us: 0, bounds, counts }
    }

    /// Adds a duration in nanoseconds.
    pub fn add_ns(&mut self, nanos: u64) {
        self.add_many_ns(nanos, 1);
    }

    /// Adds a duration in nanoseconds several times.
    pub fn add_many_ns(&mut self, nanos: u64, times: u64) {
        let micros = nanos / 1000;
        if let Some(histogram) = &mut self.histogram {
            // It grows with what it is given; a duration of 2^63 µs, where it cannot, does not occur.
            let _ = histogram.record_n(micros, u32::try_from(times).unwrap_or(u32::MAX));
        }
        self.max_us = self.max_us.max(micros);
        self.sum_us = self.sum_us.saturating_add(micros.saturating_mul(times));
        let seconds = nanos as f64 / 1e9;
        // Counted in the first bucket that has room for it; the exposition adds them up.
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += times;
        }
    }

    /// Percentiles in seconds; `None` of an empty set.
    #[must_use]
    pub fn quantiles(&self) -> Option<Quantiles> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        // The library answers with the upper end of a cell, which may be above the largest value.
        let at = |quantile: f64| histogram.value_at_quantile(quantile).min(self.max_us) as f64 / 1e6;
        Some(Quantiles {
            count: histogram.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: self.max_us as f64 / 1e6,
        })
    }

    /// A statistic in seconds; `None` of an empty set, and for statistics that are not of durations.
    #[must_use]
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        let micros = match statistic {
            Statistic::Percentile(percent) => histogram.value_at_percentile(percent).min(self.max_us) as f64,
            Statistic::Mean => histogram.mean(),
            Statistic::Min => histogram.min() as f64,
            Statistic::Max => self.max_us as f64,
            Statistic::Value | Statistic::Rate => return None,
        };
        Some(micros / 1e6)
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The standard error of the average, seconds; `None` of an empty set.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(histogram.stdev() / 1e6 / (histogram.len() as f64).sqrt())
    }

    /// The durations in the buckets of timelines.
    #[must_use]
    pub(crate) fn log_buckets(&self) -> LogBuckets {
        let mut buckets = LogBuckets::default();
        let Some(histogram) = &self.histogram else { return buckets };
        for value in histogram.iter_recorded() {
            // The lower end of a cell, whose upper end may be above the largest value. A bound by that value would let a
            // duration change its bucket when a longer one is added, and merged parts would differ from the whole.
            let micros = histogram.lowest_equivalent(value.value_iterated_to());
            buckets.add_many(LogBuckets::bucket(micros as f64 / 1e6), value.count_at_value().into());
        }
        buckets
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.histogram.as_ref().is_none_or(Histogram::is_empty)
    }

    /// Sets the largest value, seconds. A distribution that was read knows it to the resolution of its cells
    /// only; the report has it exactly.
    pub(crate) fn set_max(&mut self, seconds: f64) {
        self.max_us = (seconds * 1e6).round() as u64;
    }

    /// The whole distribution as HdrHistogram V2, compressed, in base64.
    fn encoded(&self) -> Option<String> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(self.histogram.as_ref()?, &mut bytes).ok()?;
        Some(STANDARD.encode(bytes))
    }

    /// Reads what [`Self::encoded`] wrote. `None` if the text is not one of our histograms.
    fn decoded(text: &str) -> Option<Self> {
        let bytes = inflated(&STANDARD.decode(text).ok()?)?;
        let mut read: Histogram<u32> = Deserializer::new().deserialize(&mut bytes.as_slice()).ok()?;
        // Otherwise its largest value would stay a limit for what is added.
        read.auto(true);
        Some(Self { max_us: read.max(), histogram: Some(read), ..Self::new() })
    }

    /// The Prometheus histogram.
    #[must_use]
    pub fn buckets(&self) -> Buckets {
        let mut below = 0;
        let cumulative = self.bounds.iter().zip(&self.counts).map(|(bound, count)| {
            below += count;
            (*bound, below)
        });
        Buckets {
            cumulative: cumulative.collect(),
            sum: self.sum_us as f64 / 1e6,
            count: self.histogram.as_ref().map_or(0, Histogram::len),
        }
    }
}

/// Adds the cells; both sides have the same ones, so percentiles are those of one distribution. Buckets are
/// not added, because only a running test has them.
impl Merge for Distribution {
    fn merge(&mut self, other: &Self) {
        if let (Some(this), Some(other)) = (&mut self.histogram, &other.histogram) {
            // It grows as it has to.
            let _ = this.add(other);
        }
        self.max_us = self.max_us.max(other.max_us);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}

impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Writing to memory cannot fail, and every value is valid.
        serializer.serialize_str(&self.encoded().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::decoded(&text).ok_or_else(|| D::Error::custom("a histogram that cannot be read"))
    }
}

/// Decompresses a histogram. `None` if this program did not write it: the library trusts every length in the
/// header, and would allocate up to 4 GiB for it.
fn inflated(compressed: &[u8]) -> Option<Vec<u8>> {
    /// A count for each cell of three digits over all of u64 takes half of that.
    const LARGEST: u64 = 1 << 20;
    /// Cookie and length, before the compressed part.
    const OUTER: usize = 8;
    /// Cookie, length of the counts, offset, digits, lowest and highest value, ratio.
    const INNER: usize = 40;
    let mut bytes = Vec::new();
    ZlibDecoder::new(compressed.get(OUTER..)?).take(LARGEST).read_to_end(&mut bytes).ok()?;
    let field = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let counts = usize::try_from(field(4)?).ok()?;
    let lowest = (field(16)?, field(20)?);
    let ours =
        counts == bytes.len().checked_sub(INNER)? && field(12)? == u32::from(DIGITS) && lowest == (0, 1);
    ours.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A forged histogram: these inner bytes, compressed.
    fn forged(inner: &[u8]) -> String {
        let mut compressed = vec![0x1c, 0x84, 0x93, 0x14, 0, 0, 0, 0];
        let mut deflate = flate2::read::ZlibEncoder::new(inner, flate2::Compression::fast());
        deflate.read_to_end(&mut compressed).unwrap();
        STANDARD.encode(compressed)
    }

    #[test]
    fn forged_lengths_are_rejected() {
        let mut honest = Distribution::new();
        honest.add_ns(5_000_000);
        let inner = inflated(&STANDARD.decode(honest.encoded().unwrap()).unwrap()).unwrap();
        let add = |inner: &[u8]| Distribution::decoded(&forged(inner)).map(drop);
        let mut long = inner.clone();
        long[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(add(&long), None, "4 GiB of counts that are not there");
        let mut coarse = inner.clone();
        coarse[22] = 4;
        assert_eq!(add(&coarse), None, "cells of a millisecond");
        let mut precise = inner;
        precise[15] = 5;
        assert_eq!(add(&precise), None, "cells of five digits");
        assert_eq!(add(&vec![0; 3 << 20]), None, "longer than any");
        assert_eq!(add(&[]), None);
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_again(
            micros in prop::collection::vec((0_u64..90_000_000, 0_usize..4), 1..300),
        ) {
            let mut whole = Distribution::new();
            let mut parts = [(); 4].map(|()| Distribution::new());
            for (us, part) in micros {
                whole.add_ns(us * 1000);
                parts[part].add_ns(us * 1000);
            }
            let mut merged = Distribution::new();
            for part in parts.iter().filter(|part| !part.is_empty()) {
                let mut read = Distribution::decoded(&part.encoded().unwrap()).unwrap();
                read.set_max(part.quantiles().unwrap().max);
                merged.merge(&read);
            }
            prop_assert_eq!(merged.quantiles(), whole.quantiles());
        }

        #[test]
        fn percentiles_are_within_a_thousandth_of_the_sorted_truth(
            mut micros in prop::collection::vec(1_u64..60_000_000, 1..400),
        ) {
            let mut distribution = Distribution::with_buckets(&[0.5, 5.0]);
            micros.iter().for_each(|us| distribution.add_ns(us * 1000));
            micros.sort_unstable();
            let got = distribution.quantiles().unwrap();
            for (quantile, seconds) in [(0.5, got.p50), (0.95, got.p95), (0.99, got.p99)] {
                let rank = ((quantile * micros.len() as f64).ceil() as usize).max(1) - 1;
                let truth = micros[rank] as f64 / 1e6;
                prop_assert!((seconds - truth).abs() <= truth * 0.001 + 1e-6, "{quantile}: {seconds} {truth}");
            }
            prop_assert_eq!(got.max, *micros.last().unwrap() as f64 / 1e6);
            let below = micros.iter().filter(|us| **us <= 500_000).count() as u64;
            prop_assert_eq!(distribution.buckets().cumulative[0], (0.5, below));
        }
    }
}
