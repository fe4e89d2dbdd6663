//! One stream: a supervised FFmpeg, and the publisher of the segments that it writes.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::output::replace_file;
use hls_swarm_os::process::{Output, Program};

use crate::encoder::argv::{self, Pace, SegmentOutput};
use crate::encoder::source::EncoderSource;
use crate::fault::injector::KillSwitch;
use crate::layout::MULTIVARIANT;
use crate::low_latency::Division;
use crate::low_latency::channel::PartPublisher;
use crate::low_latency::edge::Edge;
use crate::profile::stream::Source;
use crate::publisher::publication::{Position, Publication};
use crate::publisher::sequence_state::StateDir;
use crate::publisher::{PublishStatus, Publisher};
use crate::run::status::ProcessState;
use crate::run::supervisor::{self, SupervisedProcess};

const PUBLISH_INTERVAL: Duration = Duration::from_millis(50);
/// Interval at which a stream that waits for free space checks for it.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// One stream, ready to be started.
#[derive(Debug)]
pub(crate) struct Channel<'a> {
    source: &'a EncoderSource<'a>,
    supervised: SupervisedProcess,
    publisher: AnyPublisher,
}

/// What becomes of FFmpeg's output.
#[derive(Debug)]
enum AnyPublisher {
    /// Segments, which FFmpeg writes, are listed in playlists that are files.
    Segments(Box<Publisher>),
    /// The origin cuts parts and segments, and answers requests for playlists.
    Parts(Box<PartPublisher>),
}

impl<'a> Channel<'a> {
    /// Prepares the stream `name`, which is empty for the first stream. `edge` has its playlists if it has parts.
    pub(crate) fn new(
        name: &str,
        edge: Option<&Arc<Edge>>,
        source: &'a EncoderSource<'a>,
        state_dir: Option<&StateDir>,
        guard: &Arc<Guard>,
    ) -> Result<Self, Failure> {
        let directory = source.runtime_dir.www().join(name);
        let failed = |error| Failure::internal("cannot write to the runtime directory").caused_by(error);
        std::fs::create_dir_all(&directory).map_err(failed)?;
        replace_file(&directory.join(MULTIVARIANT), &source.multivariant_playlist).map_err(failed)?;
        source.publish_key(&directory).map_err(failed)?;
        let (position, state) = match state_dir {
            Some(state_dir) => state_dir.load(name).map(|(position, state)| (position, Some(state)))?,
            None => (Position::default(), None),
        };
        // A VOD always starts at segment 0.
        let position =
            if matches!(source.stream.source, Source::Vod(_)) { Position::default() } else { position };
        let publisher = match edge.zip(Division::of(source.stream)) {
            Some((edge, division)) => {
                edge.continue_at(source.stream, position);
                let edge = Arc::clone(edge);
                let publisher = PartPublisher::new(directory, edge, division, source.derived, state);
                AnyPublisher::Parts(Box::new(publisher))
            }
            None => {
                let publication = Publication::new(source.stream, source.renditions.clone(), position);
                let format = source.stream.format;
                let publisher = Publisher::new(directory, publication, format, source.derived, state);
                AnyPublisher::Segments(Box::new(publisher))
            }
        };
        Ok(Self { source, supervised: SupervisedProcess::new("ffmpeg", guard), publisher })
    }

