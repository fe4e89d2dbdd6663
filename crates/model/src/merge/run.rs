//! Several runs as one: what shards of a load measured, each on its machine. Counts are added, whole
//! distributions are added, seconds are joined by the wall clock.

use std::collections::{BTreeMap, BTreeSet};

use hls_swarm_base::error::Failure;

use super::mean::mean;
use crate::exchange::{Kind, Source};
use crate::merge::{insight, load, origin, verdict};
use crate::report::{Recording, Report};
use crate::run::Run;
use crate::series::{Point, Series};
use crate::snapshot::{
    Agreement, Buckets, Errors, ExchangeTimes, Exits, Generator, Latency, Lifetimes, Origin, PerKind,
    Playback, PlaybackSource, Quantiles, Rates, Snapshot, Sources, ViewerRow,
};
use crate::stats::distribution::Distribution;
use crate::stats::series::{MOST, added, halved};

/// Merges reports; each comes with the name of its file.
///
/// # Errors
/// A usage failure: fewer than two, the same run twice, different variants, no distributions.
pub fn merge(parts: &[(String, Report)]) -> Result<Report, Failure> {
    let Some((_, first)) = parts.first().filter(|_| parts.len() > 1) else {
        return Err(Failure::usage("one report alone cannot be merged").help("name two files or more"));
    };
    for (place, (name, report)) in parts.iter().enumerate() {
        if report.run.variant != first.run.variant {
            let (one, other) = (first.run.variant_name(), report.run.variant_name());
            return Err(Failure::usage(format!("{name}: its viewers played {other}, those before {one}"))
                .help("merge runs of the same variant"));
        }
        let same = |(_, earlier): &&(String, Report)| {
            earlier.run.began_unix == report.run.began_unix && earlier.snapshot == report.snapshot
        };
        if let Some((earlier, _)) = parts[..place].iter().find(same) {
            return Err(Failure::usage(format!("{name}: is the same run as {earlier}"))
                .help("name each report once, or its load counts twice"));
        }
    }
    let distributions = distributions(parts)?;
    let reports: Vec<&Report> = parts.iter().map(|(_, report)| report).collect();
    let snapshot = snapshot(&reports, &distributions);
    let encoded = distributions.iter().filter_map(|(name, times)| Some((name.clone(), times.encoded()?)));
    let recording = Recording { series: series(&reports), histograms: encoded.collect() };
    let verdict = verdict::judge_merged(parts, &snapshot);
    let ended = distinct(&reports, |report| report.end_reason.clone());
    Ok(Report { run: run(&reports), snapshot, recording, verdict, end_reason: ended })
}

fn distinct(reports: &[&Report], of: fn(&Report) -> String) -> String {
    let mut seen = BTreeSet::new();
    let texts = reports.iter().map(|report| of(report)).filter(|text| seen.insert(text.clone()));
    texts.collect::<Vec<_>>().join(", ")
}

fn distinct_some(reports: &[&Report], of: fn(&Report) -> Option<String>) -> Option<String> {
    let texts: BTreeSet<String> = reports.iter().filter_map(|report| of(report)).collect();
    (!texts.is_empty()).then(|| texts.into_iter().collect::<Vec<_>>().join(", "))
}

fn began(reports: &[&Report]) -> u64 {
    reports.iter().map(|report| report.run.began_unix).min().unwrap_or(0)
}

fn run(reports: &[&Report]) -> Run {
    let first = &reports[0].run;
    let same_seed = reports.iter().all(|report| report.run.seed == first.seed);
    Run {
        url: distinct(reports, |report| report.run.url.clone()),
        variant: first.variant,
        version: distinct(reports, |report| report.run.version.clone()),
        ffmpeg: distinct_some(reports, |report| report.run.ffmpeg.clone()),
        player: distinct_some(reports, |report| report.run.player.clone()),
        seed: first.seed.filter(|_| same_seed),
        began_unix: began(reports),
        per_viewer_metrics: false,
    }
}

