//! Low-Latency HLS (RFC 8216bis, 6.2.5 and 6.3): blocking reloads, delta updates, parts, and announced parts.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_hls::playlist::{Media, Playlist};
use url::Url;

use super::list::{self, to_ns};
use super::track::{Load, LoadedPart, Upcoming, media_of};
use super::*;
use crate::interface::{Fetch, SegmentInfo, SkipCause, Transfer};
use crate::timeline::Arrival;

/// After this many blocking reloads in a row that were answered too early, or failed, a viewer goes on with whole segments.
const MAX_UNBLOCKED: u8 = 3;

/// What a blocking reload waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocking {
    pub(crate) sequence: u64,
    pub(crate) part: Option<u64>,
}

impl Blocking {
    /// What follows in a playlist.
    fn after(media: &Media) -> Self {
        let part = media.partial.as_ref().map_or(0, |partial| partial.parts.len() as u64);
        Self { sequence: media.next_sequence(), part: media.part_target.map(|_| part) }
    }

    /// Whether a playlist has it.
    fn is_in(self, media: &Media) -> bool {
        let next = Self::after(media);
        match self.part {
            Some(part) => (self.sequence, part) < (next.sequence, next.part.unwrap_or(0)),
            None => self.sequence < next.sequence,
        }
    }
}

/// What a track knows of its server.
#[derive(Clone, Debug, Default)]
pub(crate) struct LowLatency {
    /// What the request under way waits for, if it is a blocking reload.
    pub(crate) blocking: Option<Blocking>,
    /// Blocking reloads in a row that did not block, or failed.
    unblocked: u8,
    /// When the whole playlist was last known.
    whole_at: Option<Duration>,
    /// Whether the playlist was loaded just now from a cache, and how old it was.
    age: Option<Duration>,
    /// Announced parts that came before they were listed, or failed: their addresses, and when they came.
    early: Option<(LoadedPart, Transfer)>,
    failed_hint: Option<u64>,
    figures: Counted,
}

/// What is to be added to the figures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    unblocked: u32,
    blocking: u32,
    blocked: Duration,
}

impl LowLatency {
    /// Whether the server has blocked so far.
    pub(crate) const fn is_on(&self) -> bool {
        self.unblocked < MAX_UNBLOCKED
    }

    /// Another playlist is loaded from now on, whose server may be another one.
    pub(crate) fn switched(&mut self) {
        let figures = self.figures;
        *self = Self { figures, ..Self::default() };
    }

    /// Takes note of a load that failed.
    pub(crate) fn failed(&mut self) {
        let was_blocking = self.blocking.take().is_some();
        self.unblocked = self.unblocked.saturating_add(u8::from(was_blocking));
    }

    /// Takes note of a load. Returns whether the next one may begin at once, because it will wait.
    pub(crate) fn loaded(known: &mut Option<Box<Self>>, media: &Media, transfer: &Transfer) -> bool {
        let offers = media.is_live() && media.server_control.is_some_and(|control| control.can_block_reload);
        if known.is_none() && !offers {
            return false;
        }
        let known = known.get_or_insert_default();
        known.whole_at = Some(transfer.finished);
        if let Some(asked) = known.blocking.take() {
            let held = transfer.first_byte.saturating_sub(transfer.started);
            known.figures.blocked += held;
            if !asked.is_in(media) {
                known.unblocked = known.unblocked.saturating_add(1);
                known.figures.unblocked += 1;
                return false;
            }
            known.figures.blocking += 1;
            // What was there already proves nothing.
            let usual = media.part_target.unwrap_or_else(|| media.longest_segment());
            if held.as_secs_f64() > usual / 2.0 {
                known.unblocked = 0;
            }
        }
        offers && known.is_on()
    }
}

/// The address of a part, as a hash.
fn resource(url: &Url) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.as_str().hash(&mut hasher);
    hasher.finish()
}

/// Adds delivery directives to the address of a playlist, in the order that the draft asks for.
fn with_directives(url: &Url, blocking: Option<Blocking>, skip: bool) -> Url {
    let mut url = url.clone();
    let mut directives: Vec<String> = Vec::new();
    if let Some(Blocking { sequence, part }) = blocking {
        directives.push(format!("_HLS_msn={sequence}"));
        directives.extend(part.map(|part| format!("_HLS_part={part}")));
    }
    if skip {
        directives.push("_HLS_skip=YES".to_owned());
    }
    if !directives.is_empty() {
        let query = url.query().filter(|query| !query.is_empty()).map(str::to_owned);
        url.set_query(Some(&query.into_iter().chain(directives).collect::<Vec<_>>().join("&")));
    }
    url
}

