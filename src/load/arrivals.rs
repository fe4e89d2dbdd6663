//! An audience that comes and goes: when the next viewer comes, and how long it stays.

use std::time::Duration;

/// Longest session that is drawn: a year.
const LONGEST: f64 = 365.0 * 86_400.0;

/// Viewers that come by themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrivals {
    /// Viewers per second of the whole run, in the mean.
    pub per_second: f64,
    /// Viewers that there may be at once; who comes beyond is turned away.
    pub most: u32,
    /// How long each stays.
    pub session: Session,
}

/// How long viewers stay.
#[derive(Clone, Debug, PartialEq)]
pub enum Session {
    /// Each the same time.
    Fixed(Duration),
    /// Exponentially distributed: most shortly, some very long.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// One of these, each as likely as the others.
    AnyOf(Vec<Duration>),
}

impl Arrivals {
    /// Time to the next arrival: a Poisson process, of which `1 / of` is one shard's. `chance` is from 0
    /// (included) to 1 (excluded).
    #[must_use]
    pub fn gap(&self, of: u32, chance: f64) -> Duration {
        seconds(exponential(f64::from(of) / self.per_second, chance))
    }
}

impl Session {
    /// How long the next viewer stays; `chance` as for [`Arrivals::gap`].
    #[must_use]
    pub fn length(&self, chance: f64) -> Duration {
        match self {
            Self::Fixed(length) => *length,
            Self::Exponential { mean } => seconds(exponential(mean.as_secs_f64(), chance)),
            Self::AnyOf(lengths) => {
                let place = (chance * lengths.len() as f64) as usize;
                lengths.get(place).or(lengths.last()).copied().unwrap_or_default()
            }
        }
    }
}

/// The inverse of the exponential distribution function.
fn exponential(mean: f64, chance: f64) -> f64 {
    -(1.0 - chance).ln() * mean
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.min(LONGEST)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mut draw: impl FnMut(f64) -> Duration) -> Vec<f64> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..20_000).map(|_| draw(random.f64()).as_secs_f64()).collect()
    }

    fn mean(drawn: &[f64]) -> f64 {
        drawn.iter().sum::<f64>() / drawn.len() as f64
    }

    #[test]
    fn gaps_and_sessions_have_the_mean_and_spread_of_their_distribution() {
        let arrivals = Arrivals {
            per_second: 20.0,
            most: 100,
            session: Session::Exponential { mean: Duration::from_secs(300) },
        };
        let gaps = drawn(|chance| arrivals.gap(4, chance));
        assert!((mean(&gaps) - 0.2).abs() < 0.005, "{}", mean(&gaps));
        let sessions = drawn(|chance| arrivals.session.length(chance));
        assert!((mean(&sessions) - 300.0).abs() < 8.0, "{}", mean(&sessions));
        // Of an exponential distribution 1/e lies above the mean.
        let above = sessions.iter().filter(|length| **length > 300.0).count() as f64 / 20_000.0;
        assert!((above - 0.3679).abs() < 0.01, "{above}");
    }

    #[test]
    fn lengths_of_a_list_are_drawn_evenly() {
        let lengths = [1, 2, 4].map(Duration::from_secs).to_vec();
        let session = Session::AnyOf(lengths);
        assert!((mean(&drawn(|chance| session.length(chance))) - 7.0 / 3.0).abs() < 0.05);
        assert_eq!(Session::Fixed(Duration::from_secs(9)).length(0.9).as_secs(), 9);
    }
}
