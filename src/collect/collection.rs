//! The state of the shards of one load: which are ready, which have reported, and the merged result. It uses neither
//! the network nor a clock.

use std::collections::BTreeMap;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::metric::criteria;
use hls_swarm_model::report::{Report, merge, read};
use hls_swarm_model::verdict::{Criterion, VerdictKind};

use crate::cli::run::VariantSelection;

/// Longest time for which a collector waits for a load, seconds: a week. A shard that plans more, or until it is
/// stopped, does not make it wait longer.
const MAX_PLANNED_SECONDS: f64 = 7.0 * 24.0 * 3600.0;
/// A shard that has not asked for this time before the start, seconds, may be replaced by another process. A shard
/// asks every 20 s.
const ABSENT: f64 = 45.0;
/// Length of a nonce, bytes.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// What the collector knows about the shards.
#[derive(Debug)]
pub struct Collection {
    shards: u32,
    ready: BTreeMap<u32, Process>,
    reports: BTreeMap<u32, Report>,
    /// Longest planned length of the shards that are ready, seconds; `None` = until stopped.
    planned: Option<f64>,
    /// The first shard that reported its `--variant`, and the variant.
    variant: Option<(u32, VariantSelection)>,
}

/// The process that plays a shard.
#[derive(Clone, Debug)]
struct Process {
    /// A random text, which only that process knows.
    nonce: String,
    /// When it asked last, seconds.
    asked: f64,
}

/// A shard that is ready to start.
#[derive(Clone, Debug)]
pub struct Ready {
    /// A random text that identifies its process, and that its report has to name.
    pub nonce: String,
    /// Time of the request, seconds since any fixed moment.
    pub at: f64,

    /// The number of the shard, from 0.
    pub shard: u32,
    /// The number of shards, according to this shard.
    pub of: u32,
    /// Planned length of its run, seconds; `None` = until stopped.
    pub planned: Option<f64>,
    /// Its `--variant`, if it reports it.
    pub variant: Option<VariantSelection>,
}

impl Collection {
    /// A load of `shards` shards, none of which is ready.
    #[must_use]
    pub const fn new(shards: u32) -> Self {
        Self { shards, ready: BTreeMap::new(), reports: BTreeMap::new(), planned: Some(0.0), variant: None }
    }

