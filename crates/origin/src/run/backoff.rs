//! When a process of the origin is started again after it ended, and when no more.

use std::time::Duration;

/// A run at least this long did its work for a while and wipes out the failures before it.
const HEALTHY_RUN: Duration = Duration::from_secs(3);
/// Failures in a row after which starting again is pointless.
const MOST_FAILURES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The memory of one process' failures.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next start after a run of `run`; none when it is time to give up.
    pub fn after(&mut self, run: Duration) -> Option<Duration> {
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
    fn pauses_double_up_to_a_limit_and_then_end() {
        let mut revival = Backoff::default();
        let pauses: Vec<_> = std::iter::from_fn(|| revival.after(Duration::ZERO)).collect();
        assert_eq!(
            pauses.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [100, 200, 400, 800, 1600, 3200, 5000]
        );
    }

    #[test]
    fn a_healthy_run_starts_the_count_again() {
        let mut revival = Backoff::default();
        for _ in 0..100 {
            assert_eq!(revival.after(HEALTHY_RUN), Some(FIRST_PAUSE));
        }
    }
}
