//! The flags of `hls-swarm plan` as they were typed.

use clap::Parser;

use hls_swarm_base::duration::GoDuration;

/// Print a kustomize overlay for a load that needs many pods: how many, and what each of them needs.
///
/// Write it to kubernetes/overlays/NAME/kustomization.yaml and apply it with `kubectl apply -k`.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-swarm plan", version, max_term_width = 100)]
pub struct FleetArgs {
    /// Viewers of all pods together
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub clients: u32,
    /// Most viewers of one pod
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub per_pod: u32,
    /// Viewers started per second, of all pods together
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub ramp_rate: u32,
    /// Stream to play; without it that of the test origin of kubernetes/base
    #[arg(long, value_name = "URL")]
    pub stream_url: Option<String>,
    /// Length of the run, ramp included
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub duration: GoDuration,
    /// More flags of hls-swarm for every pod, as in a shell, such as thresholds
    #[arg(long, value_name = "FLAGS", default_value = "", allow_hyphen_values = true)]
    pub extra_args: String,
    /// Folder of the base, as seen from where the overlay will be
    #[arg(long, value_name = "PATH", default_value = "../../base")]
    pub base: String,
}
