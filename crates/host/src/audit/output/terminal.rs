//! An audit on a terminal.

use std::fmt::Write;

use super::counts;
use crate::audit::findings::{Audit, Capacity, CapacityLimit};

/// Findings, what is good, what is unknown, and the arithmetic.
#[must_use]
pub(crate) fn render(audit: &Audit) -> String {
    let mut out = format!("audit of {} for {} viewers: {}\n", audit.subject, audit.viewers, counts(audit));
    for finding in &audit.findings {
        let _ = writeln!(out, "\n✗ {} {}: {}", finding.severity.word(), finding.check, finding.title);
        for evidence in &finding.evidence {
            let _ = writeln!(out, "    seen: {evidence}");
        }
        let _ = writeln!(out, "    effect: {}\n    fix: {}", finding.effect, finding.fix);
        for command in &finding.commands {
            let _ = writeln!(out, "    $ {command}");
        }
        for line in finding.patch.iter().flat_map(|patch| patch.lines()) {
            let _ = writeln!(out, "    | {line}");
        }
    }
    out.push('\n');
    for (check, what) in &audit.good {
        let _ = writeln!(out, "✓ {check}: {what}");
    }
    for unknown in &audit.unknown {
        let _ = writeln!(out, "? {}: {}", unknown.check, unknown.why);
    }
    out.push_str("\ncapacity by arithmetic (for the worst moment; only a load test measures it)\n");
    capacity(&audit.capacity, &mut out);
    out
}

fn capacity(capacity: &Capacity, out: &mut String) {
    for (name, limits_of) in [("before", &capacity.before), ("after", &capacity.after)] {
        let lowest = Capacity::lowest(limits_of);
        let capacity_limit = lowest.map_or_else(
            || "unknown".to_owned(),
            |(capacity_limit, n)| format!("{n} viewers ({})", capacity_limit.name),
        );
        let _ = writeln!(out, "  {name}: {capacity_limit}");
        for CapacityLimit { name, viewers, formula } in limits_of {
            let viewers = viewers.map_or_else(|| "-".to_owned(), |viewers| viewers.to_string());
            let _ = writeln!(out, "    {name:<22} {viewers:>10} = {formula}");
        }
    }
}
