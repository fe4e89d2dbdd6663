//! Adaptation as in ExoPlayer (Media3): `AdaptiveTrackSelection` and `DefaultBandwidthMeter` with their defaults.

use super::View;
use crate::interface::Transfer;

/// The initial estimate, bits per second, as ExoPlayer has it for an unknown network.
const DEFAULT_BITS: f64 = 1_000_000.0;
/// The share of the estimate that a level may need.
const BANDWIDTH_FRACTION: f64 = 0.7;
/// Minimum buffer for switching up, seconds.
const MIN_FOR_INCREASE: f64 = 10.0;
/// Buffer with which it no longer switches down, seconds.
const MAX_FOR_DECREASE: f64 = 25.0;
/// Near the live edge, a player cannot buffer that much. There, this share of the available media is enough to switch
/// up.
const LIVE_FRACTION: f64 = 0.75;
/// The sum of the weights in the window; the weight of a segment is the square root of its bytes.
const WINDOW_WEIGHT: f64 = 2000.0;
/// Duration of transfers from which the estimate is updated, seconds.
const MIN_SECONDS: f64 = 2.0;
/// Size of transfers from which the estimate is updated, even if they were faster.
const MIN_BYTES: u64 = 512 * 1024;

/// The state of adaptation.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExoPlayer {
    /// Weight and bits per second, the newest last.
    samples: Vec<(f32, f32)>,
    seconds: f64,
    bytes: u64,
    estimate: Option<f64>,
}

impl ExoPlayer {
    pub(crate) fn sample(&mut self, transfer: &Transfer) {
        let seconds = transfer.finished.saturating_sub(transfer.started).as_secs_f64();
        if seconds <= 0.0 || transfer.bytes == 0 {
            return;
        }
        self.seconds += seconds;
        self.bytes = self.bytes.saturating_add(transfer.bytes);
        let bytes = transfer.bytes as f64;
        self.samples.push((bytes.sqrt().floor() as f32, (bytes * 8.0 / seconds) as f32));
        self.shrink();
        if self.seconds >= MIN_SECONDS || self.bytes >= MIN_BYTES {
            self.estimate = self.median();
        }
    }

    /// Removes weight from the oldest samples until all samples fit into the window.
    fn shrink(&mut self) {
        let total: f64 = self.samples.iter().map(|(weight, _)| f64::from(*weight)).sum();
        let mut excess = total - WINDOW_WEIGHT;
        let mut gone = 0;
        for (weight, _) in &mut self.samples {
            if excess <= 0.0 {
                break;
            }
            if f64::from(*weight) <= excess {
                excess -= f64::from(*weight);
                gone += 1;
            } else {
                *weight -= excess as f32;
                excess = 0.0;
            }
        }
        self.samples.drain(..gone);
    }

    /// The weighted median of the window.
    fn median(&self) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(|one, other| one.1.total_cmp(&other.1));
        let half = sorted.iter().map(|(weight, _)| *weight).sum::<f32>() / 2.0;
        let mut weight = 0.0;
        let found = sorted.iter().find(|sample| {
            weight += sample.0;
            weight >= half
        });
        found.or(sorted.last()).map(|(_, bits)| f64::from(*bits))
    }

    /// The level that the throughput alone suggests.
    pub(crate) fn ideal(&self, view: &View<'_>) -> usize {
        view.highest_within(self.estimate.unwrap_or(DEFAULT_BITS) * BANDWIDTH_FRACTION)
    }

    pub(crate) fn next(&self, view: &View<'_>) -> usize {
        let ideal = self.ideal(view);
        if !view.allowed(view.current) {
            return ideal;
        }
        let live = view.available.map(|available| (available - view.duration).max(0.0) * LIVE_FRACTION);
        let up_from = live.map_or(MIN_FOR_INCREASE, |live| live.min(MIN_FOR_INCREASE));
        let keep = (ideal > view.current && view.buffer < up_from)
            || (ideal < view.current && view.buffer >= MAX_FOR_DECREASE);
        if keep { view.current } else { ideal }
    }

    pub(crate) const fn measured(&self) -> Option<f64> {
        self.estimate
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{levels, transfer, view};
    use super::*;

    #[test]
    fn the_estimate_is_the_median_by_weight_of_the_last_transfers() {
        let mut abr = ExoPlayer::default();
        // 1 MB in 1 s each, after 10 ms: 7.9 Mb/s. They weigh 1000; two fill the window.
        abr.sample(&transfer(0, 1_000_000, 990));
        abr.sample(&transfer(2000, 1_000_000, 1990));
        let median = abr.measured().unwrap();
        assert!((median - 4e6).abs() < 1e3, "{median}");
        for turn in 2..6 {
            abr.sample(&transfer(turn * 2000, 1_000_000, 990));
        }
        assert_eq!(abr.samples.len(), 2);
        assert!((abr.measured().unwrap() - 8e6).abs() < 1e3);
    }

    #[test]
    fn the_buffer_bounds_what_the_throughput_suggests() {
        let levels = levels(&[1_000_000, 3_000_000]);
        let mut abr = ExoPlayer::default();
        abr.sample(&transfer(0, 5_000_000, 1000));
        assert_eq!((abr.next(&view(&levels, 0, 9.9)), abr.next(&view(&levels, 0, 10.0))), (0, 1));
        // Live, with 6 s to the edge and segments of 4 s, 1.5 s suffice.
        let live = View { available: Some(6.0), ..view(&levels, 0, 1.6) };
        assert_eq!(abr.next(&live), 1);
        let mut slow = ExoPlayer::default();
        slow.sample(&transfer(0, 300_000, 3000));
        assert_eq!((slow.next(&view(&levels, 1, 25.0)), slow.next(&view(&levels, 1, 24.9))), (1, 0));
    }
}
