//! One stream: an FFmpeg that is kept alive, and the publisher of what it makes.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::output::replace_file;
use hls_swarm_os::process::{Output, Program};

use crate::encoder::argv::{self, Pace, Place};
use crate::encoder::source::EncoderSource;
use crate::fault::injector::Strike;
use crate::layout::MASTER;
use crate::profile::stream::Source;
use crate::publisher::publication::{Position, Publication};
use crate::publisher::sequence_state::StateDir;
use crate::publisher::{Look, Publisher};
use crate::run::status::Life;
use crate::run::supervisor::{self, SupervisedProcess};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a stream that waits for room looks for it.
const ROOM_EVERY: Duration = Duration::from_millis(500);

/// One stream, ready to be started.
#[derive(Debug)]
pub(crate) struct Channel<'a> {
    material: &'a EncoderSource<'a>,
    supervised: SupervisedProcess,
    publisher: Publisher,
}

impl<'a> Channel<'a> {
    /// The stream `name`; empty for the first one.
    pub(crate) fn new(
        name: &str,
        material: &'a EncoderSource<'a>,
        shelf: Option<&StateDir>,
        guard: &Arc<Guard>,
    ) -> Result<Self, Failure> {
        let directory = material.runtime_dir.www().join(name);
        let refused = |error| Failure::internal("cannot write to the private directory").caused_by(error);
        std::fs::create_dir_all(&directory).map_err(refused)?;
        replace_file(&directory.join(MASTER), &material.master).map_err(refused)?;
        material.put_key(&directory).map_err(refused)?;
        let (position, memory) = match shelf {
            Some(shelf) => shelf.recall(name).map(|(position, memory)| (position, Some(memory)))?,
            None => (Position::default(), None),
        };
        // A film does not go on, it is there.
        let position =
            if matches!(material.stream.source, Source::Film(_)) { Position::default() } else { position };
        let publication = Publication::new(material.stream, material.renditions.clone(), position);
        let publisher =
            Publisher::new(directory, publication, material.stream.format, material.derived, memory);
        Ok(Self { material, supervised: SupervisedProcess::new("ffmpeg", guard), publisher })
    }

    pub(crate) fn settled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.supervised.settled)
    }

    pub(crate) fn strike(&self) -> Arc<Strike> {
        Arc::clone(&self.supervised.strike)
    }

    pub(crate) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.supervised.life)
    }

    /// Whether the playlists are as new as they should be.
    pub(crate) fn is_fresh(&self) -> bool {
        let film = matches!(self.material.stream.source, Source::Film(_));
        self.publisher.is_fresh() || film && self.publisher.has_begun()
    }

    /// Keeps FFmpeg alive and the stream advancing until `stop`.
    pub(crate) async fn keep(&self, stop: &CancellationToken) -> Result<(), Failure> {
        if let Source::Film(seconds) = self.material.stream.source {
            return self.film(seconds, stop).await;
        }
        let program = async || {
            self.wait_for_room(stop).await;
            self.program(Pace::RealTime)
        };
        tokio::select! {
            outcome = self.supervised.keep(stop, program) => outcome,
            never = self.watch() => match never {},
        }
    }

    /// Makes the whole film, publishes it, and is done.
    async fn film(&self, seconds: u32, stop: &CancellationToken) -> Result<(), Failure> {
        let (ending, words) = self.supervised.live(stop, &self.program(Pace::AtOnce(seconds))).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if !ending.is_success() {
            let what = format!("ffmpeg cannot make the film: {ending}");
            return Err(supervisor::given_up(Failure::preflight(what), words));
        }
        if self.publisher.look() != Look::Well || !self.publisher.has_begun() {
            return Err(Failure::preflight("the film cannot be published")
                .help("is there room in --dir? see --log-level debug"));
        }
        self.publisher.tidy();
        stop.cancelled().await;
        Ok(())
    }

    async fn watch(&self) -> Infallible {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.publisher.look() != Look::Well {
                self.supervised.stuck.notify_waiters();
            }
        }
    }

    async fn wait_for_room(&self, stop: &CancellationToken) {
        let mut told = false;
        while !self.publisher.has_room() && !stop.is_cancelled() {
            if !told {
                told = true;
                tracing::error!(
                    directory = %self.publisher.directory().display(),
                    "there is no room for segments: the stream pauses until there is"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(ROOM_EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        if told {
            tracing::warn!("there is room again: the stream goes on");
        }
    }

    fn program(&self, pace: Pace) -> Program {
        let EncoderSource { stream, derived, renditions, .. } = self.material;
        let key_info: Option<PathBuf> = self.material.key_info();
        let place = Place {
            directory: self.publisher.directory(),
            number: self.publisher.begin(),
            key_info: key_info.as_deref(),
        };
        let argv = if self.material.encodes {
            argv::live(stream, derived, renditions, place)
        } else {
            argv::replay(stream, renditions, &self.material.runtime_dir.loop_file(), place, pace)
        };
        let mut program = Program::new(&self.material.ffmpeg, argv);
        program.stdout = Output::Discard;
        program
    }
}
