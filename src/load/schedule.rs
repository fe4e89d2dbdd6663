//! The number of viewers as a function of time: straight lines between stages.
//!
//! Viewer k plays while the line is above k - 1. So the first viewer starts when the line begins to rise, the last
//! one starts before its end, and on the way down the last viewer stops when the line ends.

use std::time::Duration;

use super::shard::Shard;

/// A straight line to a number of viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// How long the stage takes.
    pub length: Duration,
    /// Number of viewers at its end.
    pub target: u32,
    /// Its name in reports, if it has one.
    pub name: Option<String>,
}

/// A sequence of stages that begins with no viewers; after the last stage the number stays the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    stages: Vec<Stage>,
    typed: bool,
}

/// A change by one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// One viewer more.
    Up,
    /// One viewer less.
    Down,
}

impl Schedule {
    /// A ramp at a constant rate to `clients` viewers.
    #[must_use]
    pub fn ramp(clients: u32, per_second: f64) -> Self {
        let length = Duration::from_secs_f64(f64::from(clients) / per_second);
        Self { stages: vec![Stage { length, target: clients, name: None }], typed: false }
    }

    /// A schedule of the stages that the user asked for.
    #[must_use]
    pub const fn stages(stages: Vec<Stage>) -> Self {
        Self { stages, typed: true }
    }

    /// The stages that the user asked for, each with its beginning and the number of viewers then; none for a ramp.
    pub fn asked(&self) -> impl Iterator<Item = (Duration, u32, &Stage)> {
        self.lines().filter(|_| self.typed)
    }

    /// Each stage with its beginning and the number of viewers then.
    fn lines(&self) -> impl Iterator<Item = (Duration, u32, &Stage)> {
        self.stages.iter().scan((Duration::ZERO, 0), |(begin, from), stage| {
            let line = (*begin, *from, stage);
            (*begin, *from) = (begin.saturating_add(stage.length), stage.target);
            Some(line)
        })
    }

    /// The maximum number of viewers.
    #[must_use]
    pub fn max_viewers(&self) -> u32 {
        self.stages.iter().map(|stage| stage.target).max().unwrap_or(0)
    }

    /// The length of all stages together.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.stages.iter().fold(Duration::ZERO, |sum, stage| sum.saturating_add(stage.length))
    }

    /// When the last viewer starts.
    #[must_use]
    pub fn last_start(&self) -> Duration {
        let ups = self.lines().filter(|(_, from, stage)| stage.target > *from);
        ups.last().map_or(Duration::ZERO, |(begin, from, stage)| {
            begin + part(stage.length, stage.target - from - 1, stage.target - from)
        })
    }

    /// Every change of the number of `shard`'s viewers, in the order of time.
    pub fn steps(&self, shard: Shard) -> impl Iterator<Item = (Duration, Step)> + Send + use<> {
        let lines: Vec<_> =
            self.lines().map(|(begin, from, stage)| (begin, from, stage.target, stage.length)).collect();
        lines.into_iter().flat_map(move |(begin, from, to, length)| {
            let changes = to.abs_diff(from);
            let own = move |number: u32| (number - 1) % shard.of() == shard.index();
            (0..changes).filter_map(move |done| {
                let (number, at, step) = if to > from {
                    (from + done + 1, part(length, done, changes), Step::Up)
                } else {
                    (from - done, part(length, done + 1, changes), Step::Down)
                };
                own(number).then_some((begin + at, step))
            })
        })
    }
}

