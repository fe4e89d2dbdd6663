//! The places of viewers. Those whose time has come are found without a walk over all of them: with ten thousand, a
//! walk for each viewer that starts would keep a processor busy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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

/// The slots of a run.
#[derive(Debug, Default)]
pub(super) struct Slots {
    by_number: BTreeMap<u32, Slot>,
    /// The slots whose viewer has yet to start, and those whose session has an end, by time. None is leaving.
    starting: BTreeSet<(Duration, u32)>,
    ending: BTreeSet<(Duration, u32)>,
    /// The number of slots that are leaving, and of those that are neither leaving nor ended.
    leaving: usize,
    playing: usize,
}

impl Slots {
    /// The number of slots that are taken, those that are leaving included.
    pub(super) fn taken(&self) -> usize {
        self.by_number.len()
    }

    /// The number of viewers that have started or are about to, without those that are leaving.
    pub(super) fn present(&self) -> usize {
        self.by_number.len() - self.leaving
    }

    /// Whether all viewers have ended or are leaving.
    pub(super) const fn all_ended(&self) -> bool {
        self.playing == 0
    }

    /// When the next viewer starts.
    pub(super) fn next_start(&self) -> Option<Duration> {
        self.starting.first().map(|(starts, _)| *starts)
    }

    /// When the next session ends.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.ending.first().map(|(until, _)| *until)
    }

    /// Takes the lowest free slot.
    pub(super) fn take(&mut self, starts: Duration, until: Option<Duration>) {
        let next = self.by_number.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        let number = if next as usize == self.by_number.len() {
            next
        } else {
            let free = self.by_number.keys().zip(0..).find(|(taken, slot)| *taken != slot);
            free.map_or(next, |(_, slot)| slot)
        };
        self.starting.insert((starts, number));
        self.ending.extend(until.map(|until| (until, number)));
        self.playing += 1;
        self.by_number.insert(number, Slot { starts: Some(starts), until, leaving: false, ended: false });
    }

    /// Starts the viewers that are due, and returns their slots in order.
    pub(super) fn start_due(&mut self, now: Duration) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some((_, number)) = self.starting.first().copied().filter(|(starts, _)| *starts <= now) {
            self.starting.pop_first();
            if let Some(slot) = self.by_number.get_mut(&number) {
                slot.starts = None;
            }
            due.push(number);
        }
        due.sort_unstable();
        due
    }

    /// The slots whose session is over, in order.
    pub(super) fn over(&self, now: Duration) -> Vec<u32> {
        let over = self.ending.iter().take_while(|(until, _)| *until <= now);
        let mut over: Vec<u32> = over.map(|(_, number)| *number).collect();
        over.sort_unstable();
        over
    }

    /// The newest slot that is not leaving.
    pub(super) fn newest(&self) -> Option<u32> {
        self.by_number.iter().rev().find(|(_, slot)| !slot.leaving).map(|(number, _)| *number)
    }

    /// Lets a viewer leave; returns whether it has to be stopped, because it has started.
    pub(super) fn leave(&mut self, number: u32) -> bool {
        let Some(slot) = self.by_number.get_mut(&number).filter(|slot| !slot.leaving) else { return false };
        slot.leaving = true;
        let Slot { starts, until, ended, .. } = *slot;
        self.leaving += 1;
        self.playing -= usize::from(!ended);
        if let Some(starts) = starts {
            self.starting.remove(&(starts, number));
        }
        if let Some(until) = until {
            self.ending.remove(&(until, number));
        }
        if ended || starts.is_some() {
            self.free(number);
        }
        starts.is_none()
    }

    /// Notes that the viewer's task has ended.
    pub(super) fn gone(&mut self, number: u32) {
        match self.by_number.get_mut(&number) {
            Some(slot) if slot.leaving => self.free(number),
            Some(slot) => self.playing -= usize::from(!std::mem::replace(&mut slot.ended, true)),
            None => {}
        }
    }

    /// Removes a slot that is leaving.
    fn free(&mut self, number: u32) {
        self.leaving -= usize::from(self.by_number.remove(&number).is_some());
    }
}
