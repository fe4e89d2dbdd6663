//! FFmpeg as a viewer: capability detection, the command line, and the interpretation of its output.

pub mod argv;
pub mod capability;
pub mod detect;
pub mod inferred;
pub mod log;
pub(crate) mod monitor;
pub(crate) mod preflight;
pub mod progress;
mod watchdog;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use hls_swarm_base::secrets::Secrets;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::exchange::Source;
use hls_swarm_model::snapshot::PlaybackSource;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::process::Program;
use hls_swarm_player::Preset;

use self::capability::Capabilities;
use self::inferred::{Author, HostLimits};
use self::monitor::FfmpegMonitor;
use super::opening::{self, Opening};
use super::probe::{Concealed, Probe, conceal};
use super::viewer::{RunContext, StreamTarget};
use super::{Session, SessionEnd, process};
use crate::cli::run::{FfmpegLevel, ProbeMode};
use crate::config::plan::Stream;
use crate::network::Certificates;

/// The planned configuration of FFmpeg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The FFmpeg binary.
    pub program: PathBuf,
    /// The planned source of requests and bytes.
    pub probe: ProbeMode,
    /// Extra arguments before `-i`.
    pub extra_arguments: Vec<String>,
    /// FFmpeg's log level, if its log is copied to that of hls-swarm.
    pub log_level: Option<FfmpegLevel>,
    /// Whether FFmpeg finds a proxy in its environment.
    pub proxied: bool,
    /// How many different reasons from FFmpeg's log are kept per viewer.
    pub reasons_kept: usize,
    /// The player whose buffer a viewer has.
    pub preset: Preset,
}

/// An FFmpeg that is ready to play.
#[derive(Debug)]
pub struct Ffmpeg {
    config: Config,
    capabilities: Capabilities,
    is_static: bool,
    probe: Option<Probe>,
}

impl Ffmpeg {
    /// Where requests and bytes come from.
    #[must_use]
    pub const fn source(&self) -> Source {
        if self.probe.is_some() { Source::Probe } else { Source::Log }
    }

    /// The version of the binary, as it prints it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.capabilities.version
    }

    /// The source of the figures about playback, where viewers play `selection` of `stream`. A VOD that FFmpeg reads at
    /// the pace of playback, without the burst that fills a buffer, shows nothing about stalls.
    #[must_use]
    pub fn playback_source(&self, stream: &Stream, selection: &Selection) -> PlaybackSource {
        if self.probe.is_none() {
            PlaybackSource::Inferred
        } else if !selection.live && stream.paced && !self.capabilities.has_burst() {
            PlaybackSource::Unbuffered
        } else {
            PlaybackSource::Arrivals
        }
    }

    /// The program and the arguments of a viewer.
    #[must_use]
    pub fn command_line(&self, stream: &Stream, selection: &Selection, viewer: u32) -> (&Path, Vec<String>) {
        let Self { config, capabilities, probe, .. } = self;
        (&config.program, argv::arguments(stream, config, selection, probe.is_some(), capabilities, viewer))
    }

    /// Plays the viewer's stream once and returns when FFmpeg has ended; `stop` ends it gracefully.
    pub(crate) async fn play(
        &self,
        context: &RunContext,
        session: Session,
        stop: &CancellationToken,
    ) -> SessionEnd {
        let Session { viewer, generation } = session;
        let started_ns = now_ns();
        context.record(Event::Started { viewer, generation, at_ns: started_ns }).await;
        let target = context.target_of(viewer);
        let playlists = self.probe.as_ref().map(|probe| &probe.playlists);
        let selection = match opening::open(context, session, stop, playlists).await {
            Opening::Plays(selection) => selection,
            Opening::Stopped => {
                let reason = "stopped before FFmpeg was started".to_owned();
                return process::fail(context, session, EndClass::Stopped, started_ns, reason).await;
            }
            Opening::Failed(why) => {
                return process::fail(context, session, EndClass::Failed, started_ns, why).await;
            }
        };
        if selection.audio.is_some() {
            context.record(Event::Renditions { viewer, count: 2 }).await;
        }
        let program = self.program(context, target, &selection, session);
        let monitor = |pid| {
            let author = Author { viewer, generation, pid };
            let target_duration = target.selection.target_duration;
            let limits = HostLimits {
                target_policy: context.plan.target_policy.clone(),
                header_policy: target.stream.header_policy.clone(),
            };
            FfmpegMonitor::new(self, author, started_ns, target_duration, limits)
        };
        process::play(context, session, stop, program, started_ns, monitor).await
    }

    /// Returns the process to start, with the probe if there is one.
    fn program(
        &self,
        context: &RunContext,
        target: &StreamTarget,
        selection: &Selection,
        session: Session,
    ) -> Program {
        let Session { viewer, generation } = session;
        let plan = &context.plan;
        let stream = &target.stream;
        let (path, arguments) = self.command_line(stream, selection, viewer);
        let Concealed { arguments, variables } = match self.probe {
            Some(_) => conceal(&secrets_of(&plan.secrets, selection), arguments),
            None => Concealed { arguments, ..Concealed::default() },
        };
        let mut program = Program::new(path, arguments);
        program.confinement = Some(plan.viewers.confinement.clone());
        if !plan.proxies.is_empty() {
            let proxies = plan.proxies.for_ffmpeg(&stream.url).into_iter();
            program.environment.extend(proxies.map(|(name, value)| (name.into(), value.into())));
        }
        program.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        // One arena: FFmpeg's threads are few, and each arena costs every viewer half a megabyte.
        program.environment.push(("MALLOC_ARENA_MAX".into(), "1".into()));
        // A static C library loads its character sets from this machine, and with them the machine's own C library:
        // FFmpeg dies of it as soon as MPEG-TS names its service. It works without any character sets.
        if self.is_static && std::env::var_os("GCONV_PATH").is_none() {
            program.environment.push(("GCONV_PATH".into(), "/nonexistent".into()));
        }
        if let Some(probe) = &self.probe {
            let certificates = Certificates::needed(stream, &self.capabilities);
            let settings = plan.network.probe_settings(stream, &plan.target_policy, certificates, viewer);
            probe.attach(&mut program, viewer, generation, settings);
        }
        program
    }
}

/// The secrets of a viewer's command line: those of the plan, and the cookies that this viewer got.
fn secrets_of(secrets: &Secrets, selection: &Selection) -> Secrets {
    let mut secrets = secrets.clone();
    for field in selection.cookies.iter().flat_map(|fields| fields.lines()) {
        let pair = field.split(';').next().unwrap_or_default();
        secrets.hide_header("Cookie", pair.split_once('=').map_or(pair, |(_, value)| value));
    }
    secrets
}
