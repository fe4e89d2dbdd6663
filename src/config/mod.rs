//! The wiring of `config show` and `config check`: what a configuration means, without running it.
//!
//! NixOS modules check what they generate with it, and a test holds it against what Nix reads from
//! the same profiles.

pub mod header_file;
pub mod layers;
pub mod plan;
pub mod presets;
pub mod profile;
pub mod scenario;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_base::sizing::Requirements;
use hls_swarm_cli::config::{CheckArgs, ShowArgs, Shown, exit, read, warn};
use hls_swarm_cli::{go_style, logging};
use hls_swarm_os::output;

use crate::cli::config::{SwarmConfigArgs, SwarmConfigCommand};
use crate::cli::run::SwarmArgs;
use crate::config::layers::{environment, merged_with_profiles};
use crate::config::plan::unused_options::{self, Typed};
use crate::config::plan::{Environment, Plan};

/// The first word of a command line that is about configurations. No URL of a stream is spelled
/// like this.
pub const WORD: &str = "config";

/// Stands for the stream where none is named: a profile need not name one.
const SOME_STREAM: &str = "http://stream.invalid/stream.m3u8";

/// What follows from the configuration of a run.
#[derive(Debug, Serialize)]
struct Derived {
    /// Seconds until the last viewer has been started.
    ramp_seconds: f64,
    #[serde(flatten)]
    needs: Requirements,
}

/// `main` of `hls-swarm config`.
#[must_use]
pub fn main() -> ExitCode {
    // The first two words, as help texts repeat them; Go's flags as everywhere.
    let words = std::iter::once("hls-swarm config".into()).chain(std::env::args_os().skip(2));
    let words = go_style::translate(words, &SwarmArgs::command());
    let parsed = SwarmConfigArgs::command().try_get_matches_from(words);
    let (args, parsed) =
        match parsed.and_then(|parsed| Ok((SwarmConfigArgs::from_arg_matches(&parsed)?, parsed))) {
            Ok(both) => both,
            Err(error) => return logging::clap_exit(&error),
        };
    let typed = parsed.subcommand().map(|(_, parsed)| parsed);
    let served = match args.command {
        SwarmConfigCommand::Show { output, run } => {
            show(output, run, &typed.map(layers::typed).unwrap_or_default())
        }
        SwarmConfigCommand::Check(CheckArgs { files }) => files.iter().try_for_each(|file| check(file)),
    };
    exit(served)
}

fn show(output: ShowArgs, run: SwarmArgs, typed: &Typed) -> Result<(), Failure> {
    let args = merged_with_profiles(run)?;
    logging::level(args.log_level.as_deref())?;
    let environment = Environment { ssl_cert_file: None, secrets: Secrets::made_up(), ..environment(&args)? };
    let plan = resolve(&args, &environment)?;
    warn("hls-swarm config", &unused_options::check(&args, typed)?);
    let derived = Derived {
        ramp_seconds: plan.load.last_start().as_secs_f64(),
        needs: Requirements::of(plan.load.own_most()),
    };
    Shown {
        program: "hls-swarm",
        version: env!("CARGO_PKG_VERSION"),
        profile: args.profile.as_deref(),
        scenario: args.scenario.as_deref(),
        settings: profile::resolved(&args, &plan)?,
        derived,
    }
    .print(output)
}

fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<Plan, Failure> {
    let named = args.url.is_some() || !args.streams.is_empty();
    let url = if named { args.url.clone() } else { Some(SOME_STREAM.to_owned()) };
    plan::resolve(&SwarmArgs { url, ..args.clone() }, environment)
}

/// The environment without its variables, which say nothing about a file.
fn alone(args: &SwarmArgs) -> Result<Environment, Failure> {
    let session_file = environment(args)?.session_file;
    Ok(Environment { session_file, secrets: Secrets::made_up(), ..Environment::default() })
}

/// Reads a profile as a run would, flags and environment left out.
fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let name = file.display().to_string();
    let args = profile::underlay(SwarmArgs::default(), &(format!("profile {name}"), text))?;
    let plan = logging::level(args.log_level.as_deref())
        .and_then(|_| resolve(&args, &alone(&args)?))
        .map_err(|failure| failure.within(&name))?;
    warn(
        "hls-swarm config",
        &unused_options::check(&args, &Typed::default()).map_err(|failure| failure.within(&name))?,
    );
    let Requirements { open_files, .. } = Requirements::of(plan.load.own_most());
    let viewers = plan.load.own_most();
    output::print(&format!("{name}: good: {viewers} viewers, {open_files} open files\n"))
}
