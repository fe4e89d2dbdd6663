//! Rates over the last seconds, from one bucket per second.

use std::collections::VecDeque;

use crate::exchange::Kind;
use crate::snapshot::{Rates, THROUGHPUT_WINDOWS};

/// The longest window, seconds.
const MAX_WINDOW_SECONDS: usize = 300;
/// Window of the rates per second: long enough for several segments, short enough to be live.
const SHORT: usize = 10;

#[derive(Clone, Copy, Debug, Default)]
struct Second {
    manifests: u64,
    segments: u64,
    bytes: u64,
    segment_bytes: u64,
}

/// Counts by second of the run.
#[derive(Clone, Debug, Default)]
pub struct Recent {
    /// Finished seconds, the newest last.
    done: VecDeque<Second>,
    current: Second,
    second: u64,
}

impl Recent {
    /// Adds an exchange that ended in the current second.
    pub fn add(&mut self, kind: Kind, body_bytes: u64) {
        self.current.bytes += body_bytes;
        match kind {
            Kind::Playlist => self.current.manifests += 1,
            Kind::Segment => {
                self.current.segments += 1;
                self.current.segment_bytes += body_bytes;
            }
            _ => {}
        }
    }

    /// Moves to the given second of the run; seconds without a call count as empty.
    pub fn advance(&mut self, second: u64) {
        while self.second < second {
            self.done.push_back(std::mem::take(&mut self.current));
            self.second += 1;
            if self.done.len() > MAX_WINDOW_SECONDS {
                self.done.pop_front();
            }
        }
    }

    /// Rates over finished seconds; windows that are longer than the run are cut to the run.
    #[must_use]
    pub fn rates(&self) -> Rates {
        let mean = |window: usize, of: fn(&Second) -> u64| {
            let seconds = window.min(self.done.len());
            let sum: u64 = self.done.iter().rev().take(seconds).map(of).sum();
            if seconds == 0 { 0.0 } else { sum as f64 / seconds as f64 }
        };
        Rates {
            manifest_per_second: mean(SHORT, |second| second.manifests),
            segment_per_second: mean(SHORT, |second| second.segments),
            bytes_per_second: mean(SHORT, |second| second.bytes),
            segment_bytes_per_second: THROUGHPUT_WINDOWS
                .map(|window| mean(window, |second| second.segment_bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_finished_seconds_only() {
        let mut recent = Recent::default();
        for second in 0..40 {
            recent.advance(second);
            recent.add(Kind::Segment, 100);
            recent.add(Kind::Playlist, 1);
        }
        let rates = recent.rates();
        assert_eq!(rates.segment_per_second, 1.0);
        assert_eq!(rates.bytes_per_second, 101.0);
        assert_eq!(rates.segment_bytes_per_second, [100.0; 4]);
        recent.advance(44);
        assert_eq!(recent.rates().segment_bytes_per_second[0], 0.0);
    }
}
