//! The report as Markdown, short enough for a comment on a pull request.

use std::fmt::{self, Write};

use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::{Snapshot, capacity};

use super::escape::markdown as safe;
use super::figures::{bit_rate, bytes, count, length, milliseconds, percent};
use super::insight::{EDGE_HEAD, additional_edges, caches, edge_row, playlists};
use super::{canaries, events, generator, load, protocols, quality};

/// Number of reasons that are shown.
const REASONS: usize = 5;

/// Renders a report as Markdown.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, snapshot, verdict, .. } = report;
    writeln!(out, "## hls-swarm: {}\n", verdict.kind.as_str())?;
    writeln!(
        out,
        "{} of {} viewers at the peak, {}, {} ({})\n",
        snapshot.peak_clients,
        snapshot.target_clients,
        length(snapshot.elapsed_seconds),
        safe(&run.url),
        safe(&report.end_reason)
    )?;
    for reason in &verdict.invalid_because {
        writeln!(out, "**Invalid:** {}\n", safe(reason))?;
    }
    for warning in &verdict.warnings {
        writeln!(out, "**Warning:** {}\n", safe(warning))?;
    }
    writeln!(out, "| | Criterion | Value | Limit |\n|---|---|---|---|")?;
    for criterion in &verdict.criteria {
        let mark = if criterion.met { "✅ met" } else { "❌ not met" };
        let (name, limit) = (safe(&criterion.name), safe(&criterion.limit));
        writeln!(out, "| {mark} | {name} | {} | {limit} |", criterion.value_text())?;
    }
    parts(out, report)?;
    figures(out, report)?;
    canaries(out, snapshot)?;
    insight(out, snapshot)?;
    if !snapshot.exit_reasons.is_empty() {
        writeln!(out, "\n**Why viewers ended**\n")?;
        for (reason, times) in snapshot.exit_reasons.iter().take(REASONS) {
            writeln!(out, "* {times} × {}", safe(reason))?;
        }
    }
    Ok(())
}

fn canaries(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let Some(compared) = &snapshot.canaries else { return Ok(()) };
    writeln!(out, "\n| | Canaries | Native |\n|---|---|---|")?;
    for [label, canaries, native] in canaries::rows(compared) {
        writeln!(out, "| {label} | {canaries} | {native} |")?;
    }
    for sentence in &compared.disagreements {
        writeln!(out, "\n**They disagree about** {}", safe(sentence))?;
    }
    Ok(())
}

fn parts(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    if let Some(sentence) = capacity(&snapshot.stages) {
        writeln!(out, "\n**{}**", safe(&sentence))?;
    }
    table(out, &load::STAGE, &load::stages(snapshot))?;
    table(out, &load::STREAM, &load::streams(snapshot))?;
    table(out, &protocols::HEAD, &protocols::rows(snapshot))?;
    table(out, &load::VARIANT, &load::variants(snapshot))?;
    for sentence in load::exceeded_bandwidths(snapshot) {
        writeln!(out, "\n{}", safe(&sentence))?;
    }
    let notes = [load::sessions(&snapshot.lifetimes), load::manual_changes(&snapshot.manual_changes)];
    notes.into_iter().flatten().try_for_each(|note| writeln!(out, "\n{}", safe(&note)))
}

/// Writes a table; nothing if it has no rows.
fn table<const N: usize>(out: &mut String, head: &[&str; N], rows: &[[String; N]]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| {} |\n|{}", head.join(" | "), "---|".repeat(N))?;
    rows.iter().try_for_each(|row| {
        let cells: Vec<String> = row.iter().map(|cell| safe(cell)).collect();
        writeln!(out, "| {} |", cells.join(" | "))
    })
}

fn insight(out: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let found = &snapshot.insight;
    if !found.edges.is_empty() {
        writeln!(out, "\n| Edge{} |\n|---|--:|--:|--:|--:|--:|--:|--:|", EDGE_HEAD.join(" | "))?;
    }
    for edge in found.edges.iter().take(REASONS) {
        writeln!(out, "| {} |", edge_row(edge).each_ref().map(|cell| safe(cell)).join(" | "))?;
    }
    if let Some(more) = additional_edges(found, REASONS) {
        writeln!(out, "\n{}", safe(&more))?;
    }
    let failed = found.failed.iter().take(REASONS);
    let failed = failed.map(|one| format!("{} x {}: {}", one.count, one.name, one.what));
    let observations: Vec<String> = caches(found).into_iter().chain(playlists(found)).chain(failed).collect();
    if !observations.is_empty() {
        writeln!(out, "\n**Caches, live playlists, objects that failed**\n")?;
    }
    for line in observations {
        writeln!(out, "* {}", safe(&line))?;
    }
    Ok(())
}

fn figures(out: &mut String, Report { snapshot, .. }: &Report) -> fmt::Result {
    let seconds = snapshot.elapsed_seconds.max(0.001);
    let total = snapshot.bytes.total();
    writeln!(out, "\n| Figure | |\n|---|---|")?;
    writeln!(out, "| Requests | {} |", count(snapshot.requests.total()))?;
    writeln!(out, "| Body bytes | {}, {} |", bytes(total), bit_rate(total as f64 * 8.0 / seconds))?;
    if let Some(rate) = snapshot.errors.rate {
        writeln!(out, "| Errors | {} |", percent(rate))?;
    }
    for (title, count) in events(snapshot) {
        writeln!(out, "| {title} | {count} |")?;
    }
    let lifetimes = &snapshot.lifetimes;
    match snapshot.stalls() {
        Some(stalls) => writeln!(out, "| Restarts, stalls | {}, {stalls} |", lifetimes.restarts)?,
        None => writeln!(out, "| Restarts | {} |", lifetimes.restarts)?,
    }
    for (label, value) in quality::rows(snapshot).iter().filter(|(label, _)| *label != "stalls") {
        writeln!(out, "| {label} | {value} |")?;
    }
    if let Some(share) = snapshot.agreement.origin_requests {
        writeln!(out, "| Requests by viewers / by the origin's nginx | {share:.4} |")?;
    }
    for (name, factor, gauge) in snapshot.origin.iter().flat_map(|origin| origin.gauges()) {
        writeln!(out, "| Origin, {name}: p95, max | {:.1}, {:.1} |", gauge.p95 * factor, gauge.max * factor)?;
    }
    if snapshot.latency.measured().next().is_some() {
        writeln!(out, "\n| Latency | p50 | p95 | p99 | max |\n|---|--:|--:|--:|--:|")?;
    }
    for (timing, q) in snapshot.latency.measured() {
        let [p50, p95, p99, max] = [q.p50, q.p95, q.p99, q.max].map(milliseconds);
        writeln!(out, "| {} | {p50} | {p95} | {p99} | {max} |", timing.title())?;
    }
    if let Some(error) = &snapshot.latency_error {
        writeln!(out, "\n{}", generator::latency_error(error))?;
    }
    Ok(())
}
