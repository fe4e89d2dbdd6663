//! The one place where events become figures: folds them, lets time pass, publishes a snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::exchange_log::ExchangeLog;
use crate::pure::stats::Stats;
use crate::system::clock::now_ns;
use crate::words::event::Event;
use crate::words::failure::Failure;
use crate::words::report::Recording;
use crate::words::snapshot::Snapshot;

/// Events that may wait to be folded; past that, their senders wait.
pub const QUEUE: usize = 4096;
/// How often a snapshot is published.
const PUBLISH: Duration = Duration::from_secs(1);

/// Folds events until all senders are gone, then returns the last snapshot and the recording.
///
/// # Errors
/// The exchange log cannot be written.
pub async fn aggregate(
    mut stats: Stats,
    mut events: mpsc::Receiver<Event>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    mut log: Option<ExchangeLog>,
) -> Result<(Arc<Snapshot>, Recording), Failure> {
    let mut publish = interval(PUBLISH);
    // Ticks that stay on the grid of seconds: the series has a point for each.
    publish.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut batch = Vec::with_capacity(256);
    loop {
        tokio::select! {
            received = events.recv_many(&mut batch, 256) => {
                if received == 0 {
                    break;
                }
                for event in batch.drain(..) {
                    if let (Some(log), Event::Exchange(exchange)) = (&mut log, &event) {
                        log.write(exchange)?;
                    }
                    stats.apply(event);
                }
            }
            _ = publish.tick() => {
                let now = now_ns();
                stats.tick(now);
                snapshots.send_replace(Arc::new(stats.snapshot(now)));
            }
        }
    }
    if let Some(log) = log {
        log.finish()?;
    }
    let last = Arc::new(stats.snapshot(now_ns()));
    snapshots.send_replace(Arc::clone(&last));
    Ok((last, stats.recording()))
}
