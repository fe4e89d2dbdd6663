//! An audit as Markdown.

use std::fmt::Write;

use super::counts;
use crate::audit::findings::{Audit, Capacity, CapacityLimit, Finding};

/// The whole audit.
#[must_use]
pub(crate) fn render(audit: &Audit) -> String {
    let mut out = format!(
        "# Audit of {}\n\nFor {} viewers: {}.\n",
        plain(&audit.subject),
        audit.viewers,
        counts(audit)
    );
    for entry in &audit.findings {
        finding(entry, &mut out);
    }
    if !audit.good.is_empty() || !audit.unknown.is_empty() {
        out.push_str("\n## Other checks\n\n| check | found |\n|---|---|\n");
        for (check, what) in &audit.good {
            let _ = writeln!(out, "| ✓ {check} | {} |", plain(what));
        }
        for unknown in &audit.unknown {
            let _ = writeln!(out, "| ? {} | not checked: {} |", unknown.check, plain(&unknown.why));
        }
    }
    out.push_str("\n## Capacity by arithmetic\n\nFor the worst moment; only a load test measures it.\n");
    for (name, limits_of) in [("Before", &audit.capacity.before), ("After", &audit.capacity.after)] {
        let lowest = Capacity::lowest(limits_of);
        let capacity_limit = lowest.map_or_else(
            || "unknown".to_owned(),
            |(capacity_limit, n)| format!("{n} viewers ({})", capacity_limit.name),
        );
        let _ =
            write!(out, "\n**{name}: {capacity_limit}**\n\n| wall | viewers | formula |\n|---|---:|---|\n");
        for CapacityLimit { name, viewers, formula } in limits_of {
            let viewers = viewers.map_or_else(|| "-".to_owned(), |viewers| viewers.to_string());
            let _ = writeln!(out, "| {name} | {viewers} | {} |", plain(formula));
        }
    }
    out
}

fn finding(finding: &Finding, out: &mut String) {
    let Finding { check, severity, title, evidence, effect, fix, commands, patch } = finding;
    let _ = write!(out, "\n## {}: {} ({check})\n\n", severity.word(), plain(title));
    for line in evidence {
        let _ = writeln!(out, "* seen: {}", plain(line));
    }
    let _ = write!(out, "* effect: {}\n* fix: {}\n", plain(effect), plain(fix));
    if !commands.is_empty() {
        let _ = write!(out, "\n{}\n", fenced("sh", &(commands.join("\n") + "\n")));
    }
    if let Some(patch) = patch {
        let _ = write!(out, "\n{}\n", fenced("diff", patch));
    }
}

/// Text from files of others: no markup of theirs comes through.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// A fence that is longer than any inside.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}{fence}")
}
