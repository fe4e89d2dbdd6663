//! The error-rate limit (`--error-storm`): a run in which most requests fail for a while is ended.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;

use crate::metric::criteria;
use crate::verdict::Criterion;

/// Below this number of requests in the window, the limit does not apply.
const LEAST: u64 = 50;

/// The error rate at which a run is ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRateLimit {
    /// Failed requests over all, 0 to 1.
    pub rate: f64,
    /// The time for which the rate must be exceeded.
    pub window: Duration,
}

impl Default for ErrorRateLimit {
    fn default() -> Self {
        Self { rate: 0.5, window: Duration::from_secs(10) }
    }
}

impl ErrorRateLimit {
    /// The criterion that a run beyond the limit did not meet; `rate` is that of the whole run.
    #[must_use]
    pub fn criterion(&self, rate: Option<f64>) -> Criterion {
        let limit =
            format!("less than {}% of the requests failed within {:?}", self.rate * 100.0, self.window);
        Criterion::new(criteria::ERROR_STORM, limit, rate, false)
    }
}

impl fmt::Display for ErrorRateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%:{}", self.rate * 100.0, GoDuration(self.window))
    }
}

impl FromStr for ErrorRateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rate, window) = text.split_once(':').ok_or("expected RATE:DURATION, for example 50%:10s")?;
        let (digits, unit) = rate.strip_suffix('%').map_or((rate, 1.0), |digits| (digits, 100.0));
        let number = digits.trim().parse::<f64>().map_err(|_| format!("invalid rate {rate:?}"))? / unit;
        if !(number > 0.0 && number <= 1.0) {
            return Err(format!("invalid rate {rate}: expected more than 0% and at most 100%"));
        }
        let window = window.parse::<GoDuration>().map_err(|error| error.to_string())?.0;
        if window < Duration::from_secs(1) {
            return Err(format!("{window:?} is too short: expected at least 1s"));
        }
        Ok(Self { rate: number, window })
    }
}

/// Watches the totals of a run.
#[derive(Clone, Debug)]
pub struct ErrorRateWatcher {
    error_rate_limit: ErrorRateLimit,
    /// Time in seconds, requests and failures so far.
    points: VecDeque<(f64, u64, u64)>,
}

impl ErrorRateWatcher {
    /// Nothing has been seen yet.
    #[must_use]
    pub const fn new(error_rate_limit: ErrorRateLimit) -> Self {
        Self { error_rate_limit, points: VecDeque::new() }
    }

    /// Adds the totals at `seconds`; returns whether the limit is exceeded.
    pub fn sees(&mut self, seconds: f64, asked: u64, failed: u64) -> bool {
        let begin = seconds - self.error_rate_limit.window.as_secs_f64();
        // The newest point that is old enough is where the window begins.
        while self.points.get(1).is_some_and(|(at, ..)| *at <= begin) {
            self.points.pop_front();
        }
        self.points.push_back((seconds, asked, failed));
        let Some((at, asked_before, failed_before)) = self.points.front() else { return false };
        let asked = asked.saturating_sub(*asked_before);
        let failed = failed.saturating_sub(*failed_before);
        *at <= begin && asked >= LEAST && failed as f64 >= self.error_rate_limit.rate * asked as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second at which the limit is exceeded, by the requests and failures of each second.
    fn seen(error_rate_limit: &str, seconds: &[(u64, u64)]) -> Option<usize> {
        let mut watcher = ErrorRateWatcher::new(error_rate_limit.parse().unwrap());
        let (mut asked, mut failed) = (0, 0);
        watcher.sees(0.0, 0, 0);
        seconds.iter().enumerate().find_map(|(second, (more, bad))| {
            (asked, failed) = (asked + more, failed + bad);
            watcher.sees((second + 1) as f64, asked, failed).then_some(second + 1)
        })
    }

    #[test]
    fn only_a_full_window_of_failures_exceeds_the_limit() {
        assert_eq!(seen("50%:10s", &[(20, 20); 20]), Some(10));
        assert_eq!(seen("50%:10s", &[(20, 9); 60]), None);
        assert_eq!(seen("0.5:3s", &[(20, 10); 9]), Some(3));
        // Earlier successes do not count.
        let late: Vec<(u64, u64)> = [[(100, 0); 30], [(20, 20); 30]].concat();
        assert_eq!(seen("50%:10s", &late), Some(30 + 9));
        // 49 requests in ten seconds are too few.
        assert_eq!(seen("50%:10s", &[(4, 4); 60]), None);
    }

    #[test]
    fn a_limit_survives_a_round_trip() {
        assert_eq!("50%:10s".parse(), Ok(ErrorRateLimit::default()));
        assert_eq!(ErrorRateLimit::default().to_string(), "50%:10s");
        for wrong in ["", "50%", "0%:10s", "101%:10s", "x:10s", "50%:0s", "50%:10", "NaN:10s"] {
            assert!(wrong.parse::<ErrorRateLimit>().is_err(), "{wrong}");
        }
    }
}
