//! The tables of the page.

use maud::{Markup, html};

use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::timeline::Timeline;
use hls_swarm_model::timeline::failures::FailureGroup;
use hls_swarm_model::verdict::Criterion;

use crate::output::drawings::wall;
use crate::output::figures::{bytes, clock, count, milliseconds, span};
use crate::output::insight::{EDGE_HEAD, additional_edges, caches, edge_row, playlists};
use crate::output::{canaries, content, events, generator, load, protocols, quality};

/// Largest number of reasons and of edges that a table lists.
const MAX_ROWS: usize = 30;
/// Columns of text, which are aligned to the left; figures are aligned to the right.
const TEXT_COLUMNS: [&str; 7] =
    ["Limit", "Reason", "Observation", "Failure", "When", "First object", "Event"];

/// The cells of one row.
type Row = Vec<Markup>;

/// Renders a table with its title; nothing if it has no rows.
fn table(title: &str, head: &[&str], rows: impl IntoIterator<Item = Row>) -> Markup {
    let mut rows = rows.into_iter().peekable();
    html! {
        @if rows.peek().is_some() {
            h2 { (title) }
            div.table {
                table {
                    thead {
                        tr {
                            @for name in head {
                                th scope="col" class=[TEXT_COLUMNS.contains(name).then_some("text")] { (name) }
                            }
                        }
                    }
                    tbody {
                        @for row in rows {
                            tr { @for cell in row { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// The first cell of a row.
fn name(text: &str) -> Markup {
    html! { th scope="row" { (text) } }
}

/// A figure.
fn figure(text: &str) -> Markup {
    html! { td { (text) } }
}

/// Prose in one of the [`TEXT_COLUMNS`].
fn prose(text: &str) -> Markup {
    html! { td.text { (text) } }
}

fn named_figure(label: &str, value: &str) -> Row {
    vec![name(label), figure(value)]
}

/// A row whose first cell is a name and whose other cells are figures.
fn named_figures<const N: usize>(cells: &[String; N]) -> Row {
    let cells = cells.iter().enumerate();
    cells.map(|(column, text)| if column == 0 { name(text) } else { figure(text) }).collect()
}

/// The criteria, with their values and limits. While a run goes on, some have no value yet.
pub(super) fn criteria(title: &str, criteria: &[Criterion], over: bool) -> Markup {
    let rows = criteria.iter().map(|criterion| {
        let (class, mark) = match (criterion.met, criterion.value) {
            (true, _) => ("met", "✓ met"),
            (false, None) if !over => ("soft", "– no value yet"),
            (false, _) => ("unmet", "✗ not met"),
        };
        let explained = html! {
            th scope="row" {
                (criterion.name)
                @if let Some(meaning) = criterion.meaning() { small { (meaning) } }
            }
        };
        let mark = html! { td class=(class) { (mark) } };
        vec![explained, mark, figure(&criterion.value_text()), prose(&criterion.limit)]
    });
    table(title, &["Criterion", "", "Value", "Limit"], rows)
}

/// Failures in groups, the largest first.
pub(super) fn failures(timeline: &Timeline, began_unix: u64) -> Markup {
    let when =
        |group: &FailureGroup| format!("{} (from {} UTC)", span(group), wall(began_unix, group.first_second));
    let rows = timeline.failures.iter().take(MAX_ROWS).map(|group| {
        vec![
            prose(&group.title()),
            figure(&count(group.viewers)),
            prose(&when(group)),
            prose(&group.first_name),
        ]
    });
    let more = timeline.failures.len().checked_sub(MAX_ROWS).filter(|more| *more > 0);
    let more = more.map(|more| vec![prose(&format!("… and {more} more groups"))]);
    table("Failures", &["Failure", "Viewers", "When", "First object"], rows.chain(more))
}

/// The events that drawings mark.
pub(super) fn marks(timeline: &Timeline, began_unix: u64) -> Markup {
    let rows = timeline.marks.iter().map(|mark| {
        let time = format!("{} ({} UTC)", clock(mark.second), wall(began_unix, mark.second));
        vec![name(&time), prose(&mark.text)]
    });
    table("Events", &["Time", "Event"], rows)
}

/// The stages of the load.
pub(super) fn stages(snapshot: &Snapshot) -> Markup {
    table("Stages", &load::STAGE, load::stages(snapshot).iter().map(named_figures))
}

/// The other parts of the load: streams, variants and manual changes.
pub(super) fn parts(Report { snapshot, .. }: &Report) -> Markup {
    let notes = [load::sessions(&snapshot.lifetimes), load::manual_changes(&snapshot.manual_changes)];
    html! {
        @for note in notes.into_iter().flatten() { p { (note) } }
        (table("Streams", &load::STREAM, load::streams(snapshot).iter().map(named_figures)))
        (table("Versions of HTTP", &protocols::HEAD, protocols::rows(snapshot).iter().map(named_figures)))
        (table("Variants and renditions", &load::VARIANT, load::variants(snapshot).iter().map(named_figures)))
        @for sentence in load::exceeded_bandwidths(snapshot) { p { (sentence) } }
    }
}

/// Canaries beside native viewers; nothing without canaries.
pub(super) fn canaries(Report { snapshot, .. }: &Report) -> Markup {
    let compared = snapshot.canaries.as_ref();
    let rows = compared.map(canaries::rows).unwrap_or_default();
    html! {
        (table("Canaries beside native viewers", &canaries::HEAD, rows.iter().map(named_figures)))
        @for sentence in compared.iter().flat_map(|compared| &compared.disagreements) {
            p { "They disagree about " (sentence) }
        }
    }
}

/// Quality of experience; nothing if it was not measured.
pub(super) fn quality(Report { snapshot, .. }: &Report) -> Markup {
    let rows = quality::rows(snapshot);
    table("Quality of experience", &["", ""], rows.iter().map(|(label, value)| named_figure(label, value)))
}

/// Requests by kind.
pub(super) fn requests(Report { snapshot, .. }: &Report) -> Markup {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let row = |kind: &str, requests: u64, body: u64| {
        let per_second = format!("{:.1}", requests as f64 / seconds);
        vec![name(kind), figure(&count(requests)), figure(&per_second), figure(&bytes(body))]
    };
    let sent = snapshot.requests.iter().filter(|(_, requests)| **requests > 0);
    let by_kind = sent.map(|(kind, requests)| row(kind.name(), *requests, snapshot.bytes[kind]));
    let total = row("total", snapshot.requests.total(), snapshot.bytes.total());
    table("Requests", &["Kind", "Requests", "Per second", "Body bytes"], by_kind.chain([total]))
}

/// Responses by status code, and requests that had none.
pub(super) fn responses(Report { snapshot, .. }: &Report) -> Markup {
    let errors = &snapshot.errors;
    let statuses = snapshot
        .http_status
        .iter()
        .map(|(code, times)| named_figure(&format!("status {code}"), &count(*times)));
    let others = [
        ("interrupted by the peer or the network", errors.broken),
        ("timed out", errors.timeouts),
        ("failed connections", errors.connect),
    ];
    let others = others.into_iter().chain(events(snapshot));
    let others = others.map(|(label, times)| named_figure(label, &count(times)));
    table("Responses", &["", "Count"], statuses.chain(others))
}

/// All latencies.
pub(super) fn latencies(Report { snapshot, .. }: &Report) -> Markup {
    let rows: Vec<Row> = snapshot
        .latency
        .measured()
        .map(|(timing, q)| {
            // The unit is in the title, so that the row fits on a phone.
            let times = [q.p50, q.p95, q.p99, q.max].map(|s| figure(milliseconds(s).trim_end_matches(" ms")));
            [name(&timing.title()), figure(&count(q.count))].into_iter().chain(times).collect()
        })
        .collect();
    html! {
        @if !rows.is_empty() {
            (table("Latency, milliseconds", &["", "Count", "p50", "p95", "p99", "Max"], rows))
            p.soft {
                "ttfb: from the request to the first byte; download: from there to the last byte; startup: \
                 from the start of a viewer to its first whole segment. p95: 95 of 100 took no longer. \
                 Successful responses only."
            }
        }
    }
}

/// Reasons, most frequent first.
pub(super) fn reasons(title: &str, reasons: &[(String, u64)]) -> Markup {
    let listed = reasons.iter().take(MAX_ROWS);
    let listed = listed.map(|(reason, times)| vec![figure(&count(*times)), prose(reason)]);
    let more = reasons.len().checked_sub(MAX_ROWS).filter(|more| *more > 0);
    let more = more.map(|more| vec![figure("…"), prose(&format!("and {more} more reasons"))]);
    table(title, &["Count", "Reason"], listed.chain(more))
}

/// Edges, failed objects, and observations about caches and live playlists.
pub(super) fn insight(Report { snapshot, .. }: &Report) -> Markup {
    let found = &snapshot.insight;
    let edges = found.edges.iter().take(MAX_ROWS).map(|edge| named_figures(&edge_row(edge)));
    let edges = edges.chain(additional_edges(found, MAX_ROWS).map(|more| vec![name(&more)]));
    let failed = found.failed.iter().map(|object| {
        vec![figure(&count(object.count)), prose(&format!("{}: {}", object.name, object.what))]
    });
    let observations = caches(found).into_iter().chain(playlists(found));
    let checks = snapshot.content.as_ref();
    let media = checks
        .iter()
        .flat_map(|checks| std::iter::once(content::extent(checks)).chain(content::findings(checks)));
    let rates = checks.map(content::bit_rates).unwrap_or_default();
    html! {
        (table("Edges", &EDGE_HEAD, edges))
        (table("Objects that failed", &["Count", "Reason"], failed))
        (table("Caches and live playlists", &["Observation"], observations.map(|line| vec![prose(&line)])))
        (table("Checks of the media", &["Observation"], media.map(|line| vec![prose(&line)])))
        (table("Announced and real bit rates", &content::BIT_RATES, rates.iter().map(named_figures)))
    }
}

/// Figures from the origin's exporters; nothing if they were not scraped.
pub(super) fn origin(Report { snapshot, .. }: &Report) -> Markup {
    let Some(origin) = &snapshot.origin else { return html! {} };
    let gauges = origin.gauges().into_iter().map(|(label, factor, gauge)| {
        let values = [gauge.now, gauge.p50, gauge.p95, gauge.max];
        let values = values.map(|value| figure(&format!("{:.1}", value * factor)));
        std::iter::once(name(label)).chain(values).collect()
    });
    let mut rows = Vec::new();
    rows.extend(origin.requests.map(|n| ("requests counted by its nginx", count(n))));
    rows.extend(origin.viewer_requests.map(|n| ("requests of the viewers in that time", count(n))));
    let ratio = snapshot.agreement.origin_requests;
    rows.extend(ratio.map(|a| ("requests of the viewers / of its nginx", format!("{a:.4}"))));
    rows.extend(origin.connections_dropped.map(|n| ("connections it could not handle", count(n))));
    if let Some(sizes) = origin.segment_sizes {
        rows.push(("segments whose size was looked up", count(sizes.lookups)));
        rows.push(("of these, published", count(sizes.found)));
        rows.push(("of these, of exactly that size", count(sizes.equal)));
    }
    let rows = rows.iter().map(|(label, value)| named_figure(label, value));
    let failures = origin.failures.iter();
    let failures =
        failures.map(|(target, times)| named_figure(&format!("failed scrapes of {target}"), &count(*times)));
    html! {
        (table("The origin's own figures", &["", "Last", "p50", "p95", "Max"], gauges))
        (table("Agreement with the origin", &["", ""], rows.chain(failures)))
    }
}

/// Lifetimes of viewers, and the state of the load generator.
pub(super) fn viewers(Report { snapshot, .. }: &Report) -> Markup {
    let (lifetimes, condition) = (&snapshot.lifetimes, &snapshot.generator);
    let mut rows = vec![
        ("processes started", count(lifetimes.starts)),
        ("of these, restarts", count(lifetimes.restarts)),
        ("viewers that played", count(lifetimes.played)),
        ("viewers that failed permanently", count(lifetimes.given_up)),
        ("exited successfully", count(lifetimes.exits.success)),
        ("exited with an error", count(lifetimes.exits.error)),
        ("ended by a signal", count(lifetimes.exits.signal)),
        ("lost probe records", count(condition.events_lost)),
        ("longest event-loop lag of this program", milliseconds(condition.max_lag_ms / 1000.0)),
    ];
    rows.extend(generator::waits(&condition.waits));
    rows.extend(condition.cpu_percent.map(|cpu| ("processors busy, average", format!("{cpu:.0} %"))));
    rows.extend(snapshot.agreement.kernel_bytes.map(|a| ("bytes read per byte received", format!("{a:.6}"))));
    let rows = rows.iter().map(|(label, value)| named_figure(label, value));
    table("Viewers and load generator", &["", ""], rows)
}
