//! `hls-swarm impair`: impairs a network device by running tc.

pub mod profile;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Program, capture, spawn_failed};
use hls_swarm_os::{output, runtime};

use crate::cli::commands::ImpairArgs;
use crate::impair::profile::Impairment;

const ANSWER_BYTES: usize = 16 << 10;
/// tc may have to wait for the kernel to load a module.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// Impairs a network device, or removes its impairment.
///
/// # Errors
/// There is no such impairment, or tc refuses.
pub fn run(args: &ImpairArgs) -> Result<(), Failure> {
    let impairment = read(&args.impairment)?;
    let device = args.device.as_str();
    if args.show {
        let argv = impairment.tc(device).unwrap_or_else(|| profile::tc_clean(device));
        return output::print(&format!("tc {}\n", argv.join(" ")));
    }
    // Before the runtime: the guard is forked from a process with one thread.
    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    runtime.block_on(apply(&impairment, device, &guard))
}

async fn apply(impairment: &Impairment, device: &str, guard: &Arc<Guard>) -> Result<(), Failure> {
    match impairment.tc(device) {
        Some(argv) => drop(tc(argv, device, guard).await?),
        // tc fails if there is nothing to delete.
        None if profile::is_impaired(&tc(profile::tc_ask(device), device, guard).await?) => {
            tc(profile::tc_clean(device), device, guard).await?;
        }
        None => {}
    }
    output::print(&format!("{device}: {}\n", impairment.description))
}

fn read(name: &str) -> Result<Impairment, Failure> {
    if !(name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml")) {
        return profile::parse(name, profile::built_in(name)?);
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        Failure::usage(format!("{name}: cannot be read"))
            .caused_by(error)
            .help("name a TOML file, or one of: clean, 50ms, 3g, lossy")
    })?;
    profile::parse(name, &text)
}

/// Runs tc and returns its output.
async fn tc(argv: Vec<String>, device: &str, guard: &Arc<Guard>) -> Result<String, Failure> {
    let line = argv.join(" ");
    let answer = capture(&Program::new("tc", argv), guard, ANSWER_BYTES, ANSWER_TIME)
        .await
        .map_err(|error| spawn_failed(Path::new("tc"), error, "install iproute2"))?;
    if answer.exit.is_success() {
        return Ok(String::from_utf8_lossy(&answer.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
    Err(Failure::preflight(format!("tc {line}: {}", answer.exit)).caused_by(said).help(format!(
        "is {device} a device of this machine (ip link), and is this root with the kernel module sch_netem?"
    )))
}
