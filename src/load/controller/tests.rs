//! Tests of the crowd: time passes, viewers come, go and die, and the shape of the load is kept.

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

fn audience(per_second: f64, most: u32, session_ms: u64) -> Load {
    let arrivals = Arrivals { per_second, most, session: Session::Fixed(ms(session_ms)) };
    Load { shape: Shape::Arrivals(arrivals), length: None, ..load(&[]) }
}

/// A crowd whose viewers do as they are told, at once.
struct Play {
    crowd: LoadController,
    random: fastrand::Rng,
    up: Vec<u32>,
    log: Vec<(u128, Do)>,
}

impl Play {
    fn new(load: &Load) -> Self {
        Self {
            crowd: LoadController::new(load),
            random: fastrand::Rng::with_seed(3),
            up: Vec::new(),
            log: Vec::new(),
        }
    }

    fn at(&mut self, now: Duration) {
        let random = &mut self.random;
        for order in self.crowd.due(now, &mut || random.f64()) {
            self.log.push((now.as_millis(), order));
            match order {
                Do::Start(viewer) => {
                    assert!(!self.up.contains(&viewer), "{viewer} is up already");
                    self.up.push(viewer);
                }
                Do::Stop(viewer) => {
                    self.up.retain(|one| *one != viewer);
                    self.crowd.gone(viewer);
                }
                _ => {}
            }
        }
    }

    /// Follows the crowd's own calls until `end`.
    fn until(&mut self, end: Duration) {
        for _ in 0..100_000 {
            match self.crowd.next_call().filter(|next| *next <= end) {
                Some(next) => self.at(next),
                None => return,
            }
        }
        panic!("it never rests");
    }

    fn counted(&self, order: fn(&Do) -> bool) -> usize {
        self.log.iter().filter(|(_, one)| order(one)).count()
    }
}

#[test]
fn the_newest_leave_first_and_the_end_comes_with_the_last_stage() {
    let mut play = Play::new(&load(&[(200, 2), (100, 2), (200, 0), (100, 1)]));
    play.until(ms(10_000));
    let expected = [
        (0, Do::Stage(0)),
        (0, Do::Start(1)),
        (100, Do::Start(2)),
        (200, Do::Stage(1)),
        (300, Do::Stage(2)),
        (400, Do::Stop(2)),
        // At 500 the first one would go and come at the same moment: it stays.
        (500, Do::Stage(3)),
        (600, Do::End),
    ];
    assert_eq!(play.log, expected);
}

#[test]
fn shards_have_numbers_of_their_own() {
    let mut numbers = Vec::new();
    for index in 0..3 {
        let shard = format!("{index}/3").parse().unwrap();
        let mut play = Play::new(&Load { shard, ..load(&[(1000, 10), (100, 10)]) });
        play.until(ms(1050));
        numbers.extend(play.up);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_pause_holds_the_shape_and_the_end() {
    let mut play = Play::new(&load(&[(1000, 10)]));
    play.until(ms(250));
    assert_eq!(play.up.len(), 3);
    assert!(play.crowd.command(Command::Pause, ms(250)));
    play.until(ms(60_000));
    assert_eq!(play.up.len(), 3);
    play.crowd.command(Command::Pause, ms(5250));
    play.until(ms(5999));
    assert_eq!(play.up.len(), 10);
    assert_eq!(play.counted(|order| *order == Do::End), 0);
    play.until(ms(6000));
    assert_eq!(play.log.last(), Some(&(6000, Do::End)));
}

#[test]
fn hands_are_heard_also_during_a_pause() {
    let mut play = Play::new(&load(&[(0, 5), (9000, 5)]));
    play.until(ms(0));
    play.crowd.command(Command::More(3), ms(100));
    play.at(ms(100));
    assert_eq!(play.up.len(), 8);
    play.crowd.command(Command::Pause, ms(200));
    play.crowd.command(Command::Fewer(10), ms(300));
    play.at(ms(300));
    assert_eq!(play.up.len(), 0);
    assert!(!play.crowd.command(Command::Fewer(1), ms(300)), "nobody is left to go");
    play.crowd.command(Command::More(1), ms(300));
    play.at(ms(300));
    assert_eq!(play.up.len(), 0, "nobody comes during a pause");
    play.crowd.command(Command::Pause, ms(400));
    play.at(ms(400));
    assert_eq!(play.up.len(), 1);
}

#[test]
fn an_audience_settles_at_arrivals_times_session_length() {
    // Little's law: 50 per second for 2 s each are 100 at once.
    let mut play = Play::new(&audience(50.0, 1000, 2000));
    play.until(ms(10_000));
    let mut sum = 0;
    for second in 10..40 {
        play.until(ms(1000 * second));
        sum += play.up.len();
    }
    let mean = sum as f64 / 30.0;
    assert!((mean - 100.0).abs() < 8.0, "{mean}");
    assert_eq!(play.counted(|order| *order == Do::TurnAway), 0);
    let came = play.counted(|order| matches!(order, Do::Start(_))) as f64;
    assert!((came - 50.0 * 39.0).abs() < 150.0, "{came}");
    // Seats are used again.
    assert!(play.up.iter().all(|viewer| *viewer <= 150));
}

#[test]
fn who_finds_no_room_is_turned_away_and_counted() {
    let mut play = Play::new(&audience(100.0, 7, 1000));
    for tick in 0..500 {
        play.until(TICK * tick);
        assert!(play.up.len() <= 7);
    }
    let away = play.counted(|order| *order == Do::TurnAway);
    let came = play.counted(|order| matches!(order, Do::Start(_)));
    assert!((400..600).contains(&(away + came)), "{away} + {came}");
    assert!(came <= 7 * 5, "{came}");
}

#[test]
fn whoever_has_died_keeps_the_seat_until_it_would_have_left() {
    let mut play = Play::new(&load(&[(0, 2), (1000, 2), (0, 1), (1000, 1), (0, 2), (1000, 2)]));
    play.until(ms(500));
    play.crowd.gone(2);
    play.up.retain(|viewer| *viewer != 2);
    play.until(ms(999));
    assert_eq!(play.up, [1], "nobody takes the seat of the dead");
    play.until(ms(2500));
    assert_eq!(play.up, [1, 2], "the next ramp fills it");
}

proptest! {
    #[test]
    fn never_more_than_the_line_and_no_later_than_the_jitter(
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
        let mut play = Play { random: fastrand::Rng::with_seed(seed), ..Play::new(&load) };
        let mut at = Duration::ZERO;
        while at < schedule.length() {
            play.until(at);
            let up = play.up.len() as i64;
            prop_assert!(up <= line(at), "{up} up at {at:?}, {} planned", line(at));
            // Whoever has been wanted for longer than the jitter is there.
            let since = at.saturating_sub(ms(jitter));
            let wanted = std::iter::once(line(since))
                .chain(steps.iter().filter(|(when, _)| *when > since && *when <= at).map(|(when, _)| line(*when)))
                .min();
            if at >= ms(jitter) {
                prop_assert!(Some(up) >= wanted, "{up} up at {at:?}, {wanted:?} wanted");
            }
            at += TICK;
        }
        play.until(schedule.length());
        prop_assert_eq!(play.log.last().map(|(at, order)| (*at, *order)), Some((schedule.length().as_millis(), Do::End)));
    }
}
