//! The load controller: decides which viewers to start and stop, so that their number follows the shape of the
//! load. It has no clock: the supervisor passes the time in and carries out the actions that it gets back.
//!
//! Each viewer has a slot, and the lowest free slot is taken first. When the number of viewers falls, the newest
//! leave first: the ramp down is the reverse of the ramp up, the remaining viewers have played from the beginning,
//! and shards and streams stay in proportion. Viewers of an arrival process leave when their session is over.

mod slots;
#[cfg(test)]
mod tests;

use std::iter::Peekable;
use std::time::Duration;

use hls_swarm_model::command::Command;

use super::arrivals::Arrivals;
use super::schedule::Step;
use super::{Load, Shape};
use slots::Slots;

/// An action for the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start this viewer.
    Start(u32),
    /// Stop this viewer gracefully; its task may have ended by itself.
    Stop(u32),
    /// Count a viewer that was rejected because the maximum number of viewers was reached.
    Reject,
    /// Record that this stage begins.
    Stage(usize),
    /// End the run: its length is over.
    End,
}

type Steps = Peekable<Box<dyn Iterator<Item = (Duration, Step)> + Send>>;

enum Progress {
    Steps { steps: Steps, scheduled: u32 },
    Arrivals { arrivals: Arrivals, next: Option<Duration> },
}

/// The load controller of one run.
pub struct LoadController {
    load: Load,
    progress: Progress,
    /// The beginnings of the remaining stages.
    stages: std::vec::IntoIter<(usize, Duration)>,
    next_stage: Option<(usize, Duration)>,
    slots: Slots,
    /// Difference between the wanted and the scheduled number of viewers, from manual changes.
    manual_changes: i64,
    /// Viewers to add (or, if negative, to remove) now, from manual changes to an arrival process.
    extra_viewers: i64,
    paused_at: Option<Duration>,
    /// How long the load has been paused in total, not counting the current pause.
    paused_for: Duration,
    ended: bool,
}

impl LoadController {
    /// A controller of `load`, without viewers.
    #[must_use]
    pub fn new(load: &Load) -> Self {
        let progress = match &load.shape {
            Shape::Schedule(schedule) => {
                let steps: Box<dyn Iterator<Item = _> + Send> = Box::new(schedule.steps(load.shard));
                Progress::Steps { steps: steps.peekable(), scheduled: 0 }
            }
            Shape::Arrivals(arrivals) => Progress::Arrivals { arrivals: arrivals.clone(), next: None },
            // All changes are commands.
            Shape::Search(_) => {
                let steps: Box<dyn Iterator<Item = _> + Send> = Box::new(std::iter::empty());
                Progress::Steps { steps: steps.peekable(), scheduled: 0 }
            }
        };
        let stages: Vec<_> = load.stages().into_iter().map(|(begin, ..)| begin).enumerate().collect();
        let mut stages = stages.into_iter();
        Self {
            progress,
            next_stage: stages.next(),
            stages,
            load: load.clone(),
            slots: Slots::default(),
            manual_changes: 0,
            extra_viewers: 0,
            paused_at: None,
            paused_for: Duration::ZERO,
            ended: false,
        }
    }

    /// Returns the actions that are due at `now`, counted from the beginning of the run. `chance` returns random
    /// numbers from 0 (included) to 1 (excluded).
    pub fn due(&mut self, now: Duration, chance: &mut dyn FnMut() -> f64) -> Vec<Action> {
        let mut actions = Vec::new();
        let at = self.clock(now);
        if self.load.length.is_some_and(|length| at >= length) {
            if !std::mem::replace(&mut self.ended, true) {
                actions.push(Action::End);
            }
            return actions;
        }
        while let Some((stage, _)) = self.next_stage.filter(|(_, begin)| *begin <= at) {
            actions.push(Action::Stage(stage));
            self.next_stage = self.stages.next();
        }
        self.end_sessions(now, &mut actions);
        match self.paused_at {
            None => self.advance(now, at, chance, &mut actions),
            // No viewer starts while the load is paused, but manual changes may remove some.
            Some(_) => {
                self.adjust(now, false, chance, &mut actions);
                self.stop_extra_viewers(&mut actions);
            }
        }
        self.start_pending(now, &mut actions);
        actions
    }

    /// When to call [`Self::due`] next; `None` = not before a viewer ends or a command arrives.
    #[must_use]
    pub fn next_call(&mut self) -> Option<Duration> {
        if self.ended {
            return None;
        }
        let paused_for = self.paused_for;
        let planned = match &mut self.progress {
            _ if self.paused_at.is_some() => None,
            Progress::Steps { steps, .. } => steps.peek().map(|(at, _)| *at),
            Progress::Arrivals { next, .. } => Some(next.unwrap_or_default()),
        };
        let stage = self.next_stage.map(|(_, begin)| begin);
        let end = self.load.length;
        let shaped = [planned, stage, end].into_iter().flatten().min();
        let shaped = shaped.filter(|_| self.paused_at.is_none()).map(|at| at + paused_for);
        let starts = self.slots.next_start().filter(|_| self.paused_at.is_none());
        [shaped, starts, self.slots.next_end()].into_iter().flatten().min()
    }

