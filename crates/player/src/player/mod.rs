//! One viewer: what it requests, and what it sees.
//!
//! `open` takes the first playlist, `reload` the others, `media` requests segments and what they need, `variants`
//! chooses among variants, `steering` among pathways, `session_keys` loads keys in advance, `low_latency` does what parts and blocking reloads need, and `watch` follows the playhead. `list` and `rules` are what all of them decide by.

mod client_data;
mod list;
mod low_latency;
mod media;
mod open;
mod reload;
mod rules;
mod session_keys;
mod steering;
mod track;
mod variants;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Media, Multivariant, Playlist};
use url::Url;

use crate::abr::{Abr, Level};
use crate::config::Config;
use crate::figures::Figures;
use crate::interface::{
    Event, EventKind, FetchFailure, Input, Output, PlaybackFailure, RequestId, RequestKind, Role,
};
use crate::playhead::{Playhead, State};
use client_data::Reported;
use list::Place;
use rules::Rules;
use session_keys::Preload;
use steering::Steering;
use track::Track;
use watch::Watch;

/// One viewer. It does no I/O, reads no clock, and throws no dice: [`crate::interface`] describes how an engine drives
/// it.
#[derive(Clone, Debug)]
pub struct Player {
    config: Arc<Config>,
    rules: &'static Rules,
    seed: u64,
    now: Duration,
    /// When the engine last reported that it was late, and by how much.
    reported_late: (Duration, Duration),
    next_request: u32,
    /// When the viewer pressed "play".
    began: Duration,
    opening: Opening,
    multivariant: Option<Arc<Playlist>>,
    /// Pathways, where there are several, or a steering server.
    steering: Option<Box<Steering>>,
    /// Keys that are loaded in advance.
    preload: Option<Box<Preload>>,
    /// The variants to choose from; one if the choice is fixed.
    levels: Vec<Level>,
    /// The one whose segments are requested.
    level: usize,
    abr: Abr,
    /// Whether a segment has arrived since the level was chosen.
    choose: bool,
    /// Duration of the last segment that was begun, seconds.
    duration: f64,
    /// Playlists that have ended need not be loaded again.
    ended: Vec<(u16, Arc<Playlist>)>,
    tracks: Vec<Track>,
    /// Where playback began in the main playlist.
    start: Option<Place>,
    /// Seconds that the player stays farther from the live edge, after stalls.
    yielded: f64,
    playhead: Option<Playhead>,
    /// Whether the playhead has stopped for lack of media since the last request for media.
    starved: bool,
    /// What was reported to CDNs.
    reported: Option<Box<Reported>>,
    watch: Watch,
    figures: Figures,
    /// Keys and initialization sections that are there, as hashes; the newest last.
    resources: Vec<u64>,
    wake: Option<Duration>,
    finished: bool,
}

/// The request of the URL that the viewer opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Idle,
    Loading { request: RequestId, began: Duration, failures: u8 },
    Waiting { due: Duration, failures: u8 },
    Done,
}

/// What an engine passes within this time belongs to one wake-up.
const SAME_MOMENT: Duration = Duration::from_millis(10);

/// When the rest of what one step did not do is done.
const NEXT_STEP: Duration = Duration::from_millis(1);

pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Player {
    /// A viewer that has not begun. `seed` is its only source of randomness: equal seeds and equal inputs give equal
    /// outputs. Where each viewer has a variant of its own (`each`), it is the seed modulo the number of variants.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            rules: Rules::of(config.preset),
            reported: Self::reported_of(config.cmcd),
            config,
            seed,
            now: Duration::ZERO,
            reported_late: (Duration::ZERO, Duration::ZERO),
            next_request: 0,
            began: Duration::ZERO,
            opening: Opening::Idle,
            multivariant: None,
            steering: None,
            preload: None,
            levels: Vec::new(),
            level: 0,
            abr: Abr::Fixed,
            choose: false,
            duration: 0.0,
            ended: Vec::new(),
            tracks: Vec::new(),
            start: None,
            yielded: 0.0,
            playhead: None,
            starved: false,
            watch: Watch::default(),
            figures: Figures::default(),
            resources: Vec::new(),
            wake: None,
            finished: false,
        }
    }

    /// Takes what happened, at `now`, and appends what is to be done to `outputs`. Any input is permitted at any time;
    /// what does not fit (an answer to a request that was aborted, for example) changes nothing.
    pub fn step(&mut self, now: Duration, input: Input, outputs: &mut Vec<Output>) {
        self.now = self.now.max(now);
        if self.finished {
            return;
        }
        match input {
            Input::Start => self.begin(),
            Input::Playlist { request, playlist, transfer, age } => {
                self.take_playlist(request, playlist, &transfer, age, outputs);
            }
            Input::MediaDone { request, transfer } => self.take_media(request, &transfer, outputs),
            Input::Steering { request, steering, at } => self.take_steering(request, &steering, at),
            Input::Failed { request, failure, at, retry_after } => {
                self.take_failure(request, failure, at, retry_after, outputs);
            }
            Input::Progress { request, bytes, length, started, first_byte } => {
                self.take_progress(request, bytes, length, started, first_byte);
            }
            Input::Late { by } => self.reported_late = (self.now, by),
            // The engine's timer has fired, perhaps too early, so it is set again.
            Input::Timer => {
                self.wake = None;
                self.choose |= self.abr.chooses_again();
            }
        }
        if self.opening == Opening::Idle || self.finished {
            return;
        }
        self.advance(self.now, outputs);
        self.apply_time_limits(outputs);
        self.give_up_slow_segment(false, outputs);
        self.request(outputs);
        self.advance(self.now, outputs);
        if !self.finished {
            self.set_timer(outputs);
        }
    }

    /// What it was made with.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The media playlist that it plays now and that lists a segment with this URL and media sequence number, and the index
    /// of the segment.
    #[must_use]
    pub fn listed(&self, url: &Url, sequence: u64) -> Option<(&Media, usize)> {
        self.tracks.iter().find_map(|track| {
            let media = track.media()?;
            let (index, segment) = list::segment(media, sequence)?;
            (segment.url == *url).then_some((media, index))
        })
    }

    /// Whether the player will do nothing more: the stream has ended and was shown, or playback failed.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    fn take_failure(
        &mut self,
        request: RequestId,
        failure: FetchFailure,
        at: Duration,
        retry_after: Option<Duration>,
        outputs: &mut Vec<Output>,
    ) {
        let at = at.min(self.now);
        match self.opening {
            Opening::Loading { request: opening, failures, .. } if opening == request => {
                self.opening_failed(failure, failures, at, outputs);
            }
            _ => {
                if self.is_steering(request) {
                    self.steering_failed(failure, retry_after, at);
                } else if self.take_session_key(request, false) {
                    // A segment that needs the key requests it.
                } else if let Some(index) = self.reloading(request) {
                    self.reload_failed(index, failure, at, outputs);
                } else if let Some(index) = self.loading(request) {
                    self.media_failed(index, failure, at, outputs);
                }
            }
        }
    }

    /// Drops requests that have taken too long.
    fn apply_time_limits(&mut self, outputs: &mut Vec<Output>) {
        let now = self.now;
        if let Opening::Loading { request, began, failures } = self.opening
            && began + rules::PLAYLIST_LIMIT <= now
        {
            outputs.push(Output::Abort(request));
            self.opening_failed(FetchFailure::Timeout, failures, now, outputs);
        }
        self.limit_steering(outputs);
        self.limit_session_key(outputs);
        for index in 0..self.tracks.len() {
            let track = &self.tracks[index];
            let reload = track.reload.request.filter(|_| track.reload.began + rules::PLAYLIST_LIMIT <= now);
            if let Some(request) = reload {
                outputs.push(Output::Abort(request));
                self.reload_failed(index, FetchFailure::Timeout, now, outputs);
            }
            let load = self.tracks[index].load.as_ref().filter(|load| load.limit() <= now);
            if let Some(request) = load.map(|load| load.request) {
                outputs.push(Output::Abort(request));
                self.media_failed(index, FetchFailure::Timeout, now, outputs);
            }
        }
    }

    /// Begins the requests that are due.
    fn request(&mut self, outputs: &mut Vec<Output>) {
        self.request_opening(outputs);
        self.request_steering(outputs);
        if self.waits_for_steering() {
            return;
        }
        self.request_session_key(outputs);
        self.follow_steering(outputs);
        self.place_renditions();
        self.choose_level(outputs);
        for index in 0..self.tracks.len() {
            self.request_playlist(index, outputs);
            self.request_media(index, outputs);
            if self.finished {
                return;
            }
        }
        self.end_without_playback(outputs);
    }

    fn set_timer(&mut self, outputs: &mut Vec<Output>) {
        let opening = match self.opening {
            Opening::Waiting { due, .. } => Some(due),
            Opening::Loading { began, .. } => Some(began + rules::PLAYLIST_LIMIT),
            Opening::Idle | Opening::Done => None,
        };
        let mut due: Vec<Duration> =
            self.tracks.iter().filter_map(|track| track.due(self.now)).chain(opening).collect();
        due.extend(self.look_at());
        due.extend(self.steering.as_ref().and_then(|steering| steering.due()));
        due.extend(self.session_key_due());
        due.extend(self.choose_at());
        due.extend((0..self.tracks.len()).filter_map(|index| self.room_at(index)));
        let more = (0..self.tracks.len()).any(|index| self.passes_more(index));
        due.extend(more.then(|| self.now + NEXT_STEP));
        due.extend(self.playhead.as_ref().and_then(Playhead::first_frame_ns).map(Duration::from_nanos));
        let playing = self.playhead.as_ref().filter(|playhead| playhead.state() == State::Playing);
        // A nanosecond later, the playhead is stalled or has reached the end.
        due.extend(playing.map(|playhead| self.now + Duration::from_nanos(playhead.buffered_ns() + 1)));
        let wake = due.into_iter().filter(|due| *due > self.now).min();
        if let Some(at) = wake.filter(|_| wake != self.wake) {
            outputs.push(Output::WakeAt(at));
        }
        self.wake = wake;
    }

    fn next_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        id
    }

    /// A number from 0 to 1 that depends on the seed and on how often it was asked for (splitmix64).
    fn chance(&mut self) -> f64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn list(&self) -> Option<&Multivariant> {
        match self.multivariant.as_deref()? {
            Playlist::Multivariant(list) => Some(list),
            Playlist::Media(_) => None,
        }
    }

    /// How late the engine is with something that was due, or with everything at this moment.
    fn late_since(&self, due: Duration) -> Duration {
        let (at, by) = self.reported_late;
        let reported = if self.now.saturating_sub(at) < SAME_MOMENT { by } else { Duration::ZERO };
        self.now.saturating_sub(due).max(reported)
    }

    fn main(&self) -> Option<&Track> {
        self.tracks.first()
    }

    fn event(&self, at: Duration, kind: EventKind, outputs: &mut Vec<Output>) {
        outputs.push(Output::Event(Event { at, kind }));
    }

    fn fail_playback(&mut self, reason: PlaybackFailure, outputs: &mut Vec<Output>) {
        self.finished = true;
        for track in &mut self.tracks {
            let load = track.load.take().map(|load| load.request);
            outputs.extend(load.into_iter().chain(track.reload.request.take()).map(Output::Abort));
        }
        self.event(self.now, EventKind::PlaybackFailed { reason }, outputs);
    }
}
