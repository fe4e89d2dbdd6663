//! The state of the shards of one load: which are ready, which have reported, and the merged result. It uses neither
//! the network nor a clock.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::metric::criteria;
use hls_swarm_model::report::{Report, merge, read};
use hls_swarm_model::verdict::{Criterion, VerdictKind};

/// What the collector knows about the shards.
#[derive(Debug)]
pub struct Collection {
    shards: u32,
    ready: BTreeSet<u32>,
    reports: BTreeMap<u32, Report>,
    /// Longest planned length of the shards that are ready, seconds; `None` = until stopped.
    planned: Option<f64>,
    /// The first shard that reported its `--variant`, and the variant.
    variant: Option<(u32, String)>,
}

/// A shard that is ready to start.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The number of the shard, from 0.
    pub shard: u32,
    /// The number of shards, according to this shard.
    pub of: u32,
    /// Planned length of its run, seconds; `None` = until stopped.
    pub planned: Option<f64>,
    /// Its `--variant`, if it reports it.
    pub variant: Option<String>,
}

impl Collection {
    /// A load of `shards` shards, none of which is ready.
    #[must_use]
    pub const fn new(shards: u32) -> Self {
        Self { shards, ready: BTreeSet::new(), reports: BTreeMap::new(), planned: Some(0.0), variant: None }
    }

    /// Records that a shard is ready to start.
    ///
    /// # Errors
    /// A usage failure: it is a shard of another load, or plays another variant than the others, so that the reports
    /// could not be merged.
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
                    "shard {shard}/{of} plays {variant}, and shard {first} plays {known}: their reports cannot be merged"
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

    /// Takes the JSON report of a shard. A report that is sent again (because the response was lost) replaces the first.
    ///
    /// # Errors
    /// A usage failure: the text is not a report, or there is no such shard.
    pub fn deliver(&mut self, shard: u32, text: &str) -> Result<(), Failure> {
        if shard >= self.shards {
            return Err(Failure::usage(format!("shard {shard}: this collector has {} shards", self.shards))
                .help("compare --shard of the run with --shards of the collector"));
        }
        self.reports.insert(shard, read::read(&format!("shard {shard}"), text)?);
        Ok(())
    }

    /// Whether all shards have reported.
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

    /// Merges all reports. If one is missing, the result is invalid, because the load was not the planned one.
    ///
    /// # Errors
    /// There are no reports, or they are not parts of one load.
    pub fn conclude(self) -> Result<Report, Failure> {
        let missing = self.not_reported();
        let (shards, reported) = (self.shards, self.reports.len());
        let mut parts: Vec<(String, Report)> =
            self.reports.into_iter().map(|(shard, report)| (format!("shard {shard}"), report)).collect();
        let mut report = match parts.len() {
            0 => {
                return Err(Failure::new(Exit::NeverPlayed, format!("none of {shards} shards has reported"))
                    .help("read the messages of the shards"));
            }
            1 => parts.remove(0).1,
            _ => merge::merge(&parts)?,
        };
        report.verdict.criteria.push(Criterion {
            name: criteria::SHARDS_REPORTED.to_owned(),
            limit: format!("{shards} of {shards} shards reported"),
            value: Some(reported as f64 / f64::from(shards)),
            met: missing.is_empty(),
            certain: false,
        });
        if !missing.is_empty() {
            let not_reported = missing.iter().map(|shard| format!("shard {shard}: has not reported"));
            report.verdict.invalid_because.extend(not_reported);
            if report.verdict.exit_code != Exit::NeverPlayed.code() && !report.verdict.has_certain_failure() {
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
    fn a_shard_that_plays_another_variant_is_refused() {
        let mut collection = Collection::new(3);
        let plays = |shard, variant: &str| Ready { variant: Some(variant.into()), ..ready(shard, 3, None) };
        collection.ready(plays(0, "highest")).unwrap();
        let refused = collection.ready(plays(1, "lowest")).unwrap_err().to_string();
        assert!(refused.contains("shard 1/3 plays lowest, and shard 0 plays highest"), "{refused}");
        assert_eq!(collection.not_ready(), [1, 2]);
        collection.ready(plays(1, "highest")).unwrap();
        // A shard of an older version does not report its variant.
        collection.ready(ready(2, 3, None)).unwrap();
        assert!(collection.may_start());
    }

    #[test]
    fn shards_start_only_when_all_are_ready() {
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
    fn a_shard_that_runs_until_stopped_has_no_planned_end() {
        let mut collection = Collection::new(2);
        collection.ready(ready(0, 2, None)).unwrap();
        collection.ready(ready(1, 2, Some(30.0))).unwrap();
        assert_eq!(collection.planned_seconds(), None);
    }

    #[test]
    fn invalid_reports_are_refused_and_no_report_is_an_error() {
        let mut collection = Collection::new(1);
        assert!(collection.deliver(0, "{}").unwrap_err().to_string().contains("shard 0"));
        assert!(collection.deliver(1, "{}").unwrap_err().to_string().contains("1 shards"));
        assert_eq!(collection.not_reported(), [0]);
        assert_eq!(collection.conclude().unwrap_err().exit(), Exit::NeverPlayed);
    }
}
