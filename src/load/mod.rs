//! The shape of the load: how many viewers there are, as a function of time. The [`controller`] turns it into
//! starts and stops.

pub mod arrivals;
pub mod controller;
pub mod schedule;
pub mod shard;
pub mod start_at;

use std::time::Duration;

use arrivals::Arrivals;
use schedule::Schedule;
use shard::Shard;

/// The load of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// The number of viewers of the whole run over time.
    pub shape: Shape,
    /// Upper bound of the random delay of each start.
    pub jitter: Duration,
    /// The share of the run that this process carries out.
    pub shard: Shard,
    /// Length of the run; `None` = until stopped.
    pub length: Option<Duration>,
}

/// The way in which the number of viewers changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Along a schedule.
    Schedule(Schedule),
    /// By arrivals and the ends of sessions.
    Arrivals(Arrivals),
    /// By a search for the largest number of viewers that holds.
    Search(LimitSearch),
}

/// A search for the largest number of viewers that holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitSearch {
    /// The most viewers that it may try.
    pub cap: u32,
    /// The number of viewers that have to hold.
    pub at_least: Option<u32>,
    /// How long each level is held.
    pub hold: Duration,
    /// Viewers started per second.
    pub per_second: f64,
}

impl LimitSearch {
    /// The number of viewers of the first level: few enough to do no harm.
    #[must_use]
    pub fn first(&self) -> u32 {
        (self.cap / 32).max(1)
    }
}

impl Load {
    /// The maximum number of concurrent viewers of the whole run.
    #[must_use]
    pub fn max_viewers(&self) -> u32 {
        match &self.shape {
            Shape::Schedule(schedule) => schedule.max_viewers(),
            Shape::Arrivals(arrivals) => arrivals.max_viewers,
            Shape::Search(search) => search.cap,
        }
    }

    /// The maximum number of concurrent viewers of this process.
    #[must_use]
    pub fn own_max_viewers(&self) -> u32 {
        self.shard.own(self.max_viewers())
    }

    /// The time by which the last planned viewer has started; zero for an arrival process, which has no last viewer.
    #[must_use]
    pub fn last_start(&self) -> Duration {
        match &self.shape {
            Shape::Schedule(schedule) => schedule.last_start() + self.jitter,
            Shape::Arrivals(_) | Shape::Search(_) => Duration::ZERO,
        }
    }

    /// The stages that the user requested, in order: the start of each, and the number of viewers at that time.
    #[must_use]
    pub fn stages(&self) -> Vec<(Duration, u32, schedule::Stage)> {
        match &self.shape {
            Shape::Schedule(schedule) => {
                schedule.asked().map(|(begin, from, stage)| (begin, from, stage.clone())).collect()
            }
            Shape::Arrivals(_) | Shape::Search(_) => Vec::new(),
        }
    }
}
