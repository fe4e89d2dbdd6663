//! From the text of a JSON report to the report.

use serde::Deserialize;

use hls_swarm_base::error::Failure;

use super::countable::Countable;
use super::document::{Document, LatencyTable, Reason};
use crate::exchange::Kind;
use crate::report::{Recording, Report, SCHEMA};
use crate::run::Run;
use crate::snapshot::{Buckets, ExchangeTimes, Latency, PerKind, Rates, Snapshot};

#[derive(Deserialize)]
struct Head {
    schema: u64,
}

/// Reads the report that stands in `text`; `name` is the file's.
///
/// # Errors
/// A usage failure: the text is no report of this program, or one of another schema.
pub fn read(name: &str, text: &str) -> Result<Report, Failure> {
    let no_report = |error: serde_json::Error| {
        Failure::usage(format!("{name}: is no JSON report of hls-swarm"))
            .caused_by(error)
            .help("name a file that was written with `--report FILE.json`")
    };
    let Head { schema } = serde_json::from_str(text).map_err(no_report)?;
    if schema != SCHEMA {
        return Err(Failure::usage(format!("{name}: has schema {schema}, and this program reads {SCHEMA}"))
            .help("use the version of hls-swarm that wrote it"));
    }
    serde_json::from_str::<Countable>(text).map_err(no_report)?;
    let document: Document = serde_json::from_str(text).map_err(no_report)?;
    if document.series.as_ref().is_some_and(|series| series.step_seconds == 0) {
        return Err(no_report(serde::de::Error::custom("its series has steps of 0 s")));
    }
    Ok(report(document))
}

fn report(document: Document) -> Report {
    let latency = latency(&document.latency_seconds);
    let Document { verdict, end_reason, errors, playback, source, agreement, generator, .. } = document;
    let run = Run {
        url: document.url,
        variant: document.variant,
        version: document.version,
        ffmpeg: document.ffmpeg,
        player: document.player,
        seed: document.seed,
        began_unix: document.began_unix,
        per_viewer_metrics: false,
    };
    let snapshot = Snapshot {
        elapsed_seconds: document.elapsed_seconds,
        planned_seconds: document.planned_seconds,
        target_clients: document.target_clients,
        target_now: document.expected_at_end.unwrap_or(document.target_clients),
        active_clients: 0,
        playing_clients: document.playing_at_end,
        peak_clients: document.peak_clients,
        expected_viewer_seconds: document.expected_viewer_seconds,
        active_ratio: document.active_ratio,
        requests: document.requests,
        bytes: document.bytes,
        head_bytes: document.head_bytes,
        received_bytes: document.received_bytes,
        http_status: document.http_status,
        unanswered: document.unanswered,
        stale_requests: document.stale_requests,
        in_flight_at_stop: document.in_flight_at_stop,
        cache: (document.cache.hits, document.cache.misses),
        // What only the Prometheus endpoint of a run that goes on shows.
        rates: Rates::default(),
        latency_buckets: Buckets::default(),
        uptime_buckets: Buckets::default(),
        latency,
        playback,
        errors,
        connect_failures: counted(document.connect_failures),
        reconnections: document.reconnections,
        lifetimes: document.viewers,
        exit_reasons: counted(document.exit_reasons),
        uptime: document.uptime_seconds,
        sources: source,
        agreement,
        insight: document.insight,
        origin: document.origin,
        generator,
        watching: document.watching,
        stages: document.stages,
        streams: document.streams,
        manual_changes: document.manual_changes,
        // It stands among the criteria.
        aborted_by: None,
        viewers: document.per_viewer,
    };
    let recording =
        Recording { series: document.series.unwrap_or_default(), histograms: document.histograms };
    Report { run, snapshot, recording, verdict, end_reason }
}

fn counted(reasons: Vec<Reason>) -> Vec<(String, u64)> {
    reasons.into_iter().map(|Reason { reason, count }| (reason, count)).collect()
}

fn latency(table: &LatencyTable) -> Latency {
    let mut by_kind = PerKind::<ExchangeTimes>::default();
    let kinds = [
        (Kind::Playlist, table.manifest),
        (Kind::Segment, table.segment),
        (Kind::Init, table.init),
        (Kind::Key, table.key),
        (Kind::Other, table.other),
    ];
    for (kind, times) in kinds {
        by_kind[kind] = times.map_or_else(ExchangeTimes::default, |times| ExchangeTimes {
            ttfb: times.ttfb,
            download: times.download,
        });
    }
    Latency {
        by_kind,
        segment_total: table.segment.and_then(|times| times.total),
        connect: table.connect,
        dns: table.dns,
        tls: table.tls_handshake,
        startup: table.startup,
    }
}
