//! The crowd: who is to be started and stopped now, so that there are as many viewers as the shape of the
//! load asks for. A policy without a clock: the supervisor passes the time in and does as it is told.
//!
//! Viewers sit in seats, lowest first. When there are to be fewer, the newest leave: the ramp down is the
//! ramp up backwards, those who stay have been there from the beginning, shards stay in proportion, and
//! so do streams. Viewers that come and go leave when their session is over.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::time::Duration;

use hls_swarm_model::command::Command;

use super::arrivals::Arrivals;
use super::schedule::Step;
use super::{Load, Shape};

/// What the supervisor is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Start this viewer.
    Start(u32),
    /// Stop this viewer in good order; its task may have ended by itself.
    Stop(u32),
    /// Note that a viewer came for whom there was no room.
    TurnAway,
    /// Note that this stage begins.
    Stage(usize),
    /// End the run: its length is over.
    End,
}

/// Where somebody sits.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// When it is to start; `None` = it has.
    starts: Option<Duration>,
    /// When it leaves by itself.
    until: Option<Duration>,
    /// It was told to leave and has not ended yet.
    leaving: bool,
    /// Its task has ended by itself: it left, or was given up.
    over: bool,
}

type Steps = Peekable<Box<dyn Iterator<Item = (Duration, Step)> + Send>>;

enum Course {
    Steps { steps: Steps, scheduled: u32 },
    Arrivals { arrivals: Arrivals, next: Option<Duration> },
}

/// The crowd of one run.
pub struct LoadController {
    load: Load,
    course: Course,
    /// Beginnings of stages still to come.
    stages: std::vec::IntoIter<(usize, Duration)>,
    next_stage: Option<(usize, Duration)>,
    seats: BTreeMap<u32, Slot>,
    /// Viewers more (or less) than planned, by hand.
    manual_changes: i64,
    /// Viewers that are to come or go at once, by hand, where viewers come and go.
    guests: i64,
    paused_at: Option<Duration>,
    /// How long the shape of the load has stood still.
    stood: Duration,
    ended: bool,
}

impl LoadController {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(load: &Load) -> Self {
        let course = match &load.shape {
            Shape::Schedule(schedule) => {
                let steps: Box<dyn Iterator<Item = _> + Send> = Box::new(schedule.steps(load.shard));
                Course::Steps { steps: steps.peekable(), scheduled: 0 }
            }
            Shape::Arrivals(arrivals) => Course::Arrivals { arrivals: arrivals.clone(), next: None },
        };
        let stages: Vec<_> = load.stages().into_iter().map(|(begin, ..)| begin).enumerate().collect();
        let mut stages = stages.into_iter();
        Self {
            course,
            next_stage: stages.next(),
            stages,
            load: load.clone(),
            seats: BTreeMap::new(),
            manual_changes: 0,
            guests: 0,
            paused_at: None,
            stood: Duration::ZERO,
            ended: false,
        }
    }

    /// What is to be done at `now`, counted from the beginning of the run. `chance` yields numbers from 0
    /// (included) to 1 (excluded).
    pub fn due(&mut self, now: Duration, chance: &mut dyn FnMut() -> f64) -> Vec<Do> {
        let mut orders = Vec::new();
        let at = self.clock(now);
        if self.load.length.is_some_and(|length| at >= length) {
            if !std::mem::replace(&mut self.ended, true) {
                orders.push(Do::End);
            }
            return orders;
        }
        while let Some((stage, _)) = self.next_stage.filter(|(_, begin)| *begin <= at) {
            orders.push(Do::Stage(stage));
            self.next_stage = self.stages.next();
        }
        self.sessions_end(now, &mut orders);
        match self.paused_at {
            None => self.follow(now, at, chance, &mut orders),
            // Nobody comes while the load is paused, but by hand some may go.
            Some(_) => {
                self.fit(now, false, chance, &mut orders);
                self.send_away(&mut orders);
            }
        }
        self.start_pending(now, &mut orders);
        orders
    }

    /// When [`Self::due`] has something to do next; `None` = not before something else happens.
    #[must_use]
    pub fn next_call(&mut self) -> Option<Duration> {
        if self.ended {
            return None;
        }
        let stood = self.stood;
        let planned = match &mut self.course {
            _ if self.paused_at.is_some() => None,
            Course::Steps { steps, .. } => steps.peek().map(|(at, _)| *at),
            Course::Arrivals { next, .. } => Some(next.unwrap_or_default()),
        };
        let stage = self.next_stage.map(|(_, begin)| begin);
        let end = self.load.length;
        let shaped = [planned, stage, end].into_iter().flatten().min();
        let shaped = shaped.filter(|_| self.paused_at.is_none()).map(|at| at + stood);
        let present = self.seats.values().filter(|seat| !seat.leaving);
        let seats = present.filter_map(|seat| match seat.starts {
            Some(_) if self.paused_at.is_some() => None,
            Some(starts) => Some(starts),
            None => seat.until,
        });
        shaped.into_iter().chain(seats).min()
    }

    /// A viewer's task has ended.
    pub fn gone(&mut self, viewer: u32) {
        let seat = self.seat_of(viewer);
        match self.seats.get_mut(&seat) {
            Some(gone) if gone.leaving => drop(self.seats.remove(&seat)),
            Some(gone) => gone.over = true,
            None => {}
        }
    }

