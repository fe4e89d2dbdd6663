//! `hls-origin`, the test origin: FFmpeg creates a stream, nginx serves it, faults can be injected.
//!
//! This file starts and ends the program; `run` runs the origin.

pub mod access_log;
pub mod cli;
pub mod cmcd;
mod config_command;
pub mod embedded;
pub mod encoder;
mod exporter;
mod fault;
mod fault_proxy;
pub mod layout;
mod low_latency;
mod nginx;
pub mod profile;
pub mod publisher;
mod render;
mod run;
mod systemd;

use std::process::ExitCode;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::health::{self, Endpoint};
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::logging::{self, LogFormat};
use hls_swarm_cli::manual::{self, Manual};
use hls_swarm_cli::program::{self, Stop};
use hls_swarm_os::guard::Guard;
use hls_swarm_os::runtime;

use crate::cli::{Cli, OriginArgs, OriginCommand, RenderCommand};
use crate::fault::control;

/// The health page of the origin.
const HEALTH: Endpoint = Endpoint {
    variables: &["HLS_ORIGIN_PORT"],
    port: 17_080,
    path: "/health",
    help: "start hls-origin, or read its log; for another port set HLS_ORIGIN_PORT or pass a URL",
};

/// `main` of `hls-origin`.
#[must_use]
pub fn main() -> ExitCode {
    program::main(cli::program(), command)
}

/// Serves the embedded stream on a free port until a signal, as `hls-origin --embedded --port 0` does.
///
/// # Errors
/// The port cannot be opened.
pub fn serve_embedded() -> Result<ExitCode, Failure> {
    let words = ["hls-origin", "--embedded", "--port", "0", "--log-level", "warn"];
    match program::parse::<Cli>(&cli::program(), words.map(Into::into).to_vec(), &|_| None) {
        Ok((arguments, given)) => command(arguments, given),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Asked(text)) => Err(Failure::internal(text.to_string())),
    }
}

fn command(Cli { command, origin }: Cli, given: Given) -> Result<ExitCode, Failure> {
    let manual = || Manual { command: cli::command(), layout: &cli::LAYOUT, environment: &cli::ENVIRONMENT };
    let done = |()| ExitCode::from(Exit::Pass);
    let serve = |origin: OriginArgs| {
        let args = OriginArgs { given: given.clone(), ..origin };
        start(&args.log_level, async |guard| run::run(&args, guard).await)
    };
    match command {
        None => serve(*origin),
        Some(OriginCommand::Run(origin)) => serve(*origin),
        Some(OriginCommand::Config(command)) => config_command::run(command, given).map(done),
        Some(OriginCommand::Render(mut command)) => {
            let (RenderCommand::Nginx(origin)
            | RenderCommand::Ffmpeg(origin)
            | RenderCommand::Systemd(origin)) = &mut command;
            origin.given = given;
            start("info", async |guard| render::print(&command, guard).await)
        }
        Some(OriginCommand::Fault(args)) => control::run(&args).map(ExitCode::from),
        Some(OriginCommand::Cmcd(args)) => cmcd::run(&args).map(done),
        Some(OriginCommand::Health(args)) => health::check(HEALTH, args).map(done),
        Some(OriginCommand::Man(args)) => manual::print_page(&manual(), &args).map(done),
        Some(OriginCommand::Completions(args)) => manual::print_completions(&cli::command(), &args).map(done),
    }
}

fn start(
    level: &str,
    work: impl AsyncFnOnce(&Arc<Guard>) -> Result<Exit, Failure>,
) -> Result<ExitCode, Failure> {
    logging::level(Some(level))?;
    // Before the runtime: the guard is forked from a process with one thread.
    let guard = Arc::new(Guard::start()?);
    logging::start(Some(LogFormat::Text), Some(level), false, None)?;
    runtime::single_threaded()?.block_on(work(&guard)).map(ExitCode::from)
}
