//! The wiring of `hls-origin`: start-up and end on one screen; the work is in [`crate::actors::origin`].

use std::ffi::OsStr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::actors::origin::{self, fault_client, render};
use crate::system::guard::Guard;
use crate::system::init;
use crate::words::cli::origin::{OriginArgs, RenderArgs};
use crate::words::cli::origin_service::FaultArgs;
use crate::words::exit::Exit;
use crate::words::failure::Failure;
use crate::{config, health, logging, manual};

/// The first word of a command line that switches faults of an origin that runs.
const FAULT: &str = "fault";
/// The first word of a command line that prints what would run.
const RENDER: &str = "render";

/// `main` of `hls-origin`.
#[must_use]
pub fn main() -> ExitCode {
    let word = std::env::args_os().nth(1);
    let parsed = match word.as_deref().and_then(OsStr::to_str) {
        Some(config::WORD) => return config::origin::main(),
        Some(health::WORD) => return health::main(health::ORIGIN),
        Some(manual::MAN | manual::COMPLETIONS) => return manual::main(manual::origin()),
        Some(FAULT) => FaultArgs::try_parse_from(std::env::args_os().skip(1))
            .map(|args| fault_client::run(&args).map(ExitCode::from)),
        Some(RENDER) => RenderArgs::try_parse_from(std::env::args_os().skip(1))
            .map(|args| start("info", async |guard| render::print(&args.command, guard).await)),
        _ => OriginArgs::try_parse()
            .map(|args| start(&args.log_level, async |guard| origin::run(&args, guard).await)),
    };
    match parsed {
        Err(error) => logging::clap_exit(&error),
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) => {
            failure.print("hls-origin", &mut std::io::stderr());
            failure.exit().into()
        }
    }
}

fn start(
    level: &str,
    work: impl AsyncFnOnce(&Arc<Guard>) -> Result<Exit, Failure>,
) -> Result<ExitCode, Failure> {
    if let Some(exit) = init::step_aside()? {
        return Ok(exit);
    }
    let filter = EnvFilter::try_new(level)
        .map_err(|error| Failure::usage(format!("log level \"{level}\"")).because(error))?;
    let guard = Arc::new(Guard::start()?);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // One thread: the kernel ties children to the life of the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("cannot start tokio").because(error))?;
    runtime.block_on(work(&guard)).map(ExitCode::from)
}
