//! Stages, streams and hands of merged runs. Shards of one run have the same stages and streams; rows of
//! the same place and name are added.

use std::collections::BTreeMap;

use super::mean::mean;
use crate::report::Report;
use crate::snapshot::{
    Errors, ManualChanges, PerKind, PlaybackTime, Quantiles, Snapshot, StageRow, StreamRow,
};
use crate::stats::distribution::Distribution;

type Distributions = BTreeMap<String, Distribution>;

/// The largest value of each distribution of a stage or a stream.
pub(crate) fn largest(snapshot: &Snapshot) -> Vec<(String, f64)> {
    let named = |name: String, times: Option<Quantiles>| times.map(|times| (name, times.max));
    let stages = snapshot.stages.iter().filter_map(|row| named(stage_key(row.stage), row.segment_total));
    let streams =
        (1..).zip(&snapshot.streams).filter_map(|(place, row)| named(stream_key(place), row.segment_total));
    stages.chain(streams).collect()
}

fn stage_key(stage: u64) -> String {
    format!("stage.{stage}.segment.total")
}

fn stream_key(place: usize) -> String {
    format!("stream.{place}.segment.total")
}

pub(crate) fn watching(reports: &[&Report]) -> PlaybackTime {
    let sum = |of: fn(&PlaybackTime) -> f64| reports.iter().map(|report| of(&report.snapshot.watching)).sum();
    PlaybackTime {
        viewed_seconds: sum(|w| w.viewed_seconds),
        stalled_seconds: sum(|w| w.stalled_seconds),
        expected_media_seconds: sum(|w| w.expected_media_seconds),
    }
}

pub(crate) fn manual_changes(reports: &[&Report]) -> ManualChanges {
    let all = || reports.iter().map(|report| &report.snapshot.manual_changes);
    ManualChanges {
        changes: all().map(|hands| hands.changes).sum(),
        first: all().flat_map(|hands| hands.first.iter().cloned()).collect(),
        paused: all().any(|hands| hands.paused),
    }
}

pub(crate) fn stages(reports: &[&Report], distributions: &Distributions) -> Vec<StageRow> {
    let mut places = BTreeMap::<(u64, Option<String>), Vec<&StageRow>>::new();
    for row in reports.iter().flat_map(|report| &report.snapshot.stages) {
        places.entry((row.stage, row.name.clone())).or_default().push(row);
    }
    let alone = |place: u64| places.keys().filter(|(stage, _)| *stage == place).count() == 1;
    let rows = places.iter().filter_map(|((place, _), rows)| {
        let row = stage(rows, distributions)?;
        // Of different stages at the same place no distribution of their own is left.
        Some(StageRow { segment_total: row.segment_total.filter(|_| alone(*place)), ..row })
    });
    rows.collect()
}

fn stage(rows: &[&StageRow], distributions: &Distributions) -> Option<StageRow> {
    let first = *rows.first()?;
    let sum = |of: fn(&StageRow) -> u64| rows.iter().map(|row| of(row)).sum();
    let longest = rows.iter().map(|row| row.seconds).fold(0.0, f64::max);
    let ratios: Vec<_> = rows.iter().map(|row| (row.active_ratio, row.expected_viewer_seconds)).collect();
    let requests = kinds(rows.iter().map(|row| row.requests));
    Some(StageRow {
        began_seconds: rows.iter().map(|row| row.began_seconds).fold(f64::MAX, f64::min),
        seconds: longest,
        from: sum(|row| row.from),
        clients: sum(|row| row.clients),
        expected_viewer_seconds: rows.iter().map(|row| row.expected_viewer_seconds).sum(),
        active_ratio: mean(&ratios),
        stalled: sum(|row| row.stalled),
        requests,
        bytes: kinds(rows.iter().map(|row| row.bytes)),
        errors: errors(rows.iter().map(|row| (&row.errors, row.requests.total()))),
        segment_total: distributions.get(&stage_key(first.stage)).and_then(Distribution::quantiles),
        // A level is held only if every shard of it was.
        met: rows.iter().map(|row| row.met).reduce(|one, other| match (one, other) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        })?,
        broken: rows.iter().flat_map(|row| row.broken.iter().cloned()).collect(),
        ..first.clone()
    })
}

pub(crate) fn streams(reports: &[&Report], distributions: &Distributions) -> Vec<StreamRow> {
    let most = reports.iter().map(|report| report.snapshot.streams.len()).max().unwrap_or(0);
    let rows_at = |place: usize| reports.iter().filter_map(move |report| report.snapshot.streams.get(place));
    let merged = (0..most).filter_map(|place| {
        let sum = |of: fn(&StreamRow) -> u64| rows_at(place).map(of).sum();
        let times = distributions.get(&stream_key(place + 1));
        Some(StreamRow {
            stream: rows_at(place).next()?.stream.clone(),
            clients: sum(|row| row.clients),
            playing: sum(|row| row.playing),
            requests: kinds(rows_at(place).map(|row| row.requests)),
            bytes: kinds(rows_at(place).map(|row| row.bytes)),
            errors: errors(rows_at(place).map(|row| (&row.errors, row.requests.total()))),
            segment_total: times.and_then(Distribution::quantiles),
        })
    });
    merged.collect()
}

fn kinds(parts: impl Iterator<Item = PerKind<u64>>) -> PerKind<u64> {
    let mut sum = PerKind::default();
    for part in parts {
        for (kind, count) in part.iter() {
            sum[kind] += count;
        }
    }
    sum
}

fn errors<'a>(parts: impl Iterator<Item = (&'a Errors, u64)>) -> Errors {
    let (mut sum, mut failed, mut attempts) = (Errors::default(), 0.0, 0);
    for (part, requests) in parts {
        let tried = requests + part.connect;
        sum.http += part.http;
        sum.broken += part.broken;
        sum.timeouts += part.timeouts;
        sum.connect += part.connect;
        failed += (part.rate.unwrap_or(0.0) * tried as f64).round();
        attempts += tried;
    }
    Errors { rate: (attempts > 0).then(|| failed / attempts as f64), ..sum }
}
