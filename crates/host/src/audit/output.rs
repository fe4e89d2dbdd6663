//! Output of an audit: on a terminal, as Markdown, as JSON, as a patch, as a list of files.

use std::fmt::Write;

use hls_swarm_base::error::Failure;

use super::args::AuditFormat;
use super::findings::{Audit, Capacity, CapacityLimit, Finding, Severity};

/// Renders an audit in a format.
///
/// # Errors
/// Serialization never fails for an audit.
pub(crate) fn render(format: AuditFormat, audit: &Audit) -> Result<String, Failure> {
    match format {
        AuditFormat::Text => Ok(terminal(audit)),
        AuditFormat::Markdown => Ok(markdown(audit)),
        AuditFormat::Patch => Ok(audit.patch.clone().unwrap_or_default()),
        AuditFormat::Script => Ok(audit.script.clone().unwrap_or_default()),
        AuditFormat::Stale => Ok(stale_files(audit)),
        AuditFormat::Json => serde_json::to_string_pretty(audit)
            .map(|text| text + "\n")
            .map_err(|error| Failure::internal("cannot write the audit as JSON").caused_by(error)),
    }
}

/// Returns the counted stale files, each with a zero byte at its end, as `xargs -0` reads them.
fn stale_files(audit: &Audit) -> String {
    audit.findings.iter().flat_map(|finding| &finding.files).map(|file| format!("{file}\0")).collect()
}

/// Returns the number of findings of each severity.
fn counts(audit: &Audit) -> String {
    let count = |severity| audit.findings.iter().filter(|finding| finding.severity == severity).count();
    let parts: Vec<String> =
        Severity::ALL.iter().map(|severity| format!("{} {}", count(*severity), severity.word())).collect();
    parts.join(", ")
}

fn names(findings: &[&Finding]) -> String {
    findings.iter().map(|finding| finding.check.as_str()).collect::<Vec<_>>().join(", ")
}

fn terminal(audit: &Audit) -> String {
    let mut out = format!("audit of {} for {} viewers: {}\n", audit.subject, audit.viewers, counts(audit));
    let _ = writeln!(out, "{}", audit.verdict);
    for note in &audit.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for finding in &audit.findings {
        terminal_finding(finding, &mut out);
    }
    out.push('\n');
    for (check, what) in &audit.good {
        let _ = writeln!(out, "✓ {check}: {what}");
    }
    for unknown in &audit.unknown {
        let _ = writeln!(out, "? {}: {}", unknown.check, unknown.why);
    }
    if !audit.findings.is_empty() {
        out.push_str("\norder of work\n");
    }
    for (number, (phase, findings)) in audit.order().enumerate() {
        let _ = writeln!(out, "  {}. {}: {}", number + 1, phase.text(), names(&findings));
    }
    out.push_str("\ncalculated capacity (for the worst case; only a load test measures it)\n");
    for (name, limits) in [("before", &audit.capacity.before), ("after", &audit.capacity.after)] {
        let _ = writeln!(out, "  {name}: {}", lowest(limits));
        for CapacityLimit { name, viewers, formula } in limits {
            let viewers = viewers.map_or_else(|| "-".to_owned(), |viewers| viewers.to_string());
            let _ = writeln!(out, "    {name:<22} {viewers:>10} = {formula}");
        }
    }
    out
}

fn lowest(limits: &[CapacityLimit]) -> String {
    Capacity::lowest(limits).map_or_else(
        || "unknown".to_owned(),
        |(limit, viewers)| format!("{viewers} viewers ({})", limit.name),
    )
}

fn terminal_finding(finding: &Finding, out: &mut String) {
    let _ = writeln!(out, "\n✗ {} {}: {}", finding.severity.word(), finding.check, finding.title);
    for evidence in &finding.evidence {
        let _ = writeln!(out, "    seen: {evidence}");
    }
    let _ = writeln!(out, "    effect: {}\n    fix: {}", finding.effect, finding.fix);
    if let Some(measured) = &finding.measured {
        let _ = writeln!(out, "    measured: {measured}");
    }
    for command in &finding.commands {
        let _ = writeln!(out, "    $ {command}");
    }
    for line in finding.example.iter().flat_map(|example| example.lines()) {
        let _ = writeln!(out, "    : {line}");
    }
    for line in finding.patch.iter().flat_map(|patch| patch.lines()) {
        let _ = writeln!(out, "    | {line}");
    }
}

