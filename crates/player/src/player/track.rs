//! A rendition that is loaded: its playlist, the requests for it, and how far they are.

use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::low_latency::{Part, PreloadHint};
use hls_swarm_hls::playlist::{Media, Playlist};

use super::list::{self, Change, Place, to_ns};
use super::low_latency::{Blocking, LowLatency};
use super::rules::{FIRST_BYTE_LIMIT, PLAYLIST_LIMIT, Rules, SEGMENT_LIMIT};
use crate::interface::{FetchFailure, RequestId, RequestKind, Role, StallReason, Transfer};

/// What the durations of parts may differ from that of their segment, because both are rounded; nanoseconds.
const ROUNDED_NS: u64 = 20_000_000;

/// Where the URL of a playlist is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// It is the URL that the viewer opened.
    Opened,
    /// It is that of a variant, by its place in the multivariant playlist.
    Variant(u16),
    /// It is that of a rendition, by its place.
    Rendition(u16),
}

/// A rendition that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) role: Role,
    pub(crate) source: Source,
    pub(crate) playlist: Option<Arc<Playlist>>,
    /// The playlist that `next` is a number of, after a switch until the new one has come.
    pub(crate) before_switch: Option<Arc<Playlist>>,
    pub(crate) reload: Reload,
    /// Boxed, because most viewers wait most of the time.
    pub(crate) load: Option<Box<Load>>,
    /// The media sequence number of the next segment to request; `None` until the start is known.
    pub(crate) next: Option<u64>,
    /// The parts of that segment that were had or skipped, and their duration; nanoseconds.
    pub(crate) part: u64,
    pub(crate) had_ns: u64,
    /// Of a server that offers low latency.
    pub(crate) low_latency: Option<Box<LowLatency>>,
    /// Where the rest of that segment begins in what the viewer plays, nanoseconds.
    pub(crate) next_ns: u64,
    /// Whether it has switched to another variant of the same pathway, and whether the place in the playlist of that has just
    /// been found.
    pub(crate) is_another_level: bool,
    pub(crate) has_settled: bool,
    /// Whether the segment before it is to be loaded again.
    pub(crate) repeats_last: bool,
    /// Nanoseconds of that segment that are not played: those before the start, or those that another variant had.
    pub(crate) leave_out_ns: u64,
    /// Media before it that was skipped and is not behind the playhead yet, and where the last of it ends; nanoseconds.
    pub(crate) gaps_ns: u64,
    pub(crate) gaps_until_ns: u64,
    /// Segments before it that were had or skipped; the playhead counts by it.
    pub(crate) slot: u64,
    /// No request for media before this time.
    pub(crate) not_before: Duration,
    pub(crate) failures: u8,
    pub(crate) waits: Waits,
    /// Whether the playhead knows that nothing follows.
    pub(crate) over: bool,
}

/// The loads of a playlist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reload {
    /// When the next one is due; `None`: never, or not before the one under way has come.
    pub(crate) due: Option<Duration>,
    pub(crate) request: Option<RequestId>,
    /// When the last one began.
    pub(crate) began: Duration,
    pub(crate) failures: u8,
    /// When the playlist was last found to have changed.
    pub(crate) changed: Duration,
}

/// A request for media, or for what media needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) request: RequestId,
    pub(crate) kind: RequestKind,
    pub(crate) started: Duration,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) bytes: u64,
    /// Bytes of the whole body, if they are known.
    pub(crate) length: Option<u64>,
    /// The level that media is of.
    pub(crate) level: usize,
    /// Whether media of another level is to take its place, as soon as that can be requested.
    pub(crate) is_given_up: bool,
    /// Whether it replaces the segment that was had last.
    pub(crate) is_repeated: bool,
    /// The key or initialization section that it is, as a hash.
    pub(crate) resource: u64,
    /// What a segment adds to what is played, nanoseconds, and its date.
    pub(crate) adds_ns: u64,
    pub(crate) date_ns: Option<i64>,
    /// The part that it is.
    pub(crate) part: Option<LoadedPart>,
}

