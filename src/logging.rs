//! The wiring of logs: where they go, in which format, and how clap's own words end a program.

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::words::cli::swarm::LogFormat;
use crate::words::exit::Exit;
use crate::words::failure::Failure;

/// Sends logs to standard error. Without a format: text for a terminal, JSON otherwise.
///
/// # Errors
/// The level is none, or logs were started twice.
pub fn start(format: Option<LogFormat>, level: Option<&str>, verbose: bool) -> Result<(), Failure> {
    let level = if verbose { "debug" } else { level.unwrap_or("info") };
    let known = ["error", "warn", "warning", "info", "debug", "trace"];
    if !known.iter().any(|name| name.eq_ignore_ascii_case(level)) {
        return Err(Failure::usage(format!("--log-level {level:?} is no level"))
            .cure("pass error, warn, info, debug or trace"));
    }
    let level = if level.eq_ignore_ascii_case("warning") { "warn" } else { level };
    // Libraries speak up only when something is wrong.
    let filter = EnvFilter::new(format!("warn,hls_swarm={level}"));
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).try_init(),
    };
    started.map_err(|error| Failure::internal("cannot start logging").because(error))
}

/// Prints what clap has to say (help, version, a usage error) and gives the exit code for it.
#[must_use]
pub fn clap_exit(error: &clap::Error) -> ExitCode {
    // The reader may be gone; there is no one left to tell.
    drop(error.print());
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Pass.into() }
}
