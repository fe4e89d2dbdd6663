//! The flags of `hls-swarm config` and `hls-origin config` as they were typed.

use clap::{Parser, Subcommand};

use hls_swarm_cli::config::{CheckArgs, ShowArgs};

use crate::cli::run::SwarmArgs;

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