/// A part that is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoadedPart {
    /// Its address, as a hash.
    pub(crate) resource: u64,
    /// Its whole duration, nanoseconds.
    pub(crate) duration_ns: u64,
    /// Whether it was announced and is not listed yet, so that its duration is not known.
    pub(crate) announced: bool,
}

/// What the next segment has been waited for, to attribute a stall.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waits {
    microseconds: [u32; StallReason::ALL.len()],
    /// Up to when waiting has been counted.
    until: Duration,
    failure: Option<FetchFailure>,
}

impl Waits {
    fn add(&mut self, reason: StallReason, time: Duration) {
        let microseconds = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let sum = &mut self.microseconds[reason.index()];
        *sum = sum.saturating_add(microseconds);
    }

    pub(crate) fn was_late(&mut self, by: Duration) {
        self.add(StallReason::OwnLateness, by);
    }

    pub(crate) fn own_lateness(&self) -> Duration {
        Duration::from_micros(self.microseconds[StallReason::OwnLateness.index()].into())
    }

    /// What was waited for the longest, own lateness aside.
    pub(crate) fn longest(&self) -> Option<StallReason> {
        let stream = StallReason::ALL.into_iter().filter(|reason| *reason != StallReason::OwnLateness);
        let longest = stream.max_by_key(|reason| self.microseconds[reason.index()])?;
        (self.microseconds[longest.index()] > 0).then_some(longest)
    }

    pub(crate) fn failed(&mut self, failure: FetchFailure) {
        self.failure = Some(failure);
    }

    /// Adds what was waited for elsewhere.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (sum, more) in self.microseconds.iter_mut().zip(other.microseconds) {
            *sum = sum.saturating_add(more);
        }
    }

    /// A segment has arrived at `at`; from then on, the next one is waited for.
    pub(crate) fn begin_anew(&mut self, at: Duration) {
        *self = Self { until: self.until.max(at), ..Self::default() };
    }
}

/// The reason of a stall that a failure leads to.
pub(crate) const fn reason_of(failure: FetchFailure) -> StallReason {
    match failure {
        FetchFailure::Status(404 | 410) => StallReason::Missing,
        FetchFailure::Status(400..=499) => StallReason::ClientError,
        FetchFailure::Status(_) => StallReason::ServerError,
        FetchFailure::Cut | FetchFailure::Timeout | FetchFailure::Connection => StallReason::Connection,
        FetchFailure::BadContent => StallReason::BadContent,
    }
}

/// What a track is to request next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Upcoming {
    /// The segment at this index.
    Segment(usize),
    /// A segment that the playlist marks as a gap.
    Gap(usize),
    /// The next part of a segment.
    Part,
    /// A part that the playlist marks as a gap.
    GapPart,
    /// The segment has left the playlist; the first one listed has this number.
    Left(u64),
    /// Nothing at present; more segments are expected.
    Awaited,
    /// Nothing: the track is complete.
    Over,
}

impl Track {
    pub(crate) fn new(role: Role, source: Source, now: Duration) -> Self {
        Self {
            role,
            source,
            playlist: None,
            before_switch: None,
            reload: Reload { due: Some(now), request: None, began: now, failures: 0, changed: now },
            load: None,
            next: None,
            part: 0,
            had_ns: 0,
            low_latency: None,
            next_ns: 0,
            is_another_level: false,
            has_settled: false,
            repeats_last: false,
            leave_out_ns: 0,
            gaps_ns: 0,
            gaps_until_ns: 0,
            slot: 0,
            not_before: now,
            failures: 0,
            waits: Waits { until: now, ..Waits::default() },
            over: false,
        }
    }

    pub(crate) fn media(&self) -> Option<&Media> {
        media_of(self.playlist.as_ref())
    }

