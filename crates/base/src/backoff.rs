//! Exponential backoff: whether and when a failed process is started again. Pure: the caller passes
//! in how long it ran, and the random number.

use std::time::Duration;

/// The rules of a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// Delay after the first failure; it doubles with each further one.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
    /// A run of this length was healthy: the failures in a row before it no longer count.
    pub healthy: Duration,
    /// Whether a delay is shortened at random by up to a half, so that what failed together does not
    /// return together.
    pub jitter: bool,
    /// Most restarts in all; `None` = no limit.
    pub max_restarts: Option<u32>,
    /// Most restarts without a healthy run in between; `None` = no limit.
    pub max_in_a_row: Option<u32>,
}

/// The restarts of one viewer or one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    policy: BackoffPolicy,
    restarts: u32,
    in_a_row: u32,
}

impl Backoff {
    /// No failure so far.
    #[must_use]
    pub const fn new(policy: BackoffPolicy) -> Self {
        Self { policy, restarts: 0, in_a_row: 0 }
    }

    /// The delay before the next start after a run that failed after `uptime`; `None` = give up. `random` is
    /// from 0 to 1 and only matters with [`BackoffPolicy::jitter`].
    pub fn after_failure(&mut self, uptime: Duration, random: f64) -> Option<Duration> {
        let BackoffPolicy { first, longest, healthy, jitter, max_restarts, max_in_a_row } = self.policy;
        if uptime >= healthy {
            self.in_a_row = 0;
        }
        let exhausted = |used: u32, limit: Option<u32>| limit.is_some_and(|limit| used >= limit);
        if exhausted(self.restarts, max_restarts) || exhausted(self.in_a_row, max_in_a_row) {
            return None;
        }
        let full = first.saturating_mul(1 << self.in_a_row.min(16)).min(longest);
        self.restarts = self.restarts.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Some(if jitter { full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0) } else { full })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy {
        first: Duration::from_millis(250),
        longest: Duration::from_secs(5),
        healthy: Duration::from_secs(30),
        jitter: true,
        max_restarts: None,
        max_in_a_row: None,
    };

    fn delays(policy: BackoffPolicy, random: f64) -> Vec<u128> {
        let mut backoff = Backoff::new(policy);
        let delays = std::iter::from_fn(|| backoff.after_failure(Duration::ZERO, random));
        delays.take(9).map(|delay| delay.as_millis()).collect()
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        assert_eq!(delays(POLICY, 1.0), [250, 500, 1000, 2000, 4000, 5000, 5000, 5000, 5000]);
        let steady = BackoffPolicy { jitter: false, ..POLICY };
        assert_eq!(delays(steady, 0.0), delays(POLICY, 1.0), "without jitter no random number matters");
    }

    #[test]
    fn a_healthy_run_resets_the_delay_and_the_failures_in_a_row() {
        let mut backoff = Backoff::new(BackoffPolicy { max_in_a_row: Some(2), ..POLICY });
        for _ in 0..100 {
            assert_eq!(backoff.after_failure(POLICY.healthy, 1.0), Some(POLICY.first));
        }
        assert_eq!(backoff.after_failure(Duration::ZERO, 1.0), Some(POLICY.first * 2));
        assert_eq!(backoff.after_failure(Duration::ZERO, 1.0), None, "that was the second in a row");
    }

    #[test]
    fn too_many_failures_in_a_row_end_the_restarts() {
        assert_eq!(delays(BackoffPolicy { max_in_a_row: Some(3), ..POLICY }, 1.0), [250, 500, 1000]);
    }

    proptest! {
        #[test]
        fn the_limit_holds_and_delays_stay_within_their_bounds(
            limit in 0_u32..20,
            random in prop::collection::vec(0.0_f64..1.0, 25),
        ) {
            let mut backoff = Backoff::new(BackoffPolicy { max_restarts: Some(limit), ..POLICY });
            let mut granted = 0;
            for random in random {
                if let Some(delay) = backoff.after_failure(POLICY.healthy, random) {
                    granted += 1;
                    prop_assert!(delay >= POLICY.first / 2 && delay <= POLICY.longest);
                }
            }
            prop_assert_eq!(granted, limit);
        }
    }
}