/// The largest value of each distribution of a report: a histogram knows it less exactly.
fn largest(report: &Report) -> BTreeMap<String, f64> {
    let snapshot = &report.snapshot;
    let mut largest: BTreeMap<String, f64> =
        snapshot.latency.rows().into_iter().map(|(name, _, quantiles)| (name, quantiles.max)).collect();
    largest.extend(snapshot.uptime.map(|quantiles| ("uptime".to_owned(), quantiles.max)));
    largest.extend(load::largest(snapshot));
    if report.recording.histograms.contains_key("lag") {
        largest.insert("lag".to_owned(), snapshot.generator.max_lag_ms / 1000.0);
    }
    largest
}

fn distributions(parts: &[(String, Report)]) -> Result<BTreeMap<String, Distribution>, Failure> {
    let (mut merged, mut partly) = (BTreeMap::<String, Distribution>::new(), BTreeSet::new());
    for (name, report) in parts {
        let unreadable = |key: &str| {
            Failure::usage(format!("{name}: holds no histogram of {key} that can be read"))
                .help("merge reports that this version of hls-swarm has written")
        };
        for (key, max) in largest(report) {
            let text = report.recording.histograms.get(&key);
            let into = merged.entry(key.clone()).or_default();
            text.and_then(|text| into.add_encoded(text, max)).ok_or_else(|| unreadable(&key))?;
        }
        for (key, max) in insight::largest(&report.snapshot.insight) {
            match report.recording.histograms.get(&key) {
                Some(text) => {
                    let into = merged.entry(key.clone()).or_default();
                    into.add_encoded(text, max).ok_or_else(|| unreadable(&key))?;
                }
                // Earlier versions had none of these; a sum of some parts would be the sum of none.
                None => drop(partly.insert(key)),
            }
        }
    }
    merged.retain(|key, _| !partly.contains(key));
    Ok(merged)
}

fn series(reports: &[&Report]) -> Series {
    let step = reports.iter().map(|report| report.recording.series.step_seconds).max().unwrap_or(1);
    let began = began(reports);
    let mut joined = BTreeMap::<u64, Point>::new();
    for report in reports {
        let offset = report.run.began_unix - began;
        let moved = report.recording.series.points.iter();
        let mut series = Series {
            step_seconds: report.recording.series.step_seconds.max(1),
            points: moved.map(|point| Point { second: point.second + offset, ..*point }).collect(),
        };
        while series.step_seconds < step {
            series = halved(&series);
        }
        for mut point in series.points {
            point.second = point.second / step * step;
            joined.entry(point.second).and_modify(|sum| *sum = added(sum, &point)).or_insert(point);
        }
    }
    let mut series = Series { step_seconds: step, points: joined.into_values().collect() };
    while series.points.len() > MOST {
        series = halved(&series);
    }
    series
}

fn kinds(reports: &[&Report], of: fn(&Snapshot) -> PerKind<u64>) -> PerKind<u64> {
    let mut sum = PerKind::default();
    for report in reports {
        for (kind, count) in of(&report.snapshot).iter() {
            sum[kind] += count;
        }
    }
    sum
}

fn reasons(reports: &[&Report], of: fn(&Snapshot) -> &[(String, u64)]) -> Vec<(String, u64)> {
    let mut counted = BTreeMap::<String, u64>::new();
    for (reason, count) in reports.iter().flat_map(|report| of(&report.snapshot)) {
        *counted.entry(reason.clone()).or_default() += count;
    }
    let mut counted: Vec<_> = counted.into_iter().collect();
    counted.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counted
}

