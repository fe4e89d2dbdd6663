//! Media: segments, and the keys and initialization sections that they need.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use hls_swarm_hls::playlist::Media;
use hls_swarm_hls::playlist::media::{ByteRange, Key, Map};
use url::Url;

use super::list::{self, Place, to_ns};
use super::track::{Load, LoadedPart, Upcoming};
use super::*;
use crate::abr::View;
use crate::interface::{Fetch, SegmentInfo, SkipCause, Transfer};
use crate::timeline::Arrival;

/// Keys and initialization sections that are remembered. Where keys change often, old ones do not come back.
const RESOURCES: usize = 32;
/// Segments without a request that one step passes. More of them wait for the next one.
const PASSED_PER_STEP: usize = 1000;

/// What a segment needs before it.
struct Resource<'a> {
    kind: RequestKind,
    url: &'a Url,
    byte_range: Option<ByteRange>,
}

impl Resource<'_> {
    fn hash(&self) -> u64 {
        hash_of(self.url, self.byte_range)
    }
}

/// By what a key or an initialization section is remembered.
pub(super) fn hash_of(url: &Url, byte_range: Option<ByteRange>) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.as_str().hash(&mut hasher);
    byte_range.map(|range| (range.offset, range.length)).hash(&mut hasher);
    hasher.finish()
}

/// The key and the initialization section of a segment. Keys of DRM systems are not requested: the media counts as
/// playable.
fn resources<'a>(key: Option<&'a Arc<Key>>, map: Option<&'a Arc<Map>>) -> impl Iterator<Item = Resource<'a>> {
    let key = key.filter(|key| key.format.is_none()).and_then(|key| key.url.as_ref());
    let key = key.map(|url| Resource { kind: RequestKind::Key, url, byte_range: None });
    let map = map.map(|map| Resource { kind: RequestKind::Init, url: &map.url, byte_range: map.byte_range });
    key.into_iter().chain(map)
}

impl Player {
    /// The track whose media this request is for.
    pub(super) fn loading(&self, request: RequestId) -> Option<usize> {
        self.tracks.iter().position(|track| track.load.as_ref().is_some_and(|load| load.request == request))
    }

    /// The playhead's number of a track; subtitles have none.
    pub(super) fn rendition(&self, index: usize) -> Option<usize> {
        (self.tracks.get(index)?.role != Role::Subtitles).then_some(index)
    }

    pub(super) fn position_ns(&self) -> u64 {
        self.playhead.as_ref().map_or(0, Playhead::position_ns)
    }

    /// Media that may be loaded ahead of the playhead, nanoseconds.
    pub(super) fn goal_ns(&self, index: usize) -> u64 {
        let goal_ns = self.config.preset.rules().goal_ns;
        let bandwidth = self.levels.get(self.level).map_or(0, |level| level.bandwidth);
        match self.rules.buffer_bytes {
            Some(bytes)
                if self.playhead.is_some() && self.tracks[index].role == Role::Main && bandwidth > 0 =>
            {
                let by_bytes = bytes as f64 * 8.0 / bandwidth as f64;
                goal_ns.max(to_ns(by_bytes.min(LONGEST_BUFFER)))
            }
            _ => goal_ns,
        }
    }

    /// How much media of a track is ahead of the playhead, nanoseconds. Where nothing is played, time itself is the
    /// playhead.
    fn ahead_ns(&self, index: usize) -> u64 {
        let position_ns = if self.playhead.is_some() {
            self.position_ns()
        } else {
            self.watch.first_media.map_or(0, |first| ns(self.now.saturating_sub(first)))
        };
        self.tracks[index].ahead_ns(position_ns)
    }

    /// When there will be room for the next segment of a track that is listed, or when a track is over that is not
    /// played.
    pub(super) fn room_at(&self, index: usize) -> Option<Duration> {
        let track = &self.tracks[index];
        if self.playhead.is_none() && self.is_over(index) {
            return Some(self.now + Duration::from_nanos(self.ahead_ns(index)));
        }
        if track.load.is_some()
            || !matches!(
                track.upcoming(),
                Upcoming::Segment(_) | Upcoming::Gap(_) | Upcoming::Part | Upcoming::GapPart
            )
        {
            return None;
        }
        let excess = self.ahead_ns(index).saturating_sub(self.goal_ns(index).saturating_sub(1));
        let moving = self.playhead.as_ref().is_none_or(|playhead| playhead.state() == State::Playing);
        moving.then(|| self.now + Duration::from_nanos(excess))
    }

