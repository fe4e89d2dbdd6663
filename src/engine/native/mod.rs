//! Native viewers: players without a process. A viewer is a task that carries out what a [`hls_swarm_player::Player`]
//! asks for, with the project's own HTTP client; nothing is decoded.
//!
//! Viewers are divided over threads (`shard`), which share nothing. A session runs wholly on its thread; the main
//! thread only waits for its end, as it does for a process.

mod body;
mod contents;
mod observer;
mod outbox;
mod playlists;
pub(crate) mod preflight;
mod session;
mod shard;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_base::sizing::ViewerSize;
use hls_swarm_client::{Http, Proxies};
use hls_swarm_hls::selection::VariantSelection;
use hls_swarm_model::event::{EndClass, Event};
use hls_swarm_model::snapshot::PlaybackSource;
use hls_swarm_os::clock::now_ns;
use hls_swarm_player::cmcd::CmcdVersion;
use hls_swarm_player::{self as player, Preset, Variants};

use self::shard::{Job, Shards};
use super::ffmpeg::{self, Ffmpeg};
use super::viewer::{RunContext, StreamTarget};
use super::{Session, SessionEnd};
use crate::config::plan::Stream;

/// The resources of one viewer. Memory is more than twice what was measured over TLS (docs/native-viewers.md): larger segments
/// and a busy server need more.
pub(crate) const fn viewer_size(http: Http) -> ViewerSize {
    match http {
        Http::Http1 => ViewerSize {
            open_files: 2,
            least_open_files: 1,
            processes: 0,
            memory_bytes: 32 << 10,
            local_ports: 2,
        },
        // One connection carries all requests.
        Http::Http2 => ViewerSize {
            open_files: 1,
            least_open_files: 1,
            processes: 0,
            memory_bytes: 128 << 10,
            local_ports: 2,
        },
        Http::Http3 => ViewerSize {
            open_files: 1,
            least_open_files: 1,
            processes: 0,
            memory_bytes: 384 << 10,
            local_ports: 2,
        },
        // That of HTTP/2 stays open until the server closes it.
        Http::Auto => ViewerSize {
            open_files: 2,
            least_open_files: 1,
            processes: 0,
            memory_bytes: 512 << 10,
            local_ports: 4,
        },
    }
}

/// The planned configuration of native viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The player whose rules viewers follow.
    pub preset: Preset,
    /// How viewers choose among variants; `None` = each stream has a variant of its own (`--variant`).
    pub variants: Option<Variants>,
    /// Whether each viewer looks names up itself.
    pub resolve_per_viewer: bool,
    /// Proxies.
    pub proxies: Proxies,
    /// How viewers describe their requests to CDNs (CMCD).
    pub cmcd: Cmcd,
    /// The version of HTTP.
    pub http: Http,
    /// FFmpeg viewers among the native ones.
    pub canaries: Option<Box<Canaries>>,
}

/// How viewers describe their requests to CDNs (CTA-5004).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cmcd {
    /// Where the data are.
    pub mode: CmcdMode,
    /// The version of the standard.
    pub version: CmcdVersion,
    /// `cid`; empty for none.
    pub content: Arc<str>,
}

/// Where the data of a request are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CmcdMode {
    /// Not at all.
    #[default]
    Off,
    /// In the query of each request.
    Query,
    /// In headers.
    Header,
}

/// FFmpeg viewers among native ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canaries {
    /// Viewers up to this number are canaries.
    pub last: u32,
    /// How many of them belong to this shard.
    pub own: u32,
    /// Their FFmpeg.
    pub ffmpeg: ffmpeg::Config,
}

impl Config {
    /// What canaries play of `stream`: what native viewers play, or where those adapt, the highest variant, which they
    /// reach where the network permits.
    pub(crate) fn stream_of_canaries(&self, stream: &Stream) -> Stream {
        let variant = if self.variants.is_some() { VariantSelection::Highest } else { stream.variant };
        Stream { variant, ..stream.clone() }
    }

    /// How viewers of `stream` choose among its variants.
    fn variants_of(&self, stream: &Stream) -> Variants {
        self.variants.unwrap_or(Variants::Fixed(stream.variant))
    }
}