    /// Takes a playlist that has arrived while the playhead was at `position_ns`. Returns what it changed.
    pub(crate) fn loaded(
        &mut self,
        playlist: Arc<Playlist>,
        transfer: &Transfer,
        rules: &Rules,
        position_ns: u64,
    ) -> Change {
        self.reload.request = None;
        self.reload.failures = 0;
        let Some(new) = media_of(Some(&playlist)) else { return Change::Unchanged };
        let change = match self.media() {
            Some(before) => list::change(before, new),
            None => Change::Changed,
        };
        let kept = change == Change::Older;
        if matches!(change, Change::Changed | Change::Restarted) {
            self.reload.changed = transfer.finished;
        }
        let ahead = self.next_ns.saturating_sub(position_ns) as f64 / 1e9;
        let listed: f64 = new
            .segments
            .iter()
            .filter(|segment| self.next.is_some_and(|next| segment.sequence >= next))
            .map(|segment| segment.duration)
            .sum();
        let changed = matches!(change, Change::Changed | Change::Restarted);
        let blocks = LowLatency::loaded(&mut self.low_latency, new, transfer);
        let wait = list::reload_after(new, changed, rules, ahead + listed);
        let live = if kept { self.media().is_some_and(Media::is_live) } else { new.is_live() };
        // A load that took longer than the wait is followed by the next one at once.
        let due = if blocks { transfer.finished } else { (self.reload.began + wait).max(transfer.finished) };
        self.reload.due = live.then_some(due);
        if !kept {
            self.playlist = Some(playlist);
        }
        if self.before_switch.is_none() {
            self.pass_complete_segments();
        }
        change
    }

    /// Begins to play another variant: its playlist, if it need not be loaded, or else what is to be loaded.
    pub(crate) fn switch(&mut self, source: Source, known: Option<Arc<Playlist>>, now: Duration) {
        self.source = source;
        let before = self.playlist.take();
        self.before_switch = self.before_switch.take().or(before);
        self.failures = 0;
        self.repeats_last = false;
        self.not_before = now;
        self.reload =
            Reload { due: known.is_none().then_some(now), request: None, failures: 0, ..self.reload };
        if let Some(low_latency) = &mut self.low_latency {
            low_latency.switched();
        }
        self.playlist = known;
        self.settle_switch();
    }

    /// Finds the place in the playlist of the variant that was switched to.
    pub(crate) fn settle_switch(&mut self) {
        if self.playlist.is_none() {
            return;
        }
        let Some(before) = self.before_switch.take() else { return };
        let (Some(next), Some(old), Some(new)) = (self.next, media_of(Some(&before)), self.media()) else {
            return;
        };
        // Without a segment, there is no place yet.
        let place = list::same_place(old, next, new).or_else(|| list::end(new));
        match place {
            // Parts of the segment that were had are left out of the same segment of this variant.
            Some(place) => self.begin_at(Place { into: place.into + self.had_ns as f64 / 1e9, ..place }),
            None => self.before_switch = Some(before),
        }
        if self.before_switch.is_none() {
            self.has_settled = std::mem::take(&mut self.is_another_level);
        }
    }

    /// The index of the segment before the next one, and the number of segments listed, if that segment was had.
    pub(crate) fn last_had(&self) -> Option<(usize, usize)> {
        let (media, next) = (self.media()?, self.next?);
        let (index, segment) = list::segment(media, next.checked_sub(1)?)?;
        let had = self.slot > 0 && self.part == 0 && !segment.gap && !self.plays_parts();
        had.then_some((index, media.segments.len()))
    }

    /// Goes on at this place, without a gap in what is played.
    pub(crate) fn begin_at(&mut self, place: Place) {
        self.next = Some(place.sequence);
        self.part = place.part;
        self.leave_out_ns = to_ns(place.into);
        let parts = self.media().map_or(&[][..], |media| list::parts(media, place.sequence));
        self.had_ns = parts.iter().take(place.part as usize).map(|part| to_ns(part.duration)).sum();
    }

    /// What the request for the playlist that is under way waits for, if it is a blocking reload.
    pub(crate) fn blocking(&self) -> Option<Blocking> {
        self.low_latency.as_ref()?.blocking
    }

    /// Whether the server has blocked so far when it was asked to.
    pub(crate) fn may_block(&self) -> bool {
        self.low_latency.as_ref().is_none_or(|known| known.is_on())
    }

    /// Whether parts are requested.
    pub(crate) fn plays_parts(&self) -> bool {
        self.may_block() && self.media().is_some_and(|media| media.part_target.is_some() && media.is_live())
    }

    /// The next part, if it is listed.
    pub(crate) fn next_part(&self) -> Option<&Part> {
        let (media, next) = (self.media().filter(|_| self.plays_parts())?, self.next?);
        list::parts(media, next).get(usize::try_from(self.part).ok()?)
    }

