//! Viewers that arrive at random and leave again: when the next one arrives, and how long it stays.

use std::time::Duration;

/// Longest session: a year.
const MAX_SESSION_SECONDS: f64 = 365.0 * 86_400.0;

/// An arrival process.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrivals {
    /// Average arrivals per second of the whole run.
    pub per_second: f64,
    /// Maximum number of concurrent viewers; further arrivals are rejected.
    pub max_viewers: u32,
    /// How long each viewer stays.
    pub session: Session,
}

/// How long viewers stay.
#[derive(Clone, Debug, PartialEq)]
pub enum Session {
    /// The same time for all.
    Fixed(Duration),
    /// An exponential distribution: most sessions are short, some very long.
    Exponential {
        /// The average length.
        mean: Duration,
    },
    /// One of these, each with the same probability.
    AnyOf(Vec<Duration>),
}

impl Arrivals {
    /// The time to the next arrival of a Poisson process, of which this shard gets the share `1 / of`. `chance` is a
    /// random number from 0 (included) to 1 (excluded).
    #[must_use]
    pub fn gap(&self, of: u32, chance: f64) -> Duration {
        seconds(exponential(f64::from(of) / self.per_second, chance))
    }
}

impl Session {
    /// How long the next viewer stays; `chance` is as for [`Arrivals::gap`].
    #[must_use]
    pub fn length(&self, chance: f64) -> Duration {
        match self {
            Self::Fixed(length) => *length,
            Self::Exponential { mean } => seconds(exponential(mean.as_secs_f64(), chance)),
            Self::AnyOf(lengths) => {
                let index = (chance * lengths.len() as f64) as usize;
                lengths.get(index).or(lengths.last()).copied().unwrap_or_default()
            }
        }
    }
}

/// The inverse of the exponential distribution function.
fn exponential(mean: f64, chance: f64) -> f64 {
    -(1.0 - chance).ln() * mean
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.min(MAX_SESSION_SECONDS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(mut draw: impl FnMut(f64) -> Duration) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..20_000).map(|_| draw(random.f64()).as_secs_f64()).collect()
    }

    fn mean(drawn: &[f64]) -> f64 {
        drawn.iter().sum::<f64>() / drawn.len() as f64
    }

    #[test]
    fn gaps_and_sessions_follow_their_distribution() {
        let arrivals = Arrivals {
            per_second: 20.0,
            max_viewers: 100,
            session: Session::Exponential { mean: Duration::from_secs(300) },
        };
        let gaps = samples(|chance| arrivals.gap(4, chance));
        assert!((mean(&gaps) - 0.2).abs() < 0.005, "{}", mean(&gaps));
        let sessions = samples(|chance| arrivals.session.length(chance));
        assert!((mean(&sessions) - 300.0).abs() < 8.0, "{}", mean(&sessions));
        // 1/e of an exponential distribution is above its average.
        let above = sessions.iter().filter(|length| **length > 300.0).count() as f64 / 20_000.0;
        assert!((above - 0.3679).abs() < 0.01, "{above}");
    }

    #[test]
    fn session_lengths_of_a_list_are_equally_likely() {
        let lengths = [1, 2, 4].map(Duration::from_secs).to_vec();
        let session = Session::AnyOf(lengths);
        assert!((mean(&samples(|chance| session.length(chance))) - 7.0 / 3.0).abs() < 0.05);
        assert_eq!(Session::Fixed(Duration::from_secs(9)).length(0.9).as_secs(), 9);
    }
}
