//! `hls-origin fault`: speaks to the control of a running origin.

use std::time::Duration;

use serde_json::Value;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use crate::cli::service::{FaultAction, FaultArgs};
use crate::fault::Fault;

const TIME: Duration = Duration::from_secs(5);

/// Does what was asked and prints the faults that are on then.
///
/// # Errors
/// Nobody answers there, or the origin refuses what was asked.
pub fn run(args: &FaultArgs) -> Result<Exit, Failure> {
    let ask = |method: &str, path: &str, body: &str| asked(&args.control, method, path, body);
    let answer = match &args.action {
        FaultAction::List => ask("GET", "/faults", "")?,
        FaultAction::Clear => ask("DELETE", "/faults", "")?,
        FaultAction::Add { faults } => {
            // All or none: a typing error must not leave half of them on.
            faults.iter().try_for_each(|fault| fault.parse::<Fault>().map(drop))?;
            faults.iter().try_fold(Value::Null, |_, fault| ask("POST", "/faults", fault))?
        }
        FaultAction::Remove { ids } => {
            ids.iter().try_fold(Value::Null, |_, id| ask("DELETE", &format!("/faults/{id}"), ""))?
        }
    };
    let mut text = String::new();
    for fault in answer.get("faults").and_then(Value::as_array).into_iter().flatten() {
        let word = |name: &str| fault.get(name).map(|value| value.to_string()).unwrap_or_default();
        let (id, spec, strikes) = (word("id"), word("fault"), word("strikes"));
        text.push_str(&format!("{id}\t{}\t{strikes} strikes\n", spec.trim_matches('"')));
    }
    if text.is_empty() {
        text.push_str("no faults are on\n");
    }
    output::print(&text).map(|()| Exit::Pass)
}

fn asked(control: &str, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIME))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let unreachable = |error: ureq::Error| {
        Failure::preflight(format!("no origin's control of faults answers at {control}"))
            .caused_by(error)
            .help("start hls-origin with --faults, and pass --control ADDRESS:PORT as READY says")
    };
    let url = format!("http://{control}{path}");
    let answer = match method {
        "POST" => agent.post(&url).send(body),
        "DELETE" => agent.delete(&url).call(),
        _ => agent.get(&url).call(),
    };
    let mut answer = answer.map_err(unreachable)?;
    let text = answer.body_mut().read_to_string().map_err(unreachable)?;
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    if answer.status().is_success() && told.get("faults").is_some() {
        return Ok(told);
    }
    let word = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = word("error").unwrap_or_else(|| format!("status {} at {url}", answer.status().as_u16()));
    let failure = Failure::usage(what);
    Err(match word("help") {
        Some(help) => failure.help(help),
        None => failure.help("see `hls-origin fault list`"),
    })
}