    /// The next part, if it is announced and not listed.
    pub(crate) fn next_hint(&self) -> Option<&PreloadHint> {
        let media = self.media().filter(|_| self.plays_parts() && self.before_switch.is_none())?;
        let listed = media.partial.as_ref().map_or(0, |partial| partial.parts.len() as u64);
        let is_next = self.next == Some(media.next_sequence()) && self.part == listed;
        let mut hints = media.preload_hints.iter().filter(|_| is_next);
        hints.find(|hint| hint.kind == hls_swarm_hls::playlist::low_latency::HintKind::Part)
    }

    /// Goes on behind segments all of whose parts were had: that they are complete shows only in the next playlist.
    fn pass_complete_segments(&mut self) {
        while self.part > 0 {
            let Some((media, next)) = self.media().zip(self.next) else { return };
            let Some((_, segment)) = list::segment(media, next) else { return };
            let had_all = match segment.parts.len() as u64 {
                // They are listed no more.
                0 => self.had_ns + ROUNDED_NS >= to_ns(segment.duration),
                parts => self.part >= parts,
            };
            if !had_all {
                return;
            }
            self.next = next.checked_add(1);
            (self.part, self.had_ns) = (0, 0);
        }
    }

    pub(crate) fn upcoming(&self) -> Upcoming {
        let (Some(media), Some(next), None) = (self.media(), self.next, &self.before_switch) else {
            return Upcoming::Awaited;
        };
        if let Some(part) = self.next_part() {
            return if part.gap { Upcoming::GapPart } else { Upcoming::Part };
        }
        if let Some((index, segment)) = list::segment(media, next) {
            return if segment.gap { Upcoming::Gap(index) } else { Upcoming::Segment(index) };
        }
        match media.segments.first() {
            Some(first) if next < first.sequence => Upcoming::Left(first.sequence),
            _ if media.ended => Upcoming::Over,
            _ => Upcoming::Awaited,
        }
    }

    /// The nanoseconds that the segment at `index` adds to what is played.
    pub(crate) fn adds_ns(&self, index: usize) -> u64 {
        let segment = self.media().and_then(|media| media.segments.get(index));
        let left_out_ns = self.leave_out_ns.saturating_add(self.had_ns);
        segment.map_or(0, |segment| to_ns(segment.duration).saturating_sub(left_out_ns))
    }

    /// The nanoseconds that a part of this duration adds.
    pub(crate) const fn part_adds_ns(&self, duration_ns: u64) -> u64 {
        duration_ns.saturating_sub(self.leave_out_ns)
    }

    /// Goes on behind a part. Returns the slot that it had.
    pub(crate) fn pass_part(&mut self, duration_ns: u64) -> u64 {
        let slot = self.slot;
        self.slot += 1;
        self.part += 1;
        self.had_ns = self.had_ns.saturating_add(duration_ns);
        self.next_ns = self.next_ns.saturating_add(self.part_adds_ns(duration_ns));
        self.leave_out_ns = self.leave_out_ns.saturating_sub(duration_ns);
        self.failures = 0;
        self.not_before = Duration::ZERO;
        self.pass_complete_segments();
        slot
    }

    /// Goes on behind `count` segments that add `duration_ns`. Returns the slot that they had.
    pub(crate) fn pass(&mut self, count: u64, duration_ns: u64) -> u64 {
        let slot = self.slot;
        self.slot += 1;
        self.next = self.next.map(|next| next.saturating_add(count));
        (self.part, self.had_ns) = (0, 0);
        self.next_ns = self.next_ns.saturating_add(duration_ns);
        self.leave_out_ns = 0;
        self.failures = 0;
        self.not_before = Duration::ZERO;
        slot
    }

    /// Media that is there, or was requested, ahead of the playhead; nanoseconds.
    pub(crate) fn ahead_ns(&self, position_ns: u64) -> u64 {
        let ahead_ns = self.next_ns.saturating_sub(position_ns);
        let gaps_ns = if self.gaps_until_ns > position_ns { self.gaps_ns } else { 0 };
        ahead_ns.saturating_sub(gaps_ns)
    }