fn markdown(audit: &Audit) -> String {
    let mut out = format!(
        "# Audit of {}\n\nFor {} viewers: {}.\n\n**{}**\n",
        plain(&audit.subject),
        audit.viewers,
        counts(audit),
        plain(&audit.verdict)
    );
    for note in &audit.notes {
        let _ = write!(out, "\n{}\n", plain(note));
    }
    if !audit.findings.is_empty() {
        out.push_str("\n## Order of work\n\n");
    }
    for (number, (phase, findings)) in audit.order().enumerate() {
        let _ = writeln!(out, "{}. {}: {}", number + 1, phase.text(), names(&findings));
    }
    for finding in &audit.findings {
        markdown_finding(finding, &mut out);
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
    out.push_str("\n## Calculated capacity\n\nFor the worst case; only a load test measures it.\n");
    for (name, limits) in [("Before", &audit.capacity.before), ("After", &audit.capacity.after)] {
        let _ = write!(
            out,
            "\n**{name}: {}**\n\n| limit | viewers | formula |\n|---|---:|---|\n",
            lowest(limits)
        );
        for CapacityLimit { name, viewers, formula } in limits {
            let viewers = viewers.map_or_else(|| "-".to_owned(), |viewers| viewers.to_string());
            let _ = writeln!(out, "| {name} | {viewers} | {} |", plain(formula));
        }
    }
    out
}

fn markdown_finding(finding: &Finding, out: &mut String) {
    let _ =
        write!(out, "\n## {}: {} ({})\n\n", finding.severity.word(), plain(&finding.title), finding.check);
    for line in &finding.evidence {
        let _ = writeln!(out, "* seen: {}", plain(line));
    }
    let _ = write!(out, "* effect: {}\n* fix: {}\n", plain(&finding.effect), plain(&finding.fix));
    if let Some(measured) = &finding.measured {
        let _ = writeln!(out, "* measured: {}", plain(measured));
    }
    if !finding.commands.is_empty() {
        let _ = write!(out, "\n{}\n", fenced("sh", &(finding.commands.join("\n") + "\n")));
    }
    if let Some(example) = &finding.example {
        let _ = write!(out, "\n{}\n", fenced("nginx", example));
    }
    if let Some(patch) = &finding.patch {
        let _ = write!(out, "\n{}\n", fenced("diff", patch));
    }
}

/// Escapes Markdown in text that comes from the audited files.
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

/// Encloses a block in more backticks than the text has in a row.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let marker = "`".repeat(longest.max(2) + 1);
    format!("{marker}{language}\n{text}{marker}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::findings::{Phase, Unknown};

    fn audit() -> Audit {
        let limit =
            |name: &str, viewers| CapacityLimit { name: name.into(), viewers, formula: "1 x 2 / 3".into() };
        let finding = Finding {
            check: "open-files".into(),
            severity: Severity::Critical,
            phase: Phase::Patch,
            title: "workers may open 1024 files".into(),
            evidence: vec!["/proc/8/limits: soft limit of open files 1024".into()],
            effect: "the limit is reached at 661".into(),
            measured: Some("viewers: 134 without the fix, 160 with it (1.19)".into()),
            fix: "worker_rlimit_nofile 100000".into(),
            commands: vec!["systemctl restart nginx".into()],
            example: None,
            patch: Some("--- a/n\n+++ b/n\n@@ -0,0 +1,1 @@\n+worker_rlimit_nofile 100000;\n".into()),
            files: vec!["/srv/a b.ts".into(), "/srv/c.ts".into()],
        };
        let advice = Finding {
            check: "cors".into(),
            severity: Severity::Low,
            phase: Phase::Configuration,
            measured: None,
            commands: Vec::new(),
            example: Some("add_header A *;\n".into()),
            patch: None,
            files: Vec::new(),
            ..finding.clone()
        };
        Audit {
            subject: "nginx (pid 7)".into(),
            notes: vec!["in a container".into()],
            viewers: 1000,
            verdict: "NOT READY for 1000 viewers".into(),
            findings: vec![finding, advice],
            good: vec![("swappiness".into(), "vm.swappiness = 10".into())],
            unknown: vec![Unknown { check: "redis-memory".into(), why: "Redis answers: NOAUTH".into() }],
            capacity: Capacity {
                before: vec![limit("open files", Some(661)), limit("connections", Some(1000))],
                after: vec![limit("open files", Some(98_000))],
            },
            script: Some("script\n".into()),
            patch: Some("all\n".into()),
        }
    }

    #[test]
    fn on_a_terminal() {
        insta::assert_snapshot!(render(AuditFormat::Text, &audit()).unwrap());
    }

    #[test]
    fn as_markdown() {
        insta::assert_snapshot!(render(AuditFormat::Markdown, &audit()).unwrap());
    }

    #[test]
    fn as_json_as_a_patch_and_as_a_list_of_files() {
        let json: serde_json::Value =
            serde_json::from_str(&render(AuditFormat::Json, &audit()).unwrap()).unwrap();
        assert_eq!(json["findings"][0]["severity"], "critical");
        assert_eq!(json["findings"][0]["phase"], "patch");
        assert_eq!(json["capacity"]["before"][0]["viewers"], 661);
        assert_eq!(json["unknown"][0]["check"], "redis-memory");
        assert_eq!(render(AuditFormat::Patch, &audit()).unwrap(), "all\n");
        assert_eq!(render(AuditFormat::Script, &audit()).unwrap(), "script\n");
        assert_eq!(render(AuditFormat::Stale, &audit()).unwrap(), "/srv/a b.ts\0/srv/c.ts\0");
    }
}
