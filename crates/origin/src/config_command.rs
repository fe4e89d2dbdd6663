//! `hls-origin config`: prints and checks the configuration of an origin without starting it.

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use hls_swarm_base::error::Failure;
use hls_swarm_cli::config::{CheckArgs, ShowArgs, Shown, exit, read, warn};
use hls_swarm_cli::logging;
use hls_swarm_os::output;

use crate::cli::OriginArgs;
use crate::profile::derived::Derived;
use crate::profile::plan::Plan;
use crate::profile::serving::Serving;
use crate::profile::stream::Stream;
use crate::profile::{self, Profile};

/// Look at a configuration of the origin without starting it.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-origin config", version, max_term_width = 100)]
pub struct OriginConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: OriginConfigCommand,
}

/// What can be done with the configuration of an origin.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made per process")]
pub enum OriginConfigCommand {
    /// Print what an origin with these flags would serve, and what follows from it
    Show {
        /// How to print it.
        #[command(flatten)]
        output: ShowArgs,
        /// The flags of the origin.
        #[command(flatten)]
        origin: OriginArgs,
    },
    /// Check profiles; exit code 2 and the reason if one cannot be served
    Check(CheckArgs),
}

/// `main` of `hls-origin config`.
#[must_use]
pub fn main() -> ExitCode {
    // The first two words, as help texts repeat them.
    let words = std::iter::once("hls-origin config".into()).chain(std::env::args_os().skip(2));
    let args = match OriginConfigArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    let served = match args.command {
        OriginConfigCommand::Show { output, origin } => show(output, &origin),
        OriginConfigCommand::Check(CheckArgs { files }) => files.iter().try_for_each(|file| check(file)),
    };
    exit(served)
}

fn show(output: ShowArgs, args: &OriginArgs) -> Result<(), Failure> {
    let Plan { profile, derived, unused_options, .. } = Plan::resolve(args)?;
    warn("hls-origin config", &unused_options);
    Shown {
        program: "hls-origin",
        version: env!("CARGO_PKG_VERSION"),
        profile: Some(&args.profile),
        scenario: None,
        settings: profile,
        derived,
    }
    .print(output)
}

/// Validates a profile.
fn validate(profile: &Profile) -> Result<(Stream, Derived), Failure> {
    let stream = Stream::of(profile)?;
    Serving::of(profile)?;
    let derived = Derived::of(&stream);
    Ok((stream, derived))
}

/// Checks a profile as the origin would, without flags and environment.
fn check(file: &Path) -> Result<(), Failure> {
    let text = read(file)?;
    let name = file.display().to_string();
    let profile = profile::parse(&name, &text)?;
    let (stream, derived) = validate(&profile).map_err(|failure| failure.within(&name))?;
    let (variants, space) = (stream.variants.len(), derived.storage_bytes.div_ceil(1 << 20));
    let variants = if variants == 1 { "1 variant".to_owned() } else { format!("{variants} variants") };
    output::print(&format!("{name}: valid: {variants}, needs {space} MiB\n"))
}
