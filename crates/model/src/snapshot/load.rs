//! The parts of the load: stages and streams with their figures, and manual changes.

use serde::{Deserialize, Serialize};

use super::latency::Quantiles;
use super::requests::{Errors, PerKind};
use crate::merge::{Merge, average, first, larger, merge_fields};
use crate::verdict::Criterion;

/// One stage of the load, and what was measured while it lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StageRow {
    /// Its index, from 1.
    pub stage: u64,
    /// Its name, if it was given one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its start, seconds of the run.
    pub began_seconds: f64,
    /// Its duration so far, seconds.
    pub seconds: f64,
    /// Viewers at its beginning.
    pub from: u64,
    /// Viewers at its end.
    pub clients: u64,
    /// Viewer-seconds that [`Self::active_ratio`] is an average over.
    pub expected_viewer_seconds: f64,
    /// Viewers playing per viewer that should play, over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_ratio: Option<f64>,
    /// Viewers that fell below real time for too long.
    #[serde(default)]
    pub stalled: u64,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Errors.
    pub errors: Errors,
    /// Segments, from the request to the last byte, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_total: Option<Quantiles>,
    /// Whether every criterion was met; absent for ramps, pauses and stages that were cut short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// The criteria that were not met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_criteria: Vec<Criterion>,
}

/// Adds the same stage of another shard. A level is held only if every shard of it held.
impl Merge for StageRow {
    fn merge(&mut self, other: &Self) {
        let Self {
            stage: _,
            name: _,
            began_seconds,
            seconds,
            from,
            clients,
            expected_viewer_seconds,
            active_ratio,
            stalled,
            requests,
            bytes,
            errors,
            segment_total,
            met,
            failed_criteria,
        } = other;
        self.active_ratio = average(
            (self.active_ratio, self.expected_viewer_seconds),
            (*active_ratio, *expected_viewer_seconds),
        );
        self.began_seconds = self.began_seconds.min(*began_seconds);
        larger(&mut self.seconds, seconds);
        self.from.merge(from);
        self.clients.merge(clients);
        self.expected_viewer_seconds.merge(expected_viewer_seconds);
        self.stalled.merge(stalled);
        self.requests.merge(requests);
        self.bytes.merge(bytes);
        self.errors.merge(errors);
        self.segment_total.merge(segment_total);
        self.met = match (self.met, met) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        };
        self.failed_criteria.extend(failed_criteria.iter().cloned());
    }
}

impl StageRow {
    /// The name of the whole distribution of its segments in reports.
    #[must_use]
    pub fn histogram(stage: u64) -> String {
        format!("stage.{stage}.segment.total")
    }

    /// Its name.
    #[must_use]
    pub fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| match (self.from, self.clients) {
            (from, to) if from < to => format!("up to {to}"),
            (from, to) if from > to => format!("down to {to}"),
            (_, 0) => "pause".to_owned(),
            (_, held) => format!("{held} viewers"),
        })
    }

    /// Body bytes per second.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes.total() as f64 / self.seconds.max(0.001)
    }

    /// Whether the stage held.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.met {
            Some(true) => "holds",
            Some(false) => "FAILS",
            None => "-",
        }
    }
}

/// The levels in one sentence, such as "holds 300 viewers, fails at 400 (error_rate 2.1 %, wanted
/// error_rate<1%)"; `None` if no stage held a level long enough to be judged.
#[must_use]
pub fn capacity(stages: &[StageRow]) -> Option<String> {
    let judged = || stages.iter().filter(|row| row.met.is_some());
    let failed = judged().filter(|row| row.met == Some(false)).min_by_key(|row| row.clients);
    let below = |row: &&StageRow| failed.is_none_or(|failed| row.clients < failed.clients);
    let held = judged().filter(|row| row.met == Some(true)).filter(below).max_by_key(|row| row.clients);
    let why = failed.and_then(|row| row.failed_criteria.first()).map_or_else(String::new, |criterion| {
        format!(" ({} {}, wanted {})", criterion.name, criterion.value_text(), criterion.limit)
    });
    match (held, failed) {
        (Some(held), None) => Some(format!("holds {} viewers, the most that were tried", held.clients)),
        (Some(held), Some(failed)) => {
            Some(format!("holds {} viewers, fails at {}{why}", held.clients, failed.clients))
        }
        (None, Some(failed)) => {
            // Then the result does not depend on the number alone.
            let more = judged().filter(|row| row.met == Some(true)).map(|row| row.clients).max();
            let though = more.map_or_else(String::new, |more| format!(", though {more} were held"));
            Some(format!("fails at {} viewers, the least that were tried{why}{though}", failed.clients))
        }
        (None, None) => None,
    }
}

