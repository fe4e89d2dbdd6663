//! The error-rate limit, and the source of requests.

use hls_swarm_base::error::Failure;
use hls_swarm_model::verdict::error_rate_limit::ErrorRateLimit;

use crate::cli::run::{ProbeMode, RunArgs};

/// Resolves the error rate that ends a run.
pub(crate) fn error_rate_limit(text: &str) -> Result<Option<ErrorRateLimit>, Failure> {
    match text {
        "off" => Ok(None),
        text => text.parse().map(Some).map_err(|why: String| {
            Failure::usage(format!("invalid value {text:?} for --error-storm: {why}"))
                .help("write it like 50%:10s, from 1% to 100% for 1s or longer, or off")
        }),
    }
}

/// Resolves the source of requests; if FFmpeg's log is not used, only the probe remains.
pub(crate) fn source(args: &RunArgs) -> Result<ProbeMode, Failure> {
    match (args.viewers.stats, args.viewers.probe) {
        (true, probe) => Ok(probe),
        (false, ProbeMode::Off) => {
            Err(Failure::usage("--stats=false with --probe off: nothing would be measured")
                .help("leave out one of them"))
        }
        (false, _) => Ok(ProbeMode::Require),
    }
}
