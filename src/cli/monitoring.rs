//! The flags of `hls-swarm monitoring` as they were typed.

use clap::{Parser, Subcommand};

/// Print what Prometheus and Grafana need to watch runs.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "hls-swarm monitoring", version, max_term_width = 100)]
pub struct MonitoringArgs {
    /// What to print.
    #[command(subcommand)]
    pub what: MonitoringCommand,
}

/// What is printed.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum MonitoringCommand {
    /// Alert rules for Prometheus
    Rules,
    /// A dashboard for Grafana, as JSON to import or provision
    Dashboard,
    /// A configuration of Prometheus that scrapes a load generator and its origin
    Scrape {
        /// host:port of a load generator's metrics; may be repeated
        #[arg(long = "swarm", value_name = "HOST:PORT", default_value = "localhost:17091")]
        swarms: Vec<String>,
        /// host:port of an origin's host metrics (node exporter); may be repeated
        #[arg(long = "node", value_name = "HOST:PORT")]
        nodes: Vec<String>,
        /// host:port of an origin's nginx metrics (and hls-origin's own); may be repeated
        #[arg(long = "nginx", value_name = "HOST:PORT")]
        nginx: Vec<String>,
        /// Path of the alert rules, as Prometheus will see it
        #[arg(long, value_name = "FILE", default_value = "prometheus-rules.yml")]
        rules: String,
    },
}
