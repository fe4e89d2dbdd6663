//! Whether and when a viewer that failed is started again: exponential back-off with jitter.

use std::time::Duration;

/// Delay after the first failure.
const FIRST: Duration = Duration::from_millis(250);
/// Longest delay: an origin that comes back finds its viewers back within seconds.
const LONGEST: Duration = Duration::from_secs(5);
/// A viewer that lived this long had recovered; its next failure counts as the first again.
const HEALTHY: Duration = Duration::from_secs(30);

/// The restarts of one viewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restarts {
    limit: Option<u32>,
    used: u32,
    in_a_row: u32,
}

impl Restarts {
    /// `limit` restarts at most; `None` = as many as it takes.
    #[must_use]
    pub const fn new(limit: Option<u32>) -> Self {
        Self { limit, used: 0, in_a_row: 0 }
    }

    /// How long to wait before the next start, or `None` to give up. `chance` is from 0 to 1.
    pub fn after_failure(&mut self, uptime: Duration, chance: f64) -> Option<Duration> {
        if self.limit.is_some_and(|limit| self.used >= limit) {
            return None;
        }
        self.in_a_row = if uptime >= HEALTHY { 0 } else { self.in_a_row };
        let full = FIRST.saturating_mul(1 << self.in_a_row.min(16)).min(LONGEST);
        self.used = self.used.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        // Between half and all of it, so that viewers that died together do not return together.
        Some(full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_up_to_the_bound_and_start_over_after_health() {
        let mut restarts = Restarts::new(None);
        let delays: Vec<u128> =
            (0..7).map(|_| restarts.after_failure(Duration::ZERO, 1.0).unwrap().as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(restarts.after_failure(HEALTHY, 1.0).unwrap().as_millis(), 250);
    }

    proptest! {
        #[test]
        fn a_limit_is_kept_and_delays_stay_in_bounds(
            limit in 0_u32..20,
            chances in prop::collection::vec(0.0_f64..1.0, 25),
        ) {
            let mut restarts = Restarts::new(Some(limit));
            let mut granted = 0;
            for chance in chances {
                if let Some(delay) = restarts.after_failure(Duration::ZERO, chance) {
                    granted += 1;
                    prop_assert!(delay >= FIRST / 2 && delay <= LONGEST);
                }
            }
            prop_assert_eq!(granted, limit);
        }
    }
}
