//! `hls-swarm` with its commands, as manual pages and completions show it.

use clap::{Command, CommandFactory};

use hls_swarm_cli::health_args::HealthArgs;
use hls_swarm_cli::manual_args::{CompletionsArgs, ManArgs};
use hls_swarm_host::audit::args::AuditArgs;
use hls_swarm_host::tuning::args::TuneArgs;

use crate::cli::collect::CollectArgs;
use crate::cli::config::SwarmConfigArgs;
use crate::cli::impair::ImpairArgs;
use crate::cli::monitoring::MonitoringArgs;
use crate::cli::report::ReportArgs;
use crate::cli::run::SwarmArgs;
use crate::cli::shard_plan::FleetArgs;

pub(crate) use hls_swarm_cli::manual::{COMPLETIONS, MAN};

/// `hls-swarm` with its commands, as manual pages and completions show it.
#[must_use]
pub fn swarm() -> Command {
    let part = |name: &'static str, command: Command| command.name(name);
    SwarmArgs::command()
        .subcommand(part("report", ReportArgs::command()))
        .subcommand(part("config", SwarmConfigArgs::command()))
        .subcommand(part("audit", AuditArgs::command()))
        .subcommand(part("collect", CollectArgs::command()))
        .subcommand(part("health", HealthArgs::command()))
        .subcommand(part("tune", TuneArgs::command()))
        .subcommand(part("plan", FleetArgs::command()))
        .subcommand(part("impair", ImpairArgs::command()))
        .subcommand(part("monitoring", MonitoringArgs::command()))
        .subcommand(part(MAN, ManArgs::command()))
        .subcommand(part(COMPLETIONS, CompletionsArgs::command()))
}
