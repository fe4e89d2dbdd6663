//! The error-rate limit (`--error-storm`): a run in which most requests fail for a while is ended.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use hls_swarm_base::duration::GoDuration;

use crate::metric::criteria;
use crate::snapshot::Errors;
use crate::verdict::Criterion;

/// Below this number of requests in the window, the limit does not apply.
const MIN_REQUESTS: u64 = 50;
/// The first part of the window, in which the limit has to be exceeded as well.
const FIRST_PART: f64 = 0.1;

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
    /// The criterion that a run beyond the limit did not meet.
    #[must_use]
    pub fn criterion(&self, exceeded: Exceeded) -> Criterion {
        let limit =
            format!("less than {}% of the requests failed in the last {:?}", self.rate * 100.0, self.window);
        Criterion::new(criteria::ERROR_STORM, limit, Some(exceeded.rate), false)
            .certain(exceeded.certain >= self.rate)
    }
}

/// The error rates of the window in which the limit was exceeded, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exceeded {
    /// The share of requests and connection attempts that failed.
    pub rate: f64,
    /// Responses with a status of 400 or above over all: failures that the load generator cannot have caused.
    pub certain: f64,
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
    /// Time in seconds, and the totals so far.
    points: VecDeque<(f64, Errors)>,
}

impl ErrorRateWatcher {
    /// Nothing has been seen yet.
    #[must_use]
    pub const fn new(error_rate_limit: ErrorRateLimit) -> Self {
        Self { error_rate_limit, points: VecDeque::new() }
    }

    /// Adds the totals at `seconds`; returns the rates of the window if the limit is exceeded.
    ///
    /// The rate must be exceeded in the whole window and also in its first part: otherwise an outage would end
    /// the run after half of the window, when it outweighs the successes before it.
    pub fn sees(&mut self, seconds: f64, errors: &Errors) -> Option<Exceeded> {
        let ErrorRateLimit { rate: limit, window } = self.error_rate_limit;
        let begin = seconds - window.as_secs_f64();
        // The newest point that is old enough is where the window begins.
        while self.points.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.points.pop_front();
        }
        self.points.push_back((seconds, *errors));
        let (at, before) = self.points.front()?;
        let first_part_ends = at + window.as_secs_f64() * FIRST_PART;
        let first_part = self
            .points
            .iter()
            .filter(|(at, _)| *at >= first_part_ends)
            .find_map(|(_, errors)| errors.since(before).rate)?;
        let all = errors.since(before);
        let rate = all.rate?;
        let exceeded = *at <= begin && all.attempts >= MIN_REQUESTS && rate >= limit && first_part >= limit;
        exceeded.then(|| Exceeded { rate, certain: all.http as f64 / all.attempts as f64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second at which the limit is exceeded and the rate then, by the requests and failures of each second.
    fn seen(error_rate_limit: &str, seconds: &[(u64, u64)]) -> Option<(usize, f64)> {
        let mut watcher = ErrorRateWatcher::new(error_rate_limit.parse().unwrap());
        let mut errors = Errors::default();
        assert_eq!(watcher.sees(0.0, &errors), None);
        seconds.iter().enumerate().find_map(|(second, (more, bad))| {
            errors.attempts += more;
            errors.failed += bad;
            errors.http += bad / 2;
            let exceeded = watcher.sees((second + 1) as f64, &errors)?;
            assert!((exceeded.certain - exceeded.rate / 2.0).abs() < 1e-9, "{exceeded:?}");
            Some((second + 1, exceeded.rate))
        })
    }

    #[test]
    fn only_a_full_window_of_failures_exceeds_the_limit() {
        assert_eq!(seen("50%:10s", &[(20, 20); 20]), Some((10, 1.0)));
        assert_eq!(seen("50%:10s", &[(20, 8); 60]), None);
        assert_eq!(seen("0.5:3s", &[(20, 10); 9]), Some((3, 0.5)));
        // 48 requests in ten seconds are too few.
        assert_eq!(seen("50%:10s", &[(4, 4); 60]), None);
        // Most seconds may be without requests.
        let sparse: Vec<(u64, u64)> =
            (0..60).map(|second| if second % 5 == 4 { (40, 40) } else { (0, 0) }).collect();
        assert_eq!(seen("50%:10s", &sparse), Some((10, 1.0)));
    }

    #[test]
    fn an_outage_ends_the_run_after_the_window_and_not_after_half_of_it() {
        for before in [100, 20, 2] {
            let outage = [vec![(before, 0); 30], vec![(20, 20); 30]].concat();
            assert_eq!(seen("50%:10s", &outage), Some((40, 1.0)), "{before} good requests per second before");
        }
        let short = [vec![(20, 0); 30], vec![(20, 20); 4], vec![(20, 0); 30]].concat();
        assert_eq!(seen("50%:10s", &short), None);
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
