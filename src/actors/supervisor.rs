//! The run: starts viewers along the ramp, ends them when the time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::viewer::{self, Crew};
use crate::system::clock::now_ns;
use crate::words::event::Event;
use crate::words::snapshot::Snapshot;

/// Deaths after which a run that nobody ever played is hopeless.
const HOPELESS_DEATHS: u64 = 5;
/// How much longer than the network time-out the first picture may take.
const FIRST_PICTURE: Duration = Duration::from_secs(10);

/// Why the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Its planned length was over.
    Elapsed,
    /// It was asked to end (signal, or the caller).
    Asked,
    /// Every viewer had seen the stream to its end, or been given up.
    AllGone,
    /// No viewer had ever played, and none was going to.
    NobodyPlays,
}

/// Runs all viewers and returns when the last one has ended. `random` seeds all chances.
pub async fn supervise(
    crew: Arc<Crew>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut random: fastrand::Rng,
) -> Cause {
    let began = Instant::now();
    let end = crew.plan.duration.map(|duration| began + duration);
    let mut viewers = JoinSet::new();
    let mut cause = Cause::Asked;
    let mut hopeless = std::pin::pin!(hopeless(snapshots, crew.plan.stream.timeout + FIRST_PICTURE));
    let mut starts = crew.plan.ramp.starts(|| random.f64()).into_iter().enumerate().peekable();
    loop {
        let next = starts.peek().map(|(_, start)| began + *start);
        tokio::select! {
            () = crew.stop.cancelled() => break,
            () = at(end) => {
                cause = Cause::Elapsed;
                break;
            }
            () = &mut hopeless => {
                cause = Cause::NobodyPlays;
                break;
            }
            () = at(next), if next.is_some() => {
                if let Some((index, _)) = starts.next() {
                    let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
                    crew.tell(Event::Target { viewers: number }).await;
                    let mut chance = random.fork();
                    viewers.spawn(viewer::live(Arc::clone(&crew), number, move || chance.f64()));
                }
            }
            Some(ended) = viewers.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a viewer's task broke off");
                }
                if viewers.is_empty() && next.is_none() {
                    cause = Cause::AllGone;
                    break;
                }
            }
        }
    }
    crew.tell(Event::Closing { at_ns: now_ns() }).await;
    crew.stop.cancel();
    while viewers.join_next().await.is_some() {}
    cause
}

/// Returns when it is clear that nobody will ever play.
async fn hopeless(mut snapshots: watch::Receiver<Arc<Snapshot>>, patience: Duration) {
    loop {
        let (played, deaths, waited) = {
            let snapshot = snapshots.borrow_and_update();
            let exits = snapshot.lives.exits;
            (snapshot.lives.ever_played > 0, exits.error + exits.signal, snapshot.elapsed_seconds)
        };
        if played {
            return std::future::pending().await;
        }
        if deaths >= HOPELESS_DEATHS || waited > patience.as_secs_f64() {
            return;
        }
        if snapshots.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