impl Player {
    /// The address to load a playlist from, and what the response waits for.
    pub(super) fn with_delivery_directives(&self, index: usize, url: &Url) -> (Url, Option<Blocking>) {
        let track = &self.tracks[index];
        let Some(media) = track.media() else {
            // After a switch, the playlist before has reported how far this one is.
            let before = media_of(track.before_switch.as_ref());
            let report =
                before.and_then(|media| media.rendition_reports.iter().find(|report| report.url == *url));
            let blocks = |media: &Media| media.server_control.is_some_and(|control| control.can_block_reload);
            let known = report.filter(|_| before.is_some_and(blocks) && track.may_block());
            let blocking = known.and_then(|report| {
                Some(Blocking { sequence: report.last_sequence?, part: report.last_part })
            });
            return (with_directives(url, blocking, false), blocking);
        };
        let control = media.server_control.unwrap_or_default();
        let may_block = control.can_block_reload && media.is_live() && track.may_block();
        let known = track.low_latency.as_deref();
        let age = known.and_then(|known| known.age);
        let blocking = may_block.then(|| tuned_in(Blocking::after(media), media, age));
        // Not if the segments that are left out may have changed since (RFC 8216bis, 6.3.7).
        let recent = |until: f64| {
            let at = known.and_then(|known| known.whole_at);
            at.is_some_and(|at| self.now.saturating_sub(at).as_secs_f64() < until / 2.0)
        };
        let skip = may_block && control.can_skip_until.is_some_and(recent);
        (with_directives(url, blocking, skip), blocking)
    }

    /// Completes a delta update. `None` if the whole playlist must be loaded; then that is due at once.
    pub(super) fn complete(&mut self, index: usize, playlist: Arc<Playlist>) -> Option<Arc<Playlist>> {
        let now = self.now;
        let track = &mut self.tracks[index];
        let Some(update) = media_of(Some(&playlist)).filter(|media| media.skipped > 0) else {
            return Some(playlist);
        };
        let Some(before) = track.media() else { return Some(playlist) };
        if let Some(whole) = update.completed(before) {
            return Some(Arc::new(Playlist::Media(whole)));
        }
        if let Some(known) = &mut track.low_latency {
            (known.whole_at, known.blocking) = (None, None);
        }
        track.reload.request = None;
        track.reload.due = Some(now);
        None
    }

    /// Notes how long a cache has had the playlist that was loaded first, and moves counts to the figures.
    pub(super) fn note_load(
        &mut self,
        index: usize,
        is_first: bool,
        age: Duration,
        change: list::Change,
        late: bool,
    ) {
        let track = &mut self.tracks[index];
        if let Some(known) = &mut track.low_latency {
            known.age = Some(age).filter(|age| is_first && !age.is_zero());
            let counted = std::mem::take(&mut known.figures);
            self.figures.unblocked_reloads += counted.unblocked;
            self.figures.blocking_reloads += counted.blocking;
            self.figures.blocked += counted.blocked;
        }
        self.figures.unchanged_reloads += u32::from(change == list::Change::Unchanged && !is_first);
        self.figures.late_parts += u32::from(late);
    }

    /// Whether a part that was just listed is late: more than two part durations after the last change.
    pub(super) fn lists_late(&self, index: usize, before: Duration, transfer: &Transfer) -> bool {
        let track = &self.tracks[index];
        let target = track.media().and_then(|media| media.part_target).filter(|_| track.plays_parts());
        let since = transfer.finished.saturating_sub(before);
        track.reload.changed == transfer.finished
            && target.is_some_and(|target| since.as_secs_f64() > 2.0 * target)
    }

