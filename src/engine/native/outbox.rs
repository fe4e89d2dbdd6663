//! What a thread has to pass to the main thread: events in batches, and the ends of sessions after their events.

use std::cell::RefCell;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use hls_swarm_model::event::Event;

use crate::engine::SessionEnd;

/// How often events are passed on. One event at a time would cost more than counting it.
const INTERVAL: Duration = Duration::from_millis(50);
/// The most events of one batch, so that the main thread gets to do other things between two.
const BATCH: usize = 512;

/// The outbox of one thread.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    events: RefCell<Vec<Event>>,
    ends: RefCell<Vec<(oneshot::Sender<SessionEnd>, SessionEnd)>>,
}

impl Outbox {
    /// Passes on an event, in order.
    pub(super) fn push(&self, event: Event) {
        self.events.borrow_mut().push(event);
    }

    /// Reports the end of a session, once all of its events have been passed on.
    pub(super) fn ended(&self, reply: oneshot::Sender<SessionEnd>, end: SessionEnd) {
        self.ends.borrow_mut().push((reply, end));
    }

    /// Passes everything on, again and again.
    pub(super) async fn forward(&self, to: &mpsc::Sender<Event>) {
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.flush(to).await;
        }
    }

    /// Passes on what is there. The receiver outlives all viewers, so a failure means that the program is ending.
    pub(super) async fn flush(&self, to: &mpsc::Sender<Event>) {
        let mut events = self.events.take();
        let ends = self.ends.take();
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(BATCH));
            drop(to.send(Event::Batch(events)).await);
            events = rest;
        }
        for (reply, end) in ends {
            let _ = reply.send(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hls_swarm_model::event::EndClass;

    #[test]
    fn the_end_of_a_session_is_reported_after_its_events() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (outbox, (to, mut received)) = (Outbox::default(), mpsc::channel(16));
            let (reply, mut end) = oneshot::channel();
            (0..BATCH + 1).for_each(|_| outbox.push(Event::Rejected));
            outbox.ended(
                reply,
                SessionEnd { class: EndClass::Finished, uptime: Duration::ZERO, ahead: Duration::ZERO },
            );
            assert!(end.try_recv().is_err());
            outbox.flush(&to).await;
            assert!(end.try_recv().is_ok());
            let mut sizes = Vec::new();
            while let Ok(Event::Batch(events)) = received.try_recv() {
                sizes.push(events.len());
            }
            assert_eq!(sizes, [BATCH, 1]);
        });
    }
}
