//! The pause before a failed process of the origin is restarted, and when to give up.

use std::time::Duration;

/// A process that ran this long was working; failures before it no longer count.
const HEALTHY_RUN: Duration = Duration::from_secs(3);
/// Number of consecutive failures after which the origin gives up.
const MOST_FAILURES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Counts the consecutive failures of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next start after a process that ran for `run`; `None` to give up.
    pub(crate) fn after(&mut self, run: Duration) -> Option<Duration> {
        if run >= HEALTHY_RUN {
            self.failures = 0;
        }
        self.failures += 1;
        (self.failures < MOST_FAILURES)
            .then(|| (FIRST_PAUSE * 2_u32.pow(self.failures - 1)).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_until_it_gives_up() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| backoff.after(Duration::ZERO)).collect();
        assert_eq!(
            pauses.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [100, 200, 400, 800, 1600, 3200, 5000]
        );
    }

    #[test]
    fn a_healthy_run_resets_the_count() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert_eq!(backoff.after(HEALTHY_RUN), Some(FIRST_PAUSE));
        }
    }
}
