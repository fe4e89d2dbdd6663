//! Statistics of the planned load: stages, streams, manual changes and pauses.

use hls_swarm_base::weighted::WeightedSet;

use super::Stats;
use super::exchanges::Exchanges;
use super::parts::{Counted, Parts, StagePlan, judged};
use crate::command::Command;
use crate::snapshot::{Lifetimes, ManualChange, ManualChanges, Snapshot, StageRow, StreamRow, Timing};
use crate::timeline::MarkKind;
use crate::verdict::criteria::stage_criteria;
use crate::verdict::threshold::{Statistic, Threshold, Timings};

/// The number of manual changes that are kept individually.
const CHANGES: usize = 100;

/// The manual changes of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manual {
    summary: ManualChanges,
    paused_at: Option<f64>,
    /// Total time for which the load was paused, seconds; the planned end has moved by it.
    pub(crate) stood: f64,
}

/// The durations of a stage. Viewers start up in the ramp before: what they report is the whole run's.
struct StageTimings<'a> {
    part: &'a Exchanges,
    whole: &'a Stats,
}

impl Timings for StageTimings<'_> {
    fn statistic(&self, timing: Timing, statistic: Statistic) -> Option<f64> {
        let of_viewers = self.whole.viewers.distribution(timing);
        of_viewers.or_else(|| self.part.distribution(timing))?.statistic(statistic)
    }
}

impl Stats {
    /// Keeps figures for each of `stages` and `streams`; stages that hold a level are evaluated
    /// against `thresholds`.
    #[must_use]
    pub fn with_stages(
        mut self,
        stages: Vec<StagePlan>,
        streams: WeightedSet<String>,
        thresholds: Vec<Threshold>,
    ) -> Self {
        self.viewers.count_by_stream(&streams);
        Self { parts: Parts::new(self.expectation.timeout_ns, stages, streams), thresholds, ..self }
    }

    fn counted(&self, at_ns: u64) -> Counted {
        Counted {
            elapsed: self.elapsed(at_ns),
            due: self.due,
            played: self.played,
            stalled: self.viewers.stalls_begun(),
            given_up: self.viewers.lifetimes.given_up,
            restarts: self.viewers.lifetimes.restarts,
            counters: self.counters,
            playback_time: self.viewers.playback_time(),
        }
    }

    /// Begins a stage, and ends the one before.
    pub(crate) fn stage(&mut self, place: usize, at_ns: u64) {
        self.settle(at_ns);
        self.stage_ends(at_ns);
        self.mark_stage(place, at_ns);
        self.parts.begin(place, self.counted(at_ns));
    }

    fn mark_stage(&mut self, place: usize, at_ns: u64) {
        let StagePlan { name, from, clients, .. } = self.parts.plan(place);
        let row = StageRow { name, from: from.into(), clients: clients.into(), ..StageRow::default() };
        self.timeline.mark(MarkKind::Stage, self.second(at_ns), row.title());
    }

    /// Begins a stage that was not planned before, and ends the one before; `None` only ends it.
    pub(crate) fn level(&mut self, level: Option<StagePlan>, at_ns: u64) {
        self.settle(at_ns);
        self.stage_ends(at_ns);
        if let Some(level) = level {
            let place = self.parts.plan_another(level);
            self.mark_stage(place, at_ns);
            self.parts.begin(place, self.counted(at_ns));
        }
    }

    /// Ends the current stage, if there is one.
    pub(crate) fn stage_ends(&mut self, at_ns: u64) {
        let Some(current) = self.parts.current.take() else { return };
        let now = self.counted(at_ns);
        let row = self.parts.row(&current, &now);
        let before = &current.before;
        let part = &current.exchanges;
        let account = Snapshot {
            elapsed_seconds: row.seconds,
            requests: part.requests,
            bytes: part.bytes,
            http_status: part.http_status.clone(),
            counters: part.counters.plus(&now.counters.since(&before.counters)),
            cache: part.cache,
            // Viewers start up in the ramp before: that figure is the whole run's.
            latency: self.with_those_of_viewers(part.latency()),
            errors: part.errors(),
            active_ratio: row.active_ratio,
            expected_viewer_seconds: row.expected_viewer_seconds,
            lifetimes: Lifetimes {
                stalled: row.stalled,
                given_up: now.given_up - before.given_up,
                restarts: now.restarts - before.restarts,
                ..self.viewers.lifetimes
            },
            playback_time: now
                .playback_time
                .since(&before.playback_time)
                .with_ratios(row.expected_viewer_seconds),
            ..self.whole(at_ns)
        };
        let plan = self.parts.plan(current.place);
        let (met, failed_criteria) = judged(
            &plan,
            row.seconds,
            stage_criteria(&account, &StageTimings { part, whole: self }, &self.thresholds),
        );
        let row = StageRow { met, failed_criteria, ..row };
        self.parts.done.push((row, part.segment_total().cloned()));
    }

    /// The stages so far.
    pub(crate) fn stage_rows(&self, at_ns: u64) -> Vec<StageRow> {
        let done = self.parts.done.iter().map(|(row, _)| row.clone());
        let current =
            self.parts.current.as_ref().map(|current| self.parts.row(current, &self.counted(at_ns)));
        done.chain(current).collect()
    }

    /// The streams, where there are several.
    pub(crate) fn stream_rows(&self) -> Vec<StreamRow> {
        self.parts.stream_rows(self.viewers.on_streams())
    }

    /// Records a manual change of the load.
    pub(crate) fn manual_changes(&mut self, command: Command, at_ns: u64) {
        let second = self.elapsed(at_ns);
        let change = match command {
            Command::More(many) => format!("{many} more"),
            Command::Fewer(many) => format!("{many} fewer"),
            Command::Pause => match self.manual.paused_at.take() {
                None => {
                    self.manual.paused_at = Some(second);
                    "paused".to_owned()
                }
                Some(since) => {
                    self.manual.stood += second - since;
                    "resumed".to_owned()
                }
            },
        };
        self.timeline.mark(MarkKind::Change, second, change.clone());
        let summary = &mut self.manual.summary;
        summary.paused = self.manual.paused_at.is_some();
        summary.changes += 1;
        if summary.first.len() < CHANGES {
            summary.first.push(ManualChange { second, change });
        }
    }

    /// The manual changes so far.
    pub(crate) fn manual_change_summary(&self) -> ManualChanges {
        self.manual.summary.clone()
    }

    /// The planned length with all pauses, up to `at_ns`.
    pub(crate) fn planned_seconds(&self, at_ns: u64) -> Option<f64> {
        let pause = self.manual.paused_at.map_or(0.0, |since| self.elapsed(at_ns) - since);
        self.expectation.planned_seconds.map(|planned| planned + self.manual.stood + pause)
    }
}
