//! Merging of several runs into one: the shards of a load, each from its machine. Counts are added, whole
//! distributions are added, and timelines are joined by the wall clock.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;

use super::bounded::bound;
use super::{Recording, Report};
use crate::merge::Merge;
use crate::metric::criteria;
use crate::run::Run;
use crate::snapshot::{Canaries, Snapshot};
use crate::stats::LAG;
use crate::verdict::criteria::judge;
use crate::verdict::threshold::Threshold;
use crate::verdict::{Criterion, Verdict, VerdictKind};

/// Rows of viewers from which on some are added up while reports are still being merged, so that a thousand shards do not
/// need the memory of all of them at once.
const MAX_ROWS: usize = 10_000;

/// Merges reports; each is given with the name of its file.
///
/// # Errors
/// A usage failure: fewer than two, the same run twice, different variants, no distributions.
pub fn merge(parts: &[(String, Report)]) -> Result<Report, Failure> {
    let [(_, first), others @ ..] = parts else { return Err(too_few()) };
    if others.is_empty() {
        return Err(too_few());
    }
    for (place, (name, report)) in parts.iter().enumerate() {
        if report.run.variant != first.run.variant {
            let (one, other) = (first.run.variant_name(), report.run.variant_name());
            return Err(Failure::usage(format!("{name}: its viewers played {other}, those before {one}"))
                .help("merge runs of the same variant"));
        }
        let same = |(_, earlier): &&(String, Report)| {
            earlier.run.began_unix == report.run.began_unix && earlier.snapshot == report.snapshot
        };
        if let Some((earlier, _)) = parts.iter().take(place).find(same) {
            return Err(Failure::usage(format!("{name}: is the same run as {earlier}"))
                .help("name each report once, or its load counts twice"));
        }
        if let Some(missing) = report.missing_histogram() {
            return Err(Failure::usage(format!("{name}: holds no histogram of {missing}"))
                .help("merge reports that hls-swarm has written, unchanged"));
        }
    }
    let reports: Vec<&Report> = parts.iter().map(|(_, report)| report).collect();
    let began = reports.iter().map(|report| report.run.began_unix).min().unwrap_or(0);
    let mut numbers = offsets(&reports).into_iter();
    let mut parts_of = |report: &Report| {
        let offset = numbers.next().unwrap_or(0);
        let mut snapshot = since(began, report);
        snapshot.viewers.iter_mut().for_each(|row| row.viewer = row.viewer.saturating_add(offset));
        let mut timeline = report.recording.timeline.later(report.run.began_unix - began);
        timeline.lanes.iter_mut().for_each(|lane| lane.viewer = lane.viewer.saturating_add(offset.into()));
        (snapshot, timeline)
    };
    let (mut snapshot, timeline) = parts_of(first);
    let mut recording = Recording { histograms: first.recording.histograms.clone(), timeline };
    for (_, report) in others {
        let (other, timeline) = parts_of(report);
        snapshot.merge(&other);
        recording.timeline.merge(&timeline);
        Merge::merge(&mut recording.histograms, &report.recording.histograms);
        if snapshot.viewers.len() > MAX_ROWS {
            bound(&mut snapshot, &mut recording);
        }
    }
    snapshot.peak_clients = peak(&reports);
    let mut merged = Report {
        run: run(&reports, began),
        verdict: first.verdict.clone(),
        end_reason: distinct(&reports, |report| &report.end_reason),
        snapshot,
        recording,
    };
    merged.settle_percentiles();
    merged.verdict = judge_merged(parts, &merged);
    Ok(merged.bounded())
}

fn too_few() -> Failure {
    Failure::usage("one report alone cannot be merged").help("name two files or more")
}

impl Report {
    /// The name of a distribution that the report has order statistics of, but not the whole.
    fn missing_histogram(&self) -> Option<String> {
        let mut missing = None;
        self.snapshot.clone().each_quantiles(|name, quantiles| {
            if quantiles.is_some() && !self.recording.histograms.contains_key(name) {
                missing.get_or_insert_with(|| name.to_owned());
            }
        });
        missing
    }

    /// Gives each distribution its exact largest value, which only the snapshot holds.
    pub(super) fn settle_maxima(&mut self) {
        let Self { snapshot, recording, .. } = self;
        snapshot.each_quantiles(|name, quantiles| {
            if let (Some(quantiles), Some(times)) = (quantiles, recording.histograms.get_mut(name)) {
                times.set_max(quantiles.max);
            }
        });
        if let Some(lag) = recording.histograms.get_mut(LAG) {
            lag.set_max(snapshot.generator.max_lag_ms / 1000.0);
        }
    }

    /// Takes all order statistics from the whole distributions.
    fn settle_percentiles(&mut self) {
        let Self { snapshot, recording, .. } = self;
        let mut stages = BTreeMap::<u64, u64>::new();
        for row in &snapshot.stages {
            *stages.entry(row.stage).or_default() += 1;
        }
        snapshot.each_quantiles(|name, quantiles| {
            *quantiles = recording.histograms.get(name).and_then(|times| times.quantiles());
        });
        snapshot.canaries = snapshot.canaries.take().map(Canaries::compared);
        // Different stages with the same index lose their distributions.
        for row in snapshot.stages.iter_mut().filter(|row| stages.get(&row.stage) != Some(&1)) {
            row.segment_total = None;
        }
        if let Some(lag) = recording.histograms.get(LAG).and_then(|lag| lag.quantiles()) {
            snapshot.generator.p99_lag_ms = lag.p99 * 1000.0;
        }
    }
}

