//! The wiring of `config show` and `config check`: what a configuration means, without running it.
//!
//! NixOS modules check what they generate with it, and a test holds it against what Nix reads from
//! the same profiles.

pub mod origin;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use serde::Serialize;

use crate::logging;
use crate::pure::needs::Needs;
use crate::pure::plan::idle::{self, Typed};
use crate::pure::plan::{self, Environment, Plan};
use crate::pure::secrets::Secrets;
use crate::pure::{go_style, profile};
use crate::settings::{self, environment, laid_under};
use crate::system::standard_output;
use crate::words::cli::config::{CheckArgs, ShowArgs, SwarmConfigArgs, SwarmConfigCommand};
use crate::words::cli::swarm::SwarmArgs;
use crate::words::exit::Exit;
use crate::words::failure::Failure;

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
    needs: Needs,
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
            show(output, run, &typed.map(settings::typed).unwrap_or_default())
        }
        SwarmConfigCommand::Check(CheckArgs { files }) => files.iter().try_for_each(|file| check(file)),
    };
    exit("hls-swarm config", served)
}

/// The exit code of a command, and what it has to complain about.
fn exit(program: &str, served: Result<(), Failure>) -> ExitCode {
    match served {
        Ok(()) => Exit::Pass.into(),
        Err(failure) => {
            failure.print(program, &mut std::io::stderr());
            failure.exit().into()
        }
    }
}

fn show(output: ShowArgs, run: SwarmArgs, typed: &Typed) -> Result<(), Failure> {
    let args = laid_under(run)?;
    logging::level(args.log_level.as_deref())?;
    let environment = Environment { ssl_cert_file: None, secrets: Secrets::made_up(), ..environment(&args)? };
    let plan = resolve(&args, &environment)?;
    warn("hls-swarm config", &idle::check(&args, typed)?);
    let derived = Derived {
        ramp_seconds: plan.load.last_start().as_secs_f64(),
        needs: Needs::of(plan.load.own_most()),
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

/// Tells which values have no effect.
fn warn(program: &str, idle: &[String]) {
    for warning in idle {
        drop(writeln!(std::io::stderr(), "{program}: {warning}"));
    }
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
        &idle::check(&args, &Typed::default()).map_err(|failure| failure.within(&name))?,
    );
    let Needs { open_files, .. } = Needs::of(plan.load.own_most());
    let viewers = plan.load.own_most();
    standard_output::say(&format!("{name}: good: {viewers} viewers, {open_files} open files\n"))
}

/// The text of a file that is to be checked.
fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::usage(format!("{}: cannot be read", file.display()))
            .because(error)
            .cure("name a TOML file that you may read")
    })
}

/// A configuration as it is printed.
#[derive(Debug, Serialize)]
struct Shown<'a, S, D> {
    program: &'static str,
    version: &'static str,
    /// The profile underneath, if one was named.
    profile: Option<&'a str>,
    /// The scenario over it, if one was named.
    scenario: Option<&'a str>,
    /// Every key that has a value, as a profile spells it.
    settings: S,
    /// What follows from the settings.
    derived: D,
}

impl<S: Serialize, D: Serialize> Shown<'_, S, D> {
    /// Prints JSON, or a profile with the derived values as comments.
    fn print(&self, output: ShowArgs) -> Result<(), Failure> {
        let unwritable = |error: String| Failure::internal("cannot write the configuration").because(error);
        let text = if output.json {
            serde_json::to_string_pretty(self).map_err(|error| unwritable(error.to_string()))? + "\n"
        } else {
            let text = |error: toml::ser::Error| unwritable(error.to_string());
            let derived = toml::to_string(&self.derived).map_err(text)?;
            let derived: String = derived.lines().map(|line| format!("#   {line}\n")).collect();
            let settings = toml::to_string(&self.settings).map_err(text)?;
            format!("{settings}\n# What follows from it:\n{derived}")
        };
        standard_output::say(&text)
    }
}
