//! The comparison that every case makes: the report and the exchange log with the log of the
//! server, in both directions.

use serde_json::Value;

use super::balance;
use super::pairing::{Account, Circumstances, pair};
use super::swarm::Run;
use super::truth::Served;

/// Number of discrepancies that are shown; the first ones usually explain the rest.
const SHOWN: usize = 12;

/// Compares both sides; panics with the discrepancies if there are any.
pub(crate) fn settle<'a>(
    case: &str,
    run: &'a Run,
    served: &'a [Served],
    known: &Circumstances,
) -> Account<'a> {
    let mut account = pair(run, served, known);
    let mut found = std::mem::take(&mut account.discrepancies);
    found.extend(balance::discrepancies(run, &account));
    found.extend(agreement(run));
    let summary = balance::summary(run, served, &account);
    eprintln!("{case}: {summary}");
    assert!(
        found.is_empty(),
        "{case}: {} discrepancies between viewers and server\n\n  - {}\n\n{summary}\nits output:\n{}",
        found.len(),
        found.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  - "),
        run.output
    );
    assert!(!account.whole.is_empty(), "{case}: nothing was compared: {}", run.output);
    account
}

/// Checks the run's own account: probe and kernel agree, no record was lost, and the only accepted reason for an
/// invalid run is a busy machine.
fn agreement(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    let agreement = run.report.pointer("/agreement/kernel_bytes").map(|value| value.as_f64().unwrap());
    let tls = run.exchanges.iter().all(|exchange| exchange.tls);
    match agreement {
        Some(agreement) if tls => found.push(format!("agreement of {agreement} on ciphertext")),
        Some(agreement) if (agreement - 1.0).abs() > 1e-6 => {
            found.push(format!("kernel agreement {agreement}"));
        }
        None if !tls => found.push("no kernel agreement".to_owned()),
        _ => {}
    }
    let sources = (&run.report["source"]["requests"], &run.report["source"]["bytes"]);
    let measured = |source: &Value| source == "probe" || source == "native";
    if !measured(sources.0) || sources.0 != sources.1 {
        found.push(format!("the source is {sources:?}"));
    }
    for reason in run.report["invalid_because"].as_array().unwrap() {
        let reason = reason.as_str().unwrap();
        if !reason.contains("machine") {
            found.push(format!("the run is invalid: {reason}"));
        }
    }
    found
}
