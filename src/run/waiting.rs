//! The wait between preflight and the first viewer: for the start time, and for all shards.

use std::time::Duration;

use jiff::Zoned;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use crate::collect::{self, Identity};
use crate::config::plan::Plan;
use crate::load::start_at::Wait;

/// How often the wall clock is checked during the wait.
const WATCH: Duration = Duration::from_secs(10);

/// Waits for the moment at which the run is to begin, and for all of its shards.
pub(crate) async fn wait(plan: &Plan, identity: Option<&Identity>) -> Result<(), Failure> {
    wait_for_moment(plan).await?;
    match identity {
        Some(identity) => collect::wait_for_all(identity, plan).await,
        None => Ok(()),
    }
}

async fn wait_for_moment(plan: &Plan) -> Result<(), Failure> {
    let Some(start) = plan.start_at else { return Ok(()) };
    match start.wait(&Zoned::now()) {
        Wait::For(time) => {
            tracing::info!("waiting until {start}, {}", GoDuration(Duration::from_secs(time.as_secs())));
            // The wait is divided, because a timer does not notice changes of the wall clock.
            while let Wait::For(time) = start.wait(&Zoned::now()) {
                tokio::time::sleep(time.min(WATCH).max(Duration::from_millis(1))).await;
                if time <= WATCH {
                    break;
                }
            }
            Ok(())
        }
        Wait::Late(late) => {
            tracing::warn!("{start} was {} ago: starting now", GoDuration(late));
            Ok(())
        }
        Wait::Missed(late) => Err(Failure::usage(format!(
            "invalid value \"{start}\" for --start-at: it was {} ago",
            GoDuration(late)
        ))
        .help("pass a time in the future, or a time of day like 20:00")),
    }
}
