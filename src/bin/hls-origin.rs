//! `hls-origin`: the test origin. Start-up and end on one screen; the work is in `actors::origin`.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use hls_swarm::actors::origin;
use hls_swarm::system::guard::Guard;
use hls_swarm::words::cli::origin::OriginArgs;
use hls_swarm::words::exit::Exit;
use hls_swarm::words::failure::Failure;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let args = match OriginArgs::try_parse() {
        Ok(args) => args,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Pass }.into();
        }
    };
    let exit = start(&args).unwrap_or_else(|failure| {
        failure.print("hls-origin", &mut std::io::stderr());
        failure.exit()
    });
    exit.into()
}

fn start(args: &OriginArgs) -> Result<Exit, Failure> {
    let filter = EnvFilter::try_new(&args.log_level)
        .map_err(|error| Failure::usage(format!("log level \"{}\"", args.log_level)).because(error))?;
    let guard = Arc::new(Guard::start()?);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // One thread: the kernel ties children to the life of the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::internal("cannot start tokio").because(error))?;
    runtime.block_on(origin::run(args, &guard))
}
