//! The aggregator: the one task that turns events into statistics, and publishes a snapshot every second.

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
use hls_swarm_os::secrets;

use crate::output::exchange_log::ExchangeLog;

/// Events that may wait for the aggregator; beyond that, their senders wait.
pub const EVENT_QUEUE: usize = 4096;
/// How often a snapshot is published.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);

/// The statistics at the end of a run.
#[derive(Debug)]
pub struct Totals {
    /// The last snapshot.
    pub last: Arc<Snapshot>,
    /// The run over time and the distributions.
    pub recording: Recording,
    /// Why the exchange log is incomplete, if it is.
    pub log: Result<(), Failure>,
}

/// What is published each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Figures of the whole run and of its parts; only the last snapshot has a row for each viewer.
    Overview,
    /// A row for each viewer as well, for consumers that show individual viewers.
    Viewers,
}

/// Aggregates events until all senders are gone. The run goes on if the exchange log can no longer be written.
pub async fn aggregate(
    mut stats: Stats,
    mut events: mpsc::Receiver<Event>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    detail: Detail,
    mut log: Option<ExchangeLog>,
) -> Totals {
    let mut publish = interval(SNAPSHOT_INTERVAL);
    // Ticks stay on whole seconds, because windows of the timeline begin and end with one.
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
                    // All figures and names pass here on their way to reports, metrics, the dashboard and the log.
                    let event = event.redacted(&secrets::redact);
                    let is_batch = matches!(event, Event::Batch(_));
                    if let Some(open) = &mut log
                        && let Err(failure) = write(open, &event)
                    {
                        // The user of a long run has to learn that logging has stopped.
                        tracing::error!("{}; the run goes on without it", failure.chain());
                        (log, written) = (None, Err(failure));
                    }
                    stats.apply(event);
                    if is_batch {
                        tokio::task::yield_now().await;
                    }
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
    Totals { last, recording: stats.recording(), log }
}

/// Writes the exchanges among `event`.
fn write(log: &mut ExchangeLog, event: &Event) -> Result<(), Failure> {
    match event {
        Event::Exchange(exchange) => log.write(exchange),
        Event::Batch(events) => events.iter().try_for_each(|event| write(log, event)),
        _ => Ok(()),
    }
}