/// `whole * numerator / denominator`, to the nanosecond.
fn part(whole: Duration, numerator: u32, denominator: u32) -> Duration {
    let nanos = whole.as_nanos() * u128::from(numerator) / u128::from(denominator.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(stages: &[(u64, u32)]) -> Schedule {
        let stage = |(ms, target): &(u64, u32)| Stage {
            length: Duration::from_millis(*ms),
            target: *target,
            name: None,
        };
        Schedule::stages(stages.iter().map(stage).collect())
    }

    /// The number of viewers after the last step at or before `at`.
    fn count(schedule: &Schedule, shard: Shard, at: Duration) -> i64 {
        let steps = schedule.steps(shard).take_while(|(when, _)| *when <= at);
        steps.map(|(_, step)| if step == Step::Up { 1 } else { -1 }).sum()
    }

    fn whole() -> Shard {
        Shard::default()
    }

    #[test]
    fn a_ramp_starts_its_first_viewer_immediately() {
        let ramp = Schedule::ramp(4, 2.0);
        let times: Vec<u128> = ramp.steps(whole()).map(|(at, _)| at.as_millis()).collect();
        assert_eq!(times, [0, 500, 1000, 1500]);
        assert_eq!(ramp.last_start().as_millis(), 1500);
        assert_eq!(ramp.asked().count(), 0);
    }

    #[test]
    fn stages_rise_hold_jump_and_fall() {
        let schedule = schedule(&[(1000, 2), (5000, 2), (0, 4), (2000, 0)]);
        let steps: Vec<(u128, Step)> =
            schedule.steps(whole()).map(|(at, step)| (at.as_millis(), step)).collect();
        let (up, down) = (Step::Up, Step::Down);
        let expected = [
            (0, up),
            (500, up),
            (6000, up),
            (6000, up),
            (6500, down),
            (7000, down),
            (7500, down),
            (8000, down),
        ];
        assert_eq!(steps, expected);
        assert_eq!((schedule.max_viewers(), schedule.length().as_secs()), (4, 8));
        assert_eq!(
            schedule.asked().map(|(begin, from, _)| (begin.as_secs(), from)).collect::<Vec<_>>(),
            [(0, 0), (1, 2), (6, 2), (6, 4)]
        );
    }

    proptest! {
        #[test]
        fn shards_add_up_to_the_schedule_at_any_moment(
            stages in prop::collection::vec((0_u64..3000, 0_u32..60), 1..6),
            shards in 1_u32..6,
            moment in 0.0_f64..1.2,
        ) {
            let schedule = schedule(&stages);
            let at = schedule.length().mul_f64(moment);
            let parts: Vec<Shard> = (0..shards).map(|index| format!("{index}/{shards}").parse().unwrap()).collect();
            let sum: i64 = parts.iter().map(|shard| count(&schedule, *shard, at)).sum();
            prop_assert_eq!(sum, count(&schedule, whole(), at));
            // Each shard has exactly its share of the viewers.
            for shard in &parts {
                prop_assert_eq!(count(&schedule, *shard, at), i64::from(shard.own(u32::try_from(sum).unwrap())));
            }
            // The sum is the line, apart from rounding to whole viewers and nanoseconds.
            let (begin, from, stage) = schedule.lines().filter(|(begin, ..)| *begin <= at).last().unwrap();
            // A stage of length zero is a jump, which is complete when it begins.
            let done = if stage.length.is_zero() {
                1.0
            } else {
                ((at - begin).as_secs_f64() / stage.length.as_secs_f64()).min(1.0)
            };
            let line = f64::from(from) + (f64::from(stage.target) - f64::from(from)) * done;
            prop_assert!((sum as f64 - line).abs() <= 1.0 + 1e-3, "{sum} viewers, line at {line}");
            prop_assert!(sum >= 0 && sum <= i64::from(schedule.max_viewers()));
        }

        #[test]
        fn steps_are_in_order_and_within_the_stages(
            stages in prop::collection::vec((0_u64..3000, 0_u32..60), 1..6),
        ) {
            let schedule = schedule(&stages);
            let times: Vec<Duration> = schedule.steps(whole()).map(|(at, _)| at).collect();
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|at| *at <= schedule.length()));
            let last_up = schedule.steps(whole()).filter(|(_, step)| *step == Step::Up).map(|(at, _)| at).max();
            prop_assert_eq!(last_up.unwrap_or_default(), schedule.last_start());
        }
    }
}