    pub(crate) fn was_ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.supervised.was_ready)
    }

    pub(crate) fn kill_switch(&self) -> Arc<KillSwitch> {
        Arc::clone(&self.supervised.kill_switch)
    }

    pub(crate) fn state(&self) -> Arc<ProcessState> {
        Arc::clone(&self.supervised.state)
    }

    /// Whether the playlists are up to date.
    pub(crate) fn is_fresh(&self) -> bool {
        let is_vod = matches!(self.source.stream.source, Source::Vod(_));
        match &self.publisher {
            AnyPublisher::Segments(publisher) => publisher.is_fresh() || is_vod && publisher.has_begun(),
            AnyPublisher::Parts(publisher) => publisher.is_fresh(),
        }
    }

    /// Runs FFmpeg and publishes its segments until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), Failure> {
        if let Source::Vod(seconds) = self.source.stream.source {
            return self.run_vod(seconds, stop).await;
        }
        let program = async || {
            self.wait_for_space(stop).await;
            self.program(Pace::RealTime)
        };
        tokio::select! {
            outcome = self.supervised.run(stop, program) => outcome,
            never = self.publish_segments() => match never {},
        }
    }

    /// Creates and publishes the VOD, then waits for `stop`.
    async fn run_vod(&self, seconds: u32, stop: &CancellationToken) -> Result<(), Failure> {
        let (exit, last_lines) =
            self.supervised.run_once(stop, &self.program(Pace::FullSpeed(seconds))).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if !exit.is_success() {
            let what = format!("ffmpeg cannot create the VOD: {exit}");
            return Err(supervisor::with_output(Failure::preflight(what), last_lines));
        }
        let AnyPublisher::Segments(publisher) = &self.publisher else {
            return Err(Failure::internal("a VOD has no parts"));
        };
        if publisher.publish() != PublishStatus::Ok || !publisher.has_begun() {
            return Err(Failure::preflight("cannot publish the VOD")
                .help("check the free space in --dir; --log-level debug shows more"));
        }
        publisher.remove_unlisted_files();
        stop.cancelled().await;
        Ok(())
    }

    async fn publish_segments(&self) -> Infallible {
        let mut ticks = tokio::time::interval(PUBLISH_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let status = match &self.publisher {
                AnyPublisher::Segments(publisher) => publisher.publish(),
                AnyPublisher::Parts(publisher) => publisher.status(),
            };
            if status != PublishStatus::Ok {
                self.supervised.replace.notify_waiters();
            }
        }
    }

    fn has_space(&self) -> bool {
        match &self.publisher {
            AnyPublisher::Segments(publisher) => publisher.has_space(),
            AnyPublisher::Parts(publisher) => publisher.has_space(),
        }
    }

    fn directory(&self) -> &Path {
        match &self.publisher {
            AnyPublisher::Segments(publisher) => publisher.directory(),
            AnyPublisher::Parts(publisher) => publisher.directory(),
        }
    }

    async fn wait_for_space(&self, stop: &CancellationToken) {
        let mut logged = false;
        while !self.has_space() && !stop.is_cancelled() {
            if !logged {
                logged = true;
                tracing::error!(
                    directory = %self.directory().display(),
                    "no space left for segments: the stream pauses until there is enough"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(SPACE_CHECK_INTERVAL) => {}
                () = stop.cancelled() => {}
            }
        }
        if logged {
            tracing::warn!("there is enough space again: the stream continues");
        }
    }

    fn program(&self, pace: Pace) -> Program {
        let EncoderSource { stream, derived, renditions, .. } = self.source;
        let key_info: Option<PathBuf> = self.source.key_info();
        let (number, pipes) = match &self.publisher {
            AnyPublisher::Segments(publisher) => (publisher.begin_encoder(), Vec::new()),
            AnyPublisher::Parts(publisher) => publisher.begin_encoder().unwrap_or_else(|error| {
                // FFmpeg writes to no pipe, the stream stalls, and the next process gets another one.
                tracing::error!(%error, "cannot prepare the pipes for FFmpeg");
                (0, Vec::new())
            }),
        };
        let directory = self.directory();
        let place = SegmentOutput { directory, number, key_info: key_info.as_deref(), pipes: &pipes };
        let argv = if self.source.encodes_live {
            argv::live(stream, derived, renditions, place)
        } else {
            argv::replay(stream, renditions, &self.source.runtime_dir.loop_file(), place, pace)
        };
        let mut program = Program::new(&self.source.ffmpeg, argv);
        program.stdout = Output::Discard;
        program.inherit = pipes;
        program
    }
}
