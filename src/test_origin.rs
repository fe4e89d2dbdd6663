//! The wiring of `hls-origin`: start-up and end on one screen; the work is in [`crate::actors::origin`].

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use crate::actors::origin::{self, fault_client, render};
use crate::system::guard::Guard;
use crate::system::init;
use crate::words::cli::origin::{OriginArgs, RenderArgs};
use crate::words::cli::origin_service::FaultArgs;
use crate::words::cli::swarm::LogFormat;
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
        Some(FAULT) => FaultArgs::try_parse_from(words("hls-origin fault"))
            .map(|args| fault_client::run(&args).map(ExitCode::from)),
        Some(RENDER) => RenderArgs::try_parse_from(words("hls-origin render"))
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

/// What was typed behind a sub-command, with the name that its help is to show.
fn words(name: &str) -> impl Iterator<Item = OsString> {
    std::iter::once(name.into()).chain(std::env::args_os().skip(2))
}

fn start(
    level: &str,
    work: impl AsyncFnOnce(&Arc<Guard>) -> Result<Exit, Failure>,
) -> Result<ExitCode, Failure> {
    if let Some(exit) = init::step_aside()? {
        return Ok(exit);
    }
    logging::level(Some(level))?;
    let guard = Arc::new(Guard::start()?);
    logging::start(Some(LogFormat::Text), Some(level), false, None)?;
    // One thread: the kernel ties children to the life of the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("cannot start tokio").because(error))?;
    runtime.block_on(work(&guard)).map(ExitCode::from)
}
