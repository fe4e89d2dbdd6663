//! `hls-swarm monitoring`: prints what Prometheus and Grafana need to monitor runs.

pub mod dashboard;
pub mod output;
pub mod rules;
pub mod scrape;

use hls_swarm_base::error::Failure;
use hls_swarm_os::output::print;

use crate::cli::commands::MonitoringCommand;

/// Prints alert rules, a dashboard or a scrape configuration.
///
/// # Errors
/// Standard output cannot be written to.
pub fn run(command: &MonitoringCommand) -> Result<(), Failure> {
    let text = match command {
        MonitoringCommand::Rules => rules::render(),
        MonitoringCommand::Dashboard => dashboard::render()
            .map_err(|error| Failure::internal("cannot write the dashboard as JSON").caused_by(error))?,
        MonitoringCommand::Scrape { swarms, nodes, nginx, rules } => {
            scrape::render(rules, &[("hls-swarm", swarms), ("origin-node", nodes), ("origin-nginx", nginx)])
        }
    };
    print(&text)
}
