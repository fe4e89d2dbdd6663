//! Carries what the probes write from their pipe to the aggregator.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use hls_swarm_model::event::Event;

use crate::engine::probe::decode::Reader;
use crate::engine::probe::pipe::{Batch, ProbeReader};

/// Reads until `stop`, then takes what is still in the pipe.
pub async fn carry(mut pipe: ProbeReader, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut reader = Reader::default();
    loop {
        let batch = tokio::select! {
            biased;
            batch = pipe.next() => batch,
            () = stop.cancelled() => break,
        };
        match batch {
            Ok(batch) => {
                let ended = batch.ended;
                hand_over(batch, &mut reader, &events).await;
                if ended {
                    // A pipe at its end is always readable: asking it again would never wait.
                    stop.cancelled().await;
                    break;
                }
            }
            Err(error) => {
                // Without the pipe every figure from here on would be wrong.
                tracing::error!(%error, "the probe's pipe failed");
                drop(events.send(Event::FactsLost { records: 1 }).await);
                return;
            }
        }
    }
    while let Ok(batch) = pipe.pending()
        && !batch.is_empty()
    {
        hand_over(batch, &mut reader, &events).await;
    }
    let mut rest = Vec::new();
    match pipe.end() {
        0 => {}
        records => rest.push(Event::FactsLost { records }),
    }
    reader.finish(&mut |event| rest.push(event));
    send(rest, &events).await;
}

async fn hand_over(batch: Batch, reader: &mut Reader, events: &mpsc::Sender<Event>) {
    let mut found = Vec::new();
    if batch.lost > 0 {
        found.push(Event::FactsLost { records: batch.lost });
    }
    batch.frames().for_each(|frame| reader.frame(&frame, &mut |event| found.push(event)));
    send(found, events).await;
}

async fn send(found: Vec<Event>, events: &mpsc::Sender<Event>) {
    for event in found {
        // The aggregator outlives this task; without it there is nobody to tell.
        drop(events.send(event).await);
    }
}
