//! The flags of `hls-swarm config` and `hls-origin config` as they were typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::origin::OriginArgs;
use super::swarm::SwarmArgs;

/// Look at a configuration without running it.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "hls-swarm config", version, max_term_width = 100)]
pub struct SwarmConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SwarmConfigCommand,
}

/// What can be done with the configuration of a run.
#[derive(Clone, Debug, PartialEq, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made per process")]
pub enum SwarmConfigCommand {
    /// Print what a run with these flags would be configured with, and what follows from it
    Show {
        /// How to print it.
        #[command(flatten)]
        output: ShowArgs,
        /// The flags of the run.
        #[command(flatten)]
        run: SwarmArgs,
    },
    /// Check profiles; exit code 2 and the reason if one cannot be run
    Check(CheckArgs),
}

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

/// How a configuration is printed.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShowArgs {
    /// Print JSON: program, version, profile, settings, derived
    #[arg(long)]
    pub json: bool,
}

/// Which files are checked.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckArgs {
    /// TOML files
    #[arg(value_name = "FILE.toml", num_args = 1.., required = true)]
    pub files: Vec<PathBuf>,
}
