//! The load controller: decides which viewers to start and stop, so that their number follows the shape of the
//! load. It has no clock: the supervisor passes the time in and carries out the actions that it gets back.
//!
//! Each viewer has a slot, and the lowest free slot is taken first. When the number of viewers falls, the newest
//! leave first: the ramp down is the reverse of the ramp up, the remaining viewers have played from the beginning,
//! and shards and streams stay in proportion. Viewers of an arrival process leave when their session is over.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::time::Duration;

use hls_swarm_model::command::Command;

use super::arrivals::Arrivals;
use super::schedule::Step;
use super::{Load, Shape};

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

/// The place of one viewer.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// When the viewer starts; `None` = it has started.
    starts: Option<Duration>,
    /// When the viewer's session ends; `None` = it has no end of its own.
    until: Option<Duration>,
    /// Whether the viewer was asked to stop and has not ended yet.
    leaving: bool,
    /// Whether the viewer's task has ended by itself: the stream was over, or the viewer failed permanently.
    ended: bool,
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
    slots: BTreeMap<u32, Slot>,
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
            slots: BTreeMap::new(),
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
        let present = self.slots.values().filter(|slot| !slot.leaving);
        let slots = present.filter_map(|slot| match slot.starts {
            Some(_) if self.paused_at.is_some() => None,
            Some(starts) => Some(starts),
            None => slot.until,
        });
        shaped.into_iter().chain(slots).min()
    }

    /// Records that a viewer's task has ended.
    pub fn gone(&mut self, viewer: u32) {
        let slot = self.slot_of(viewer);
        match self.slots.get_mut(&slot) {
            Some(gone) if gone.leaving => drop(self.slots.remove(&slot)),
            Some(gone) => gone.ended = true,
            None => {}
        }
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
                return self.present() > 0;
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
        let all_ended = self.slots.values().all(|slot| slot.ended || slot.leaving);
        all_ended
            && self.paused_at.is_none()
            && match &mut self.progress {
                Progress::Steps { steps, scheduled } => {
                    !self.slots.is_empty() && *scheduled > 0 && steps.peek().is_none()
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

    /// The number of viewers that have started or are about to, without those that are leaving.
    fn present(&self) -> usize {
        self.slots.values().filter(|slot| !slot.leaving).count()
    }

    fn end_sessions(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let finished = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.leaving && slot.until.is_some_and(|until| until <= now));
        for slot in finished.map(|(number, _)| *number).collect::<Vec<_>>() {
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
                    if self.slots.len() < most as usize {
                        let until = now + session.length(chance());
                        self.take_slot(now, Some(until));
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
        while self.present() > wanted {
            let Some(slot) = self.newest() else { break };
            self.stop_slot(slot, actions);
        }
        while may_start && self.present() < wanted {
            self.take_slot(now + self.load.jitter.mul_f64(chance()), None);
        }
    }

    /// Stops the viewers that manual changes remove from an arrival process.
    fn stop_extra_viewers(&mut self, actions: &mut Vec<Action>) {
        for _ in 0..self.extra_viewers.min(0).unsigned_abs() {
            self.newest().into_iter().for_each(|slot| self.stop_slot(slot, actions));
        }
        self.extra_viewers = self.extra_viewers.max(0);
    }

    fn newest(&self) -> Option<u32> {
        self.slots.iter().rev().find(|(_, slot)| !slot.leaving).map(|(number, _)| *number)
    }

    fn take_slot(&mut self, starts: Duration, until: Option<Duration>) {
        let free = self.slots.keys().zip(0..).find(|(taken, slot)| *taken != slot);
        let slot = free.map_or_else(|| u32::try_from(self.slots.len()).unwrap_or(u32::MAX), |(_, slot)| slot);
        self.slots.insert(slot, Slot { starts: Some(starts), until, leaving: false, ended: false });
    }

    fn stop_slot(&mut self, number: u32, actions: &mut Vec<Action>) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        let started = slot.starts.is_none();
        if started {
            actions.push(Action::Stop(self.load.shard.number(number)));
        }
        slot.leaving = true;
        if slot.ended || !started {
            self.slots.remove(&number);
        }
    }

    fn start_pending(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.paused_at.is_some() {
            return;
        }
        for (number, slot) in &mut self.slots {
            if slot.starts.is_some_and(|starts| starts <= now) {
                slot.starts = None;
                actions.push(Action::Start(self.load.shard.number(*number)));
            }
        }
    }
}
