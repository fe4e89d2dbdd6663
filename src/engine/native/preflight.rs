//! The preflight checks of native viewers: the streams, the threads, and the memory of sockets.

use hls_swarm_base::error::Failure;
use hls_swarm_os::machine;

use super::shard::{mark, threads};
use super::{Config, Native};
use crate::preflight::checklist::{Check, Finding, Preflight};
use crate::preflight::inspect_streams;

/// The checks, in this order.
const CHECKS: &[Check<()>] = &[
    Check { name: "stream", run: |preflight, ()| Box::pin(inspect_streams(preflight)) },
    Check { name: "viewers", run: |preflight, ()| Box::pin(describe(preflight)) },
];

/// Runs the checks.
///
/// # Errors
/// A check itself failed.
pub(crate) async fn prepare(config: &Config, preflight: &mut Preflight<'_>) -> Result<Native, Failure> {
    preflight.run(CHECKS, &mut ()).await?;
    Ok(Native::new(config.clone()))
}

async fn describe(preflight: &mut Preflight<'_>) -> Result<(), Failure> {
    let viewers = preflight.plan.load.own_max_viewers();
    let threads = threads();
    let more = if threads == 1 { "" } else { "s" };
    let text = format!(
        "native, on {threads} thread{more}; requests and bytes are measured by the viewers themselves"
    );
    preflight.note(Finding::good("viewers", text));
    let pressure = machine::tcp_memory_pressure();
    let most = u64::from(mark(viewers, pressure)) * u64::from(viewers);
    if let Some(pressure) = pressure {
        let text = format!(
            "{} MiB at most wait in sockets; the kernel begins to save at {} MiB",
            most >> 20,
            pressure >> 20
        );
        preflight.note(if most <= pressure / 4 {
            Finding::good("socket memory", text)
        } else {
            let help = "raise net.ipv4.tcp_mem, or run fewer viewers on this machine";
            Finding::warning("socket memory", text, help)
        });
    }
    Ok(())
}