    /// Whether media without a request is left to be passed because one step passes only so much.
    pub(super) fn passes_more(&self, index: usize) -> bool {
        let track = &self.tracks[index];
        track.load.is_none()
            && track.not_before <= self.now
            && matches!(track.upcoming(), Upcoming::Gap(_) | Upcoming::GapPart | Upcoming::Left(_))
            && self.ahead_ns(index) < self.goal_ns(index)
    }

    pub(super) fn request_media(&mut self, index: usize, outputs: &mut Vec<Output>) {
        for _ in 0..PASSED_PER_STEP {
            let track = &self.tracks[index];
            let waits = track.load.as_ref().is_some_and(|load| !load.is_given_up);
            if waits || track.not_before > self.now || self.finished {
                return;
            }
            let has_room = self.ahead_ns(index) < self.goal_ns(index);
            if let Some((last, _)) = track.last_had().filter(|_| track.repeats_last) {
                if has_room {
                    self.request_instead(index, last, outputs);
                }
                return;
            }
            let upcoming = track.upcoming();
            if track.load.is_some() && !matches!(upcoming, Upcoming::Segment(_)) {
                return;
            }
            match upcoming {
                Upcoming::Segment(segment) => {
                    if has_room {
                        self.request_instead(index, segment, outputs);
                    }
                    return;
                }
                Upcoming::Gap(segment) => {
                    if self.ahead_ns(index) >= self.goal_ns(index) {
                        return;
                    }
                    let adds_ns = track.adds_ns(segment);
                    self.skip(index, 1, adds_ns, SkipCause::Gap, outputs);
                }
                Upcoming::GapPart => {
                    if self.ahead_ns(index) >= self.goal_ns(index) {
                        return;
                    }
                    self.skip_part(index, SkipCause::Gap, outputs);
                }
                Upcoming::Left(first) => self.fall_behind(index, first, outputs),
                Upcoming::Part | Upcoming::Awaited => {
                    if self.awaits_part(index) && has_room {
                        self.request_part(index, outputs);
                    }
                    return;
                }
                Upcoming::Over => return self.end_track(index, outputs),
            }
        }
    }

    /// Requests a segment, instead of one that was given up and is still under way.
    fn request_instead(&mut self, index: usize, segment: usize, outputs: &mut Vec<Output>) {
        let slow = self.tracks[index].load.take();
        outputs.extend(slow.map(|slow| Output::Abort(slow.request)));
        self.request_segment(index, segment, outputs);
    }

    fn request_segment(&mut self, index: usize, at: usize, outputs: &mut Vec<Output>) {
        let Some(segment) = self.tracks[index].media().and_then(|media| media.segments.get(at)) else {
            return;
        };
        let (key, map) = (segment.key.clone(), segment.map.clone());
        if self.request_needed(index, key.as_ref(), map.as_ref(), outputs) {
            return;
        }
        let track = &self.tracks[index];
        let Some(media) = track.media() else { return };
        let Some(segment) = media.segments.get(at) else { return };
        let (duration, date_ns) = (segment.duration, list::date_ns(media, at));
        let adds_ns = if track.repeats_last { 0 } else { track.adds_ns(at) };
        let next = media.segments.get(at + 1).map(|next| (next.url.clone(), next.byte_range));
        let fetch = Fetch {
            request: RequestId(self.next_request),
            kind: RequestKind::Segment,
            role: track.role,
            variant: self.variant_of(track.source),
            url: segment.url.clone(),
            byte_range: segment.byte_range,
            segment: Some(SegmentInfo {
                sequence: segment.sequence,
                part: None,
                duration: Duration::from_nanos(to_ns(segment.duration)),
                discontinuity: segment.discontinuity,
                key,
            }),
            waits: false,
            cmcd: None,
            repeated: track.failures > 0,
        };
        if track_is_main(track) {
            self.duration = duration;
        }
        let cmcd = self.cmcd_of_media(&fetch, next);
        self.begin_load(index, Fetch { cmcd, ..fetch }, 0, adds_ns, date_ns, None, outputs);
    }

