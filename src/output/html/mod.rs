//! The report as one HTML page: the verdict on top, then the criteria, plots and tables.
//!
//! The page loads nothing and runs nothing; its own content security policy forbids both. `maud` escapes
//! every text by its type, so that what FFmpeg, a server or a user wrote stays text. The only markup that
//! is trusted without escaping is our own style sheet.

mod plots;
mod tables;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use hls_swarm_model::exchange::{Kind, Source};
use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::{Timing, capacity};
use hls_swarm_model::verdict::{Verdict, VerdictKind};

use super::escape::printable;
use super::figures::{bit_rate, count, length, milliseconds, percent, utc};

pub(super) use plots::overlaid as overlaid_plots;

const STYLE: &str = include_str!("style.css");
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// Renders a report as an HTML page.
#[must_use]
pub fn render(report: &Report) -> String {
    let Report { run, snapshot, verdict, .. } = report;
    let body = html! {
        (header(report))
        main {
            (tiles(report))
            (tables::criteria(verdict))
            (tables::quality(report))
            (tables::parts(report))
            (plots::plots(report))
            (tables::requests(report))
            (tables::responses(report))
            (tables::latencies(report))
            (tables::reasons("Why viewers ended", &snapshot.exit_reasons))
            (tables::reasons("Why connections failed", &snapshot.connect_failures))
            (tables::insight(report))
            (tables::origin(report))
            (tables::viewers(report))
        }
        (footer(report))
    };
    document(&format!("{}: hls-swarm, {}", verdict.kind.as_str(), run.url), &body)
}

/// A page with `title` and `body`, and the style sheet of all pages.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(CONTENT_SECURITY_POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    // HTML forbids control characters even when they are escaped.
    printable(&page.into_string())
}

fn header(report: &Report) -> Markup {
    let Report { run, snapshot, verdict, end_reason, .. } = report;
    let word = verdict.kind.as_str();
    // A run without a valid result has not shown what the origin can carry, either.
    let valid = matches!(verdict.kind, VerdictKind::Pass | VerdictKind::Fail);
    let start = utc(run.began_unix).replace('T', " ");
    html! {
        header {
            div class={ "verdict " (word.to_lowercase()) } {
                strong { (word) }
                @for sentence in sentences(verdict) { p { (sentence) } }
                @if let Some(capacity) = capacity(&snapshot.stages).filter(|_| valid) {
                    p { "It " (capacity) "." }
                }
            }
            h1 { (run.url) }
            p.soft {
                (start) " UTC, " (length(snapshot.elapsed_seconds)) " (" (end_reason) "), "
                (snapshot.peak_clients) " of " (snapshot.target_clients) " viewers at the peak"
            }
        }
    }
}

fn sentences(verdict: &Verdict) -> Vec<String> {
    let unmet: Vec<String> = verdict
        .criteria
        .iter()
        .filter(|criterion| !criterion.met)
        .map(|criterion| format!("{}: {} ({})", criterion.name, criterion.value_text(), criterion.limit))
        .collect();
    let not_met = (!unmet.is_empty()).then(|| format!("Not met: {}", unmet.join("; ")));
    let because = |what: &str| {
        verdict.invalid_because.iter().map(|reason| format!("{what}: {reason}")).collect::<Vec<_>>()
    };
    let mut sentences = match verdict.kind {
        VerdictKind::Pass => vec![format!("All {} criteria were met.", verdict.criteria.len())],
        VerdictKind::Fail => {
            let failed = not_met.unwrap_or_else(|| "No viewer ever played.".to_owned());
            std::iter::once(failed).chain(because("Figures that depend on time are not valid")).collect()
        }
        VerdictKind::Invalid => because("The result is not valid").into_iter().chain(not_met).collect(),
        VerdictKind::Aborted => vec!["The run was aborted before its planned end.".to_owned()],
    };
    sentences.extend(verdict.warnings.iter().map(|warning| format!("Warning: {warning}")));
    sentences
}

fn tiles(Report { snapshot, .. }: &Report) -> Markup {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let mut tiles = vec![
        ("requests", count(snapshot.requests.total())),
        ("throughput, average", bit_rate(snapshot.bytes.total() as f64 * 8.0 / seconds)),
    ];
    tiles.extend(snapshot.errors.rate.map(|rate| ("of requests failed", percent(rate))));
    tiles.extend(
        snapshot.latency[Timing::Total(Kind::Segment)].map(|q| ("segment, p95", milliseconds(q.p95))),
    );
    tiles.extend(snapshot.latency[Timing::Startup].map(|q| ("startup, p95", milliseconds(q.p95))));
    tiles.extend(snapshot.stalls().map(|stalls| ("stalls", count(stalls))));
    html! {
        div.tiles {
            @for (name, value) in tiles { div { b { (value) } span { (name) } } }
        }
    }
}

fn footer(Report { run, snapshot, .. }: &Report) -> Markup {
    let source = match snapshot.sources.requests {
        Source::Probe => "Requests and bytes were measured by the socket probe inside each viewer.",
        Source::Log => "Requests and bytes were inferred from FFmpeg's log, not measured.",
        Source::Native => "Requests and bytes were measured by the viewers themselves.",
    };
    html! {
        footer {
            p { (source) }
            p {
                "hls-swarm " (run.version) ", " (run.player_name())
                @if let Some(seed) = run.seed { ", seed " (seed) }
            }
        }
    }
}
