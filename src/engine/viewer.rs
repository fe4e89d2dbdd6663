//! One viewer: its sessions, and the pauses between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::backoff::{Backoff, BackoffPolicy};
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_os::guard::Guard;

use super::{Engine, Session};
use crate::config::plan::{Plan, Stream};
use crate::fetch::Fetcher;
use crate::generator_monitor::ViewerProcesses;
use crate::stream_check::StreamEnd;

/// A session of a whole stream that was shorter than this did not really play it.
const SHORTEST_PLAY: Duration = Duration::from_secs(1);
/// Viewers return within seconds after their origin does; a viewer that played for half a minute had recovered.
const BACKOFF: BackoffPolicy = BackoffPolicy {
    first: Duration::from_millis(250),
    longest: Duration::from_secs(5),
    healthy: Duration::from_secs(30),
    jitter: true,
    max_restarts: None,
    max_in_a_row: None,
};

/// A stream that viewers play.
#[derive(Debug)]
pub struct StreamTarget {
    /// The stream, as planned.
    pub stream: Stream,
    /// The part of it that viewers play.
    pub selection: Selection,
    /// Whether it has ended, if it is live.
    pub end: StreamEnd,
    /// Fetches its playlists.
    pub fetcher: Fetcher,
}

/// The state that all viewers share.
#[derive(Debug)]
pub struct RunContext {
    /// The plan.
    pub plan: Plan,
    /// The streams that viewers play.
    pub targets: WeightedSet<StreamTarget>,
    /// What canaries play, and the number of the last one, where there are some.
    pub canaries: Option<(u32, WeightedSet<StreamTarget>)>,
    /// The engine that plays it.
    pub engine: Engine,
    /// Kills the remaining processes if this program dies.
    pub guard: Arc<Guard>,
    /// The processes that play now.
    pub processes: Arc<ViewerProcesses>,
    /// The aggregator's queue.
    pub events: mpsc::Sender<Event>,
    /// Ends the run gracefully.
    pub stop: CancellationToken,
    /// Ends the run immediately.
    pub immediate: CancellationToken,
}

impl RunContext {
    /// What a viewer plays.
    #[must_use]
    pub fn target_of(&self, viewer: u32) -> &StreamTarget {
        let canaries = self.canaries.as_ref().filter(|(last, _)| viewer <= *last);
        canaries.map_or(&self.targets, |(_, targets)| targets).of(viewer)
    }

    /// Sends an event to the aggregator. It outlives all viewers, so a failure means that the program is ending.
    pub async fn record(&self, event: Event) {
        drop(self.events.send(event).await);
    }

    /// The same for what happens rarely: the caller, of which there may be tens of thousands, needs no room for it.
    async fn record_rare(&self, event: Event) {
        Box::pin(self.record(event)).await;
    }
}

/// Plays one session after the other until `stop`, or until the viewer has left or failed permanently. The first session has
/// number `generation`; returns the number of the last one. `random` yields numbers from 0 to 1.
pub async fn run(
    context: Arc<RunContext>,
    viewer: u32,
    mut generation: u32,
    stop: CancellationToken,
    mut random: impl FnMut() -> f64,
) -> u32 {
    let mut backoff =
        Backoff::new(BackoffPolicy { max_restarts: context.plan.viewers.max_restarts, ..BACKOFF });
    loop {
        let session = context.engine.play(&context, Session { viewer, generation }, &stop).await;
        let pause = match session.class {
            EndClass::Stopped => return generation,
            // A live stream that is over cannot be played again.
            EndClass::Finished if context.target_of(viewer).selection.live => {
                context.record_rare(Event::Left { viewer }).await;
                return generation;
            }
            // After a viewer has played a VOD to its end, the next one starts. A process that reads ahead ends before.
            EndClass::Finished if session.uptime + session.ahead >= SHORTEST_PLAY => Some(session.ahead),
            EndClass::Finished | EndClass::Failed => backoff.after_failure(session.uptime, random()),
        };
        let Some(pause) = pause else {
            context.record_rare(Event::GivenUp { viewer }).await;
            return generation;
        };
        tokio::select! {
            () = stop.cancelled() => return generation,
            () = tokio::time::sleep(pause) => {}
        }
        generation = generation.saturating_add(1);
    }
}
