//! Merging of timelines, and the length of their windows.

use std::collections::BTreeMap;

use super::lanes::{Cells, Lane, chosen};
use super::{MAX_MARKS, MAX_WINDOWS, Mark, Timeline, Window, failures};
use crate::merge::Merge;

impl Timeline {
    /// The same with windows of `width` seconds, and everything later by `offset` seconds.
    fn fitted(&self, width: u64, offset: u64) -> Self {
        let place = |second: u64| second.saturating_add(offset) / width * width;
        let mut windows = BTreeMap::<u64, Window>::new();
        for window in &self.windows {
            let second = place(window.second);
            windows
                .entry(second)
                .and_modify(|known| known.join(window))
                .or_insert_with(|| Window { second, ..window.clone() });
        }
        let own = self.window_seconds;
        let lane = |lane: &Lane| Lane {
            cells: lane.cells.moved(|window| {
                let second = (window as u64).saturating_mul(own).saturating_add(offset);
                usize::try_from(second / width).unwrap_or(usize::MAX).min(MAX_WINDOWS - 1)
            }),
            ..*lane
        };
        let later = |second: f64| second + offset as f64;
        Self {
            window_seconds: width,
            windows: windows.into_values().collect(),
            lanes: self.lanes.iter().map(lane).collect(),
            marks: self
                .marks
                .iter()
                .map(|mark| Mark { second: later(mark.second), ..mark.clone() })
                .collect(),
            failures: self
                .failures
                .iter()
                .map(|group| failures::FailureGroup {
                    first_second: later(group.first_second),
                    last_second: later(group.last_second),
                    ..group.clone()
                })
                .collect(),
            ..self.clone()
        }
    }

    /// Both with windows of the same length, so that they can be drawn over each other, each from its own beginning.
    #[must_use]
    pub fn on_one_grid(&self, other: &Self) -> (Self, Self) {
        let width = self.window_seconds.max(other.window_seconds);
        (self.fitted(width, 0), other.fitted(width, 0))
    }

    /// The width, a multiple of `width` by a power of two, at which nothing that begins at `last` seconds or before is
    /// beyond the last window.
    pub(crate) fn width_for(width: u64, last: u64) -> u64 {
        let mut width = width.max(1);
        while last / width >= MAX_WINDOWS as u64 {
            width = width.saturating_mul(2);
        }
        width
    }

    fn last_second(&self) -> u64 {
        self.windows.last().map_or(0, |window| window.second)
    }

    /// The same, later by `offset` seconds.
    #[must_use]
    pub(crate) fn later(&self, offset: u64) -> Self {
        let last = self.last_second().saturating_add(offset);
        self.fitted(Self::width_for(self.window_seconds, last), offset)
    }
}

/// Adds the timeline of another run whose times are counted from the same moment.
impl Merge for Timeline {
    fn merge(&mut self, other: &Self) {
        let width = self.window_seconds.max(other.window_seconds);
        let width = Self::width_for(width, self.last_second().max(other.last_second()));
        let (this, other) = (self.fitted(width, 0), other.fitted(width, 0));
        let mut windows: BTreeMap<u64, Window> =
            this.windows.into_iter().map(|window| (window.second, window)).collect();
        Merge::merge(
            &mut windows,
            &other.windows.into_iter().map(|window| (window.second, window)).collect(),
        );
        // Drawings need a window for each part of the time, also where no run was going on.
        let (first, last) =
            (windows.keys().next().copied().unwrap_or(0), windows.keys().next_back().copied().unwrap_or(0));
        for second in (first..last).step_by(usize::try_from(width).unwrap_or(usize::MAX)) {
            windows.entry(second).or_insert_with(|| Window { second, ..Window::default() });
        }
        let lanes = this.lanes.iter().chain(&other.lanes).map(|lane| (&lane.cells, lane.viewer));
        let weighed: Vec<(&Cells, u64, u64)> =
            lanes.map(|(cells, viewer)| (cells, cells.weight(), viewer)).collect();
        let lanes = chosen(&weighed)
            .into_iter()
            .map(|(viewer, cells)| Lane { viewer, cells: cells.clone() })
            .collect();
        let mut marks = this.marks;
        for mark in other.marks {
            // All shards of a load begin a stage together, and one of them sees a failure first.
            match marks.iter_mut().find(|known| (known.kind, &known.text) == (mark.kind, &mark.text)) {
                Some(known) if mark.kind != super::MarkKind::Change => {
                    known.second = known.second.min(mark.second);
                }
                _ => marks.push(mark),
            }
        }
        marks.sort_by(|a, b| a.second.total_cmp(&b.second).then_with(|| a.text.cmp(&b.text)));
        marks.truncate(MAX_MARKS);
        let mut groups = this.failures;
        failures::merge(&mut groups, &other.failures);
        let mut startup = this.startup;
        startup.merge(&other.startup);
        *self = Self {
            window_seconds: width,
            windows: windows.into_values().collect(),
            marks,
            lanes,
            lanes_of: this.lanes_of.saturating_add(other.lanes_of),
            startup,
            slow: this.slow.filter(|slow| other.slow.as_ref() == Some(slow)),
            failures: groups,
        };
    }
}
