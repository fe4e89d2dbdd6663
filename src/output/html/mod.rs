//! The report as one HTML page: what held and what broke on top, then the drawings, failures, and tables. The live page
//! is the same page with the figures so far.
//!
//! The page loads nothing: its content security policy allows its own style sheet and its own script by their hashes, and
//! nothing else. Without the script everything is shown but values under the pointer, and time cannot be zoomed. `maud`
//! escapes every text by its type, so that what FFmpeg, a server or a user wrote stays text. The only markup that is
//! trusted without escaping is our own style sheet and script.

mod banner;
pub(crate) mod live;
mod plan;
mod tables;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use ring::digest::{SHA256, digest};

use hls_swarm_model::exchange::{Kind, Source};
use hls_swarm_model::report::Report;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::{Snapshot, Timing};
use hls_swarm_model::verdict::threshold::Threshold;
use hls_swarm_model::verdict::{Verdict, VerdictKind};

use super::drawings::{drawings, machines};
use super::escape::printable;
use super::figures::{bit_rate, count, length, milliseconds, percent, utc};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Renders a report as an HTML page.
#[must_use]
pub fn render(report: &Report) -> String {
    let Report { run, snapshot, verdict, recording, .. } = report;
    let body = html! {
        (header(report))
        main {
            (tiles(snapshot))
            (zoom())
            (drawings(&recording.timeline, snapshot, run.began_unix, startup_limit(verdict)))
            (tables::failures(&recording.timeline, run.began_unix))
            (tables::criteria("Criteria", &verdict.criteria, true))
            (tables::stages(snapshot))
            (plan::plan(run, snapshot))
            div.more {
                (tables::marks(&recording.timeline, run.began_unix))
                (tables::quality(report))
                (tables::canaries(report))
                (tables::parts(report))
                h2 { "Requests, load generator, and origin over time" }
                (machines(&recording.timeline, snapshot, run.began_unix))
                (tables::requests(report))
                (tables::responses(report))
                (tables::latencies(report))
                (tables::reasons("Why viewers ended", &snapshot.exit_reasons))
                (tables::reasons("Why connections failed", &snapshot.connect_failures))
                (tables::insight(report))
                (tables::origin(report))
                (tables::viewers(report))
            }
        }
        (footer(run, snapshot))
    };
    document(&title(run, verdict.kind.as_str()), &html! { body { (body) } }, "")
}

fn title(run: &Run, word: &str) -> String {
    let given = run.setup.as_ref().and_then(|setup| setup.title.as_deref());
    format!("{word}: {}, hls-swarm", given.unwrap_or(&run.url))
}

/// The hash by which a content security policy names an inline script or style sheet.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// The content security policy of pages with the script; `more` is what a page needs besides.
pub(crate) fn content_security_policy(more: &str) -> String {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'{more}"
    )
}

/// A page with `title` and a body, the style sheet of all pages, and the script. `more` goes into its policy.
pub(super) fn document(title: &str, body: &Markup, more: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(content_security_policy(more));
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            (body)
            script { (PreEscaped(SCRIPT)) }
        }
    };
    // HTML forbids control characters even when they are escaped.
    printable(&page.into_string())
}

/// The buttons that zoom; the script shows them.
pub(super) fn zoom() -> Markup {
    html! {
        div.zoom hidden {
            button type="button" id="zoom-in" { "Zoom in" }
            button type="button" id="zoom-out" { "Zoom out" }
            button type="button" id="zoom-all" disabled { "All of it" }
            span { "Drag across a drawing to zoom. Keys: ← → values, + − 0 zoom." }
        }
    }
}

/// The limit of the startup time, seconds, if there is a threshold.
fn startup_limit(verdict: &Verdict) -> Option<f64> {
    let limits = verdict.criteria.iter().filter(|criterion| criterion.name == "startup");
    limits.filter_map(|criterion| criterion.limit.parse::<Threshold>().ok()?.upper_limit()).next()
}

/// The title that was given, the stream, and when the run was.
fn heading(run: &Run, snapshot: &Snapshot, end_reason: Option<&str>) -> Markup {
    let start = utc(run.began_unix).replace('T', " ");
    let setup = run.setup.as_ref();
    html! {
        h1 { (setup.and_then(|setup| setup.title.as_deref()).unwrap_or(&run.url)) }
        @if setup.is_some_and(|setup| setup.title.is_some()) { p { (run.url) } }
        @if let Some(notes) = setup.and_then(|setup| setup.notes.as_deref()) { p { (notes) } }
        p.soft {
            (start) " UTC, " (length(snapshot.elapsed_seconds))
            @if let Some(reason) = end_reason { " (" (reason) ")" }
            ", " (snapshot.peak_clients) " of " (snapshot.target_clients) " viewers at the peak"
        }
    }
}

fn header(report: &Report) -> Markup {
    let Report { run, snapshot, verdict, end_reason, .. } = report;
    let word = verdict.kind.as_str();
    html! {
        header {
            div class={ "verdict " (word.to_lowercase()) } {
                strong { (word) }
                @if let Some(sentence) = banner::sentence(report) { p.lead { "It " (sentence) "." } }
                @for sentence in sentences(verdict) { p { (sentence) } }
            }
            (heading(run, snapshot, Some(end_reason)))
        }
    }
}

fn sentences(verdict: &Verdict) -> Vec<String> {
    let unmet = verdict.criteria.iter().filter(|criterion| !criterion.met).count();
    let not_met = (unmet > 0).then(|| format!("{unmet} of {} criteria not met.", verdict.criteria.len()));
    let because = |what: &str| {
        verdict.invalid_because.iter().map(|reason| format!("{what}: {reason}")).collect::<Vec<_>>()
    };
    let mut sentences = match verdict.kind {
        VerdictKind::Pass => vec![format!("All {} criteria were met.", verdict.criteria.len())],
        VerdictKind::Fail => {
            not_met.into_iter().chain(because("Figures that depend on time are not valid")).collect()
        }
        VerdictKind::Invalid => because("The result is not valid").into_iter().chain(not_met).collect(),
        VerdictKind::Aborted => vec!["The run was aborted before its planned end.".to_owned()],
    };
    sentences.extend(verdict.warnings.iter().map(|warning| format!("Warning: {warning}")));
    sentences
}

fn tiles(snapshot: &Snapshot) -> Markup {
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

fn footer(run: &Run, snapshot: &Snapshot) -> Markup {
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

#[cfg(test)]
mod tests;
