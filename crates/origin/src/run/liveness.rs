//! Tells `/health`: a file is there while every stream advances, and nginx looks whether it is.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use crate::encoder::channel::Channel;
use crate::run::runtime_dir::RuntimeDir;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Keeps the file as the streams are, for ever.
pub(crate) async fn tell(runtime_dir: &RuntimeDir, channels: &[Channel<'_>]) -> Infallible {
    let mark = runtime_dir.fresh();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        mark_as(channels.iter().all(Channel::is_fresh), &mark);
    }
}

fn mark_as(fresh: bool, mark: &Path) {
    let outcome = match (fresh, mark.exists()) {
        (true, false) => std::fs::write(mark, "").map(|()| tracing::debug!("the stream advances")),
        (false, true) => std::fs::remove_file(mark)
            .map(|()| tracing::warn!("the stream does not advance; /health says so")),
        _ => return,
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot tell /health");
    }
}