fn snapshot(reports: &[&Report], distributions: &BTreeMap<String, Distribution>) -> Snapshot {
    let each = || reports.iter().map(|report| &report.snapshot);
    let sum = |of: fn(&Snapshot) -> u64| each().map(of).sum::<u64>();
    let quantiles = |name: &str| distributions.get(name).and_then(Distribution::quantiles);
    let began = began(reports);
    let offset = |report: &Report| (report.run.began_unix - began) as f64;
    let end = |of: fn(&Snapshot) -> Option<f64>| {
        let ends = reports.iter().map(|report| Some(offset(report) + of(&report.snapshot)?));
        ends.collect::<Option<Vec<f64>>>().map(|ends| ends.into_iter().fold(0.0, f64::max))
    };
    let ratios: Vec<_> = each().map(|s| (s.active_ratio, s.expected_viewer_seconds)).collect();
    let mut http_status = BTreeMap::new();
    for (code, count) in each().flat_map(|s| &s.http_status) {
        *http_status.entry(*code).or_default() += count;
    }
    let source = |of: fn(&Sources) -> Source| {
        if each().all(|s| of(&s.sources) == Source::Probe) { Source::Probe } else { Source::Log }
    };
    // The one that is farthest off: a good shard must not hide a bad one.
    let agreements = each().filter_map(|s| s.agreement.kernel_bytes);
    let kernel_bytes = agreements.max_by(|a, b| (a - 1.0).abs().total_cmp(&(b - 1.0).abs()));
    let origin = origin::merged(each().filter_map(|s| s.origin.as_ref()));
    Snapshot {
        elapsed_seconds: end(|s| Some(s.elapsed_seconds)).unwrap_or(0.0),
        planned_seconds: end(|s| s.planned_seconds),
        target_clients: sum(|s| s.target_clients),
        target_now: sum(|s| s.target_now),
        active_clients: sum(|s| s.active_clients),
        playing_clients: sum(|s| s.playing_clients),
        peak_clients: peak(reports),
        expected_viewer_seconds: each().map(|s| s.expected_viewer_seconds).sum(),
        active_ratio: mean(&ratios),
        requests: kinds(reports, |s| s.requests),
        bytes: kinds(reports, |s| s.bytes),
        head_bytes: sum(|s| s.head_bytes),
        received_bytes: each().filter_map(|s| s.received_bytes).reduce(|a, b| a + b),
        http_status,
        unanswered: sum(|s| s.unanswered),
        stale_requests: sum(|s| s.stale_requests),
        in_flight_at_stop: sum(|s| s.in_flight_at_stop),
        cache: (sum(|s| s.cache.0), sum(|s| s.cache.1)),
        insight: insight::merged(each().map(|s| &s.insight), distributions),
        rates: Rates::default(),
        latency: latency(quantiles),
        latency_buckets: Buckets::default(),
        playback: playback(reports),
        errors: errors(reports),
        connect_failures: reasons(reports, |s| &s.connect_failures),
        reconnections: sum(|s| s.reconnections),
        lifetimes: lifetimes(sum),
        exit_reasons: reasons(reports, |s| &s.exit_reasons),
        uptime: quantiles("uptime"),
        uptime_buckets: Buckets::default(),
        sources: Sources {
            requests: source(|s| s.requests),
            bytes: source(|s| s.bytes),
            // What some parts have not measured, the whole has not.
            playback: if each().all(Snapshot::has_progress) {
                PlaybackSource::Progress
            } else {
                PlaybackSource::Media
            },
        },
        agreement: Agreement {
            kernel_bytes,
            origin_requests: origin.as_ref().and_then(Origin::requests_agreement),
            segment_sizes: origin.as_ref().and_then(Origin::sizes_agreement),
        },
        origin,
        generator: generator(reports, quantiles("lag")),
        watching: load::watching(reports),
        stages: load::stages(reports, distributions),
        streams: load::streams(reports, distributions),
        manual_changes: load::manual_changes(reports),
        aborted_by: None,
        viewers: viewers(reports),
    }
}

fn latency(quantiles: impl Fn(&str) -> Option<Quantiles>) -> Latency {
    let mut by_kind = PerKind::<ExchangeTimes>::default();
    for kind in Kind::ALL {
        let part = |part: &str| quantiles(&format!("{}.{part}", kind.name()));
        by_kind[kind] = ExchangeTimes { ttfb: part("ttfb"), download: part("download") };
    }
    Latency {
        by_kind,
        segment_total: quantiles("segment.total"),
        connect: quantiles("connect"),
        dns: quantiles("dns"),
        tls: quantiles("tls_handshake"),
        startup: quantiles("startup"),
    }
}

/// Most viewers that can have been up at once: the peaks of runs that overlap are added.
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