/// One of several streams, with its figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamRow {
    /// Its address, without secrets, and its selected variants.
    pub stream: String,
    /// Viewers that should be on it now.
    pub clients: u64,
    /// Viewers that play it now.
    pub playing: u64,
    /// Requests, by kind.
    pub requests: PerKind<u64>,
    /// Body bytes, by kind.
    pub bytes: PerKind<u64>,
    /// Errors.
    pub errors: Errors,
    /// Segments, from the request to the last byte, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment_total: Option<Quantiles>,
}

impl StreamRow {
    /// The name of the whole distribution of its segments in reports; streams are numbered from 1.
    #[must_use]
    pub fn histogram(place: usize) -> String {
        format!("stream.{place}.segment.total")
    }
}

merge_fields! { StreamRow {
    stream = first, clients, playing, requests, bytes, errors, segment_total,
} }

/// Manual changes of the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ManualChanges {
    /// The number of changes.
    pub changes: u64,
    /// The first ones.
    pub first: Vec<ManualChange>,
    /// Whether the load is paused now.
    pub paused: bool,
}

impl Merge for ManualChanges {
    fn merge(&mut self, other: &Self) {
        let Self { changes, first, paused } = other;
        self.changes.merge(changes);
        self.first.extend(first.iter().cloned());
        self.paused |= paused;
    }
}

/// One manual change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ManualChange {
    /// Time of the change, seconds of the run.
    pub second: f64,
    /// Description of the change.
    pub change: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(clients: u64, met: Option<bool>) -> StageRow {
        let failed = Criterion {
            name: "error_rate".into(),
            limit: "error_rate<1%".into(),
            value: Some(0.021),
            met: false,
            certain: false,
        };
        let failed_criteria = if met == Some(false) { vec![failed] } else { Vec::new() };
        StageRow { clients, met, failed_criteria, ..StageRow::default() }
    }

    #[test]
    fn the_levels_are_summarized_in_one_sentence() {
        let say = |rows: &[(u64, Option<bool>)]| {
            capacity(&rows.iter().map(|(clients, met)| row(*clients, *met)).collect::<Vec<_>>())
        };
        let (holds, fails) = (Some(true), Some(false));
        let why = "(error_rate 2.1 %, wanted error_rate<1%)";
        assert_eq!(say(&[(100, None)]), None);
        assert_eq!(
            say(&[(100, holds), (0, None), (200, holds)]).unwrap(),
            "holds 200 viewers, the most that were tried"
        );
        assert_eq!(
            say(&[(100, holds), (200, holds), (300, fails), (400, holds)]).unwrap(),
            format!("holds 200 viewers, fails at 300 {why}"),
        );
        assert_eq!(
            say(&[(100, fails)]).unwrap(),
            format!("fails at 100 viewers, the least that were tried {why}")
        );
    }

    #[test]
    fn a_level_that_failed_below_one_that_held_is_not_a_capacity() {
        let rows = [row(300, Some(true)), row(100, Some(false))];
        assert_eq!(
            capacity(&rows).unwrap(),
            "fails at 100 viewers, the least that were tried (error_rate 2.1 %, wanted error_rate<1%), \
             though 300 were held"
        );
    }
}
