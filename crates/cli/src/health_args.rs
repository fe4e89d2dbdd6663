//! The flags of `hls-swarm health` and `hls-origin health` as they were typed.

use clap::Parser;

/// Ask a program that runs on this machine whether it answers: exit code 0 if it does.
///
/// For health checks of containers, which have neither a shell nor curl.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(max_term_width = 100)]
pub struct HealthArgs {
    /// Address to ask [default: the program's own, by METRICS_PORT or HLS_ORIGIN_PORT]
    #[arg(value_name = "URL")]
    pub url: Option<String>,
}