/// The snapshot of a report with its times counted from `began`, seconds since 1970.
fn since(began: u64, report: &Report) -> Snapshot {
    let offset = (report.run.began_unix - began) as f64;
    let mut snapshot = report.snapshot.clone();
    snapshot.elapsed_seconds += offset;
    snapshot.planned_seconds = snapshot.planned_seconds.map(|planned| planned + offset);
    snapshot
}

/// What is added to the numbers of the viewers of each report, so that no two have the same. The shards of a load number
/// their viewers in common, and keep these numbers, which are those of the origin's log. Viewers of runs that know
/// nothing of each other are numbered on from the last one of the run before.
fn offsets(reports: &[&Report]) -> Vec<u32> {
    let numbers = |report: &Report| -> BTreeSet<u32> {
        let rows = report.snapshot.viewers.iter().map(|row| row.viewer);
        let lanes = report.recording.timeline.lanes.iter();
        rows.chain(lanes.filter_map(|lane| u32::try_from(lane.viewer).ok())).collect()
    };
    let of_each: Vec<BTreeSet<u32>> = reports.iter().map(|report| numbers(report)).collect();
    let all: BTreeSet<u32> = of_each.iter().flatten().copied().collect();
    if all.len() == of_each.iter().map(BTreeSet::len).sum::<usize>() {
        return vec![0; reports.len()];
    }
    let last = |numbers: &BTreeSet<u32>| numbers.last().copied().unwrap_or(0);
    let next = of_each.iter().scan(0_u32, |before, numbers| {
        let offset = *before;
        *before = before.saturating_add(last(numbers));
        Some(offset)
    });
    next.collect()
}

fn distinct(reports: &[&Report], of: fn(&Report) -> &str) -> String {
    let mut seen = BTreeSet::new();
    let texts: Vec<&str> =
        reports.iter().map(|report| of(report)).filter(|text| seen.insert(*text)).collect();
    texts.join(", ")
}

fn distinct_some(reports: &[&Report], of: fn(&Report) -> Option<&str>) -> Option<String> {
    let texts: BTreeSet<&str> = reports.iter().filter_map(|report| of(report)).collect();
    (!texts.is_empty()).then(|| texts.into_iter().collect::<Vec<_>>().join(", "))
}

fn run(reports: &[&Report], began_unix: u64) -> Run {
    let first = &reports[0].run;
    let same_seed = reports.iter().all(|report| report.run.seed == first.seed);
    Run {
        url: distinct(reports, |report| &report.run.url),
        variant: first.variant,
        version: distinct(reports, |report| &report.run.version),
        ffmpeg: distinct_some(reports, |report| report.run.ffmpeg.as_deref()),
        player: distinct_some(reports, |report| report.run.player.as_deref()),
        seed: first.seed.filter(|_| same_seed),
        began_unix,
        setup: None,
        per_viewer_metrics: false,
    }
}

/// The largest possible number of concurrent viewers: the peaks of overlapping runs are added.
fn peak(reports: &[&Report]) -> u64 {
    let up_at = |unix: u64| {
        let running = reports.iter().filter(|report| {
            let began = report.run.began_unix;
            let end = began + report.snapshot.elapsed_seconds.ceil() as u64;
            began <= unix && (unix < end || unix == began)
        });
        running.map(|report| report.snapshot.peak_clients).sum::<u64>()
    };
    reports.iter().map(|report| up_at(report.run.began_unix)).max().unwrap_or(0)
}

/// The severity of a verdict, in the order of `verdict::criteria`.
fn severity(verdict: &Verdict) -> u8 {
    match verdict.kind {
        _ if verdict.exit_code == Exit::NeverPlayed.code() => 4,
        VerdictKind::Invalid => 3,
        VerdictKind::Aborted => 2,
        VerdictKind::Fail => 1,
        VerdictKind::Pass => 0,
    }
}

/// Judges `merged`, the sum of `parts`.
fn judge_merged(parts: &[(String, Report)], merged: &Report) -> Verdict {
    let mut thresholds = Vec::<Threshold>::new();
    for criterion in parts.iter().flat_map(|(_, report)| &report.verdict.criteria) {
        // The limit of a built-in criterion is not a threshold, and is evaluated anyway.
        if let Ok(threshold) = criterion.limit.parse()
            && !thresholds.contains(&threshold)
        {
            thresholds.push(threshold);
        }
    }
    let mut verdict = judge(&merged.snapshot, &merged.recording, &thresholds, None);
    let failed = parts.iter().filter(|(_, report)| report.verdict.kind != VerdictKind::Pass);
    let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
    let who =
        if failed.is_empty() { String::new() } else { format!(" (these do not: {})", failed.join(", ")) };
    let merged_runs = Criterion::new(
        criteria::MERGED_RUNS,
        format!("each of the merged runs passes{who}"),
        Some((parts.len() - failed.len()) as f64 / parts.len() as f64),
        failed.is_empty(),
    );
    let certain = parts.iter().any(|(_, report)| report.verdict.has_certain_failure());
    verdict.criteria.push(merged_runs.certain(certain));
    for (name, report) in parts {
        let because = report.verdict.invalid_because.iter();
        verdict.invalid_because.extend(because.map(|why| format!("{name}: {why}")));
    }
    let verdicts = parts.iter().map(|(_, report)| &report.verdict);
    if let Some(worst) =
        verdicts.max_by_key(|one| severity(one)).filter(|one| severity(one) > severity(&verdict))
    {
        (verdict.kind, verdict.exit_code) = (worst.kind, worst.exit_code);
    }
    if verdict.kind == VerdictKind::Invalid && certain {
        (verdict.kind, verdict.exit_code) = (VerdictKind::Fail, Exit::Criteria.code());
    }
    verdict
}
