//! Media playlists: loads, reloads, and what a new one means for playback.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Media, Playlist};
use url::Url;

use super::list::{self, Change};
use super::track::{Source, Upcoming, media_of};
use super::*;
use crate::interface::{Fetch, Transfer};

impl Player {
    /// The track whose playlist this request is for.
    pub(super) fn reloading(&self, request: RequestId) -> Option<usize> {
        self.tracks.iter().position(|track| track.reload.request == Some(request))
    }

    pub(super) fn take_playlist(
        &mut self,
        request: RequestId,
        playlist: Arc<Playlist>,
        transfer: &Transfer,
        age: Duration,
        outputs: &mut Vec<Output>,
    ) {
        if let Opening::Loading { request: opening, .. } = self.opening
            && opening == request
        {
            return self.opened(playlist, transfer, age, outputs);
        }
        let Some(index) = self.reloading(request) else { return };
        if media_of(Some(&playlist)).is_none() {
            // A multivariant playlist where a media playlist belongs.
            return self.reload_failed(index, FetchFailure::BadContent, transfer.finished, outputs);
        }
        self.advance(transfer.finished, outputs);
        self.take_media_playlist(index, playlist, transfer, age, outputs);
    }

    pub(super) fn take_media_playlist(
        &mut self,
        index: usize,
        playlist: Arc<Playlist>,
        transfer: &Transfer,
        age: Duration,
        outputs: &mut Vec<Output>,
    ) {
        let Some(playlist) = self.complete(index, playlist) else { return };
        let position_ns = self.position_ns();
        let late = self.late_since(transfer.finished);
        let (rules, now) = (self.rules, self.now);
        let is_main = self.tracks[index].role == Role::Main;
        // The server held the response to a blocking reload.
        if is_main && self.tracks[index].blocking().is_none() {
            self.abr.playlist_done(transfer);
        }
        let track = &mut self.tracks[index];
        track.count_waiting(transfer.finished.min(now));
        track.list_was_late(late);
        let (before, changed) = (track.playlist.clone(), track.reload.changed);
        let change = track.loaded(playlist, transfer, rules, position_ns);
        track.settle_switch();
        self.search_after_switch(index);
        let late = before.is_some() && self.lists_late(index, changed, transfer);
        self.note_load(index, before.is_none(), age, change, late);
        let track = &self.tracks[index];
        if change == Change::Restarted && track.next.is_some() {
            self.restart(index, before.as_ref(), outputs);
        }
        let track = &self.tracks[index];
        if let (Source::Variant(variant), Some(media), Some(playlist)) =
            (track.source, track.media(), &track.playlist)
            && media.ended
            && !self.ended.iter().any(|(known, _)| *known == variant)
        {
            self.ended.push((variant, Arc::clone(playlist)));
            self.levels
                .iter_mut()
                .filter(|level| level.variant == variant)
                .for_each(|level| level.known = true);
        }
        if (is_main && self.start.is_none()) || self.plays_all() {
            self.place_start(index, outputs);
        }
        self.check_hints(index, outputs);
        if is_main {
            self.choose |= self.abr.chooses_again();
            self.give_up_slow_segment(true, outputs);
        }
    }

    /// Decides where playback begins.
    fn place_start(&mut self, index: usize, outputs: &mut Vec<Output>) {
        let (rules, yielded) = (self.rules, self.yielded);
        let track = &mut self.tracks[index];
        if track.next.is_some() {
            return;
        }
        let Some(media) = track.media() else { return };
        let (ended, place) = (media.ended, list::start(media, rules, yielded, track.plays_parts()));
        match place {
            Some(place) => {
                track.begin_at(place);
                // Other renditions have parts of their own.
                let before = track.had_ns as f64 / 1e9;
                self.start.get_or_insert(Place::new(place.sequence, before + place.into));
            }
            None if ended => self.fail_playback(PlaybackFailure::NothingToPlay, outputs),
            None => {}
        }
    }

    /// Continues in a playlist whose numbers have started over: at the same date, or else where playback would begin.
    fn restart(&mut self, index: usize, before: Option<&Arc<Playlist>>, outputs: &mut Vec<Output>) {
        let (rules, yielded) = (self.rules, self.yielded);
        let track = &mut self.tracks[index];
        if let Some(load) = track.load.take() {
            outputs.push(Output::Abort(load.request));
        }
        let (Some(old), Some(new), Some(next)) = (media_of(before), track.media(), track.next) else {
            return;
        };
        let by_date = list::same_date(old, next, new);
        let parts = track.plays_parts();
        if let Some(place) = by_date.or_else(|| list::start(new, rules, yielded, parts)) {
            track.begin_at(place);
            track.failures = 0;
            track.not_before = Duration::ZERO;
        }
        if track.role == Role::Main {
            self.event(self.now, EventKind::Restarted, outputs);
        }
    }

