//! The live page: the report of a run that is not over.

use maud::{Markup, html};

use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::threshold::Threshold;

use super::{document, footer, heading, tables, tiles, title, zoom};
use crate::output::drawings::{drawings, machines};
use crate::output::escape::printable;
use crate::output::figures::{bit_rate, clock, count, percent};

/// What the policy of the live page allows besides: its stream of events.
pub(crate) const POLICY: &str = "; connect-src 'self'";
/// The path of the stream of events.
pub(crate) const EVENTS: &str = "/events";

/// The page of a run. The script replaces its content by that of each event.
pub(crate) fn page(run: &Run, thresholds: &[Threshold], snapshot: &Snapshot) -> String {
    let body = html! {
        body data-live=(EVENTS) {
            header {
                p id="state" { "Without JavaScript, reload this page for newer figures." }
                (zoom())
            }
            div id="content" { (inner(run, thresholds, snapshot)) }
        }
    };
    document(&title(run, "RUNNING"), &body, POLICY)
}

/// The content of the page.
pub(crate) fn content(run: &Run, thresholds: &[Threshold], snapshot: &Snapshot) -> String {
    printable(&inner(run, thresholds, snapshot).into_string())
}

fn inner(run: &Run, thresholds: &[Threshold], snapshot: &Snapshot) -> Markup {
    let timeline = &snapshot.timeline;
    let limits = thresholds.iter().filter(|threshold| threshold.metric() == "startup");
    let startup_limit = limits.filter_map(Threshold::upper_limit).next();
    html! {
        header {
            div.verdict.running {
                strong { "RUNNING" }
                p.lead { (sentence(snapshot)) }
            }
            (heading(run, snapshot, None))
        }
        main {
            (tiles(snapshot))
            (drawings(timeline, snapshot, run.began_unix, startup_limit))
            (tables::failures(timeline, run.began_unix))
            (tables::stages(snapshot))
            (machines(timeline, snapshot, run.began_unix))
            (tables::marks(timeline, run.began_unix))
        }
        (footer(run, snapshot))
    }
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