    /// Notes that media was skipped that ends where the next segment begins.
    pub(crate) fn skipped(&mut self, duration_ns: u64, position_ns: u64) {
        if self.gaps_until_ns <= position_ns {
            self.gaps_ns = 0;
        }
        self.gaps_ns = self.gaps_ns.saturating_add(duration_ns);
        self.gaps_until_ns = self.next_ns;
    }

    /// The media from where the next segment begins to the end of the playlist, nanoseconds.
    pub(crate) fn listed_ns(&self) -> Option<u64> {
        let (media, next) = (self.media()?, self.next?);
        let ahead = media.segments.iter().rev().take_while(|segment| segment.sequence >= next);
        let sum: u64 = ahead.map(|segment| to_ns(segment.duration)).sum();
        let parts = if self.plays_parts() { to_ns(media.partial_duration()) } else { 0 };
        Some((sum + parts).saturating_sub(self.leave_out_ns.saturating_add(self.had_ns)))
    }

    /// Counts the engine's lateness with a playlist, if it is what the next segment waits for.
    pub(crate) fn list_was_late(&mut self, by: Duration) {
        if self.load.is_none() && self.upcoming() == Upcoming::Awaited {
            self.waits.was_late(by);
        }
    }

    /// Counts what has been waited for until `now`.
    pub(crate) fn count_waiting(&mut self, now: Duration) {
        let from = self.waits.until;
        if now <= from {
            return;
        }
        self.waits.until = now;
        if let Some(reason) = self.waiting_for(from, now) {
            let from = match reason {
                // New media is due only when the target duration has passed.
                StallReason::NoNewMedia => from.max(self.new_media_due()),
                _ => from,
            };
            self.waits.add(reason, now.saturating_sub(from));
        }
    }

    /// The cause for which playback waits at `now`; `None` if it does not wait.
    pub(crate) fn waiting_for(&self, from: Duration, now: Duration) -> Option<StallReason> {
        let failed = self.waits.failure.map(reason_of);
        if self.load.is_some() {
            return Some(StallReason::SlowBody);
        }
        match self.upcoming() {
            Upcoming::Over => None,
            Upcoming::Segment(_)
            | Upcoming::Gap(_)
            | Upcoming::Part
            | Upcoming::GapPart
            | Upcoming::Left(_) => (self.not_before > from).then_some(failed).flatten(),
            Upcoming::Awaited if self.reload.failures > 0 => failed,
            Upcoming::Awaited if self.reload.request.is_some() && self.blocking().is_none() => {
                Some(StallReason::SlowPlaylist)
            }
            Upcoming::Awaited => (now > self.new_media_due()).then_some(StallReason::NoNewMedia),
        }
    }

    fn new_media_due(&self) -> Duration {
        let part = self.media().and_then(|media| media.part_target).filter(|_| self.plays_parts());
        let target = match part {
            Some(part) => 2.0 * part,
            None => self.media().map_or(0.0, Media::longest_segment),
        };
        self.reload.changed + Duration::from_nanos(to_ns(target))
    }

    /// When something is to be done after `now` without an input: a reload, a repetition, a time limit.
    pub(crate) fn due(&self, now: Duration) -> Option<Duration> {
        let repetition = self.load.is_none().then_some(self.not_before);
        let playlist = self.reload.request.map(|_| self.reload.began + PLAYLIST_LIMIT);
        let body = self.load.as_ref().map(|load| load.limit());
        [self.reload.due, repetition, playlist, body].into_iter().flatten().filter(|due| *due > now).min()
    }
}

impl Load {
    /// When it has taken too long.
    pub(crate) fn limit(&self) -> Duration {
        // The server holds the response until there is such a part.
        let is_held = self.part.is_some_and(|part| part.announced);
        let limit = if self.first_byte.is_some() || is_held { SEGMENT_LIMIT } else { FIRST_BYTE_LIMIT };
        self.started + limit
    }
}

pub(crate) fn media_of(playlist: Option<&Arc<Playlist>>) -> Option<&Media> {
    match playlist?.as_ref() {
        Playlist::Media(media) => Some(media),
        Playlist::Multivariant(_) => None,
    }
}
