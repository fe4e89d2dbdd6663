//! The tables of the page.

use std::fmt::{self, Write};

use hls_swarm_model::report::Report;
use hls_swarm_model::verdict::Verdict;

use crate::output::escape::markup as safe;
use crate::output::events;
use crate::output::figures::{bytes, count, milliseconds};
use crate::output::insight::{EDGE_HEAD, additional_edges, caches, edge_row, playlists};

/// How many reasons are shown.
const REASONS: usize = 30;

/// Writes a table; cells are markup already.
pub(crate) fn table(out: &mut String, title: &str, head: &[&str], rows: &[Vec<String>]) -> fmt::Result {
    writeln!(out, "<h2>{title}</h2>\n<div class=\"table\"><table>\n<thead><tr>")?;
    for name in head {
        // Words stand on the left, figures on the right.
        let class = if ["Limit", "Reason", "What was seen"].contains(name) { " class=\"text\"" } else { "" };
        writeln!(out, "<th scope=\"col\"{class}>{name}</th>")?;
    }
    writeln!(out, "</tr></thead>\n<tbody>")?;
    for row in rows {
        writeln!(out, "<tr>{}</tr>", row.concat())?;
    }
    writeln!(out, "</tbody></table></div>")
}

pub(crate) fn first(text: &str) -> String {
    format!("<th scope=\"row\">{}</th>", safe(text))
}

/// A name with what it means in small letters below.
fn explained(name: &str, meaning: Option<&str>) -> String {
    let meaning = meaning.map_or_else(String::new, |text| format!("<small>{}</small>", safe(text)));
    format!("<th scope=\"row\">{}{meaning}</th>", safe(name))
}

pub(crate) fn cell(text: &str) -> String {
    format!("<td>{}</td>", safe(text))
}

fn text(text: &str) -> String {
    format!("<td class=\"text\">{}</td>", safe(text))
}

/// What was asked of the run.
pub fn criteria(out: &mut String, verdict: &Verdict) -> fmt::Result {
    let rows: Vec<Vec<String>> = verdict
        .criteria
        .iter()
        .map(|criterion| {
            let (class, mark) = if criterion.met { ("met", "✓ met") } else { ("unmet", "✗ not met") };
            vec![
                explained(&criterion.name, criterion.meaning()),
                format!("<td class=\"{class}\">{mark}</td>"),
                cell(&criterion.value_text()),
                text(&criterion.limit),
            ]
        })
        .collect();
    table(out, "Criteria", &["Criterion", "", "Value", "Limit"], &rows)
}

/// Requests by kind, and how they were answered.
pub fn requests(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let row = |name: &str, requests: u64, body: u64| {
        let per_second = format!("{:.1}", requests as f64 / seconds);
        vec![first(name), cell(&count(requests)), cell(&per_second), cell(&bytes(body))]
    };
    let asked = snapshot.requests.iter().filter(|(_, requests)| **requests > 0);
    let mut rows: Vec<_> =
        asked.map(|(kind, requests)| row(kind.name(), *requests, snapshot.bytes[kind])).collect();
    rows.push(row("total", snapshot.requests.total(), snapshot.bytes.total()));
    table(out, "Requests", &["Kind", "Requests", "Per second", "Body bytes"], &rows)?;

    let errors = &snapshot.errors;
    let mut rows: Vec<_> = snapshot
        .http_status
        .iter()
        .map(|(code, times)| vec![first(&format!("status {code}")), cell(&count(*times))])
        .collect();
    let others = [
        ("broken off by the peer or the network", errors.broken),
        ("timed out", errors.timeouts),
        ("connects failed", errors.connect),
    ];
    let others = others.into_iter().chain(events(snapshot));
    rows.extend(others.map(|(name, times)| vec![first(name), cell(&count(times))]));
    table(out, "Answers", &["", "Count"], &rows)
}