    /// Requests the key or the initialization section that media needs. Returns whether one is missing.
    pub(super) fn request_needed(
        &mut self,
        index: usize,
        key: Option<&Arc<Key>>,
        map: Option<&Arc<Map>>,
        outputs: &mut Vec<Output>,
    ) -> bool {
        let needed = resources(key, map).find(|resource| !self.resources.contains(&resource.hash()));
        let Some(needed) = needed else { return false };
        if self.is_preloaded(needed.url) {
            return true;
        }
        let track = &self.tracks[index];
        let fetch = Fetch {
            request: RequestId(self.next_request),
            kind: needed.kind,
            role: track.role,
            variant: self.variant_of(track.source),
            url: needed.url.clone(),
            byte_range: needed.byte_range,
            segment: None,
            waits: false,
            cmcd: None,
            repeated: track.failures > 0,
        };
        // What is lost if it cannot be had: the segment that needs it.
        let adds_ns = match track.upcoming() {
            Upcoming::Segment(segment) => track.adds_ns(segment),
            _ => 0,
        };
        let (resource, cmcd) = (needed.hash(), self.cmcd_of_media(&fetch, None));
        self.begin_load(index, Fetch { cmcd, ..fetch }, resource, adds_ns, None, None, outputs);
        true
    }

    /// Begins a request for media, or for what media needs.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of the request")]
    pub(super) fn begin_load(
        &mut self,
        index: usize,
        fetch: Fetch,
        resource: u64,
        adds_ns: u64,
        date_ns: Option<i64>,
        part: Option<LoadedPart>,
        outputs: &mut Vec<Output>,
    ) {
        let now = self.now;
        let late = self.late_since(self.tracks[index].not_before);
        let request = self.next_id();
        let track = &mut self.tracks[index];
        track.count_waiting(now);
        if track.failures > 0 {
            track.waits.was_late(late);
        }
        track.load = Some(Box::new(Load {
            request,
            kind: fetch.kind,
            started: now,
            first_byte: None,
            bytes: 0,
            length: None,
            level: self.level,
            is_given_up: false,
            is_repeated: fetch.kind == RequestKind::Segment && std::mem::take(&mut track.repeats_last),
            resource,
            adds_ns,
            date_ns,
            part,
        }));
        if index == 0 {
            self.abr.segment_begun();
        }
        outputs.push(Output::Fetch(fetch));
    }

    pub(super) fn take_progress(
        &mut self,
        request: RequestId,
        bytes: u64,
        length: Option<u64>,
        started: Duration,
        first_byte: Option<Duration>,
    ) {
        let Some(index) = self.loading(request) else { return };
        if let Some(load) = &mut self.tracks[index].load {
            load.bytes = load.bytes.max(bytes);
            load.length = length.or(load.length);
            load.started = started.min(self.now);
            load.first_byte = first_byte.or(load.first_byte);
        }
    }

    pub(super) fn take_media(&mut self, request: RequestId, transfer: &Transfer, outputs: &mut Vec<Output>) {
        if self.take_session_key(request, true) {
            return;
        }
        let Some(index) = self.loading(request) else { return };
        let finished = transfer.finished.min(self.now);
        self.advance(finished, outputs);
        let late = self.late_since(finished);
        let track = &mut self.tracks[index];
        track.count_waiting(finished);
        track.waits.was_late(late);
        let Some(load) = track.load.take() else { return };
        if !matches!(load.kind, RequestKind::Segment | RequestKind::Part) {
            track.failures = 0;
            self.remember(load.resource);
            return;
        }
        if !self.keep_early(index, &load, transfer) {
            self.media_arrived(index, &load, transfer, outputs);
        }
    }

