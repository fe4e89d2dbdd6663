//! The flags of `hls-swarm impair` as they were typed.

use clap::Parser;

/// Make the link of a lab machine worse, with tc's netem: what the machine sends is delayed, lost or
/// held back. Holds until `hls-swarm impair clean` or the next boot.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "hls-swarm impair", version, max_term_width = 100, after_help = NOTES)]
pub struct ImpairArgs {
    /// Impairment: clean, 50ms, 3g, lossy, or the path of a TOML file
    #[arg(value_name = "NAME|FILE")]
    pub impairment: String,
    /// Network device to impair
    #[arg(long, default_value = "eth0", value_name = "DEVICE")]
    pub device: String,
    /// Print tc's command line instead of running it
    #[arg(long)]
    pub show: bool,
}

/// What the help text ends with.
const NOTES: &str = "Needs CAP_NET_ADMIN, tc (iproute2) and the kernel module sch_netem.
On a machine that is not a lab's, this slows down everything that it sends, ssh included.";
