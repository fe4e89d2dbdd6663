//! The search for the largest load that holds (`--find-limit`).
//!
//! A driver tries the levels that the search asks for, and reports how each went. Levels are doubled until one
//! fails, and then the gap is halved until it is small. Both ends are tried twice; where two attempts of a level
//! disagree, a third decides.

use std::fmt;

/// The gap between the level that holds and the one that fails, as a share of the first.
const RESOLUTION: f64 = 0.05;
/// The most attempts. Without contradictions, a search up to ten million viewers needs 35.
const MOST_ATTEMPTS: usize = 60;
/// How often the ends are tried.
const CONFIRMATIONS: usize = 2;

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All criteria were met.
    Held,
    /// A criterion was not met; which one, and with which value.
    Failed(String),
    /// The load generator itself was the bottleneck; why. The search ends.
    Ours(String),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Try this number of viewers.
    Try(u32),
    /// The search is over.
    Over,
}

/// A search.
#[derive(Clone, Debug)]
pub struct Search {
    first: u32,
    cap: u32,
    attempts: Vec<(u32, Outcome)>,
}

/// The attempts of one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    held: usize,
    failed: usize,
}

impl Level {
    const fn attempts(self) -> usize {
        self.held + self.failed
    }
}

impl Search {
    /// A search that begins with `first` viewers, and never asks for more than `cap`.
    #[must_use]
    pub fn new(first: u32, cap: u32) -> Self {
        let cap = cap.max(1);
        Self { first: first.clamp(1, cap), cap, attempts: Vec::new() }
    }

    /// Notes the outcome of an attempt.
    pub fn tried(&mut self, viewers: u32, outcome: Outcome) {
        self.attempts.push((viewers, outcome));
    }

    fn level(&self, viewers: u32) -> Level {
        let mut level = Level::default();
        for (_, outcome) in self.attempts.iter().filter(|(tried, _)| *tried == viewers) {
            match outcome {
                Outcome::Held => level.held += 1,
                Outcome::Failed(_) => level.failed += 1,
                Outcome::Ours(_) => {}
            }
        }
        level
    }

    fn levels(&self) -> impl Iterator<Item = (u32, Level)> {
        self.attempts.iter().map(|(viewers, _)| (*viewers, self.level(*viewers)))
    }

    /// The smallest level that fails.
    fn fails(&self) -> Option<u32> {
        self.levels().filter(|(_, level)| level.failed > level.held).map(|(viewers, _)| viewers).min()
    }

    /// The largest level below it that holds. What held above it proves nothing.
    fn holds(&self) -> Option<u32> {
        let below = self.fails().unwrap_or(u32::MAX);
        let held = self.levels().filter(|(viewers, level)| *viewers < below && level.held > level.failed);
        held.map(|(viewers, _)| viewers).max()
    }

    fn was_ours(&self) -> Option<&str> {
        self.attempts.iter().find_map(|(_, outcome)| match outcome {
            Outcome::Ours(why) => Some(why.as_str()),
            Outcome::Held | Outcome::Failed(_) => None,
        })
    }