    /// Finds the start of renditions whose playlist is there, once that of the main one is known.
    pub(super) fn place_renditions(&mut self) {
        let (Some(start), Some(main)) = (self.start, self.main()) else { return };
        if self.plays_all() || self.tracks.iter().all(|track| track.next.is_some()) {
            return;
        }
        let Some(main) = main.playlist.clone().or_else(|| main.before_switch.clone()) else { return };
        let Some(main) = media_of(Some(&main)) else { return };
        for track in &mut self.tracks {
            if let (None, Some(media)) = (track.next, track.media())
                && let Some(place) =
                    list::same_place(main, start.sequence, media).or_else(|| list::end(media))
            {
                let place = list::forward(media, place, start.into);
                let parts = track.plays_parts();
                let place = if parts { list::at_part(media, place) } else { place };
                track.begin_at(place);
            }
        }
    }

    pub(super) fn request_playlist(&mut self, index: usize, outputs: &mut Vec<Output>) {
        let track = &self.tracks[index];
        let Some(due) = track.reload.due.filter(|due| *due <= self.now) else { return };
        if track.reload.request.is_some() {
            return;
        }
        let Some(url) = self.url(track.source).cloned() else { return };
        let (url, blocking) = self.with_delivery_directives(index, &url);
        let (role, source, repeated) = (track.role, track.source, track.reload.failures > 0);
        let request = self.next_id();
        let variant = self.variant_of(source);
        let cmcd = self.cmcd_of_playlist();
        let now = self.now;
        let late = self.late_since(due);
        let track = &mut self.tracks[index];
        track.count_waiting(now);
        track.list_was_late(late);
        track.reload.request = Some(request);
        track.reload.due = None;
        track.reload.began = now;
        if let Some(known) = &mut track.low_latency {
            known.blocking = blocking;
        } else if blocking.is_some() {
            track.low_latency.get_or_insert_default().blocking = blocking;
        }
        outputs.push(Output::Fetch(Fetch {
            request,
            kind: RequestKind::MediaPlaylist,
            role,
            variant,
            url,
            byte_range: None,
            segment: None,
            waits: blocking.is_some(),
            cmcd,
            repeated,
        }));
    }

    pub(super) fn reload_failed(
        &mut self,
        index: usize,
        failure: FetchFailure,
        at: Duration,
        outputs: &mut Vec<Output>,
    ) {
        self.figures.failures += 1;
        let chance = self.chance();
        let retry = self.rules.playlists;
        let track = &mut self.tracks[index];
        track.count_waiting(at.min(self.now));
        track.waits.failed(failure);
        track.reload.request = None;
        if let Some(known) = &mut track.low_latency {
            known.failed();
        }
        track.reload.failures = track.reload.failures.saturating_add(1);
        let failures = track.reload.failures;
        let (role, never_loaded) = (track.role, track.playlist.is_none() && track.before_switch.is_none());
        let client_error = matches!(failure, FetchFailure::Status(400..=499));
        let wait = retry.wait(failure, failures, chance);
        let gives_up = wait.is_none() || (client_error && retry.switches_on_client_errors);
        if gives_up && self.goes_elsewhere(role, outputs) {
            return;
        }
        if wait.is_none() && never_loaded && role != Role::Subtitles && !self.plays_all() {
            return self.fail_playback(PlaybackFailure::Playlist(failure), outputs);
        }
        // A stream that has played once is worth another attempt, as a user would press "reload".
        let wait = wait.unwrap_or_else(|| retry.backoff(failures, chance)).max(retry.first / 2);
        self.tracks[index].reload.due = Some(at + wait);
    }

    /// The URL of a playlist.
    pub(super) fn url(&self, source: Source) -> Option<&Url> {
        match source {
            Source::Opened => Some(&self.config.url),
            Source::Variant(place) => {
                self.list()?.variants.get(usize::from(place)).map(|variant| &variant.url)
            }
            Source::Rendition(place) => self.list()?.renditions.get(usize::from(place))?.url.as_ref(),
        }
    }

    /// The variant that a request belongs to.
    pub(super) fn variant_of(&self, source: Source) -> u16 {
        match source {
            Source::Variant(variant) => variant,
            Source::Opened | Source::Rendition(_) => {
                self.levels.get(self.level).map_or(0, |level| level.variant)
            }
        }
    }

    /// Whether the main playlist is live, as far as it is known.
    pub(super) fn is_live(&self) -> bool {
        self.main()
            .and_then(|track| media_of(track.playlist.as_ref().or(track.before_switch.as_ref())))
            .is_some_and(Media::is_live)
    }

    /// Whether a track has nothing more to load.
    pub(super) fn is_over(&self, index: usize) -> bool {
        let track = &self.tracks[index];
        track.load.is_none() && track.upcoming() == Upcoming::Over
    }
}