/// Whether viewers download every rendition, and play nothing.
fn downloads_all(variants: Variants) -> bool {
    variants == Variants::Fixed(VariantSelection::All)
}

/// Native viewers that are ready to play.
#[derive(Debug)]
pub struct Native {
    config: Config,
    /// Started by the first session.
    shards: OnceLock<Shards>,
    /// What the players of each stream share, made by the first session.
    players: OnceLock<Vec<Arc<player::Config>>>,
    canaries: Option<Box<Ffmpeg>>,
}

impl Native {
    pub(crate) const fn new(config: Config, canaries: Option<Box<Ffmpeg>>) -> Self {
        Self { config, shards: OnceLock::new(), players: OnceLock::new(), canaries }
    }

    /// The FFmpeg of canaries, and the number of the last one.
    pub(crate) fn canaries(&self) -> Option<(u32, &Ffmpeg)> {
        Some((self.config.canaries.as_ref()?.last, self.canaries.as_deref()?))
    }

    /// The configuration of the player of a viewer.
    fn player_of(&self, context: &RunContext, viewer: u32) -> Arc<player::Config> {
        let of_stream = |target: &StreamTarget| {
            let url = target.stream.url.clone();
            let variants = self.config.variants_of(&target.stream);
            let cmcd = (self.config.cmcd.mode != CmcdMode::Off).then_some(self.config.cmcd.version);
            Arc::new(player::Config { variants, cmcd, ..player::Config::new(url, self.config.preset) })
        };
        let players = self.players.get_or_init(|| context.targets.iter().map(of_stream).collect());
        let known = players.get(context.targets.index_of(viewer));
        known.map_or_else(|| of_stream(context.targets.of(viewer)), Arc::clone)
    }

    /// The source of the figures about playback of `stream`.
    pub(crate) fn playback_source(&self, stream: &Stream) -> PlaybackSource {
        match downloads_all(self.config.variants_of(stream)) {
            true => PlaybackSource::Downloads,
            false => PlaybackSource::Players,
        }
    }

    /// Plays the viewer's stream once and returns when the session has ended; `stop` ends it.
    pub(crate) async fn play(
        &self,
        context: &RunContext,
        session: Session,
        stop: &CancellationToken,
    ) -> SessionEnd {
        let viewer = session.viewer;
        if let Some((_, canary)) = self.canaries().filter(|(last, _)| viewer <= *last) {
            // Boxed, because native viewers are many and must not be as large.
            return Box::pin(canary.play(context, session, stop)).await;
        }
        let started_ns = now_ns();
        let shards = self.shards.get_or_init(|| Shards::start(&self.config, context));
        let target = context.targets.of(viewer);
        let stop = stop.clone();
        let job = Job {
            session,
            config: self.player_of(context, viewer),
            user_agent: target.stream.user_agent_of(viewer),
            source: context.plan.network.source_of(viewer),
            cmcd: self.config.cmcd.clone(),
            bits: context.plan.network.caps.as_ref().map(|caps| *caps.of(viewer)),
            started_ns,
            stop,
        };
        match shards.play(job).await {
            Some(end) => end,
            // Boxed, because it does not happen, and every viewer would have room for it.
            None => Box::pin(abandoned(context, session, started_ns)).await,
        }
    }
}

/// The end of a session whose thread has panicked, which was logged.
async fn abandoned(context: &RunContext, session: Session, started_ns: u64) -> SessionEnd {
    let Session { viewer, generation } = session;
    let uptime = Duration::from_nanos(now_ns().saturating_sub(started_ns));
    let reason = "the thread of the viewer has ended".to_owned();
    tracing::error!(viewer, generation, reason);
    let ended = Event::Ended {
        viewer,
        class: EndClass::Failed,
        ending: ProcessExit::Exited(1),
        killed: false,
        reason,
        uptime_seconds: uptime.as_secs_f64(),
    };
    context.record(ended).await;
    SessionEnd { class: EndClass::Failed, uptime, ahead: Duration::ZERO }
}