    /// Somebody wishes the load to be otherwise. Returns whether that changed anything.
    pub fn command(&mut self, command: Command, now: Duration) -> bool {
        match (command, &self.course) {
            (Command::More(many), Course::Steps { .. }) => self.manual_changes += i64::from(many),
            (Command::Fewer(many), Course::Steps { scheduled, .. }) => {
                let present = i64::from(*scheduled) + self.manual_changes;
                let many = i64::from(many).min(present.max(0));
                self.manual_changes -= many;
                return many > 0;
            }
            (Command::More(many), Course::Arrivals { .. }) => self.guests += i64::from(many),
            (Command::Fewer(many), Course::Arrivals { .. }) => {
                self.guests -= i64::from(many);
                return self.present() > 0;
            }
            (Command::Pause, _) => match self.paused_at.take() {
                None => self.paused_at = Some(now),
                Some(since) => self.stood += now.saturating_sub(since),
            },
        }
        true
    }

    /// Whether nobody is there and nobody is to come.
    #[must_use]
    pub fn is_over(&mut self) -> bool {
        let nobody = self.seats.values().all(|seat| seat.over || seat.leaving);
        nobody
            && self.paused_at.is_none()
            && match &mut self.course {
                Course::Steps { steps, scheduled } => {
                    !self.seats.is_empty() && *scheduled > 0 && steps.peek().is_none()
                }
                Course::Arrivals { .. } => false,
            }
    }

    /// The time by the shape's own clock, which stands still during a pause.
    fn clock(&self, now: Duration) -> Duration {
        self.paused_at.unwrap_or(now).saturating_sub(self.stood)
    }

    fn seat_of(&self, viewer: u32) -> u32 {
        viewer.saturating_sub(1) / self.load.shard.of()
    }

    /// Those who are there or about to start, and not leaving.
    fn present(&self) -> usize {
        self.seats.values().filter(|seat| !seat.leaving).count()
    }

    fn sessions_end(&mut self, now: Duration, orders: &mut Vec<Do>) {
        let over = self
            .seats
            .iter()
            .filter(|(_, seat)| !seat.leaving && seat.until.is_some_and(|until| until <= now));
        for seat in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.dismiss(seat, orders);
        }
    }

    fn follow(&mut self, now: Duration, at: Duration, chance: &mut dyn FnMut() -> f64, orders: &mut Vec<Do>) {
        match &mut self.course {
            Course::Steps { steps, scheduled } => {
                while let Some((_, step)) = steps.next_if(|(when, _)| *when <= at) {
                    *scheduled = match step {
                        Step::Up => scheduled.saturating_add(1),
                        Step::Down => scheduled.saturating_sub(1),
                    };
                }
                self.fit(now, true, chance, orders);
            }
            Course::Arrivals { arrivals, next } => {
                let (of, most) = (self.load.shard.of(), self.load.shard.own(arrivals.most));
                let mut came = u32::try_from(self.guests.max(0)).unwrap_or(u32::MAX);
                let mut due = next.unwrap_or_else(|| arrivals.gap(of, chance()));
                while due <= at {
                    came = came.saturating_add(1);
                    due += arrivals.gap(of, chance()).max(Duration::from_nanos(1));
                }
                *next = Some(due);
                let session = arrivals.session.clone();
                self.guests = self.guests.min(0);
                self.send_away(orders);
                for _ in 0..came {
                    if self.seats.len() < most as usize {
                        let until = now + session.length(chance());
                        self.take_seat(now, Some(until));
                    } else {
                        orders.push(Do::TurnAway);
                    }
                }
            }
        }
    }

    /// Makes as many present as there are to be, where a schedule tells.
    fn fit(&mut self, now: Duration, may_start: bool, chance: &mut dyn FnMut() -> f64, orders: &mut Vec<Do>) {
        let Course::Steps { scheduled, .. } = &self.course else { return };
        let wanted = usize::try_from(i64::from(*scheduled) + self.manual_changes).unwrap_or(0);
        while self.present() > wanted {
            let Some(seat) = self.newest() else { break };
            self.dismiss(seat, orders);
        }
        while may_start && self.present() < wanted {
            self.take_seat(now + self.load.jitter.mul_f64(chance()), None);
        }
    }

    /// Lets those go who are to go by hand, where viewers come and go.
    fn send_away(&mut self, orders: &mut Vec<Do>) {
        for _ in 0..self.guests.min(0).unsigned_abs() {
            self.newest().into_iter().for_each(|seat| self.dismiss(seat, orders));
        }
        self.guests = self.guests.max(0);
    }

    fn newest(&self) -> Option<u32> {
        self.seats.iter().rev().find(|(_, seat)| !seat.leaving).map(|(number, _)| *number)
    }

    fn take_seat(&mut self, starts: Duration, until: Option<Duration>) {
        let free = self.seats.keys().zip(0..).find(|(taken, seat)| *taken != seat);
        let seat = free.map_or_else(|| u32::try_from(self.seats.len()).unwrap_or(u32::MAX), |(_, seat)| seat);
        self.seats.insert(seat, Slot { starts: Some(starts), until, leaving: false, over: false });
    }

    fn dismiss(&mut self, number: u32, orders: &mut Vec<Do>) {
        let Some(seat) = self.seats.get_mut(&number) else { return };
        let started = seat.starts.is_none();
        if started {
            orders.push(Do::Stop(self.load.shard.number(number)));
        }
        seat.leaving = true;
        if seat.over || !started {
            self.seats.remove(&number);
        }
    }

    fn start_pending(&mut self, now: Duration, orders: &mut Vec<Do>) {
        if self.paused_at.is_some() {
            return;
        }
        for (number, seat) in &mut self.seats {
            if seat.starts.is_some_and(|starts| starts <= now) {
                seat.starts = None;
                orders.push(Do::Start(self.load.shard.number(*number)));
            }
        }
    }
}