    /// Takes a segment, or a part of one, that has arrived and is listed.
    pub(super) fn media_arrived(
        &mut self,
        index: usize,
        load: &Load,
        transfer: &Transfer,
        outputs: &mut Vec<Output>,
    ) {
        let finished = transfer.finished.min(self.now);
        let late = self.late_since(finished);
        let is_main = self.tracks[index].role == Role::Main;
        if is_main || self.playhead.is_none() {
            self.watch.first_media.get_or_insert(finished);
        }
        if is_main {
            let first_byte = transfer.first_byte.saturating_sub(self.began);
            self.figures.first_media_byte.get_or_insert(first_byte);
            let current = load.level;
            self.adapt(|abr, view| abr.segment_done(transfer, &View { current, ..*view }));
            self.choose = true;
            if !load.is_repeated {
                self.begin_stretch(index, load);
            }
        }
        if load.is_repeated {
            return self.observe(finished, outputs);
        }
        self.watch.arrived(&self.tracks[index].waits);
        let track = &mut self.tracks[index];
        track.waits.begin_anew(finished);
        // The next request could have begun when this segment was complete.
        track.waits.was_late(late);
        let slot = match load.part {
            Some(part) => track.pass_part(part.duration_ns),
            None => track.pass(1, load.adds_ns),
        };
        self.figures.parts += u32::from(load.part.is_some());
        self.credit(index, slot, load.adds_ns, finished);
        self.observe(finished, outputs);
    }

    pub(super) fn remember(&mut self, resource: u64) {
        if self.resources.len() >= RESOURCES {
            self.resources.remove(0);
        }
        self.resources.push(resource);
    }

    pub(super) fn media_failed(
        &mut self,
        index: usize,
        failure: FetchFailure,
        at: Duration,
        outputs: &mut Vec<Output>,
    ) {
        self.figures.failures += 1;
        let chance = self.chance();
        let retry = self.rules.segments;
        let now = self.now;
        let track = &mut self.tracks[index];
        track.count_waiting(at.min(now));
        track.waits.failed(failure);
        let Some(load) = track.load.take() else { return };
        // Something else takes its place, it was there already, or it was only announced.
        if load.is_given_up || load.is_repeated || self.hint_failed(index, &load) {
            return;
        }
        let track = &mut self.tracks[index];
        track.failures = track.failures.saturating_add(1);
        let client_error = matches!(failure, FetchFailure::Status(400..=499));
        let wait = retry.wait(failure, track.failures, chance);
        let role = track.role;
        let gives_up = wait.is_none() || (client_error && retry.switches_on_client_errors);
        if gives_up && self.goes_elsewhere(role, outputs) {
            return;
        }
        match wait {
            Some(wait) => self.tracks[index].not_before = at + wait,
            None if load.kind == RequestKind::Key => {
                self.fail_playback(PlaybackFailure::Key, outputs);
            }
            None if self.tracks[index].upcoming() == Upcoming::Part => {
                self.skip_part(index, SkipCause::Failed, outputs);
                self.forget_penalties();
            }
            None => {
                let adds_ns = match self.tracks[index].upcoming() {
                    Upcoming::Segment(segment) => self.tracks[index].adds_ns(segment),
                    _ => load.adds_ns,
                };
                self.skip(index, 1, adds_ns, SkipCause::Failed, outputs);
                self.forget_penalties();
            }
        }
    }

    /// Passes media that will not be played.
    fn skip(&mut self, index: usize, count: u64, adds_ns: u64, cause: SkipCause, outputs: &mut Vec<Output>) {
        let now = self.now;
        self.tracks[index].count_waiting(now);
        let position_ns = self.position_ns();
        let slot = self.tracks[index].pass(count, adds_ns);
        self.skipped_slot(index, slot, adds_ns, position_ns, cause, outputs);
    }

    /// Reports media that will not be played, and that the track has passed.
    pub(super) fn skipped_slot(
        &mut self,
        index: usize,
        slot: u64,
        adds_ns: u64,
        position_ns: u64,
        cause: SkipCause,
        outputs: &mut Vec<Output>,
    ) {
        let now = self.now;
        self.tracks[index].skipped(adds_ns, position_ns);
        let rendition = self.rendition(index);
        match (&mut self.playhead, rendition) {
            (Some(playhead), Some(rendition)) => {
                playhead.segment(ns(now), rendition, slot, adds_ns, Arrival::Missing);
            }
            (None, _) => self.figures.skipped += Duration::from_nanos(adds_ns),
            _ => {}
        }
        let media = Duration::from_nanos(adds_ns);
        self.event(now, EventKind::Skipped { media, cause }, outputs);
        self.observe(now, outputs);
    }

