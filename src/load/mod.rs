//! How many viewers there are to be, and when: the shape of the load. The shape is a function of
//! time; [`controller`] turns it into starts and stops.

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
    /// Viewers over time, of the whole run.
    pub shape: Shape,
    /// Upper bound of the random delay of each start.
    pub jitter: Duration,
    /// The share of this process.
    pub shard: Shard,
    /// Length of the run; `None` = until stopped.
    pub length: Option<Duration>,
}

/// What decides how many viewers there are.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line that is followed.
    Schedule(Schedule),
    /// Viewers come and go.
    Arrivals(Arrivals),
}

impl Load {
    /// Most viewers of the whole run at once.
    #[must_use]
    pub fn most(&self) -> u32 {
        match &self.shape {
            Shape::Schedule(schedule) => schedule.most(),
            Shape::Arrivals(arrivals) => arrivals.most,
        }
    }

    /// Most viewers of this process at once.
    #[must_use]
    pub fn own_most(&self) -> u32 {
        self.shard.own(self.most())
    }

    /// When the last viewer that is planned has been started at the latest. Where viewers come and go
    /// there is no such time: zero.
    #[must_use]
    pub fn last_start(&self) -> Duration {
        match &self.shape {
            Shape::Schedule(schedule) => schedule.last_start() + self.jitter,
            Shape::Arrivals(_) => Duration::ZERO,
        }
    }

    /// The stages that were asked for, in the order of time.
    #[must_use]
    pub fn stages(&self) -> Vec<(Duration, u32, schedule::Stage)> {
        match &self.shape {
            Shape::Schedule(schedule) => {
                schedule.asked().map(|(begin, from, stage)| (begin, from, stage.clone())).collect()
            }
            Shape::Arrivals(_) => Vec::new(),
        }
    }
}
