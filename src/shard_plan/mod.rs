//! `hls-swarm plan`: writes a Kubernetes overlay for a load that needs many pods.

pub mod answer;
pub mod divide;
pub mod kubernetes;

use std::io::Write;

use hls_swarm_base::error::Failure;
use hls_swarm_os::output;

use crate::cli::commands::PlanArgs;
use crate::shard_plan::divide::divide;

/// Prints the overlay.
///
/// # Errors
/// The load cannot be divided, or standard output cannot be written to.
pub fn run(args: &PlanArgs) -> Result<(), Failure> {
    let plan = divide(args)?;
    if plan.without_consent {
        drop(writeln!(std::io::stderr(), "warning: {}", kubernetes::consent(&plan)));
    }
    output::print(&kubernetes::render(&plan))
}