fn lifetimes(sum: impl Fn(fn(&Snapshot) -> u64) -> u64) -> Lifetimes {
    Lifetimes {
        arrived: sum(|s| s.lifetimes.arrived),
        ramped_down: sum(|s| s.lifetimes.ramped_down),
        rejected: sum(|s| s.lifetimes.rejected),
        expected: sum(|s| s.lifetimes.expected),
        starts: sum(|s| s.lifetimes.starts),
        restarts: sum(|s| s.lifetimes.restarts),
        stalled: sum(|s| s.lifetimes.stalled),
        given_up: sum(|s| s.lifetimes.given_up),
        played: sum(|s| s.lifetimes.played),
        killed: sum(|s| s.lifetimes.killed),
        exits: Exits {
            success: sum(|s| s.lifetimes.exits.success),
            error: sum(|s| s.lifetimes.exits.error),
            signal: sum(|s| s.lifetimes.exits.signal),
        },
    }
}

fn errors(reports: &[&Report]) -> Errors {
    let each = || reports.iter().map(|report| &report.snapshot);
    let attempts = |s: &Snapshot| (s.requests.total() + s.errors.connect) as f64;
    let all: f64 = each().map(attempts).sum();
    // A connect that timed out stands in two of the counts and once in the rate.
    let failed: f64 = each().map(|s| (s.errors.rate.unwrap_or(0.0) * attempts(s)).round()).sum();
    let sum = |of: fn(&Errors) -> u64| each().map(|s| of(&s.errors)).sum();
    Errors {
        http: sum(|e| e.http),
        broken: sum(|e| e.broken),
        timeouts: sum(|e| e.timeouts),
        connect: sum(|e| e.connect),
        rate: (all > 0.0).then(|| failed / all),
    }
}

fn playback(reports: &[&Report]) -> Playback {
    let each = || reports.iter().map(|report| report.snapshot.playback);
    let sum = |of: fn(&Playback) -> u64| each().map(|playback| of(&playback)).sum();
    let weigh = |of: fn(&Playback) -> Option<f64>| {
        let weight = |playback: &Playback| (playback.above_realtime + playback.below_realtime) as f64;
        mean(&each().map(|playback| (of(&playback), weight(&playback))).collect::<Vec<_>>())
    };
    Playback {
        above_realtime: sum(|p| p.above_realtime),
        below_realtime: sum(|p| p.below_realtime),
        stalled_now: sum(|p| p.stalled_now),
        average_speed: weigh(|p| p.average_speed),
        high_drift: sum(|p| p.high_drift),
        average_drift_seconds: weigh(|p| p.average_drift_seconds),
        max_drift_seconds: each().filter_map(|p| p.max_drift_seconds).reduce(f64::max),
    }
}

fn generator(reports: &[&Report], lag: Option<Quantiles>) -> Generator {
    let each = || reports.iter().map(|report| report.snapshot.generator);
    let sum = |of: fn(&Generator) -> u64| each().map(|generator| of(&generator)).sum();
    let weigh = |of: fn(&Generator) -> Option<f64>| {
        mean(&each().map(|g| (of(&g), g.sampled_seconds as f64)).collect::<Vec<_>>())
    };
    Generator {
        cpu_percent: weigh(|g| g.cpu_percent),
        saturated_seconds: sum(|g| g.saturated_seconds),
        sampled_seconds: sum(|g| g.sampled_seconds),
        own_cpu_percent: weigh(|g| g.own_cpu_percent),
        max_lag_ms: each().map(|g| g.max_lag_ms).fold(0.0, f64::max),
        p99_lag_ms: lag.map_or(0.0, |lag| lag.p99 * 1000.0),
        events_lost: sum(|g| g.events_lost),
        lines_parsed: sum(|g| g.lines_parsed),
        lines_dropped: sum(|g| g.lines_dropped),
        // Known of the whole only if it is known of every part.
        clients_degraded: each().map(|g| g.clients_degraded).sum(),
        peak_drop_rate: each().filter_map(|g| g.peak_drop_rate).reduce(f64::max),
    }
}

/// The viewers of all runs, numbered anew in the order of the runs.
fn viewers(reports: &[&Report]) -> Vec<ViewerRow> {
    let rows = reports.iter().flat_map(|report| report.snapshot.viewers.iter().cloned());
    rows.zip(1..).map(|(row, viewer)| ViewerRow { viewer, ..row }).collect()
}