    /// What to do next.
    #[must_use]
    pub fn next(&self) -> Next {
        if self.was_ours().is_some() || self.attempts.len() >= MOST_ATTEMPTS {
            return Next::Over;
        }
        if let Some((tied, _)) = self.levels().find(|(_, level)| level.held == level.failed) {
            return Next::Try(tied);
        }
        let unconfirmed = |viewers: u32| self.level(viewers).attempts() < CONFIRMATIONS;
        match (self.holds(), self.fails()) {
            (None, None) => Next::Try(self.first),
            (Some(holds), None) if holds == self.cap => Next::Over,
            (Some(holds), None) => Next::Try(holds.saturating_mul(2).min(self.cap)),
            (None, Some(1)) if unconfirmed(1) => Next::Try(1),
            (None, Some(1)) => Next::Over,
            (None, Some(fails)) => Next::Try(fails / 2),
            (Some(holds), Some(fails)) => {
                let gap = fails - holds;
                if f64::from(gap) > (f64::from(holds) * RESOLUTION).max(1.0) {
                    Next::Try(holds + gap / 2)
                } else if unconfirmed(fails) {
                    Next::Try(fails)
                } else if unconfirmed(holds) {
                    Next::Try(holds)
                } else {
                    Next::Over
                }
            }
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn found(&self) -> Found {
        let bound = |viewers: u32, agree: fn(Level) -> usize| {
            let level = self.level(viewers);
            Bound { viewers, agree: agree(level), attempts: level.attempts() }
        };
        let fails = self.fails();
        let because = self.attempts.iter().rev().find_map(|(viewers, outcome)| match outcome {
            Outcome::Failed(why) if Some(*viewers) == fails => Some(why.clone()),
            _ => None,
        });
        Found {
            cap: self.cap,
            holds: self.holds().map(|viewers| bound(viewers, |level| level.held)),
            fails: fails.map(|viewers| bound(viewers, |level| level.failed)),
            because,
            ours: self.was_ours().map(str::to_owned),
            is_over: self.next() == Next::Over && self.attempts.len() < MOST_ATTEMPTS,
        }
    }
}

/// A level at one end of the gap, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Viewers.
    pub viewers: u32,
    /// How many of its attempts agree.
    pub agree: usize,
    /// Its attempts.
    pub attempts: usize,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.agree, self.attempts)
    }
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The most viewers that the search was allowed to try.
    pub cap: u32,
    /// The largest load that holds; `None` = not even one viewer, or nothing is known.
    pub holds: Option<Bound>,
    /// The smallest load that fails; `None` = none did.
    pub fails: Option<Bound>,
    /// Why that one failed.
    pub because: Option<String>,
    /// Why the load generator was the bottleneck; `None` = it was not.
    pub ours: Option<String>,
    /// Whether the search came to its end.
    pub is_over: bool,
}

impl Found {
    /// The largest number of viewers that holds; 0 if none does.
    #[must_use]
    pub fn viewers(&self) -> u32 {
        self.holds.map_or(0, |bound| bound.viewers)
    }

