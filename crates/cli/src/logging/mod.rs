//! Log output: its destination, format, and levels.

pub mod lines;

use std::io::IsTerminal;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use hls_swarm_base::error::Failure;

use lines::{Recent, StandardError};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Plain text, colored on a terminal.
    Text,
}

/// Sends logs to standard error, and as plain text to `recent`, where there is one. Without a
/// format: text for a terminal, JSON otherwise.
///
/// # Errors
/// The level does not exist, or logging was started twice.
pub fn start(
    format: Option<LogFormat>,
    level: Option<&str>,
    verbose: bool,
    recent: Option<Recent>,
) -> Result<(), Failure> {
    let level = self::level(if verbose { Some("debug") } else { level })?;
    // Libraries log warnings and errors only.
    let level =
        level.parse::<LevelFilter>().map_err(|error| Failure::internal("no such level").caused_by(error))?;
    let filter = Targets::new().with_default(LevelFilter::WARN).with_target("hls_swarm", level);
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let layer = fmt::layer().with_writer(StandardError::default).with_target(false);
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.with_ansi(color).boxed(),
    };
    let recent = recent
        .map(|recent| fmt::layer().with_writer(move || recent.clone()).with_target(false).with_ansi(false));
    let started = tracing_subscriber::registry().with(filter).with(layer).with(recent).try_init();
    started.map_err(|error| Failure::internal("cannot start logging").caused_by(error))
}

/// The level by its name; `info` if there is none.
///
/// # Errors
/// A usage failure: there is no such level.
pub fn level(typed: Option<&str>) -> Result<&str, Failure> {
    let level = typed.unwrap_or("info");
    let known = ["error", "warn", "warning", "info", "debug", "trace"];
    if !known.iter().any(|name| name.eq_ignore_ascii_case(level)) {
        return Err(Failure::usage(format!("invalid value {level:?} for --log-level"))
            .help("pass error, warn, info, debug or trace"));
    }
    Ok(if level.eq_ignore_ascii_case("warning") { "warn" } else { level })
}
