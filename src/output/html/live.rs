//! The live page: the report of a run that is not over, and its verdict at the end.

use maud::{Markup, PreEscaped, html};

use hls_swarm_model::report::Report;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::timeline::Timeline;
use hls_swarm_model::verdict::so_far::so_far;
use hls_swarm_model::verdict::threshold::Threshold;

use super::{document, footer, header, heading, startup_limit, tables, tiles, title, zoom};
use crate::output::drawings::{drawings, machines};
use crate::output::escape::printable;
use crate::output::figures::{bit_rate, clock, count, percent};

/// What the policy of the live page allows besides: its stream of events.
pub(crate) const POLICY: &str = "; connect-src 'self'";
/// The word in place of a verdict; the script replaces it in the title of the page.
const RUNNING: &str = "RUNNING";
/// The path of the stream of events.
pub(crate) const EVENTS: &str = "/events";

/// The page of a run with a content. The script replaces the content by that of each event.
pub(crate) fn page(run: &Run, content: &str) -> String {
    let body = html! {
        body data-live=(EVENTS) {
            header {
                p id="state" { "Without JavaScript, reload this page for newer figures." }
                (zoom())
            }
            // It was rendered here.
            div id="content" { (PreEscaped(content)) }
        }
    };
    document(&title(run, RUNNING), &body, POLICY)
}

/// The content of the page while the run goes on.
pub(crate) fn content(run: &Run, thresholds: &[Threshold], snapshot: &Snapshot) -> String {
    let limits = thresholds.iter().filter(|threshold| threshold.metric() == "startup");
    let top = html! {
        header {
            div.verdict.running {
                strong { (RUNNING) }
                p.lead { (sentence(snapshot)) }
            }
            (heading(run, snapshot, None))
        }
    };
    let criteria = tables::criteria("Criteria so far", &so_far(snapshot, thresholds), false);
    inner(
        run,
        snapshot,
        &snapshot.timeline,
        limits.filter_map(Threshold::upper_limit).next(),
        &top,
        &criteria,
    )
}

/// The content of the page when the run is over.
pub(crate) fn conclusion(report: &Report) -> String {
    let Report { run, snapshot, verdict, recording, .. } = report;
    let criteria = tables::criteria("Criteria", &verdict.criteria, true);
    inner(run, snapshot, &recording.timeline, startup_limit(verdict), &header(report), &criteria)
}

fn inner(
    run: &Run,
    snapshot: &Snapshot,
    timeline: &Timeline,
    startup_limit: Option<f64>,
    top: &Markup,
    criteria: &Markup,
) -> String {
    let content = html! {
        (top)
        main {
            (tiles(snapshot))
            (drawings(timeline, snapshot, run.began_unix, startup_limit))
            (tables::failures(timeline, run.began_unix))
            (criteria)
            (tables::stages(snapshot))
            (machines(timeline, snapshot, run.began_unix))
            (tables::marks(timeline, run.began_unix))
        }
        (footer(run, snapshot))
    };
    printable(&content.into_string())
}

fn sentence(snapshot: &Snapshot) -> String {
    let time = match snapshot.planned_seconds {
        Some(planned) => format!("{} of {}", clock(snapshot.elapsed_seconds), clock(planned)),
        None => clock(snapshot.elapsed_seconds),
    };
    // The last window is not whole yet.
    let last = snapshot.timeline.windows.iter().rev().nth(1);
    let rate = last.map_or_else(String::new, |window| format!(", {}", bit_rate(window.throughput())));
    let errors = last.and_then(|window| window.error_rate());
    let errors = errors.map_or_else(String::new, |rate| format!(", {} of requests fail", percent(rate)));
    let stalled = snapshot
        .measured_playback()
        .map_or_else(String::new, |playback| format!(", {} stalled", count(playback.stalled_now)));
    format!(
        "{time}: {} of {} viewers play{stalled}{rate}{errors}.",
        count(snapshot.playing_clients),
        count(snapshot.target_now)
    )
}
