//! The shards of one load as their collector sees them: who is ready, who has reported, and what all of
//! it comes to. No network and no clock.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::metric::criteria;
use hls_swarm_model::report::{Report, merge, read};
use hls_swarm_model::verdict::{Criterion, VerdictKind};

/// What is known of the shards.
#[derive(Debug)]
pub struct Collection {
    shards: u32,
    ready: BTreeSet<u32>,
    reports: BTreeMap<u32, Report>,
    /// Longest planned length that a shard told, seconds; `None` = until stopped.
    planned: Option<f64>,
    /// What the shards that are ready play, as their `--variant` has it, and which one said so first.
    variant: Option<(u32, String)>,
}

/// A shard that is ready to start.
#[derive(Clone, Debug)]
pub struct Ready {
    /// Its number, from 0.
    pub shard: u32,
    /// Shards that it knows of.
    pub of: u32,
    /// Planned length of its run, seconds; `None` = until stopped.
    pub planned: Option<f64>,
    /// What its viewers play, as `--variant` has it, if it tells.
    pub variant: Option<String>,
}

impl Collection {
    /// A load of so many shards, none of which has been heard of.
    #[must_use]
    pub const fn new(shards: u32) -> Self {
        Self { shards, ready: BTreeSet::new(), reports: BTreeMap::new(), planned: Some(0.0), variant: None }
    }

    /// A shard is ready to start.
    ///
    /// # Errors
    /// It is a shard of another load, or plays what could not be merged with the others afterwards.
    pub fn ready(&mut self, ready: Ready) -> Result<(), Failure> {
        let Ready { shard, of, planned, variant } = ready;
        if of != self.shards || shard >= of {
            return Err(Failure::usage(format!(
                "shard {shard}/{of}: this collector has {} shards",
                self.shards
            ))
            .help(format!("start shards 0/{0} to {1}/{0}", self.shards, self.shards - 1)));
        }
        if let Some(variant) = variant {
            let (first, known) = self.variant.get_or_insert_with(|| (shard, variant.clone()));
            if *known != variant {
                return Err(Failure::usage(format!(
                    "shard {shard}/{of} plays {variant}, and shard {first} plays {known}: no verdict is about both"
                ))
                .help("give all shards the same --variant"));
            }
        }
        if self.ready.insert(shard) {
            self.planned = self.planned.zip(planned).map(|(longest, planned)| longest.max(planned));
        }
        Ok(())
    }

    /// Whether all shards are ready, so that they may start.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.ready.len() == self.shards as usize
    }

    /// Longest planned length of the shards that are ready; `None` = until stopped.
    #[must_use]
    pub const fn planned_seconds(&self) -> Option<f64> {
        self.planned
    }

    /// Takes the JSON report of a shard. One that comes twice (its answer was lost) replaces the first.
    ///
    /// # Errors
    /// It is no report, or of no shard that is waited for.
    pub fn deliver(&mut self, shard: u32, text: &str) -> Result<(), Failure> {
        if shard >= self.shards {
            return Err(Failure::usage(format!("shard {shard}: this collector has {} shards", self.shards))
                .help("compare --shard of the run with --shards of the collector"));
        }
        self.reports.insert(shard, read::read(&format!("shard {shard}"), text)?);
        Ok(())
    }

    /// Whether all reports are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.reports.len() == self.shards as usize
    }

    /// Shards that are not ready.
    #[must_use]
    pub fn not_ready(&self) -> Vec<u32> {
        (0..self.shards).filter(|shard| !self.ready.contains(shard)).collect()
    }

    /// Shards that have not reported.
    #[must_use]
    pub fn not_reported(&self) -> Vec<u32> {
        (0..self.shards).filter(|shard| !self.reports.contains_key(shard)).collect()
    }

    /// All reports as one. Where one is missing, the run proves nothing: its load was another.
    ///
    /// # Errors
    /// There is no report at all, or they are not parts of one load.
    pub fn conclude(self) -> Result<Report, Failure> {
        let missing = self.not_reported();
        let (shards, reported) = (self.shards, self.reports.len());
        let mut parts: Vec<(String, Report)> =
            self.reports.into_iter().map(|(shard, report)| (format!("shard {shard}"), report)).collect();
        let mut report = match parts.len() {
            0 => {
                return Err(Failure::new(Exit::NeverPlayed, format!("none of {shards} shards has reported"))
                    .help("look at what the shards themselves said"));
            }
            1 => parts.remove(0).1,
            _ => merge::merge(&parts)?,
        };
        report.verdict.criteria.push(Criterion {
            name: criteria::SHARDS_REPORTED.to_owned(),
            limit: format!("{shards} of {shards} shards reported"),
            value: Some(reported as f64 / f64::from(shards)),
            met: missing.is_empty(),
        });
        if !missing.is_empty() {
            let lost = missing.iter().map(|shard| format!("shard {shard}: has not reported"));
            report.verdict.invalid_because.extend(lost);
            if report.verdict.exit_code != Exit::NeverPlayed.code() {
                (report.verdict.kind, report.verdict.exit_code) =
                    (VerdictKind::Invalid, Exit::Invalid.code());
            }
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(shard: u32, of: u32, planned: Option<f64>) -> Ready {
        Ready { shard, of, planned, variant: None }
    }

    #[test]
    fn a_shard_that_plays_something_else_is_refused_before_anybody_plays() {
        let mut collection = Collection::new(3);
        let plays = |shard, variant: &str| Ready { variant: Some(variant.into()), ..ready(shard, 3, None) };
        collection.ready(plays(0, "highest")).unwrap();
        let refused = collection.ready(plays(1, "lowest")).unwrap_err().to_string();
        assert!(refused.contains("shard 1/3 plays lowest, and shard 0 plays highest"), "{refused}");
        assert_eq!(collection.not_ready(), [1, 2]);
        collection.ready(plays(1, "highest")).unwrap();
        // One of an older version does not tell.
        collection.ready(ready(2, 3, None)).unwrap();
        assert!(collection.may_start());
    }

    #[test]
    fn all_have_to_be_ready_before_any_starts() {
        let mut collection = Collection::new(2);
        collection.ready(ready(0, 2, Some(10.0))).unwrap();
        collection.ready(ready(0, 2, Some(10.0))).unwrap();
        assert!(!collection.may_start());
        assert_eq!(collection.not_ready(), [1]);
        collection.ready(ready(1, 2, Some(30.0))).unwrap();
        assert!(collection.may_start());
        assert_eq!(collection.planned_seconds(), Some(30.0));
        assert!(collection.ready(ready(2, 3, None)).unwrap_err().to_string().contains("2/3"));
    }

    #[test]
    fn one_that_runs_until_stopped_has_no_end_to_wait_for() {
        let mut collection = Collection::new(2);
        collection.ready(ready(0, 2, None)).unwrap();
        collection.ready(ready(1, 2, Some(30.0))).unwrap();
        assert_eq!(collection.planned_seconds(), None);
    }

    #[test]
    fn what_is_no_report_is_refused_and_nothing_is_no_run() {
        let mut collection = Collection::new(1);
        assert!(collection.deliver(0, "{}").unwrap_err().to_string().contains("shard 0"));
        assert!(collection.deliver(1, "{}").unwrap_err().to_string().contains("1 shards"));
        assert_eq!(collection.not_reported(), [0]);
        assert_eq!(collection.conclude().unwrap_err().exit(), Exit::NeverPlayed);
    }
}
