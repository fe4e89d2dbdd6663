//! One viewer: its lives, and the pauses between them.

mod ffmpeg;

pub use ffmpeg::program;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::actors::scout::StreamEnd;
use crate::pure::ffmpeg::argv::Play;
use crate::pure::ffmpeg::capability::Capabilities;
use crate::pure::plan::Plan;
use crate::pure::restart::Restarts;
use crate::system::guard::Guard;
use crate::system::probe_object::ProbeObject;
use crate::system::probe_pipe::ProbePipe;
use crate::words::event::{EndClass, Event};
use crate::words::exchange::Source;

/// A viewer that finished a stream in less time than this did not really play it.
const SHORTEST_PLAY: Duration = Duration::from_secs(1);

/// What all viewers share.
#[derive(Debug)]
pub struct Crew {
    /// The run.
    pub plan: Plan,
    /// What they play.
    pub play: Play,
    /// What FFmpeg can do.
    pub can: Capabilities,
    /// Where requests and bytes come from.
    pub source: Source,
    /// The probe and its pipe, where it is the source.
    pub probe: Option<(ProbeObject, ProbePipe)>,
    /// Who cleans up after us.
    pub guard: Arc<Guard>,
    /// Where facts go.
    pub events: mpsc::Sender<Event>,
    /// Whether a live stream has ended.
    pub stream_end: StreamEnd,
    /// The end of the run, in good order.
    pub stop: CancellationToken,
    /// The end of the run, at once.
    pub at_once: CancellationToken,
}

impl Crew {
    /// Tells the aggregator. It outlives all viewers, so a refusal means that the program is ending.
    pub async fn tell(&self, event: Event) {
        drop(self.events.send(event).await);
    }
}

/// How one life of a viewer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    class: EndClass,
    uptime: Duration,
}

/// Lives until the run ends or the viewer is given up. `chance` yields numbers from 0 to 1.
pub async fn live(crew: Arc<Crew>, viewer: u32, mut chance: impl FnMut() -> f64) {
    let mut restarts = Restarts::new(crew.plan.viewers.max_restarts);
    for generation in 1.. {
        let life = ffmpeg::play(&crew, viewer, generation).await;
        let pause = match life.class {
            EndClass::Stopped => return,
            // What was live is over; to play it again would be another test.
            EndClass::Finished if crew.play.live => {
                crew.tell(Event::Left { viewer }).await;
                return;
            }
            // An audience that has seen a film to its end is followed by the next one.
            EndClass::Finished if life.uptime >= SHORTEST_PLAY => Some(Duration::ZERO),
            EndClass::Finished | EndClass::Failed => restarts.after_failure(life.uptime, chance()),
        };
        let Some(pause) = pause else {
            crew.tell(Event::GaveUp { viewer }).await;
            return;
        };
        tokio::select! {
            () = crew.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