/// All latencies.
pub fn latencies(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let rows: Vec<Vec<String>> = snapshot
        .latency
        .measured()
        .map(|(timing, q)| {
            // The unit stands in the title, so that the row fits on a phone.
            let times = [q.p50, q.p95, q.p99, q.max].map(|s| cell(milliseconds(s).trim_end_matches(" ms")));
            let mut row = vec![first(&timing.title()), cell(&count(q.count))];
            row.extend(times);
            row
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    table(out, "Latency, milliseconds", &["", "Count", "p50", "p95", "p99", "Max"], &rows)?;
    writeln!(
        out,
        "<p class=\"soft\">ttfb: from the request to the first byte; download: from there to the last one; start-up: \
         from the start of a viewer to its first whole segment. p95: 95 of 100 took no longer. Successful \
         responses only.</p>"
    )
}

/// Reasons, most frequent first; nothing if there are none.
pub fn reasons(out: &mut String, title: &str, reasons: &[(String, u64)]) -> fmt::Result {
    if reasons.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> = reasons
        .iter()
        .take(REASONS)
        .map(|(reason, times)| vec![cell(&count(*times)), text(reason)])
        .collect();
    if let Some(more) = reasons.len().checked_sub(REASONS + 1) {
        rows.push(vec![cell("…"), text(&format!("and {} more reasons", more + 1))]);
    }
    table(out, title, &["Count", "Reason"], &rows)
}

/// Edges, and what stands out about caches, playlists and objects; nothing if nothing was seen.
pub fn insight(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let found = &snapshot.insight;
    let row = |edge| {
        let [name, figures @ ..] = edge_row(edge);
        let mut row = vec![first(&name)];
        row.extend(figures.each_ref().map(|figure| cell(figure)));
        row
    };
    let mut rows: Vec<Vec<String>> = found.edges.iter().take(REASONS).map(row).collect();
    rows.extend(additional_edges(found, REASONS).map(|further| vec![first(&further)]));
    if !rows.is_empty() {
        table(out, "Edges", &EDGE_HEAD, &rows)?;
    }
    let failed = found
        .failed
        .iter()
        .map(|one| vec![cell(&count(one.count)), text(&format!("{}: {}", one.name, one.what))]);
    let failed: Vec<Vec<String>> = failed.collect();
    if !failed.is_empty() {
        table(out, "Objects that failed", &["Count", "Reason"], &failed)?;
    }
    let told: Vec<Vec<String>> =
        caches(found).iter().chain(&playlists(found)).map(|line| vec![text(line)]).collect();
    if told.is_empty() { Ok(()) } else { table(out, "Caches and live playlists", &["What was seen"], &told) }
}

/// What the origin's exporters told; nothing if they were not asked.
pub fn origin(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let Some(origin) = &snapshot.origin else { return Ok(()) };
    let gauges: Vec<Vec<String>> = origin
        .gauges()
        .into_iter()
        .map(|(name, factor, gauge)| {
            let values = [gauge.now, gauge.p50, gauge.p95, gauge.max];
            std::iter::once(first(name))
                .chain(values.map(|value| cell(&format!("{:.1}", value * factor))))
                .collect()
        })
        .collect();
    if !gauges.is_empty() {
        table(out, "The origin's own account", &["", "Last", "p50", "p95", "Max"], &gauges)?;
    }
    let mut rows = Vec::new();
    rows.extend(origin.requests.map(|n| ("requests counted by its nginx", count(n))));
    rows.extend(origin.viewer_requests.map(|n| ("requests of the viewers in that time", count(n))));
    rows.extend(snapshot.agreement.origin_requests.map(|a| ("viewers' over nginx's", format!("{a:.4}"))));
    rows.extend(origin.connections_dropped.map(|n| ("connections it could not handle", count(n))));
    if let Some(sizes) = origin.segment_sizes {
        rows.push(("segments whose size was looked up", count(sizes.lookups)));
        rows.push(("of these, published", count(sizes.found)));
        rows.push(("of these, of exactly that size", count(sizes.equal)));
    }
    let mut rows: Vec<_> = rows.iter().map(|(name, value)| vec![first(name), cell(value)]).collect();
    for (target, times) in &origin.failures {
        rows.push(vec![first(&format!("failed scrapes of {target}")), cell(&count(*times))]);
    }
    table(out, "Agreement with the origin", &["", ""], &rows)
}

/// Life cycles and the generator's own condition.
pub fn viewers(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let (lifetimes, generator) = (&snapshot.lifetimes, &snapshot.generator);
    let mut rows = vec![
        ("processes started", count(lifetimes.starts)),
        ("of these, started again", count(lifetimes.restarts)),
        ("viewers that ever played", count(lifetimes.played)),
        ("viewers given up", count(lifetimes.given_up)),
        ("ended with success", count(lifetimes.exits.success)),
        ("ended with an error", count(lifetimes.exits.error)),
        ("ended by a signal", count(lifetimes.exits.signal)),
        ("records of the probe lost", count(generator.events_lost)),
        ("latest timer of this program", milliseconds(generator.max_lag_ms / 1000.0)),
    ];
    rows.extend(generator.cpu_percent.map(|cpu| ("processors busy, mean", format!("{cpu:.0} %"))));
    rows.extend(snapshot.agreement.kernel_bytes.map(|a| ("bytes read per byte received", format!("{a:.6}"))));
    let rows: Vec<_> = rows.iter().map(|(name, value)| vec![first(name), cell(value)]).collect();
    table(out, "Viewers and load generator", &["", ""], &rows)
}