    /// Compares announced parts with what the new playlist lists.
    pub(super) fn check_hints(&mut self, index: usize, outputs: &mut Vec<Output>) {
        let track = &self.tracks[index];
        let listed = track.next_part().map(|part| (resource(&part.url), to_ns(part.duration)));
        let hint = track.next_hint().map(|hint| resource(&hint.url));
        let is_still_announced = |known: u64| listed.is_none() && hint == Some(known);
        let is_listed = |known: u64| listed.filter(|(listed, _)| *listed == known);
        // One that is under way.
        let under_way = track.load.as_ref().and_then(|load| Some((load.request, load.part?)));
        if let Some((request, part)) = under_way.filter(|(_, part)| part.announced) {
            let adds_ns = is_listed(part.resource)
                .map(|(_, duration_ns)| (duration_ns, track.part_adds_ns(duration_ns)));
            if let Some((duration_ns, adds_ns)) = adds_ns {
                let date_ns = self.part_date_ns(index);
                if let Some(load) = &mut self.tracks[index].load {
                    load.part = Some(LoadedPart { duration_ns, announced: false, ..part });
                    (load.adds_ns, load.date_ns) = (adds_ns, date_ns);
                }
            } else if !is_still_announced(part.resource) {
                self.tracks[index].load = None;
                self.figures.wrong_hints += 1;
                outputs.push(Output::Abort(request));
            }
        }
        // One that has come.
        let early = self.tracks[index].low_latency.as_ref().and_then(|known| known.early);
        let Some((part, transfer)) = early else { return };
        if let Some((_, duration_ns)) = is_listed(part.resource) {
            self.forget_early(index);
            let date_ns = self.part_date_ns(index);
            let adds_ns = self.tracks[index].part_adds_ns(duration_ns);
            let load = Load {
                request: RequestId(0),
                kind: RequestKind::Part,
                started: transfer.started,
                first_byte: Some(transfer.first_byte),
                bytes: transfer.bytes,
                length: None,
                level: self.level,
                is_given_up: false,
                is_repeated: false,
                resource: 0,
                adds_ns,
                date_ns,
                part: Some(LoadedPart { duration_ns, announced: false, ..part }),
            };
            self.media_arrived(index, &load, &transfer, outputs);
        } else if !is_still_announced(part.resource) {
            self.forget_early(index);
            self.figures.wrong_hints += 1;
        }
    }

    fn forget_early(&mut self, index: usize) {
        if let Some(known) = &mut self.tracks[index].low_latency {
            known.early = None;
        }
    }

    /// The date at the beginning of the next part.
    fn part_date_ns(&self, index: usize) -> Option<i64> {
        let track = &self.tracks[index];
        let (media, next) = (track.media()?, track.next?);
        let date = match list::segment(media, next) {
            Some((index, _)) => list::date_ns(media, index),
            None => list::partial_date_ns(media),
        };
        date?.checked_add_unsigned(track.had_ns)
    }

    /// Requests the next part: one that is listed, or else one that is announced.
    pub(super) fn request_part(&mut self, index: usize, outputs: &mut Vec<Output>) {
        let track = &self.tracks[index];
        let Some(next) = track.next else { return };
        let target = track.media().and_then(|media| media.part_target).unwrap_or(0.0);
        let (url, byte_range, duration, announced) = match (track.next_part(), track.next_hint()) {
            (Some(part), _) => (part.url.clone(), part.byte_range, part.duration, false),
            (None, Some(hint)) => {
                let known = resource(&hint.url);
                let tried = track.low_latency.as_ref().is_some_and(|own| {
                    own.failed_hint == Some(known)
                        || own.early.is_some_and(|(part, _)| part.resource == known)
                });
                // A part of a resource that is still written has no end yet.
                if !self.rules.requests_hints || tried || hint.start > 0 || hint.length.is_some() {
                    return;
                }
                (hint.url.clone(), None, target, true)
            }
            (None, None) => return,
        };
        let media = track.media();
        let segment = media.and_then(|media| list::segment(media, next)).map(|(_, segment)| segment);
        let partial = media.and_then(|media| media.partial.as_ref());
        let (key, map) = match (segment, partial) {
            (Some(segment), _) => (segment.key.clone(), segment.map.clone()),
            (None, Some(partial)) => (partial.key.clone(), partial.map.clone()),
            // Of the segment before, until something else is listed.
            (None, None) => {
                let last = media.and_then(|media| media.segments.last());
                (last.and_then(|last| last.key.clone()), last.and_then(|last| last.map.clone()))
            }
        };
        if self.request_needed(index, key.as_ref(), map.as_ref(), outputs) {
            return;
        }
        let duration_ns = to_ns(duration);
        let date_ns = self.part_date_ns(index);
        let track = &self.tracks[index];
        let (role, part) = (track.role, track.part);
        let info = SegmentInfo {
            sequence: next,
            part: Some(part),
            duration: Duration::from_nanos(duration_ns),
            discontinuity: false,
            key,
        };
        let loaded = LoadedPart { resource: resource(&url), duration_ns, announced };
        let fetch = Fetch {
            request: RequestId(self.next_request),
            kind: RequestKind::Part,
            role,
            variant: self.variant_of(track.source),
            url,
            byte_range,
            segment: Some(info),
            waits: announced,
            cmcd: None,
            repeated: track.failures > 0,
        };
        let adds_ns = track.part_adds_ns(duration_ns);
        if role == Role::Main {
            self.duration = duration;
        }
        let following = self.tracks[index].media().and_then(|media| {
            let own = list::parts(media, next).get(usize::try_from(part).ok()? + 1);
            own.or_else(|| list::parts(media, next.checked_add(1)?).first())
        });
        let following = following.map(|part| (part.url.clone(), part.byte_range));
        let cmcd = self.cmcd_of_media(&fetch, following);
        self.begin_load(index, Fetch { cmcd, ..fetch }, 0, adds_ns, date_ns, Some(loaded), outputs);
    }

