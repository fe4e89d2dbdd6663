//! How an audit looks: on a terminal, as Markdown, as JSON, as a patch.

pub(crate) mod markdown;
pub(crate) mod terminal;

use hls_swarm_base::error::Failure;

use crate::audit::args::AuditFormat;
use crate::audit::findings::{Audit, Severity};

/// The audit in a format.
///
/// # Errors
/// None that an audit can cause.
pub fn render(format: AuditFormat, audit: &Audit) -> Result<String, Failure> {
    match format {
        AuditFormat::Text => Ok(terminal::render(audit)),
        AuditFormat::Markdown => Ok(markdown::render(audit)),
        AuditFormat::Patch => Ok(audit.patch.clone().unwrap_or_default()),
        AuditFormat::Json => serde_json::to_string_pretty(audit)
            .map(|text| text + "\n")
            .map_err(|error| Failure::internal("cannot write the audit as JSON").caused_by(error)),
    }
}

/// `1 critical, 2 moderate, 0 low`.
fn counts(audit: &Audit) -> String {
    let count = |severity| audit.findings.iter().filter(|finding| finding.severity == severity).count();
    let parts: Vec<String> =
        Severity::ALL.iter().map(|severity| format!("{} {}", count(*severity), severity.word())).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::findings::{Capacity, CapacityLimit, Finding, Unknown};

    fn audit() -> Audit {
        let capacity_limit =
            |name: &str, viewers| CapacityLimit { name: name.into(), viewers, formula: "1 x 2 / 3".into() };
        Audit {
            subject: "nginx (pid 7)".into(),
            viewers: 1000,
            findings: vec![Finding {
                check: "open-files".into(),
                severity: Severity::Critical,
                title: "workers may open 1024 files".into(),
                evidence: vec!["/proc/8/limits: soft limit of open files 1024".into()],
                effect: "the wall stands at 661".into(),
                fix: "worker_rlimit_nofile 100000".into(),
                commands: vec!["systemctl restart nginx".into()],
                patch: Some("--- a/n\n+++ b/n\n@@ -0,0 +1,1 @@\n+worker_rlimit_nofile 100000;\n".into()),
            }],
            good: vec![("swappiness".into(), "vm.swappiness = 10".into())],
            unknown: vec![Unknown { check: "redis-memory".into(), why: "it answers: NOAUTH".into() }],
            capacity: Capacity {
                before: vec![
                    capacity_limit("open files", Some(661)),
                    capacity_limit("connections", Some(1000)),
                ],
                after: vec![capacity_limit("open files", Some(98_000))],
            },
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
    fn as_json_and_patch() {
        let json: serde_json::Value =
            serde_json::from_str(&render(AuditFormat::Json, &audit()).unwrap()).unwrap();
        assert_eq!(json["findings"][0]["severity"], "critical");
        assert_eq!(json["capacity"]["before"][0]["viewers"], 661);
        assert_eq!(json["unknown"][0]["check"], "redis-memory");
        assert_eq!(render(AuditFormat::Patch, &audit()).unwrap(), "all\n");
    }
}
