//! The audit of a streaming server: from facts to findings with fixes, and a calculated capacity.
//!
//! [`gather`] finds the facts, so that a test can audit a server that does not run.

pub mod args;
mod capacity;
pub mod command;
mod content;
mod context;
pub mod facts;
pub mod findings;
mod folder;
pub mod gain;
pub mod gather;
mod nginx;
pub mod nginx_conf;
mod output;
mod patch;
mod rules;

use hls_swarm_base::error::Failure;

use crate::tuning::profile;

use context::Context;
use facts::Facts;
use findings::{Audit, Capacity, Finding, Severity, Unknown};
use rules::{Draft, Outcome};

/// Audits a server for `viewers` viewers.
///
/// # Errors
/// The built-in profile is invalid.
pub fn audit(facts: &Facts, viewers: u32) -> Result<Audit, Failure> {
    let profile = profile::parse("origin", profile::built_in("origin")?, None)?;
    let context = Context::new(facts, viewers, &profile);
    let (mut findings, mut good, mut edits) = (Vec::new(), Vec::new(), Vec::new());
    let mut unknown = missing_includes(facts);
    for (check, rule) in rules::RULES {
        let outcome = if facts.configuration.directives.is_empty() && needs_nginx(check) {
            Outcome::NotApplicable
        } else {
            rule(&context)
        };
        match outcome {
            Outcome::Finding(mut draft) => {
                match draft.absent.and_then(|scope| context.may_exist_elsewhere(scope)) {
                    Some(why) => unknown.push(Unknown {
                        check: (*check).to_owned(),
                        why: format!("{why}, so this is unknown: {}", draft.title),
                    }),
                    None => {
                        if matches!(gain::of(check), Some(gain::Gain::Nothing(..))) {
                            draft.edits.clear();
                        }
                        draft.edits = patch::safe(draft.edits, &facts.configuration);
                        edits.extend(draft.edits.iter().cloned());
                        findings.push(finding(check, *draft, facts));
                    }
                }
            }
            Outcome::Good(what) => good.push(((*check).to_owned(), what)),
            Outcome::Unknown(why) => unknown.push(Unknown { check: (*check).to_owned(), why }),
            Outcome::NotApplicable => {}
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let capacity = capacity::estimate(&context);
    let patch = patch::render(&edits, &facts.configuration);
    let commands: Vec<String> = findings.iter().flat_map(|finding| finding.commands.clone()).collect();
    Ok(Audit {
        subject: facts.subject.clone(),
        notes: facts.notes.iter().cloned().chain(context.nginx.assumed.then(assumption)).collect(),
        viewers,
        verdict: verdict(viewers, &findings, &capacity),
        findings,
        good,
        unknown,
        capacity,
        script: patch.as_ref().map(|patch| patch::script(patch, facts, &commands)),
        patch,
    })
}

fn assumption() -> String {
    "no name, path, or folder of this configuration shows playlists or segments, so all files are judged as if they \
     were; pass --folder DIR, or ignore the findings about media if this nginx serves none"
        .into()
}

/// Reports whether a check is about nginx itself, which an audit of folders alone leaves out.
fn needs_nginx(check: &str) -> bool {
    !["stale-segments", "segment-length", "list-size", "segments-on-disk", "redis-memory"].contains(&check)
}

fn missing_includes(facts: &Facts) -> Vec<Unknown> {
    let missing = facts.configuration.missing.iter();
    let unknown = missing.map(|missing| Unknown {
        check: "configuration".into(),
        why: format!("{}: include {} was not read", missing.place, missing.pattern),
    });
    let mut unknown: Vec<Unknown> = unknown.collect();
    if facts.configuration.fragment {
        let why = "this file is only a part of a configuration; it was read as if inside of http {}".into();
        unknown.push(Unknown { check: "configuration".into(), why });
    }
    unknown
}

fn finding(check: &str, draft: Draft, facts: &Facts) -> Finding {
    let patch = patch::render(&draft.edits, &facts.configuration);
    Finding {
        check: check.to_owned(),
        severity: draft.severity,
        phase: draft.phase_of_fix(),
        title: draft.title,
        evidence: draft.evidence,
        effect: draft.effect,
        measured: gain::of(check).and_then(gain::Gain::measured),
        fix: draft.fix,
        commands: draft.commands,
        // The patch replaces the example.
        example: draft.example.filter(|_| patch.is_none()),
        patch,
        files: draft.files,
    }
}

/// Returns the conclusion in one line.
fn verdict(viewers: u32, findings: &[Finding], capacity: &Capacity) -> String {
    let critical = findings.iter().filter(|finding| finding.severity == Severity::Critical).count();
    match Capacity::lowest(&capacity.before) {
        Some((limit, fits)) if fits < u64::from(viewers) => {
            format!(
                "NOT READY for {viewers} viewers: {} are exhausted at about {fits} (calculated)",
                limit.name
            )
        }
        _ if critical > 0 => {
            let names: Vec<&str> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Critical)
                .map(|finding| finding.check.as_str())
                .collect();
            format!("NOT READY for {viewers} viewers: fix {} first", names.join(", "))
        }
        Some((limit, fits)) => {
            format!(
                "READY for {viewers} viewers by calculation: {} suffice for about {fits}; a load test measures it",
                limit.name
            )
        }
        None => format!("UNKNOWN for {viewers} viewers: there is too little to calculate with"),
    }
}
