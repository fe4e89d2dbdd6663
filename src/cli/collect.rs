//! The flags of `hls-swarm collect` as they were typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use hls_swarm_base::duration::GoDuration;

/// Start the shards of one load together, collect their reports, and give the verdict on all of it.
///
/// Shards are runs with `--shard I/N --collector URL`. They wait until all of them are ready, start at once,
/// and hand over their reports; the exit code is that of the merged run.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-swarm collect", version, max_term_width = 100)]
pub struct CollectArgs {
    /// How many shards there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub shards: u32,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:17092")]
    pub listen: SocketAddr,
    /// How long shards may take until all of them are ready
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    pub ready_timeout: GoDuration,
    /// How long after the planned end reports may take
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub report_timeout: GoDuration,
    /// Write the merged report: .json, .html, .xml (JUnit), .md, .csv; may be repeated
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}
