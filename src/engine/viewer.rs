//! One viewer: its lives, and the pauses between them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::backoff::{Backoff, BackoffPolicy};
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::exchange::Source;
use hls_swarm_os::guard::Guard;

use crate::config::plan::{Plan, Stream};
use crate::engine::ffmpeg::argv::Play;
use crate::engine::ffmpeg::capability::Capabilities;
use crate::engine::ffmpeg::process;
use crate::engine::probe::object::ProbeObject;
use crate::engine::probe::pipe::ProbePipe;
use crate::preflight::stream_check::StreamEnd;

/// A viewer that finished a stream in less time than this did not really play it.
const SHORTEST_PLAY: Duration = Duration::from_secs(1);

/// An origin that comes back finds its viewers back within seconds; a viewer that played for half a minute
/// had recovered.
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
pub struct Channel {
    /// The stream, as the plan has it.
    pub stream: Stream,
    /// What is played of it.
    pub play: Play,
    /// Whether it has ended, if it is live.
    pub end: StreamEnd,
}

/// What all viewers share.
#[derive(Debug)]
pub struct RunContext {
    /// The run.
    pub plan: Plan,
    /// What they play.
    pub channels: WeightedSet<Channel>,
    /// What FFmpeg can do.
    pub can: Capabilities,
    /// FFmpeg is statically linked.
    pub is_static: bool,
    /// Where requests and bytes come from.
    pub source: Source,
    /// The probe and its pipe, where it is the source.
    pub probe: Option<(ProbeObject, ProbePipe)>,
    /// Who cleans up after us.
    pub guard: Arc<Guard>,
    /// Where facts go.
    pub events: mpsc::Sender<Event>,
    /// The end of the run, in good order.
    pub stop: CancellationToken,
    /// The end of the run, at once.
    pub at_once: CancellationToken,
}

impl RunContext {
    /// Tells the aggregator. It outlives all viewers, so a refusal means that the program is ending.
    pub async fn tell(&self, event: Event) {
        drop(self.events.send(event).await);
    }
}

/// How one life of a viewer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) class: EndClass,
    pub(crate) uptime: Duration,
}

/// Lives until `stop`, or the viewer is given up. Its first process is the `generation`th of this number;
/// the answer is that of the last one. `chance` yields numbers from 0 to 1.
pub async fn live(
    context: Arc<RunContext>,
    viewer: u32,
    mut generation: u32,
    stop: CancellationToken,
    mut chance: impl FnMut() -> f64,
) -> u32 {
    let mut backoff =
        Backoff::new(BackoffPolicy { max_restarts: context.plan.viewers.max_restarts, ..BACKOFF });
    loop {
        let life = process::play(&context, viewer, generation, &stop).await;
        let pause = match life.class {
            EndClass::Stopped => return generation,
            // What was live is over; to play it again would be another test.
            EndClass::Finished if context.channels.of(viewer).play.live => {
                context.tell(Event::Left { viewer }).await;
                return generation;
            }
            // An audience that has seen a film to its end is followed by the next one.
            EndClass::Finished if life.uptime >= SHORTEST_PLAY => Some(Duration::ZERO),
            EndClass::Finished | EndClass::Failed => backoff.after_failure(life.uptime, chance()),
        };
        let Some(pause) = pause else {
            context.tell(Event::GivenUp { viewer }).await;
            return generation;
        };
        tokio::select! {
            () = stop.cancelled() => return generation,
            () = tokio::time::sleep(pause) => {}
        }
        generation = generation.saturating_add(1);
    }
}
