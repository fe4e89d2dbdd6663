//! Durations in logarithmic buckets, fine enough for a heat map and for percentiles of a few seconds of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::merge::Merge;

/// Buckets per octave: each is 9 % wide.
const PER_OCTAVE: f64 = 8.0;
/// Upper end of the first bucket, seconds; it holds everything below.
const FIRST: f64 = 0.0001;
/// The last bucket, which holds everything above 105 s.
const LAST: u8 = 161;

/// Counts of durations by bucket, ascending; buckets without a duration are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogBuckets(Vec<(u8, u64)>);

impl LogBuckets {
    /// The bucket of a duration in seconds.
    #[must_use]
    pub fn bucket(seconds: f64) -> u8 {
        let place = ((seconds / FIRST).log2() * PER_OCTAVE).floor() + 1.0;
        // A duration of 0 has the logarithm of minus infinity, and the cast saturates.
        (place as u8).min(LAST)
    }

    /// The lower end of a bucket, seconds.
    #[must_use]
    pub fn lower(bucket: u8) -> f64 {
        if bucket == 0 { 0.0 } else { FIRST * ((f64::from(bucket) - 1.0) / PER_OCTAVE).exp2() }
    }

    /// The upper end of a bucket, seconds; that of the last one is infinite.
    #[must_use]
    pub fn upper(bucket: u8) -> f64 {
        if bucket >= LAST { f64::INFINITY } else { Self::lower(bucket + 1) }
    }

    /// The durations that were added since `before`, an earlier state of the same buckets.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let known: BTreeMap<u8, u64> = before.iter().collect();
        let added = self
            .iter()
            .map(|(bucket, count)| (bucket, count.saturating_sub(known.get(&bucket).copied().unwrap_or(0))));
        Self(added.filter(|(_, count)| *count > 0).collect())
    }

    /// Adds a duration in seconds.
    pub fn add(&mut self, seconds: f64) {
        self.add_many(Self::bucket(seconds), 1);
    }

    /// Adds the durations of others.
    pub fn add_all(&mut self, others: &Self) {
        for (bucket, many) in others.iter() {
            self.add_many(bucket, many);
        }
    }

    pub(crate) fn add_many(&mut self, bucket: u8, more: u64) {
        match self.0.binary_search_by_key(&bucket, |(known, _)| *known) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(more);
                }
            }
            Err(place) => self.0.insert(place, (bucket, more)),
        }
    }

    /// The buckets with their counts, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u64)> + Clone + '_ {
        self.0.iter().copied()
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// Whether there is no duration.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that the share `quantile` (0 to 1) of the durations does not exceed, seconds, within the 9 % of a
    /// bucket; `None` without durations.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let count = self.count() as f64;
        let rank = (quantile * count).ceil().max(1.0);
        let mut below = 0.0;
        for (bucket, many) in self.iter() {
            let many = many as f64;
            if below + many >= rank {
                let (from, to) = (Self::lower(bucket), Self::lower(bucket.saturating_add(1)));
                return Some(from + (to - from) * (rank - below) / many);
            }
            below += many;
        }
        None
    }

    /// The share of the durations up to `seconds`; `None` without durations.
    #[must_use]
    pub fn share_up_to(&self, seconds: f64) -> Option<f64> {
        let count = self.count() as f64;
        let at = Self::bucket(seconds);
        let below: u64 = self.iter().filter(|(bucket, _)| *bucket < at).map(|(_, many)| many).sum();
        let within = self.iter().find(|(bucket, _)| *bucket == at).map_or(0.0, |(bucket, many)| {
            let (from, to) = (Self::lower(bucket), Self::lower(bucket.saturating_add(1)));
            many as f64 * ((seconds - from) / (to - from)).clamp(0.0, 1.0)
        });
        (count > 0.0).then(|| (below as f64 + within) / count)
    }
}

impl Merge for LogBuckets {
    fn merge(&mut self, other: &Self) {
        self.add_all(other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_duration_has_a_bucket() {
        for seconds in [0.0, 1e-9, 0.000_05, 0.0001, 0.5, 105.0, 1e9, f64::INFINITY] {
            let bucket = LogBuckets::bucket(seconds);
            assert!(bucket <= LAST && LogBuckets::lower(bucket) <= seconds, "{seconds}: {bucket}");
            assert!(bucket == LAST || seconds < LogBuckets::lower(bucket + 1), "{seconds}: {bucket}");
        }
    }

    #[test]
    fn what_was_added_is_the_difference_of_two_states() {
        let mut buckets = LogBuckets::default();
        [0.001, 0.001, 0.5].into_iter().for_each(|seconds| buckets.add(seconds));
        let before = buckets.clone();
        assert!(buckets.since(&before).is_empty());
        [0.001, 200.0].into_iter().for_each(|seconds| buckets.add(seconds));
        let added: Vec<_> = buckets.since(&before).iter().collect();
        assert_eq!(added, [(LogBuckets::bucket(0.001), 1), (LAST, 1)]);
        assert!(LogBuckets::upper(LAST).is_infinite() && LogBuckets::upper(3) == LogBuckets::lower(4));
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_bucket_of_the_sorted_truth(
            mut seconds in prop::collection::vec(0.000_2_f64..60.0, 1..200),
        ) {
            let mut buckets = LogBuckets::default();
            seconds.iter().for_each(|duration| buckets.add(*duration));
            seconds.sort_by(f64::total_cmp);
            for quantile in [0.5, 0.95, 1.0] {
                let rank = ((quantile * seconds.len() as f64).ceil() as usize).max(1);
                let (truth, got) = (seconds[rank - 1], buckets.quantile(quantile).unwrap());
                prop_assert!((got / truth).log2().abs() <= 1.0 / PER_OCTAVE + 1e-9, "{quantile}: {got} {truth}");
            }
            let largest = *seconds.last().unwrap();
            prop_assert!((buckets.share_up_to(largest * 1.1).unwrap() - 1.0).abs() < 1e-9);
            prop_assert!(buckets.share_up_to(0.000_1).unwrap() < 1e-9);
        }
    }
}
