//! `hls-swarm monitoring`: prints the configuration with which Prometheus and Grafana monitor runs.

pub mod dashboard;
pub mod output;
pub mod rules;
pub mod scrape;

use std::process::ExitCode;

use clap::Parser;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::logging;
use hls_swarm_os::output::print;

use crate::cli::monitoring::{MonitoringArgs, MonitoringCommand};

/// The name of the sub-command.
pub const WORD: &str = "monitoring";

/// `main` of `hls-swarm monitoring`.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::iter::once("hls-swarm monitoring".into()).chain(std::env::args_os().skip(2));
    let args = match MonitoringArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    match render(&args.what).and_then(|text| print(&text)) {
        Ok(()) => Exit::Pass.into(),
        Err(failure) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
    }
}

fn render(what: &MonitoringCommand) -> Result<String, Failure> {
    match what {
        MonitoringCommand::Rules => Ok(rules::render()),
        MonitoringCommand::Dashboard => dashboard::render()
            .map_err(|error| Failure::internal("cannot write the dashboard as JSON").caused_by(error)),
        MonitoringCommand::Scrape { swarms, nodes, nginx, rules } => Ok(scrape::render(
            rules,
            &[("hls-swarm", swarms), ("origin-node", nodes), ("origin-nginx", nginx)],
        )),
    }
}
