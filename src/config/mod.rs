//! The configuration of a run, and `config show` and `config check`, which explain it without running it.
//!
//! NixOS modules check their generated profiles with it, and a test compares it with what Nix reads from
//! the same files.

pub mod header_file;
pub mod layers;
pub mod plan;
pub mod presets;
pub mod profile;

use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_base::sizing::Requirements;
use hls_swarm_cli::config::{CheckArgs, ShowArgs, Shown, print_schema, read, schema, warn};
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::logging;
use hls_swarm_os::output;

use crate::cli::commands::{ConfigCommand, SchemaKind};
use crate::cli::run::RunArgs;
use crate::config::layers::environment;
use crate::config::plan::{Environment, Plan, unused_options};
use crate::impair::profile::Impairment;

/// Placeholder for the stream, which is optional in a profile.
const SOME_STREAM: &str = "http://stream.invalid/stream.m3u8";

/// The consequences of the configuration of a run.
#[derive(Debug, Serialize)]
struct Derived {
    /// Seconds until the last viewer has been started.
    ramp_seconds: f64,
    #[serde(flatten)]
    needs: Requirements,
}

/// Shows or checks a configuration.
///
/// # Errors
/// A usage failure: a profile cannot be read, or values do not fit together.
pub fn run(command: ConfigCommand, given: Given) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Show { output, run } => show(output, RunArgs { given, ..*run })?,
        ConfigCommand::Check(CheckArgs { files }) => files.iter().try_for_each(|file| check(file))?,
        ConfigCommand::Schema { kind } => print_schema(&schema_of(kind)?)?,
    }
    Ok(Exit::Pass.into())
}

/// The JSON Schema of a kind of file, from the types that read it.
///
/// # Errors
/// An internal failure: it cannot be written as JSON.
pub fn schema_of(kind: SchemaKind) -> Result<serde_json::Value, Failure> {
    match kind {
        SchemaKind::Run => schema::<RunArgs>("Profile or scenario of hls-swarm"),
        SchemaKind::Impairment => schema::<Impairment>("Impairment of hls-swarm"),
    }
}

fn show(output: ShowArgs, run: RunArgs) -> Result<(), Failure> {
    let args = layers::merged(run)?;
    logging::level(Some(&args.results.log_level))?;
    let environment = Environment { ssl_cert_file: None, secrets: Secrets::made_up(), ..environment(&args)? };
    let plan = resolve(&args, &environment)?;
    warn(&unused_options::check(&args)?);
    let derived = Derived {
        ramp_seconds: plan.load.last_start().as_secs_f64(),
        needs: plan.viewers.engine.requirements(plan.load.own_max_viewers()),
    };
    Shown {
        program: "hls-swarm",
        version: env!("CARGO_PKG_VERSION"),
        profile: args.action.profile.as_deref(),
        scenario: args.action.scenario.as_deref(),
        settings: profile::resolved(&args, &plan)?,
        derived,
    }
    .print(output)
}

/// Resolves a configuration, in which the stream may be missing.
fn resolve(args: &RunArgs, environment: &Environment) -> Result<Plan, Failure> {
    let mut args = args.clone();
    if args.stream.url.is_none() && args.stream.streams.is_empty() {
        args.stream.url = Some(SOME_STREAM.to_owned());
    }
    plan::resolve(&args, environment)
}

/// The environment without its variables, which do not belong to a file.
fn without_variables(args: &RunArgs) -> Result<Environment, Failure> {
    let session_file = environment(args)?.session_file;
    Ok(Environment { session_file, secrets: Secrets::made_up(), ..Environment::default() })
}

/// Checks a profile as a run would read it, without flags and environment.
fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let name = file.display().to_string();
    let args = layers::over(RunArgs::default(), &[(format!("profile {name}"), text)])?;
    let plan = logging::level(Some(&args.results.log_level))
        .and_then(|_| resolve(&args, &without_variables(&args)?))
        .map_err(|failure| failure.within(&name))?;
    warn(&unused_options::check(&args).map_err(|failure| failure.within(&name))?);
    let viewers = plan.load.own_max_viewers();
    let Requirements { open_files, .. } = plan.viewers.engine.requirements(viewers);
    output::print(&format!("{name}: valid: {viewers} viewers, {open_files} open files\n"))
}
