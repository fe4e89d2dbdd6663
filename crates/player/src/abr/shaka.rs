//! Adaptation as in Shaka Player (`SimpleAbrManager`, `EwmaBandwidthEstimator`), with its default configuration.

use std::time::Duration;

use super::View;
use super::ewma::Ewma;
use crate::interface::Transfer;

/// Half-lives of the averages, seconds of download time.
const FAST: f64 = 2.0;
const SLOW: f64 = 5.0;
/// The estimate until enough bytes have arrived, bits per second.
const DEFAULT_BITS: f64 = 1_000_000.0;
const MIN_TOTAL_BYTES: u64 = 128_000;
/// Smaller transfers do not count, and faster ones are taken for answers of a cache.
const MIN_SAMPLE_BYTES: u64 = 16_000;
const MIN_SAMPLE_TIME: Duration = Duration::from_millis(5);
/// The part of the estimate that a level may need: its own, and that of the next higher one.
const DOWN: f64 = 0.95;
const UP: f64 = 0.85;
/// The least time between two choices.
const INTERVAL: Duration = Duration::from_secs(8);

/// The state of adaptation.
#[derive(Clone, Debug)]
pub(crate) struct Shaka {
    fast: Ewma,
    slow: Ewma,
    bytes: u64,
    /// When a level was chosen the last time.
    chosen: Option<Duration>,
}

impl Default for Shaka {
    fn default() -> Self {
        Self { fast: Ewma::new(FAST), slow: Ewma::new(SLOW), bytes: 0, chosen: None }
    }
}

impl Shaka {
    pub(crate) fn sample(&mut self, transfer: &Transfer) {
        let time = transfer.finished.saturating_sub(transfer.started);
        if time < MIN_SAMPLE_TIME || transfer.bytes < MIN_SAMPLE_BYTES {
            return;
        }
        let bits = transfer.bytes as f64 * 8.0 / time.as_secs_f64();
        self.bytes = self.bytes.saturating_add(transfer.bytes);
        self.fast.sample(time.as_secs_f64(), bits);
        self.slow.sample(time.as_secs_f64(), bits);
    }

    fn bits(&self) -> f64 {
        self.measured().unwrap_or(DEFAULT_BITS)
    }

    pub(crate) fn ideal(&self, view: &View<'_>) -> usize {
        let bits = self.bits();
        let mut chosen = (0..view.levels.len()).find(|level| view.allowed(*level)).unwrap_or(0);
        for level in (0..view.levels.len()).filter(|level| view.allowed(*level)) {
            let higher = (level + 1..view.levels.len())
                .find(|higher| view.allowed(*higher) && view.bits(*higher) > view.bits(level));
            let most = higher.map_or(f64::INFINITY, |higher| view.bits(higher) / UP);
            if bits >= view.bits(level) / DOWN && bits <= most {
                chosen = level;
            }
        }
        chosen
    }

    pub(crate) fn next(&mut self, view: &View<'_>) -> usize {
        let due = match self.chosen {
            None => self.measured().is_some(),
            Some(chosen) => view.now.saturating_sub(chosen) >= INTERVAL,
        };
        if !due && view.allowed(view.current) {
            return view.current;
        }
        self.chosen = Some(view.now);
        self.ideal(view)
    }

    pub(crate) fn measured(&self) -> Option<f64> {
        (self.bytes >= MIN_TOTAL_BYTES).then(|| self.fast.estimate().min(self.slow.estimate()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{levels, transfer, view};
    use super::*;

    #[test]
    fn it_switches_at_most_every_8_seconds() {
        let levels = levels(&[1_000_000, 3_000_000]);
        let mut abr = Shaka::default();
        let at =
            |seconds, current| View { now: Duration::from_secs(seconds), ..view(&levels, current, 10.0) };
        assert_eq!(abr.next(&at(1, 0)), 0, "nothing was measured");
        abr.sample(&transfer(0, 1_000_000, 1000));
        assert_eq!(abr.next(&at(2, 0)), 1);
        for _ in 0..20 {
            abr.sample(&transfer(3000, 100_000, 2000));
        }
        assert_eq!((abr.next(&at(9, 1)), abr.next(&at(10, 1))), (1, 0));
    }

    #[test]
    fn a_level_needs_at_most_95_percent_of_the_estimate() {
        let levels = levels(&[1_000_000, 3_000_000]);
        let at = |bits: u64| {
            let mut abr = Shaka::default();
            // Where the ranges of two levels overlap, the higher one is taken.
            abr.sample(&transfer(0, bits / 8, 990));
            abr.ideal(&view(&levels, 0, 10.0))
        };
        assert_eq!((at(3_150_000), at(3_170_000)), (0, 1));
    }
}
