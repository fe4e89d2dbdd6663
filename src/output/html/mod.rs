//! The report as one HTML page: verdict on top, then the criteria, plots and tables. It loads nothing
//! and runs nothing; its own policy forbids both.

pub(crate) mod parts;
pub(crate) mod plot;
pub(crate) mod plots;
pub(crate) mod tables;

use std::fmt::{self, Write};

use hls_swarm_model::exchange::{Kind, Source};
use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::{Timing, capacity};
use hls_swarm_model::verdict::{Verdict, VerdictKind};

use super::escape::markup as safe;
use super::figures::{bit_rate, count, length, milliseconds, percent, utc};

const STYLE: &str = include_str!("style.css");

/// The page.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, report);
    page
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, verdict, .. } = report;
    let word = verdict.kind.as_str();
    writeln!(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")?;
    writeln!(
        out,
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(out, "<title>{word}: hls-swarm, {}</title>", safe(&run.url))?;
    writeln!(out, "<style>\n{STYLE}</style>\n</head>\n<body>")?;
    header(out, report)?;
    writeln!(out, "<main>")?;
    tiles(out, report)?;
    tables::criteria(out, verdict)?;
    parts::write(out, report)?;
    plots::write(out, report)?;
    tables::requests(out, report)?;
    tables::latencies(out, report)?;
    tables::reasons(out, "Why viewers ended", &report.snapshot.exit_reasons)?;
    tables::reasons(out, "Why connections failed", &report.snapshot.connect_failures)?;
    tables::insight(out, report)?;
    tables::origin(out, report)?;
    tables::viewers(out, report)?;
    writeln!(out, "</main>")?;
    footer(out, report)?;
    writeln!(out, "</body>\n</html>")
}

fn header(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, snapshot, verdict, end_reason, .. } = report;
    let word = verdict.kind.as_str();
    writeln!(out, "<header>\n<div class=\"verdict {}\"><strong>{word}</strong>", word.to_lowercase())?;
    for sentence in sentences(verdict) {
        writeln!(out, "<p>{}</p>", safe(&sentence))?;
    }
    // A run that proves nothing has not shown what anything holds either.
    let proven = matches!(verdict.kind, VerdictKind::Pass | VerdictKind::Fail);
    if let Some(capacity) = capacity(&snapshot.stages).filter(|_| proven) {
        writeln!(out, "<p>It {}.</p>", safe(&capacity))?;
    }
    writeln!(out, "</div>\n<h1>{}</h1>", safe(&run.url))?;
    writeln!(
        out,
        "<p class=\"soft\">{} UTC, {} ({}), {} of {} viewers at the peak</p>\n</header>",
        utc(run.began_unix).replace('T', " "),
        length(snapshot.elapsed_seconds),
        safe(end_reason),
        snapshot.peak_clients,
        snapshot.target_clients
    )
}

fn sentences(verdict: &Verdict) -> Vec<String> {
    let unmet: Vec<String> = verdict
        .criteria
        .iter()
        .filter(|criterion| !criterion.met)
        .map(|criterion| format!("{}: {} ({})", criterion.name, criterion.value_text(), criterion.limit))
        .collect();
    let not_met = || format!("Not met: {}", unmet.join("; "));
    match verdict.kind {
        VerdictKind::Pass => vec![format!("All {} criteria were met.", verdict.criteria.len())],
        VerdictKind::Fail if unmet.is_empty() => vec!["No viewer ever played.".to_owned()],
        VerdictKind::Fail => vec![not_met()],
        VerdictKind::Invalid => {
            let because = verdict.invalid_reasons.iter().map(|why| format!("It proves nothing: {why}"));
            because.collect()
        }
        VerdictKind::Aborted => vec!["It was broken off before its planned end.".to_owned()],
    }
}

fn tiles(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let mut tiles = vec![
        ("requests", count(snapshot.requests.total())),
        ("throughput, mean", bit_rate(snapshot.bytes.total() as f64 * 8.0 / seconds)),
    ];
    tiles.extend(snapshot.errors.rate.map(|rate| ("of requests failed", percent(rate))));
    tiles.extend(
        snapshot.latency[Timing::Total(Kind::Segment)].map(|q| ("segment, p95", milliseconds(q.p95))),
    );
    tiles.extend(snapshot.latency[Timing::Startup].map(|q| ("start-up, p95", milliseconds(q.p95))));
    tiles.push(("stalls", count(snapshot.lifetimes.stalled)));
    writeln!(out, "<div class=\"tiles\">")?;
    for (name, value) in tiles {
        writeln!(out, "<div><b>{value}</b><span>{name}</span></div>")?;
    }
    writeln!(out, "</div>")
}

fn footer(out: &mut String, Report { run, snapshot, .. }: &Report) -> fmt::Result {
    let source = match snapshot.sources.requests {
        Source::Probe => "Requests and bytes were measured by the socket probe inside each viewer.",
        Source::Log => "Requests and bytes were inferred from FFmpeg's log, not measured.",
    };
    let seed = run.seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    writeln!(
        out,
        "<footer><p>{source}</p><p>hls-swarm {}, FFmpeg {}{seed}</p></footer>",
        safe(&run.version),
        safe(&run.ffmpeg)
    )
}
