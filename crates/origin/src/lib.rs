//! `hls-origin`, the test origin: FFmpeg creates a stream, nginx serves it, faults can be injected.
//!
//! This file starts and ends the program; `run` runs the origin.

pub mod access_log;
pub mod cli;
mod config_command;
pub mod embedded;
pub mod encoder;
mod exporter;
mod fault;
mod fault_proxy;
pub mod layout;
mod nginx;
pub mod profile;
pub mod publisher;
mod render;
mod run;
mod systemd;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Command, CommandFactory, Parser};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::health::{self, Where};
use hls_swarm_cli::health_args::HealthArgs;
use hls_swarm_cli::logging::{self, LogFormat};
use hls_swarm_cli::manual::{self, COMPLETIONS, MAN};
use hls_swarm_cli::manual_args::{CompletionsArgs, ManArgs};
use hls_swarm_os::guard::Guard;
use hls_swarm_os::{pid1, runtime};

use crate::cli::service::FaultArgs;
use crate::cli::{OriginArgs, RenderArgs};
use crate::fault::control;

/// The first word of a command line that is about configurations.
const CONFIG: &str = "config";

/// `hls-origin`: its `/health`.
const HEALTH: Where = Where {
    program: "hls-origin health",
    variable: "HLS_ORIGIN_PORT",
    port: 17_080,
    path: "/health",
    help: "start hls-origin, or look at what it logged; another port? HLS_ORIGIN_PORT or a URL",
};

/// The first word of a command line that switches faults of an origin that runs.
const FAULT: &str = "fault";
/// The first word of a command line that prints what would run.
const RENDER: &str = "render";

/// `main` of `hls-origin`.
#[must_use]
pub fn main() -> ExitCode {
    let word = std::env::args_os().nth(1);
    let parsed = match word.as_deref().and_then(OsStr::to_str) {
        Some(CONFIG) => return config_command::main(),
        Some(health::WORD) => return health::main(HEALTH),
        Some(MAN | COMPLETIONS) => return manual::main(command()),
        Some(FAULT) => FaultArgs::try_parse_from(words("hls-origin fault"))
            .map(|args| control::run(&args).map(ExitCode::from)),
        Some(RENDER) => RenderArgs::try_parse_from(words("hls-origin render"))
            .map(|args| start("info", async |guard| render::print(&args.command, guard).await)),
        _ => OriginArgs::try_parse()
            .map(|args| start(&args.log_level, async |guard| run::run(&args, guard).await)),
    };
    match parsed {
        Err(error) => logging::clap_exit(&error),
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
    }
}

/// What was typed behind a sub-command, with the name that its help is to show.
fn words(name: &str) -> impl Iterator<Item = OsString> {
    std::iter::once(name.into()).chain(std::env::args_os().skip(2))
}

fn start(
    level: &str,
    work: impl AsyncFnOnce(&Arc<Guard>) -> Result<Exit, Failure>,
) -> Result<ExitCode, Failure> {
    if let Some(exit) = pid1::run_as_pid1()? {
        return Ok(exit);
    }
    logging::level(Some(level))?;
    let guard = Arc::new(Guard::start()?);
    logging::start(Some(LogFormat::Text), Some(level), false, None)?;
    runtime::single_threaded()?.block_on(work(&guard)).map(ExitCode::from)
}

/// `hls-origin` with its commands, as manual pages and completions show it.
#[must_use]
pub fn command() -> Command {
    OriginArgs::command()
        .subcommand(HealthArgs::command().name("health"))
        .subcommand(ManArgs::command().name(MAN))
        .subcommand(CompletionsArgs::command().name(COMPLETIONS))
}
