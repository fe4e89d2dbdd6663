//! Asks for confirmation before many viewers load a public address: on the terminal, by `--yes`, or by the allow-list.
//! It is needed before the first connection.

use std::io::{BufRead, IsTerminal, Write};

use hls_swarm_base::error::Failure;
use hls_swarm_http::site_rules;

use crate::config::plan::Plan;

/// Makes sure that the streams of `plan` may be loaded.
///
/// # Errors
/// A preflight failure: a host is not on the allow-list, or it is public and was not confirmed.
pub fn obtain(plan: &mut Plan) -> Result<(), Failure> {
    for stream in plan.streams.iter() {
        plan.target_policy.check_url(&stream.url)?;
    }
    let (mut asked, mut public) = (false, false);
    for stream in plan.streams.iter() {
        let url = &stream.url;
        let addresses = site_rules::addresses(url, &stream.resolve);
        public |= plan.target_policy.is_public(url, &addresses);
        if !plan.target_policy.asks(url, &addresses) {
            continue;
        }
        if !answered(&plan.target_policy.question(url, &addresses)) {
            return Err(plan.target_policy.refusal(url, &addresses));
        }
        asked = true;
    }
    if asked {
        plan.target_policy.grant_consent();
    }
    if public {
        plan.target_policy.reaches_public();
    }
    Ok(())
}

/// Asks on the terminal. Without a terminal the answer is no.
fn answered(question: &str) -> bool {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !(stdin.is_terminal() && stderr.is_terminal()) {
        return false;
    }
    let asked = write!(stderr, "{question}. May you load it? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.and_then(|()| stdin.lock().read_line(&mut answer)).is_ok()
        && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