    /// Goes on after the next segment has left the playlist: with the first one listed as long as there is something to
    /// play, and otherwise near the live edge, as hls.js does.
    fn fall_behind(&mut self, index: usize, first: u64, outputs: &mut Vec<Output>) {
        let starved = self.playhead.as_ref().is_none_or(|playhead| playhead.state() != State::Playing);
        let (rules, yielded) = (self.rules, self.yielded);
        let track = &self.tracks[index];
        let (Some(media), Some(next)) = (track.media(), track.next) else { return };
        let is_main = track_is_main(track);
        let at_first = Place::new(first, 0.0);
        let place = match list::start(media, rules, yielded, track.plays_parts())
            .filter(|_| starved && is_main && media.is_live())
        {
            Some(place) if place.sequence >= first => place,
            _ => at_first,
        };
        let missed = missed_ns(media, first - next.min(first), place);
        self.skip(index, place.sequence.saturating_sub(next), missed, SkipCause::FellBehind, outputs);
        self.tracks[index].begin_at(place);
        if is_main && !self.plays_all() {
            self.follow_main(outputs);
        }
    }

    /// Takes the other renditions to where the main one has jumped.
    fn follow_main(&mut self, outputs: &mut Vec<Output>) {
        let Some((main, next_ns)) = self.main().map(|main| (main.playlist.clone(), main.next_ns)) else {
            return;
        };
        let Some(next) = self.main().and_then(|main| main.next) else { return };
        for index in 1..self.tracks.len() {
            let track = &self.tracks[index];
            let (Some(old), Some(media), Some(own)) =
                (track::media_of(main.as_ref()), track.media(), track.next)
            else {
                continue;
            };
            let Some(place) = list::same_place(old, next, media).filter(|place| place.sequence > own) else {
                continue;
            };
            let missed = next_ns.saturating_sub(track.next_ns);
            if let Some(load) = self.tracks[index].load.take() {
                outputs.push(Output::Abort(load.request));
            }
            self.skip(index, place.sequence - own, missed, SkipCause::FellBehind, outputs);
            self.tracks[index].begin_at(place);
        }
    }

    /// Nothing follows in this track.
    fn end_track(&mut self, index: usize, outputs: &mut Vec<Output>) {
        if std::mem::replace(&mut self.tracks[index].over, true) {
            return;
        }
        let (now, rendition) = (self.now, self.rendition(index));
        if let (Some(playhead), Some(rendition)) = (&mut self.playhead, rendition) {
            playhead.end_of_rendition(ns(now), rendition);
            let nothing = playhead.state() == State::Starting && playhead.buffered_ns() == 0;
            let all =
                self.tracks.iter().filter(|track| track.role != Role::Subtitles).all(|track| track.over);
            if nothing && all {
                return self.fail_playback(PlaybackFailure::NothingToPlay, outputs);
            }
            self.observe(now, outputs);
        }
    }

    /// Ends a viewer that downloads everything, when everything is there and its time has passed.
    pub(super) fn end_without_playback(&mut self, outputs: &mut Vec<Output>) {
        if self.playhead.is_some() || self.tracks.is_empty() {
            return;
        }
        let over = (0..self.tracks.len()).all(|index| self.is_over(index) && self.ahead_ns(index) == 0);
        if over {
            self.finished = true;
            self.event(self.now, EventKind::Ended, outputs);
        }
    }
}

/// The longest that hls.js buffers, seconds (maxMaxBufferLength).
const LONGEST_BUFFER: f64 = 600.0;

fn track_is_main(track: &Track) -> bool {
    track.role == Role::Main
}

/// The duration of the `gone` segments before the first one listed, and of those listed before `place`.
fn missed_ns(media: &Media, gone: u64, place: Place) -> u64 {
    let listed = media.segments.iter().take_while(|segment| segment.sequence < place.sequence);
    let listed: u64 = listed.map(|segment| to_ns(segment.duration)).sum();
    let average = media.duration() / (media.segments.len().max(1) as f64);
    to_ns(average * gone as f64).saturating_add(listed).saturating_add(to_ns(place.into))
}
