//! The report as Markdown: short enough for a comment in a review.

use std::fmt::{self, Write};

use super::escape::markdown as safe;
use super::figures::{bit_rate, bytes, count, length, milliseconds, percent};
use crate::words::report::Report;

/// How many reasons are shown.
const REASONS: usize = 5;

/// The report.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report);
    text
}

fn write(out: &mut String, report: &Report) -> fmt::Result {
    let Report { run, snapshot, verdict, .. } = report;
    writeln!(out, "## hls-swarm: {}\n", verdict.word.shout())?;
    writeln!(
        out,
        "{} of {} viewers at the peak, {}, {} ({})\n",
        snapshot.peak_clients,
        snapshot.target_clients,
        length(snapshot.elapsed_seconds),
        safe(&run.url),
        safe(&report.ended_because)
    )?;
    for reason in &verdict.invalid_because {
        writeln!(out, "**Invalid:** {}\n", safe(reason))?;
    }
    writeln!(out, "| | Criterion | Value | Limit |\n|---|---|---|---|")?;
    for criterion in &verdict.criteria {
        let mark = if criterion.met { "✅ met" } else { "❌ not met" };
        let (name, limit) = (safe(&criterion.name), safe(&criterion.limit));
        writeln!(out, "| {mark} | {name} | {} | {limit} |", criterion.value_text())?;
    }
    figures(out, report)?;
    if !snapshot.exit_reasons.is_empty() {
        writeln!(out, "\n**Why viewers ended**\n")?;
        for (reason, times) in snapshot.exit_reasons.iter().take(REASONS) {
            writeln!(out, "* {times} × {}", safe(reason))?;
        }
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
    let lives = &snapshot.lives;
    writeln!(out, "| Restarts, stalls | {}, {} |", lives.restarts, lives.stalled)?;
    let rows = snapshot.latency.rows();
    if !rows.is_empty() {
        writeln!(out, "\n| Latency | p50 | p95 | p99 | max |\n|---|--:|--:|--:|--:|")?;
    }
    for (_, name, q) in rows {
        let [p50, p95, p99, max] = [q.p50, q.p95, q.p99, q.max].map(milliseconds);
        writeln!(out, "| {name} | {p50} | {p95} | {p99} | {max} |")?;
    }
    Ok(())
}