    /// Records that a shard is ready to start.
    ///
    /// # Errors
    /// A usage failure: it is a shard of another load, or plays another variant than the others, so that the reports
    /// could not be merged; or another process plays the same shard.
    pub fn ready(&mut self, ready: Ready) -> Result<(), Failure> {
        let Ready { nonce, at, shard, of, planned, variant } = ready;
        if of != self.shards || shard >= of {
            return Err(Failure::usage(format!(
                "shard {shard}/{of}: this collector has {} shards",
                self.shards
            ))
            .help(format!("start shards 0/{0} to {1}/{0}", self.shards, self.shards - 1)));
        }
        let known = |c: char| c.is_ascii_alphanumeric();
        if !NONCE_BYTES.contains(&nonce.len()) || !nonce.chars().all(known) {
            return Err(Failure::usage(format!("shard {shard}/{of}: it names no nonce"))
                .help("run the same version of hls-swarm everywhere"));
        }
        if planned.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
            return Err(Failure::usage(format!("shard {shard}/{of}: its length is not a number of seconds")));
        }
        let started = self.may_start();
        if let Some(process) = self.ready.get(&shard)
            && process.nonce != nonce
            && (started || at - process.asked < ABSENT)
        {
            return Err(Failure::new(
                Exit::Preflight,
                format!("shard {shard}/{of} is played by another process"),
            )
            .help("give each process a --shard of its own"));
        }
        if let Some(variant) = variant {
            let (first, known) = self.variant.get_or_insert((shard, variant));
            if *known != variant {
                return Err(Failure::usage(format!(
                    "shard {shard}/{of} plays {variant}, and shard {first} plays {known}: their reports cannot be merged"
                ))
                .help("give all shards the same --variant"));
            }
        }
        if self.ready.insert(shard, Process { nonce, asked: at }).is_none() {
            self.planned = self.planned.zip(planned).map(|(longest, planned)| longest.max(planned));
        }
        Ok(())
    }

    /// Whether all shards are ready, so that they may start.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.ready.len() == self.shards as usize
    }

    /// Longest planned length of the shards that are ready, seconds; a week if one of them plays until it is stopped,
    /// or plans more.
    #[must_use]
    pub fn planned_seconds(&self) -> f64 {
        self.planned.map_or(MAX_PLANNED_SECONDS, |planned| planned.min(MAX_PLANNED_SECONDS))
    }

    /// Takes the JSON report of a shard from the process that said it was ready (`nonce`). A report that is sent again,
    /// because the response was lost, changes nothing.
    ///
    /// # Errors
    /// A usage failure: the shards have not started, another process plays the shard, there is no such shard, or the
    /// text is not a report of this load. What has been collected stays.
    pub fn deliver(&mut self, shard: u32, nonce: &str, text: &str) -> Result<(), Failure> {
        if shard >= self.shards {
            return Err(Failure::usage(format!("shard {shard}: this collector has {} shards", self.shards))
                .help("compare --shard of the run with --shards of the collector"));
        }
        if !self.may_start() {
            return Err(Failure::usage(format!("shard {shard}: the shards have not started yet")));
        }
        if self.ready.get(&shard).is_none_or(|process| !is_same(process.nonce.as_bytes(), nonce.as_bytes())) {
            return Err(Failure::usage(format!("shard {shard}: another process plays it")));
        }
        if self.reports.contains_key(&shard) {
            return Ok(());
        }
        let name = |shard: u32| format!("shard {shard}");
        let report = read::read(&name(shard), text)?;
        // A report that cannot be merged must not take the others with it.
        if let Some((other, first)) = self.reports.first_key_value() {
            merge::merge(&[(name(*other), first.clone()), (name(shard), report.clone())])?;
        }
        let same = |(_, other): &(&u32, &Report)| {
            other.run.began_unix == report.run.began_unix && other.snapshot == report.snapshot
        };
        if let Some((other, _)) = self.reports.iter().find(same) {
            return Err(Failure::usage(format!("shard {shard}: it is the report of shard {other}")));
        }
        self.reports.insert(shard, report);
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
        (0..self.shards).filter(|shard| !self.ready.contains_key(shard)).collect()
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

/// Compares two texts in a time that depends on their lengths only.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |found, (a, b)| found | (a ^ b));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "0123456789abcdef";

    fn ready(shard: u32, of: u32, planned: Option<f64>) -> Ready {
        Ready { nonce: NONCE.to_owned(), at: 0.0, shard, of, planned, variant: None }
    }

    #[test]
    fn a_shard_belongs_to_the_process_that_was_ready_first() {
        let mut collection = Collection::new(2);
        let other = |shard, at| Ready { nonce: NONCE.replace('0', "x"), at, ..ready(shard, 2, None) };
        collection.ready(ready(0, 2, None)).unwrap();
        assert!(collection.ready(other(0, 44.0)).unwrap_err().to_string().contains("another process"));
        assert!(collection.deliver(0, NONCE, "{}").unwrap_err().to_string().contains("not started"));
        // A pod that was moved to another node.
        collection.ready(other(0, 46.0)).unwrap();
        collection.ready(ready(1, 2, None)).unwrap();
        assert!(collection.ready(ready(0, 2, None)).is_err(), "all shards have started");
        assert!(collection.deliver(0, NONCE, "{}").unwrap_err().to_string().contains("another process"));
        assert!(collection.deliver(1, "", "{}").unwrap_err().to_string().contains("another process"));
        assert!(collection.deliver(1, NONCE, "{}").unwrap_err().to_string().contains("shard 1"));
        for nonce in ["", "short", "0123456789abcde!", &"x".repeat(65)] {
            let nameless = Ready { nonce: nonce.to_owned(), ..ready(1, 2, None) };
            assert!(collection.ready(nameless).unwrap_err().to_string().contains("nonce"), "{nonce}");
        }
    }

    #[test]
    fn no_shard_removes_the_deadline() {
        for planned in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(Collection::new(1).ready(ready(0, 1, Some(planned))).is_err(), "{planned}");
        }
        let mut collection = Collection::new(2);
        collection.ready(ready(0, 2, Some(1e300))).unwrap();
        assert_eq!(collection.planned_seconds(), MAX_PLANNED_SECONDS);
    }

    #[test]
    fn texts_are_compared_as_a_whole() {
        assert!(is_same(b"abc", b"abc") && is_same(b"", b""));
        assert!(!is_same(b"abc", b"abd") && !is_same(b"abc", b"ab") && !is_same(b"", b"a"));
    }

    #[test]
    fn a_shard_that_plays_another_variant_is_refused() {
        let mut collection = Collection::new(3);
        let plays =
            |shard, variant: &str| Ready { variant: Some(variant.parse().unwrap()), ..ready(shard, 3, None) };
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
        assert_eq!(collection.planned_seconds(), 30.0);
        assert!(collection.ready(ready(2, 3, None)).unwrap_err().to_string().contains("2/3"));
    }

    #[test]
    fn a_shard_that_runs_until_stopped_has_a_week() {
        let mut collection = Collection::new(2);
        collection.ready(ready(0, 2, None)).unwrap();
        collection.ready(ready(1, 2, Some(30.0))).unwrap();
        assert_eq!(collection.planned_seconds(), MAX_PLANNED_SECONDS);
    }

    #[test]
    fn invalid_reports_are_refused_and_no_report_is_an_error() {
        let mut collection = Collection::new(1);
        collection.ready(ready(0, 1, None)).unwrap();
        assert!(collection.deliver(0, NONCE, "{}").unwrap_err().to_string().contains("shard 0"));
        assert!(collection.deliver(1, NONCE, "{}").unwrap_err().to_string().contains("1 shards"));
        assert_eq!(collection.not_reported(), [0]);
        assert_eq!(collection.conclude().unwrap_err().exit(), Exit::NeverPlayed);
    }
}
