//! Viewer engines: the programs that play streams as viewers, behind one interface.
//!
//! An engine is a folder. It has a configuration ([`EngineConfig`], part of the plan), a list of preflight checks
//! that turns the configuration into an [`Engine`], the size of one viewer, and a way to play a stream once
//! (`Engine::play`). What a viewer plays ([`hls_swarm_hls::selection::Selection`]) belongs to the stream,
//! restarts belong to [`viewer`], and figures travel as events, so an engine knows nothing of either.

pub mod command;
pub(crate) mod confinement;
pub mod ffmpeg;
pub(crate) mod measured;
pub mod native;
pub(crate) mod opening;
pub mod probe;
pub mod process;
pub mod viewer;

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::sizing::{Requirements, ViewerSize, Viewers};
use hls_swarm_client::Http;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::event::EndClass;
use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::PlaybackSource;

use self::command::PlayerCommand;
use self::ffmpeg::Ffmpeg;
use self::native::Native;
use self::probe::pipe::ProbeReader;
use self::viewer::RunContext;
use crate::config::plan::Stream;
use crate::preflight::checklist::Preflight;

/// The engine that a plan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineConfig {
    /// FFmpeg.
    Ffmpeg(ffmpeg::Config),
    /// Any other player, by its command line.
    Command(command::Config),
    /// Players without a process.
    Native(native::Config),
}

impl EngineConfig {
    /// The versions of HTTP that viewers speak.
    #[must_use]
    pub const fn http(&self) -> Http {
        match self {
            Self::Native(config) => config.http,
            Self::Ffmpeg(_) | Self::Command(_) => Http::Http1,
        }
    }

    /// `count` viewers, with the canaries among them that belong to this shard.
    #[must_use]
    pub fn viewers(&self, count: u32) -> Viewers {
        let size = match self {
            Self::Ffmpeg(_) => ViewerSize::FFMPEG,
            Self::Command(_) => command::VIEWER_SIZE,
            Self::Native(config) => native::viewer_size(config.http),
        };
        let canaries = match self {
            Self::Native(native::Config { canaries: Some(canaries), .. }) => canaries.own.min(count),
            _ => 0,
        };
        Viewers { count, size, canaries }
    }

    /// The resources that `viewers` viewers and this program need.
    #[must_use]
    pub fn requirements(&self, viewers: u32) -> Requirements {
        Requirements::with(&self.viewers(viewers))
    }

    /// The number of the last FFmpeg viewer among native ones; `None` = there is none.
    #[must_use]
    pub const fn last_canary(&self) -> Option<u32> {
        match self {
            Self::Native(native::Config { canaries: Some(canaries), .. }) => Some(canaries.last),
            _ => None,
        }
    }

    /// Runs the engine's preflight checks.
    ///
    /// # Errors
    /// The player cannot be used at all. Problems that can be skipped are findings instead.
    pub(crate) async fn prepare(
        &self,
        preflight: &mut Preflight<'_>,
    ) -> Result<(Engine, Option<ProbeReader>), Failure> {
        Ok(match self {
            Self::Ffmpeg(config) => {
                let (engine, reader) = ffmpeg::preflight::prepare(config, preflight).await?;
                (Engine::Ffmpeg(engine), reader)
            }
            Self::Command(config) => {
                let (engine, reader) = command::preflight::prepare(config, preflight).await?;
                (Engine::Command(engine), Some(reader))
            }
            Self::Native(config) => {
                let (engine, reader) = native::preflight::prepare(config, preflight).await?;
                (Engine::Native(engine), reader)
            }
        })
    }
}

/// An engine that is ready to play.
#[derive(Debug)]
pub enum Engine {
    /// FFmpeg.
    Ffmpeg(Ffmpeg),
    /// Any other player.
    Command(PlayerCommand),
    /// Players without a process.
    Native(Native),
}

/// One play of a stream by one viewer, from start to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The viewer's number, from 1.
    pub viewer: u32,
    /// The number of sessions of this viewer so far, including this one.
    pub generation: u32,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionEnd {
    /// The reason for the end.
    pub class: EndClass,
    /// The duration of the session.
    pub uptime: Duration,
    /// Media that was read ahead of playback, which the viewer still plays.
    pub ahead: Duration,
}

impl Engine {
    /// The source of requests and bytes.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self {
            Self::Ffmpeg(engine) => engine.source(),
            Self::Command(_) => Source::Probe,
            Self::Native(_) => Source::Native,
        }
    }

    /// The source of the figures about playback, where viewers play `selection` of `stream`.
    #[must_use]
    pub fn playback_source(&self, stream: &Stream, selection: &Selection) -> PlaybackSource {
        match self {
            Self::Ffmpeg(engine) => engine.playback_source(stream, selection),
            Self::Command(_) => PlaybackSource::Arrivals,
            Self::Native(engine) => engine.playback_source(stream),
        }
    }

    /// Whether a viewer plays all playlists that it reads at the same time, and requests their segments sequentially.
    #[must_use]
    pub const fn plays_together(&self) -> bool {
        matches!(self, Self::Ffmpeg(_))
    }

    /// The version of the FFmpeg that plays; `None` = another player plays.
    #[must_use]
    pub fn ffmpeg_version(&self) -> Option<&str> {
        match self {
            Self::Ffmpeg(engine) => Some(engine.version()),
            Self::Native(engine) => engine.canaries().map(|(_, ffmpeg)| ffmpeg.version()),
            Self::Command(_) => None,
        }
    }

    /// The command line that plays in place of FFmpeg, as it was given.
    #[must_use]
    pub fn player_command(&self) -> Option<&str> {
        match self {
            Self::Ffmpeg(_) | Self::Native(_) => None,
            Self::Command(engine) => Some(engine.text()),
        }
    }

    /// The program and the arguments of a viewer; `None` if viewers have no process.
    #[must_use]
    pub fn command_line(
        &self,
        stream: &Stream,
        selection: &Selection,
        viewer: u32,
    ) -> Option<(&Path, Vec<String>)> {
        match self {
            Self::Ffmpeg(engine) => Some(engine.command_line(stream, selection, viewer)),
            Self::Command(engine) => Some(engine.command_line(selection)),
            Self::Native(_) => None,
        }
    }

    /// Plays the viewer's stream once and returns when the session has ended. `stop` ends it gracefully.
    pub(crate) async fn play(
        &self,
        context: &RunContext,
        session: Session,
        stop: &CancellationToken,
    ) -> SessionEnd {
        match self {
            // Boxed, because native viewers are many and must not be as large.
            Self::Ffmpeg(engine) => Box::pin(engine.play(context, session, stop)).await,
            Self::Command(engine) => Box::pin(engine.play(context, session, stop)).await,
            Self::Native(engine) => engine.play(context, session, stop).await,
        }
    }
}
