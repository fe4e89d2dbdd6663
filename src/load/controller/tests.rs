//! Tests of the load controller: as time passes and viewers start, stop and fail, their number follows the shape.

use proptest::prelude::*;

use super::*;
use crate::load::arrivals::Session;
use crate::load::schedule::{Schedule, Stage};
use crate::load::shard::Shard;

const TICK: Duration = Duration::from_millis(10);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn load(stages: &[(u64, u32)]) -> Load {
    let stage = |(length, target): &(u64, u32)| Stage { length: ms(*length), target: *target, name: None };
    let schedule = Schedule::stages(stages.iter().map(stage).collect());
    let length = Some(schedule.length());
    Load { shape: Shape::Schedule(schedule), jitter: Duration::ZERO, shard: Shard::default(), length }
}

fn arrivals(per_second: f64, most: u32, session_ms: u64) -> Load {
    let arrivals = Arrivals { per_second, max_viewers: most, session: Session::Fixed(ms(session_ms)) };
    Load { shape: Shape::Arrivals(arrivals), length: None, ..load(&[]) }
}

/// A load controller whose actions are carried out immediately.
struct Simulation {
    controller: LoadController,
    random: fastrand::Rng,
    up: Vec<u32>,
    log: Vec<(u128, Action)>,
}

impl Simulation {
    fn new(load: &Load) -> Self {
        Self {
            controller: LoadController::new(load),
            random: fastrand::Rng::with_seed(3),
            up: Vec::new(),
            log: Vec::new(),
        }
    }

    fn at(&mut self, now: Duration) {
        let random = &mut self.random;
        for action in self.controller.due(now, &mut || random.f64()) {
            self.log.push((now.as_millis(), action));
            match action {
                Action::Start(viewer) => {
                    assert!(!self.up.contains(&viewer), "{viewer} is up already");
                    self.up.push(viewer);
                }
                Action::Stop(viewer) => {
                    self.up.retain(|one| *one != viewer);
                    self.controller.gone(viewer);
                }
                _ => {}
            }
        }
    }

    /// Calls the controller whenever it asks to be called, until `end`.
    fn until(&mut self, end: Duration) {
        for _ in 0..100_000 {
            match self.controller.next_call().filter(|next| *next <= end) {
                Some(next) => self.at(next),
                None => return,
            }
        }
        panic!("the controller always asks for another call");
    }

    fn counted(&self, action: fn(&Action) -> bool) -> usize {
        self.log.iter().filter(|(_, one)| action(one)).count()
    }
}

#[test]
fn the_newest_viewers_stop_first_and_the_run_ends_with_the_last_stage() {
    let mut simulation = Simulation::new(&load(&[(200, 2), (100, 2), (200, 0), (100, 1)]));
    simulation.until(ms(10_000));
    let expected = [
        (0, Action::Stage(0)),
        (0, Action::Start(1)),
        (100, Action::Start(2)),
        (200, Action::Stage(1)),
        (300, Action::Stage(2)),
        (400, Action::Stop(2)),
        // At 500 the first viewer would stop and start at the same moment, so it stays.
        (500, Action::Stage(3)),
        (600, Action::End),
    ];
    assert_eq!(simulation.log, expected);
}