    /// Records that a viewer's task has ended.
    pub fn gone(&mut self, viewer: u32) {
        let slot = self.slot_of(viewer);
        self.slots.gone(slot);
    }

    /// Applies a manual change of the load. Returns whether it changed anything.
    pub fn command(&mut self, command: Command, now: Duration) -> bool {
        match (command, &self.progress) {
            (Command::More(many), Progress::Steps { .. }) => self.manual_changes += i64::from(many),
            (Command::Fewer(many), Progress::Steps { scheduled, .. }) => {
                let present = i64::from(*scheduled) + self.manual_changes;
                let many = i64::from(many).min(present.max(0));
                self.manual_changes -= many;
                return many > 0;
            }
            (Command::More(many), Progress::Arrivals { .. }) => self.extra_viewers += i64::from(many),
            (Command::Fewer(many), Progress::Arrivals { .. }) => {
                self.extra_viewers -= i64::from(many);
                return self.slots.present() > 0;
            }
            (Command::Pause, _) => match self.paused_at.take() {
                None => self.paused_at = Some(now),
                Some(since) => self.paused_for += now.saturating_sub(since),
            },
        }
        true
    }

    /// Whether all viewers have ended and no more will start.
    #[must_use]
    pub fn is_over(&mut self) -> bool {
        self.slots.all_ended()
            && self.paused_at.is_none()
            && match &mut self.progress {
                Progress::Steps { steps, scheduled } => {
                    self.slots.taken() > 0 && *scheduled > 0 && steps.peek().is_none()
                }
                Progress::Arrivals { .. } => false,
            }
    }

    /// The time on the clock of the load's shape, which stops during a pause.
    fn clock(&self, now: Duration) -> Duration {
        self.paused_at.unwrap_or(now).saturating_sub(self.paused_for)
    }

    fn slot_of(&self, viewer: u32) -> u32 {
        viewer.saturating_sub(1) / self.load.shard.of()
    }

    fn end_sessions(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for slot in self.slots.over(now) {
            self.stop_slot(slot, actions);
        }
    }

    fn advance(
        &mut self,
        now: Duration,
        at: Duration,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        match &mut self.progress {
            Progress::Steps { steps, scheduled } => {
                while let Some((_, step)) = steps.next_if(|(when, _)| *when <= at) {
                    *scheduled = match step {
                        Step::Up => scheduled.saturating_add(1),
                        Step::Down => scheduled.saturating_sub(1),
                    };
                }
                self.adjust(now, true, chance, actions);
            }
            Progress::Arrivals { arrivals, next } => {
                let (of, most) = (self.load.shard.of(), self.load.shard.own(arrivals.max_viewers));
                let mut arrived = u32::try_from(self.extra_viewers.max(0)).unwrap_or(u32::MAX);
                let mut due = next.unwrap_or_else(|| arrivals.gap(of, chance()));
                while due <= at {
                    arrived = arrived.saturating_add(1);
                    due += arrivals.gap(of, chance()).max(Duration::from_nanos(1));
                }
                *next = Some(due);
                let session = arrivals.session.clone();
                self.extra_viewers = self.extra_viewers.min(0);
                self.stop_extra_viewers(actions);
                for _ in 0..arrived {
                    if self.slots.taken() < most as usize {
                        let until = now + session.length(chance());
                        self.slots.take(now, Some(until));
                    } else {
                        actions.push(Action::Reject);
                    }
                }
            }
        }
    }

    /// Starts or stops viewers until their number is what the schedule and manual changes ask for.
    fn adjust(
        &mut self,
        now: Duration,
        may_start: bool,
        chance: &mut dyn FnMut() -> f64,
        actions: &mut Vec<Action>,
    ) {
        let Progress::Steps { scheduled, .. } = &self.progress else { return };
        let wanted = usize::try_from(i64::from(*scheduled) + self.manual_changes).unwrap_or(0);
        while self.slots.present() > wanted {
            let Some(slot) = self.slots.newest() else { break };
            self.stop_slot(slot, actions);
        }
        while may_start && self.slots.present() < wanted {
            self.slots.take(now + self.load.jitter.mul_f64(chance()), None);
        }
    }

    /// Stops the viewers that manual changes remove from an arrival process.
    fn stop_extra_viewers(&mut self, actions: &mut Vec<Action>) {
        for _ in 0..self.extra_viewers.min(0).unsigned_abs() {
            self.slots.newest().into_iter().for_each(|slot| self.stop_slot(slot, actions));
        }
        self.extra_viewers = self.extra_viewers.max(0);
    }

    fn stop_slot(&mut self, number: u32, actions: &mut Vec<Action>) {
        if self.slots.leave(number) {
            actions.push(Action::Stop(self.load.shard.number(number)));
        }
    }

    fn start_pending(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.paused_at.is_some() {
            return;
        }
        for number in self.slots.start_due(now) {
            actions.push(Action::Start(self.load.shard.number(number)));
        }
    }
}