    /// Keeps an announced part until it is listed. Returns whether that is what arrived.
    pub(super) fn keep_early(&mut self, index: usize, load: &Load, transfer: &Transfer) -> bool {
        let Some(part) = load.part.filter(|part| part.announced) else { return false };
        self.tracks[index].low_latency.get_or_insert_default().early = Some((part, *transfer));
        true
    }

    /// Notes that an announced part does not come. Returns whether that is what failed.
    pub(super) fn hint_failed(&mut self, index: usize, load: &Load) -> bool {
        let Some(part) = load.part.filter(|part| part.announced) else { return false };
        self.figures.wrong_hints += 1;
        self.tracks[index].low_latency.get_or_insert_default().failed_hint = Some(part.resource);
        true
    }

    /// Passes a part that will not be played.
    pub(super) fn skip_part(&mut self, index: usize, cause: SkipCause, outputs: &mut Vec<Output>) {
        let Some(duration_ns) = self.tracks[index].next_part().map(|part| to_ns(part.duration)) else {
            return;
        };
        let (now, position_ns) = (self.now, self.position_ns());
        self.tracks[index].count_waiting(now);
        let adds_ns = self.tracks[index].part_adds_ns(duration_ns);
        let slot = self.tracks[index].pass_part(duration_ns);
        self.skipped_slot(index, slot, adds_ns, position_ns, cause, outputs);
    }

    /// Whether the next thing to request is a part, or might be one that is announced.
    pub(super) fn awaits_part(&self, index: usize) -> bool {
        let track = &self.tracks[index];
        matches!(track.upcoming(), Upcoming::Part | Upcoming::Awaited) && track.plays_parts()
    }

    /// Credits an arrival to playback.
    pub(super) fn credit(&mut self, index: usize, slot: u64, adds_ns: u64, finished: Duration) {
        let rendition = self.rendition(index);
        if let (Some(playhead), Some(rendition)) = (&mut self.playhead, rendition) {
            playhead.segment(ns(finished), rendition, slot, adds_ns, Arrival::Whole);
        }
    }
}

/// Where a playlist that a cache has had for `age` would be by now: the request waits for that (RFC 8216bis, 6.3.4).
fn tuned_in(next: Blocking, media: &Media, age: Option<Duration>) -> Blocking {
    let (Some(part), Some(target), Some(age)) = (next.part, media.part_target, age) else { return next };
    let per_segment = (media.longest_segment() / target).round().max(1.0) as u64;
    let ahead = part + (age.as_secs_f64() / target) as u64;
    // A server refuses what is more than two segments ahead.
    let segments = (ahead / per_segment).min(1);
    Blocking {
        sequence: next.sequence + segments,
        part: Some(if segments < ahead / per_segment { 0 } else { ahead % per_segment }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_follow_the_query_of_an_address() {
        let blocking = Some(Blocking { sequence: 7, part: Some(2) });
        let at = |url: &str, blocking, skip| {
            with_directives(&Url::parse(url).unwrap(), blocking, skip).to_string()
        };
        assert_eq!(
            at("http://h/a?t=1", blocking, true),
            "http://h/a?t=1&_HLS_msn=7&_HLS_part=2&_HLS_skip=YES"
        );
        assert_eq!(
            at("http://h/a", Some(Blocking { sequence: 7, part: None }), false),
            "http://h/a?_HLS_msn=7"
        );
        assert_eq!(at("http://h/a?", None, false), "http://h/a?");
    }

    #[test]
    fn a_playlist_of_a_cache_is_followed_by_the_one_that_is_due_now() {
        let media = Media { target_duration: 2.0, part_target: Some(0.5), ..Media::default() };
        let at = |part, age: f64| {
            let next = Blocking { sequence: 10, part: Some(part) };
            let tuned = tuned_in(next, &media, Some(Duration::from_secs_f64(age)));
            (tuned.sequence, tuned.part.unwrap())
        };
        assert_eq!([at(1, 0.4), at(1, 1.0), at(1, 2.0), at(3, 60.0)], [(10, 1), (10, 3), (11, 1), (11, 0)]);
    }
}
