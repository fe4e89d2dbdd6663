//! The one place where events become figures: folds them, lets time pass, publishes a snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use hls_swarm_base::error::Failure;
use hls_swarm_model::event::Event;
use hls_swarm_model::report::Recording;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::stats::Stats;
use hls_swarm_os::clock::now_ns;

use crate::output::exchange_log::ExchangeLog;

/// Events that may wait to be folded; past that, their senders wait.
pub const QUEUE: usize = 4096;
/// How often a snapshot is published.
const PUBLISH: Duration = Duration::from_secs(1);

/// What a run comes to.
#[derive(Debug)]
pub struct Account {
    /// The last snapshot.
    pub last: Arc<Snapshot>,
    /// The series and the distributions.
    pub recording: Recording,
    /// Why the exchange log is not whole, if it is not.
    pub log: Result<(), Failure>,
}

/// What is published each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Figures of the whole run and of its parts; the row of each viewer comes with the last snapshot only.
    Overview,
    /// The row of each viewer as well, for consumers that show viewers one by one.
    Viewers,
}

/// Folds events until all senders are gone. An exchange log that cannot be written any more costs
/// nothing but itself.
pub async fn aggregate(
    mut stats: Stats,
    mut events: mpsc::Receiver<Event>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    detail: Detail,
    mut log: Option<ExchangeLog>,
) -> Account {
    let mut publish = interval(PUBLISH);
    // Ticks that stay on the grid of seconds: the series has a point for each.
    publish.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut batch = Vec::with_capacity(256);
    let mut written = Ok(());
    loop {
        tokio::select! {
            received = events.recv_many(&mut batch, 256) => {
                if received == 0 {
                    break;
                }
                for event in batch.drain(..) {
                    if let (Some(open), Event::Exchange(exchange)) = (&mut log, &event)
                        && let Err(failure) = open.write(exchange)
                    {
                        // A long run must not go on in the belief that it is being logged.
                        tracing::error!("{}; the run goes on without it", failure.chain());
                        (log, written) = (None, Err(failure));
                    }
                    stats.apply(event);
                }
            }
            _ = publish.tick() => {
                let now = now_ns();
                stats.tick(now);
                let snapshot = match detail {
                    Detail::Overview => stats.overview(now),
                    Detail::Viewers => stats.snapshot(now),
                };
                snapshots.send_replace(Arc::new(snapshot));
            }
        }
    }
    let log = written.and_then(|()| log.map_or(Ok(()), ExchangeLog::finish));
    let last = Arc::new(stats.snapshot(now_ns()));
    snapshots.send_replace(Arc::clone(&last));
    Account { last, recording: stats.recording(), log }
}
