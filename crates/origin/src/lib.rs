//! `hls-origin`: its start-up and end. The work is in [`crate::run`].

pub mod access_log;
pub mod cli;
pub mod config_command;
pub mod embedded;
pub mod encoder;
pub mod exporter;
pub mod fault;
pub mod fault_proxy;
pub mod layout;
pub mod nginx;
pub mod profile;
pub mod publisher;
pub mod render;
pub mod run;
pub mod systemd;

use std::process::ExitCode;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::health::{self, Endpoint};
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::logging::{self, LogFormat};
use hls_swarm_cli::manual::{self, Manual};
use hls_swarm_cli::program;
use hls_swarm_os::guard::Guard;

use crate::cli::{Cli, OriginArgs, OriginCommand, RenderCommand};
use crate::fault::client;

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
    program::main(&cli::program(), command)
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
        Some(OriginCommand::Fault(args)) => client::run(&args).map(ExitCode::from),
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
    // One thread: the kernel ties children to the life of the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("cannot start tokio").caused_by(error))?;
    runtime.block_on(work(&guard)).map(ExitCode::from)
}
