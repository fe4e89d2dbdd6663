//! The comparison as Markdown, short enough for a comment on a pull request.

use std::fmt::{self, Write};

use hls_swarm_model::comparison::condition::Outcome;

use super::{Compared, explained};
use crate::output::escape::markdown as safe;

/// Renders the comparison: what has changed in a table, everything else folded away.
pub(super) fn render(compared: &Compared<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, compared);
    text
}

fn write(out: &mut String, compared: &Compared<'_>) -> fmt::Result {
    let verdict = if compared.conditions.is_empty() { "comparison" } else { compared.verdict() };
    writeln!(out, "## hls-swarm: {verdict}\n")?;
    for (letter, (name, report)) in ["A", "B"].iter().zip(compared.sides) {
        let (name, url) = (safe(name), safe(&report.run.url));
        writeln!(out, "* {letter}: {name}, {}, {url}", report.verdict.kind.as_str())?;
    }
    writeln!(out, "\n**{}**", compared.sentence())?;
    for note in &compared.comparison.notes {
        writeln!(out, "\n{}", safe(note))?;
    }
    if !compared.conditions.is_empty() {
        writeln!(out, "\n| | Fails if | Measured |\n|---|---|---|")?;
    }
    for checked in &compared.conditions {
        let mark = match checked.outcome {
            Outcome::Holds => "❌ failed",
            Outcome::No | Outcome::Noise => "✅ passed",
            Outcome::Unknown => "❔ not judged",
        };
        writeln!(out, "| {mark} | {} | {} |", safe(&checked.condition), safe(&explained(checked)))?;
    }
    let is_same = |line: &super::Line| line.last().is_some_and(|judgement| judgement == "same");
    let (same, changed): (Vec<_>, Vec<_>) = compared.lines().into_iter().partition(is_same);
    table(out, &changed)?;
    writeln!(out, "\n<details><summary>Other figures</summary>")?;
    table(out, &[same, compared.facts()].concat())?;
    writeln!(out, "\n{}\n\n</details>", Compared::rule())
}

fn table(out: &mut String, lines: &[super::Line]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| Figure | A | B | Change | B is |\n|---|--:|--:|--:|---|")?;
    lines
        .iter()
        .try_for_each(|line| writeln!(out, "| {} |", line.each_ref().map(|cell| safe(cell)).join(" | ")))
}
