//! Carries the probes' records from their pipe to the aggregator.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pure::facts;
use crate::system::probe_pipe::{Batch, ProbeReader};
use crate::words::event::Event;

/// Reads until `stop`, then takes what is still in the pipe.
pub async fn carry(mut reader: ProbeReader, events: mpsc::Sender<Event>, stop: CancellationToken) {
    loop {
        let batch = tokio::select! {
            biased;
            batch = reader.next() => batch,
            () = stop.cancelled() => break,
        };
        match batch {
            Ok(batch) => hand_over(batch, &events).await,
            Err(error) => {
                // Without the pipe every figure from here on would be wrong.
                tracing::error!(%error, "the probe's pipe failed");
                drop(events.send(Event::FactsLost { records: 1 }).await);
                return;
            }
        }
    }
    while let Ok(batch) = reader.pending()
        && !batch.records.is_empty()
    {
        hand_over(batch, &events).await;
    }
}

async fn hand_over(batch: Batch, events: &mpsc::Sender<Event>) {
    if batch.lost > 0 {
        drop(events.send(Event::FactsLost { records: batch.lost }).await);
    }
    for event in batch.records.iter().filter_map(facts::event) {
        drop(events.send(event).await);
    }
}
