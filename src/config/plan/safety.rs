//! What ends a run early, and what it may not do without, from what was typed.

use hls_swarm_base::error::Failure;
use hls_swarm_model::verdict::error_rate_limit::ErrorRateLimit;

use crate::cli::run::{ProbeMode, SwarmArgs};

/// The storm of errors that ends a run.
pub(crate) fn error_rate_limit(typed: Option<&str>) -> Result<Option<ErrorRateLimit>, Failure> {
    match typed {
        None => Ok(Some(ErrorRateLimit::default())),
        Some("off") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|why: String| {
            Failure::usage(format!("--error-storm {text:?}: {why}"))
                .help("write it like 50%:10s, from 1% to 100% for 1s or longer, or off")
        }),
    }
}

/// Where requests are to come from. Who does not want FFmpeg's log read leaves only the probe.
pub(crate) fn source(args: &SwarmArgs) -> Result<ProbeMode, Failure> {
    let probe = args.probe.unwrap_or_default();
    match (args.stats.unwrap_or(true), probe) {
        (true, probe) => Ok(probe),
        (false, ProbeMode::Off) => {
            Err(Failure::usage("--stats=false with --probe off: nothing would be measured")
                .help("leave out one of them"))
        }
        (false, _) => Ok(ProbeMode::Require),
    }
}
