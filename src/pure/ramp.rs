//! When each viewer starts: a steady rate, and a random delay so that starts do not march in step.

use std::time::Duration;

/// How viewers arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// Viewers in all.
    pub clients: u32,
    /// Viewers per second.
    pub per_second: f64,
    /// Upper bound of the random delay.
    pub jitter: Duration,
}

impl Ramp {
    /// Start times from the beginning of the run, in the order of time. `chance` yields numbers
    /// from 0 (included) to 1 (excluded).
    pub fn starts(&self, mut chance: impl FnMut() -> f64) -> Vec<Duration> {
        let mut starts: Vec<Duration> = (0..self.clients)
            .map(|index| {
                Duration::from_secs_f64(f64::from(index) / self.per_second) + self.jitter.mul_f64(chance())
            })
            .collect();
        starts.sort_unstable();
        starts
    }

    /// When the last viewer has been started at the latest.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.clients.saturating_sub(1)) / self.per_second) + self.jitter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_viewer_starts_in_its_slot(
            clients in 1_u32..300,
            per_second in 0.1_f64..100.0,
            jitter_ms in 0_u64..2000,
            seed: u64,
        ) {
            let ramp = Ramp { clients, per_second, jitter: Duration::from_millis(jitter_ms) };
            let mut random = fastrand::Rng::with_seed(seed);
            let starts = ramp.starts(|| random.f64());
            prop_assert_eq!(starts.len(), clients as usize);
            prop_assert!(starts.is_sorted());
            prop_assert!(starts.iter().all(|start| *start <= ramp.length()));
            // Jitter only delays: by any moment no more viewers have started than the rate allows.
            for (index, start) in starts.iter().enumerate() {
                let earliest = index as f64 / per_second;
                prop_assert!(start.as_secs_f64() >= earliest - 1e-6);
            }
        }
    }
}
