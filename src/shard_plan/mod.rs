//! The wiring of `hls-swarm plan`: an overlay for a load that needs many pods.

pub mod answer;
pub mod divide;
pub mod kubernetes;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use hls_swarm_base::exit::Exit;
use hls_swarm_cli::logging;
use hls_swarm_os::output;

use crate::cli::shard_plan::FleetArgs;
use crate::shard_plan::divide::divide;

/// The first word of a command line that plans. No URL of a stream is spelled like this.
pub const WORD: &str = "plan";

/// `main` of `hls-swarm plan`.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::iter::once("hls-swarm plan".into()).chain(std::env::args_os().skip(2));
    let args = match FleetArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    let planned = divide(&args).and_then(|fleet| {
        if fleet.without_consent {
            drop(writeln!(std::io::stderr(), "hls-swarm plan: {}", kubernetes::consent(&fleet)));
        }
        output::print(&kubernetes::render(&fleet))
    });
    match planned {
        Ok(()) => Exit::Pass.into(),
        Err(failure) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
    }
}