#[test]
fn shards_never_share_a_viewer_number() {
    let mut numbers = Vec::new();
    for index in 0..3 {
        let shard = format!("{index}/3").parse().unwrap();
        let mut simulation = Simulation::new(&Load { shard, ..load(&[(1000, 10), (100, 10)]) });
        simulation.until(ms(1050));
        numbers.extend(simulation.up);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_pause_holds_the_shape_and_the_end() {
    let mut simulation = Simulation::new(&load(&[(1000, 10)]));
    simulation.until(ms(250));
    assert_eq!(simulation.up.len(), 3);
    assert!(simulation.controller.command(Command::Pause, ms(250)));
    simulation.until(ms(60_000));
    assert_eq!(simulation.up.len(), 3);
    simulation.controller.command(Command::Pause, ms(5250));
    simulation.until(ms(5999));
    assert_eq!(simulation.up.len(), 10);
    assert_eq!(simulation.counted(|action| *action == Action::End), 0);
    simulation.until(ms(6000));
    assert_eq!(simulation.log.last(), Some(&(6000, Action::End)));
}

#[test]
fn manual_changes_apply_during_a_pause() {
    let mut simulation = Simulation::new(&load(&[(0, 5), (9000, 5)]));
    simulation.until(ms(0));
    simulation.controller.command(Command::More(3), ms(100));
    simulation.at(ms(100));
    assert_eq!(simulation.up.len(), 8);
    simulation.controller.command(Command::Pause, ms(200));
    simulation.controller.command(Command::Fewer(10), ms(300));
    simulation.at(ms(300));
    assert_eq!(simulation.up.len(), 0);
    assert!(!simulation.controller.command(Command::Fewer(1), ms(300)), "there is no viewer left to stop");
    simulation.controller.command(Command::More(1), ms(300));
    simulation.at(ms(300));
    assert_eq!(simulation.up.len(), 0, "no viewer starts during a pause");
    simulation.controller.command(Command::Pause, ms(400));
    simulation.at(ms(400));
    assert_eq!(simulation.up.len(), 1);
}

#[test]
fn the_number_of_viewers_settles_at_arrival_rate_times_session_length() {
    // Little's law: 50 per second for 2 s each are 100 at once.
    let mut simulation = Simulation::new(&arrivals(50.0, 1000, 2000));
    simulation.until(ms(10_000));
    let mut sum = 0;
    for second in 10..40 {
        simulation.until(ms(1000 * second));
        sum += simulation.up.len();
    }
    let mean = sum as f64 / 30.0;
    assert!((mean - 100.0).abs() < 8.0, "{mean}");
    assert_eq!(simulation.counted(|action| *action == Action::Reject), 0);
    let started = simulation.counted(|action| matches!(action, Action::Start(_))) as f64;
    assert!((started - 50.0 * 39.0).abs() < 150.0, "{started}");
    // Slots are reused.
    assert!(simulation.up.iter().all(|viewer| *viewer <= 150));
}

#[test]
fn viewers_beyond_the_maximum_are_rejected_and_counted() {
    let mut simulation = Simulation::new(&arrivals(100.0, 7, 1000));
    for tick in 0..500 {
        simulation.until(TICK * tick);
        assert!(simulation.up.len() <= 7);
    }
    let rejected = simulation.counted(|action| *action == Action::Reject);
    let started = simulation.counted(|action| matches!(action, Action::Start(_)));
    assert!((400..600).contains(&(rejected + started)), "{rejected} + {started}");
    assert!(started <= 7 * 5, "{started}");
}

#[test]
fn a_viewer_that_ended_keeps_its_slot_until_it_would_have_stopped() {
    let mut simulation = Simulation::new(&load(&[(0, 2), (1000, 2), (0, 1), (1000, 1), (0, 2), (1000, 2)]));
    simulation.until(ms(500));
    simulation.controller.gone(2);
    simulation.up.retain(|viewer| *viewer != 2);
    simulation.until(ms(999));
    assert_eq!(simulation.up, [1], "its slot is not given to another viewer");
    simulation.until(ms(2500));
    assert_eq!(simulation.up, [1, 2], "the next ramp fills the slot");
}

proptest! {
    #[test]
    fn viewers_never_exceed_the_schedule_and_start_within_the_jitter(
        stages in prop::collection::vec((0_u64..1500, 0_u32..30), 1..5),
        jitter in 0_u64..400,
        seed: u64,
    ) {
        let load = Load { jitter: ms(jitter), ..load(&stages) };
        let Shape::Schedule(schedule) = &load.shape else { unreachable!() };
        let steps: Vec<(Duration, Step)> = schedule.steps(load.shard).collect();
        let line = |at: Duration| -> i64 {
            let before = steps.iter().take_while(|(when, _)| *when <= at);
            before.map(|(_, step)| if *step == Step::Up { 1 } else { -1 }).sum()
        };
        let mut simulation = Simulation { random: fastrand::Rng::with_seed(seed), ..Simulation::new(&load) };
        let mut at = Duration::ZERO;
        while at < schedule.length() {
            simulation.until(at);
            let up = simulation.up.len() as i64;
            prop_assert!(up <= line(at), "{up} up at {at:?}, {} planned", line(at));
            // A viewer that has been wanted for longer than the jitter is up.
            let since = at.saturating_sub(ms(jitter));
            let wanted = std::iter::once(line(since))
                .chain(steps.iter().filter(|(when, _)| *when > since && *when <= at).map(|(when, _)| line(*when)))
                .min();
            if at >= ms(jitter) {
                prop_assert!(Some(up) >= wanted, "{up} up at {at:?}, {wanted:?} wanted");
            }
            at += TICK;
        }
        simulation.until(schedule.length());
        prop_assert_eq!(simulation.log.last().map(|(at, action)| (*at, *action)), Some((schedule.length().as_millis(), Action::End)));
    }
}
