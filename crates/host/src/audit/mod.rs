//! The audit of a streaming server: facts in, graded findings with fixes and a capacity out.
//!
//! What the facts are is found out elsewhere ([`gather`]), so that a
//! server that nobody should run can be audited in a test.

pub mod args;
pub mod capacity;
pub mod command;
pub mod context;
pub mod descriptors;
pub mod facts;
pub mod findings;
pub mod folder;
pub mod gather;
pub mod nginx;
pub mod nginx_conf;
pub mod output;
pub mod patch;
pub mod redis;
pub mod rules;

use hls_swarm_base::error::Failure;

use crate::audit::findings::{Audit, Finding, Unknown};
use crate::tuning::profile;

use context::Context;
use facts::Facts;
use rules::Outcome;

/// Audits a server for `viewers` viewers.
///
/// # Errors
/// None but a defect of the profile that comes with the program.
pub fn audit(facts: &Facts, viewers: u32) -> Result<Audit, Failure> {
    let profile = profile::parse("origin", profile::built_in("origin")?, None)?;
    let context = Context::new(facts, viewers, &profile);
    let (mut findings, mut good, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let mut edits = Vec::new();
    for (check, rule) in rules::RULES {
        match rule(&context) {
            Outcome::Finding(found) => {
                let patch = patch::render(&found.edits, context.files());
                findings.push(Finding {
                    check: check.to_owned(),
                    severity: found.severity,
                    title: found.title,
                    evidence: found.evidence,
                    effect: found.effect,
                    fix: found.fix,
                    commands: found.commands,
                    patch,
                });
                edits.extend(found.edits);
            }
            Outcome::Good(what) => good.push((check.to_owned(), what)),
            Outcome::Unknown(why) => unknown.push(Unknown { check: check.to_owned(), why }),
            Outcome::NotHere => {}
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok(Audit {
        subject: facts.subject.clone(),
        viewers,
        capacity: capacity::estimate(&context),
        findings,
        good,
        unknown,
        patch: patch::render(&edits, context.files()),
    })
}
