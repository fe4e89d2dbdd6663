//! The comparison for a terminal, within 80 columns as far as names allow.

use std::fmt::Write;

use hls_swarm_model::comparison::condition::Outcome;

use super::{Compared, explained};
use crate::output::escape::printable;

/// Renders the comparison.
pub(super) fn render(compared: &Compared<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, compared);
    printable(&text)
}

fn write(out: &mut String, compared: &Compared<'_>) -> std::fmt::Result {
    for (letter, (name, report)) in ["A", "B"].iter().zip(compared.sides) {
        writeln!(out, "{letter}  {:<8} {name}  {}", report.verdict.kind.as_str(), report.run.url)?;
    }
    writeln!(out, "\n{}", compared.sentence())?;
    for note in &compared.comparison.notes {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "\n{:<28} {:>14} {:>14} {:>10}", "", "A", "B", "change")?;
    for [name, before, after, change, judgement] in compared.lines() {
        let judgement = if judgement == "same" { "" } else { &judgement };
        let line = format!("{name:<28} {before:>14} {after:>14} {change:>10}  {judgement}");
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    for [name, before, after, ..] in compared.facts() {
        writeln!(out, "{name:<28} {before:>14} {after:>14}")?;
    }
    writeln!(out, "\n{}", Compared::rule())?;
    if compared.conditions.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for checked in &compared.conditions {
        let mark = match checked.outcome {
            Outcome::Holds => '✗',
            Outcome::No | Outcome::Noise => '✓',
            Outcome::Unknown => '?',
        };
        writeln!(out, "{mark} {:<26} {}", checked.condition, explained(checked))?;
    }
    writeln!(out, "{} (exit code {})", compared.verdict(), compared.exit().code())
}
