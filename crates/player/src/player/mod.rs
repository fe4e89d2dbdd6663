//! One viewer: what it requests, and what it sees.

mod track;

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Multivariant, Playlist, Variant};
use hls_swarm_hls::selection::{Selected, VariantSelection, select};

use crate::config::{Config, Variants};
use crate::figures::{Figures, Snapshot};
use crate::interface::{
    Event, EventKind, Fetch, FetchFailure, Input, Output, PlaybackFailure, RequestId, RequestKind, Role,
    StallReason, Transfer,
};
use crate::playhead::{Playhead, State};
use crate::timeline::Arrival;
use track::Track;

/// One viewer. It does no I/O, reads no clock, and throws no dice: [`crate::interface`] describes how an engine drives it.
#[derive(Clone, Debug)]
pub struct Player {
    config: Arc<Config>,
    seed: u64,
    now: Duration,
    next_request: u32,
    began: Duration,
    opening: Opening,
    multivariant: Option<Arc<Playlist>>,
    tracks: Vec<Track>,
    playhead: Option<Playhead>,
    seen: Seen,
    figures: Figures,
    wake: Option<Duration>,
    finished: bool,
}

/// The request of the URL that the viewer opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Idle,
    Loading(RequestId, u8),
    Waiting(Duration, u8),
    Done,
}

/// What was reported of the playhead.
#[derive(Clone, Copy, Debug)]
struct Seen {
    state: State,
    stalled_ns: u64,
    missing_ns: u64,
}

pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Player {
    /// A viewer that has not begun. `seed` is all the chance there is for it: equal seeds and equal inputs give equal
    /// outputs. Where each viewer has a variant of its own (`each`), it is the seed modulo the number of variants.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: u64) -> Self {
        Self {
            config,
            seed,
            now: Duration::ZERO,
            next_request: 0,
            began: Duration::ZERO,
            opening: Opening::Idle,
            multivariant: None,
            tracks: Vec::new(),
            playhead: None,
            seen: Seen { state: State::Starting, stalled_ns: 0, missing_ns: 0 },
            figures: Figures::default(),
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
            Input::Start => self.start(),
            Input::Playlist { request, playlist, transfer } => {
                self.playlist(request, playlist, transfer, outputs);
            }
            Input::MediaDone { request, transfer } => self.media_done(request, transfer, outputs),
            Input::Failed { request, failure, at } => self.failed(request, failure, at, outputs),
            Input::Progress { .. } | Input::Timer | Input::Late { .. } => {}
        }
        self.advance(self.now, outputs);
        if !self.finished {
            self.request(outputs);
            self.set_timer(outputs);
        }
    }

    /// Whether the player will do nothing more: the stream has ended and was shown, or playback failed.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// What the viewer has seen up to the last step.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// What the viewer sees as of the last step.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.playhead.as_ref().map(Playhead::state),
            buffer: self
                .playhead
                .as_ref()
                .map_or(Duration::ZERO, |playhead| Duration::from_nanos(playhead.buffered_ns())),
            variant: 0,
            bandwidth: None,
            throughput: None,
            latency_by_edge: None,
            date: None,
        }
    }

    fn start(&mut self) {
        if self.opening == Opening::Idle {
            self.began = self.now;
            self.opening = Opening::Waiting(self.now, 0);
        }
    }

    fn playlist(
        &mut self,
        request: RequestId,
        playlist: Arc<Playlist>,
        transfer: Transfer,
        outputs: &mut Vec<Output>,
    ) {
        if let Opening::Loading(opening, _) = self.opening
            && opening == request
        {
            self.opening = Opening::Done;
            self.opened(playlist, transfer, outputs);
        } else if let Some(track) = self.tracks.iter_mut().find(|track| track.is_reloading(request)) {
            track.loaded(playlist, transfer);
        }
    }

    fn opened(&mut self, playlist: Arc<Playlist>, transfer: Transfer, outputs: &mut Vec<Output>) {
        let mut track = match &*playlist {
            Playlist::Media(_) => Track::new(Role::Main, self.config.url.clone()),
            Playlist::Multivariant(list) => match self.variant(list) {
                Some(variant) => Track::new(Role::Main, variant.url.clone()),
                None => return self.fail_playback(PlaybackFailure::NoMatchingVariant, outputs),
            },
        };
        match &*playlist {
            Playlist::Media(_) => track.loaded(playlist, transfer),
            Playlist::Multivariant(_) => self.multivariant = Some(playlist),
        }
        self.tracks.push(track);
        self.playhead = Some(Playhead::new(self.config.preset.rules(), 1, ns(self.began)));
    }

    fn variant<'a>(&self, list: &'a Multivariant) -> Option<&'a Variant> {
        let selection = match self.config.variants {
            Variants::Fixed(selection) => selection,
            Variants::Adaptive(_) => VariantSelection::First,
        };
        match select(list, selection).ok()? {
            Selected::Multivariant => list.variants.first(),
            Selected::Variants(variants) => {
                let turn = self.seed.checked_rem(variants.len() as u64)?;
                variants.get(turn as usize).copied()
            }
        }
    }

    fn media_done(&mut self, request: RequestId, transfer: Transfer, outputs: &mut Vec<Output>) {
        self.advance(transfer.finished, outputs);
        let Some(index) = self.tracks.iter().position(|track| track.is_loading(request)) else { return };
        let Some((slot, duration_ns)) = self.tracks[index].arrived() else { return };
        self.figures.first_media_byte.get_or_insert(transfer.first_byte.saturating_sub(self.began));
        if let Some(playhead) = &mut self.playhead {
            playhead.segment(ns(transfer.finished), index, slot, duration_ns, Arrival::Whole);
        }
        self.observe(outputs);
    }

    fn failed(&mut self, request: RequestId, failure: FetchFailure, at: Duration, outputs: &mut Vec<Output>) {
        self.figures.failures += 1;
        match self.opening {
            Opening::Loading(opening, failures) if opening == request => {
                if failures >= 2 {
                    return self.fail_playback(PlaybackFailure::Playlist(failure), outputs);
                }
                self.opening = Opening::Waiting(at + Duration::from_secs(1), failures + 1);
            }
            _ => {
                for track in &mut self.tracks {
                    track.failed(request, at);
                }
            }
        }
    }

    fn advance(&mut self, at: Duration, outputs: &mut Vec<Output>) {
        for (index, track) in self.tracks.iter().enumerate() {
            if track.is_over()
                && let Some(playhead) = &mut self.playhead
            {
                playhead.end_of_rendition(ns(at), index);
            }
        }
        if let Some(playhead) = &mut self.playhead {
            playhead.advance(ns(at));
        }
        self.observe(outputs);
    }

    /// Reports what the playhead did since the last call.
    fn observe(&mut self, outputs: &mut Vec<Output>) {
        let Some(playhead) = &self.playhead else { return };
        let (state, viewing) = (playhead.state(), playhead.viewing());
        let now = self.now;
        let mut event = |at: Duration, kind| outputs.push(Output::Event(Event { at, kind }));
        let stalled = Duration::from_nanos(viewing.stalled_ns - self.seen.stalled_ns);
        if state != self.seen.state {
            match state {
                State::Playing if self.seen.state == State::Starting => {
                    let startup = Duration::from_nanos(viewing.startup_ns.unwrap_or_default());
                    self.figures.startup = Some(startup);
                    event(self.began + startup, EventKind::Started { startup });
                }
                State::Playing => {
                    self.seen.stalled_ns = viewing.stalled_ns;
                    event(now, EventKind::Resumed { stalled, reason: StallReason::SlowBody });
                }
                State::Stalled => {
                    event(now.saturating_sub(stalled), EventKind::Stalled { reason: StallReason::SlowBody });
                }
                State::Ended => {
                    event(now, EventKind::Ended);
                    self.finished = true;
                }
                State::Starting => {}
            }
        }
        self.figures.played = Duration::from_nanos(viewing.played_ns);
        self.figures.stalled = Duration::from_nanos(viewing.stalled_ns);
        self.seen.state = state;
        self.seen.missing_ns = viewing.missing_ns;
    }

    fn fail_playback(&mut self, reason: PlaybackFailure, outputs: &mut Vec<Output>) {
        self.finished = true;
        outputs.push(Output::Event(Event { at: self.now, kind: EventKind::PlaybackFailed { reason } }));
    }

    fn next_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request = self.next_request.wrapping_add(1);
        id
    }

    /// Begins the requests that are due.
    fn request(&mut self, outputs: &mut Vec<Output>) {
        if let Opening::Waiting(due, failures) = self.opening
            && due <= self.now
        {
            let request = self.next_id();
            self.opening = Opening::Loading(request, failures);
            outputs.push(Output::Fetch(Fetch {
                request,
                kind: RequestKind::Multivariant,
                role: Role::Main,
                variant: 0,
                url: self.config.url.clone(),
                byte_range: None,
                segment: None,
                repeated: failures > 0,
            }));
        }
        let buffered = self.playhead.as_ref().map_or(0, Playhead::buffered_ns);
        let room = buffered < self.config.preset.rules().goal_ns;
        for index in 0..self.tracks.len() {
            if self.tracks[index].reload_is_due(self.now) {
                let request = self.next_id();
                outputs.push(Output::Fetch(self.tracks[index].reload(request, self.now)));
            }
            if room && self.tracks[index].segment_is_due(self.now) {
                let request = self.next_id();
                outputs.extend(self.tracks[index].next_segment(request).map(Output::Fetch));
            }
        }
    }

    fn set_timer(&mut self, outputs: &mut Vec<Output>) {
        let opening = match self.opening {
            Opening::Waiting(due, _) => Some(due),
            _ => None,
        };
        let playhead = self.playhead.as_ref().filter(|playhead| playhead.state() == State::Playing);
        let goal = self.config.preset.rules().goal_ns;
        let empty = playhead.map(|playhead| {
            let buffered = playhead.buffered_ns();
            // The next request when the buffer has room again, and the end of the buffer.
            self.now + Duration::from_nanos(if buffered >= goal { buffered - goal } else { buffered } + 1)
        });
        let due = self.tracks.iter().filter_map(Track::due);
        let wake = due.chain(opening).chain(empty).filter(|due| *due > self.now).min();
        if wake != self.wake
            && let Some(at) = wake
        {
            outputs.push(Output::WakeAt(at));
        }
        self.wake = wake;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;
    use hls_swarm_hls::playlist;
    use url::Url;

    fn text(first: u64, count: u64, end: &str) -> Arc<Playlist> {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        for sequence in first..first + count {
            text += &format!("#EXTINF:2,\n{sequence}.ts\n");
        }
        text += end;
        let base = Url::parse("http://host/a.m3u8").unwrap();
        Arc::new(playlist::read(&text, &base).unwrap().playlist)
    }

    /// Plays a stream whose playlist is `list(seconds)`, over a line that needs 100 ms for everything. Returns the
    /// paths requested and the events.
    fn play(until: u64, list: impl Fn(u64) -> Arc<Playlist>) -> (Vec<String>, Vec<EventKind>, Player) {
        let url = Url::parse("http://host/a.m3u8").unwrap();
        let mut player = Player::new(Arc::new(Config::new(url, Preset::HlsJs)), 1);
        let (mut requested, mut events) = (Vec::new(), Vec::new());
        let mut queue = vec![(Duration::ZERO, Input::Start)];
        let mut outputs = Vec::new();
        while !queue.is_empty() && !player.is_finished() {
            queue.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
            let (now, input) = queue.pop().unwrap();
            if now > Duration::from_secs(until) {
                break;
            }
            player.step(now, input, &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    Output::Fetch(fetch) => {
                        requested.push(fetch.url.path().to_owned());
                        let finished = now + Duration::from_millis(100);
                        let (request, transfer) = (
                            fetch.request,
                            Transfer { bytes: 1000, started: now, first_byte: finished, finished },
                        );
                        let input = match fetch.kind {
                            RequestKind::Multivariant | RequestKind::MediaPlaylist => {
                                Input::Playlist { request, playlist: list(now.as_secs()), transfer }
                            }
                            _ => Input::MediaDone { request, transfer },
                        };
                        queue.push((finished, input));
                    }
                    Output::Event(event) => events.push(event.kind),
                    Output::WakeAt(at) => {
                        queue.retain(|(_, input)| !matches!(input, Input::Timer));
                        queue.push((at, Input::Timer));
                    }
                    Output::Abort(_) => {}
                }
            }
        }
        (requested, events, player)
    }

    #[test]
    fn a_stream_that_has_ended_is_played_to_its_end() {
        let (requested, events, player) = play(60, |_| text(1, 3, "#EXT-X-ENDLIST"));
        assert_eq!(requested, ["/a.m3u8", "/1.ts", "/2.ts", "/3.ts"]);
        let startup = Duration::from_millis(200);
        assert_eq!(events, [EventKind::Started { startup }, EventKind::Ended]);
        assert_eq!(player.figures().played, Duration::from_secs(6));
    }

    #[test]
    fn a_live_stream_is_played_three_target_durations_behind_its_end() {
        let (requested, events, player) = play(20, |seconds| text(seconds / 2, 5, ""));
        assert_eq!(requested[..4], ["/a.m3u8", "/2.ts", "/3.ts", "/4.ts"]);
        assert_eq!(events.len(), 1, "{events:?}");
        assert!(player.figures().played > Duration::from_secs(19));
    }
}