    /// A sentence for people. `bits_per_second` is the throughput of the load that holds.
    #[must_use]
    pub fn text(&self, bits_per_second: Option<f64>) -> String {
        let rate = bits_per_second.map_or_else(String::new, |bits| format!(" ({:.3} Gb/s)", bits / 1e9));
        let mut parts = match self.holds {
            Some(bound) => vec![format!("holds {} viewers{rate}", bound.viewers)],
            None => vec!["holds no viewer".to_owned()],
        };
        match (&self.fails, &self.because) {
            (Some(fails), Some(because)) => {
                parts.push(format!("fails at {} because {because}", fails.viewers))
            }
            _ if self.viewers() == self.cap => parts.push(format!("{} was the cap (--clients)", self.cap)),
            _ => {}
        }
        if let Some(ours) = &self.ours {
            parts.push(format!("more is not known, because we were the limit: {ours}"));
        } else if !self.is_over {
            parts.push("the search was not finished".to_owned());
        }
        let sure: Vec<String> = [("held", self.holds), ("failed", self.fails)]
            .into_iter()
            .filter_map(|(word, bound)| Some(format!("{word} in {} attempts", bound?)))
            .collect();
        if !sure.is_empty() {
            parts.push(sure.join(", "));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Drives a search against `origin`, and returns what it found and what it tried.
    fn search(first: u32, cap: u32, mut origin: impl FnMut(u32) -> Outcome) -> (Found, Vec<u32>) {
        let mut search = Search::new(first, cap);
        let mut tried = Vec::new();
        while let Next::Try(viewers) = search.next() {
            tried.push(viewers);
            assert!(tried.len() <= MOST_ATTEMPTS, "{tried:?}");
            search.tried(viewers, origin(viewers));
        }
        (search.found(), tried)
    }

    fn limited(limit: u32) -> impl FnMut(u32) -> Outcome {
        move |viewers| if viewers <= limit { Outcome::Held } else { Outcome::Failed("errors".into()) }
    }

    #[test]
    fn a_limit_is_found_and_confirmed() {
        let (found, tried) = search(4, 100, limited(20));
        assert_eq!(tried, [4, 8, 16, 32, 24, 20, 22, 21, 21, 20]);
        assert_eq!(found.holds, Some(Bound { viewers: 20, agree: 2, attempts: 2 }));
        assert_eq!(
            found.text(Some(0.5e9)),
            "holds 20 viewers (0.500 Gb/s); fails at 21 because errors; held in 2 of 2 attempts, failed in 2 of 2 attempts"
        );
    }

    #[test]
    fn a_cap_below_the_limit_is_the_end() {
        let (found, tried) = search(10, 50, limited(1000));
        assert_eq!((tried, found.viewers(), found.is_over), (vec![10, 20, 40, 50], 50, true));
        assert!(found.text(None).contains("50 was the cap"), "{}", found.text(None));
    }

    #[test]
    fn an_origin_that_holds_no_viewer_is_asked_twice() {
        let (found, tried) = search(8, 50, limited(0));
        assert_eq!(tried, [8, 4, 2, 1, 1]);
        assert_eq!((found.holds, found.viewers(), found.is_over), (None, 0, true));
        assert!(
            found.text(None).starts_with("holds no viewer; fails at 1 because errors"),
            "{}",
            found.text(None)
        );
    }

    #[test]
    fn a_third_attempt_decides_between_two() {
        // The first attempt of 32 fails by accident.
        let mut accident = true;
        let (found, tried) = search(16, 64, |viewers| match viewers {
            32 if std::mem::take(&mut accident) => Outcome::Failed("accident".into()),
            _ => limited(40)(viewers),
        });
        assert_eq!(found.viewers(), 40, "{tried:?}");
        assert_eq!(tried.iter().filter(|viewers| **viewers == 32).count(), 3, "{tried:?}");
    }

    #[test]
    fn our_own_limit_ends_the_search() {
        let (found, tried) = search(4, 100, |viewers| match viewers {
            0..=8 => Outcome::Held,
            _ => Outcome::Ours("the machine is overloaded".into()),
        });
        assert_eq!((tried, found.viewers()), (vec![4, 8, 16], 8));
        assert!(
            found.text(None).contains("we were the limit: the machine is overloaded"),
            "{}",
            found.text(None)
        );
    }

    proptest! {
        #[test]
        fn whatever_the_limit_is_it_is_between_the_ends(first in 0_u32..2000, cap in 0_u32..10_000_000, limit in 0_u32..10_000_000) {
            let (found, tried) = search(first, cap, limited(limit));
            prop_assert!(tried.iter().all(|viewers| (1..=cap.max(1)).contains(viewers)));
            prop_assert!(found.is_over && found.viewers() <= limit);
            match found.fails {
                Some(fails) => {
                    prop_assert!(fails.viewers > limit);
                    let gap = fails.viewers - found.viewers();
                    prop_assert!(f64::from(gap) <= (f64::from(found.viewers()) * RESOLUTION).max(1.0), "{found:?}");
                }
                None => prop_assert_eq!(found.viewers(), cap.max(1)),
            }
        }

        #[test]
        fn an_origin_without_a_limit_of_its_own_ends_the_search_too(cap in 1_u32..100_000, seed: u64) {
            let mut random = seed;
            let (found, tried) = search(cap / 32, cap, |_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if random >> 63 == 0 { Outcome::Held } else { Outcome::Failed("chance".into()) }
            });
            prop_assert!(tried.len() <= MOST_ATTEMPTS && tried.iter().all(|viewers| *viewers <= cap));
            prop_assert!(found.holds.zip(found.fails).is_none_or(|(holds, fails)| holds.viewers < fails.viewers));
        }
    }
}
