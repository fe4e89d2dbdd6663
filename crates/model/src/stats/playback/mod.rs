//! The playback of one viewer: what reached it, in the terms of the playhead.
//!
//! The playlists that the viewer read determine its renditions, the durations of segments, and which segments
//! it left out; the exchanges show which segments arrived whole. One playhead covers all processes of a viewer.

pub(crate) mod reported;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use hls_swarm_hls::playlist::{Media, Playlist};
use hls_swarm_player::interface::StallReason;
use hls_swarm_player::{Arrival, Figures, Playhead, Preset, State, Viewing};

use crate::exchange::{Exchange, Kind, Outcome};
use crate::listed::{Rendition, SegmentId};
use crate::seen::Seen;
use reported::Reported;

/// A viewer below this speed is too slow.
pub const SLOW: f64 = 0.9;
/// The shortest time over which speed is measured, nanoseconds; the longest is twice as long.
const SPEED_WINDOW_NS: u64 = 5_000_000_000;
/// A rendition is not played if others got this many of its segments' durations since it was last heard of.
const IDLE_SEGMENTS: f64 = 4.0;
/// A live playlist may be older than another one by this many segments.
const MAX_STALE: u64 = 3;
/// The maximum number of segments in a row that are noted as left out.
const MAX_LEFT_OUT: u64 = 10_000;

/// The rules by which viewers play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaybackRules {
    /// The player whose buffer rules they follow.
    pub preset: Preset,
    /// Whether a viewer plays all playlists that it reads together, and requests segments one after the other,
    /// as FFmpeg does. Otherwise, playlists of the same kind are variants of one rendition.
    pub together: bool,
    /// The duration of a segment that no playlist lists, nanoseconds: an estimate.
    pub unlisted_ns: u64,
    /// Whether viewers hold a buffer as players do. Otherwise an empty buffer shows nothing about the stream, and
    /// no viewer counts as stalled.
    pub buffered: bool,
    /// Whether the bodies that arrived were not looked into, as in FFmpeg's log: then a viewer has played only once
    /// its process has read media, because a page of HTML also arrives with status 200.
    pub unseen_bodies: bool,
}

impl Default for PlaybackRules {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            together: true,
            unlisted_ns: 2_000_000_000,
            buffered: true,
            unseen_bodies: false,
        }
    }
}

/// A rendition that the viewer plays.
#[derive(Clone, Debug)]
struct Track {
    /// The playlist that was read last: hash of its URL.
    playlist: u64,
    kind: Rendition,
    /// The playlists that were read last, the latest first.
    said: [Option<Arc<Playlist>>; 2],
    /// Time when the latest was read.
    read_ns: u64,
    /// The media sequence number that follows all those that were requested or left out.
    next: Option<u64>,
    /// Whether the latest playlist ends before the one that was read earlier: it is old, or numbers restarted.
    regressed: bool,
    /// Media that reached other renditions since this one was last heard of, nanoseconds.
    idle_ns: u64,
}

impl Track {
    const fn new(playlist: u64, kind: Rendition) -> Self {
        Self { playlist, kind, said: [None, None], read_ns: 0, next: None, regressed: false, idle_ns: 0 }
    }

    fn latest(&self) -> Option<&Media> {
        media(self.said.first()?.as_ref()?)
    }

    /// The duration of a segment that was never requested, nanoseconds.
    fn duration_ns(&self, sequence: u64) -> u64 {
        let listed = self.said.iter().flatten().filter_map(|said| media(said)).find_map(|media| {
            let index = sequence.checked_sub(media.media_sequence)?.checked_sub(media.skipped)?;
            media.segments.get(usize::try_from(index).ok()?)
        });
        let usual = || self.latest().map_or(0.0, usual_duration);
        nanos(listed.map_or_else(usual, |segment| segment.duration))
    }

    /// The duration of the media that the latest playlist lists, nanoseconds. For so long, and for its own duration, a
    /// segment stays available after it has left the playlist (RFC 8216, 6.2.2).
    fn lists_ns(&self) -> u64 {
        self.latest().map_or(0, |media| nanos(media.duration()))
    }

    /// Whether the name of a segment is that of the latest playlist.
    fn lists(&self, sequence: u64, name: &str) -> bool {
        self.latest().is_some_and(|media| {
            media.segments.iter().any(|one| one.sequence == sequence && one.url.path().ends_with(name))
        })
    }
}

fn media(playlist: &Arc<Playlist>) -> Option<&Media> {
    match &**playlist {
        Playlist::Media(media) => Some(media),
        Playlist::Multivariant(_) => None,
    }
}

/// The average duration of the segments that a playlist lists, seconds.
fn usual_duration(media: &Media) -> f64 {
    let count = media.segments.len();
    if count == 0 { media.longest_segment() } else { media.duration() / count as f64 }
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

/// The playback of one viewer.
#[derive(Clone, Debug)]
pub(crate) struct ViewerPlayback {
    source: Source,
    /// The figures that were already added to the totals.
    taken: Viewing,
    speed: SpeedWindow,
}

/// Where the figures come from. Boxed, because there may be tens of thousands of viewers, and each has one of the two.
#[derive(Clone, Debug)]
enum Source {
    /// The viewer's player reports them.
    Reported(Box<Reported>),
    /// They follow from what arrived.
    Arrivals(Box<Arrivals>),
}

/// What arrived, and the playhead that follows from it.
#[derive(Clone, Debug)]
struct Arrivals {
    rules: PlaybackRules,
    playhead: Playhead,
    /// Renditions, in the order of those of the playhead.
    tracks: Vec<Track>,
    needed: Needed,
    /// The number of segments that no playlist listed, and the latest of them: hash of its URL.
    unlisted: u64,
    latest: Option<u64>,
}

/// What a viewer has played between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) startup_ns: Option<u64>,
    pub(crate) played_ns: u64,
    /// Negative where the end of a stall has shown that it does not count.
    pub(crate) stalled_ns: i64,
    /// The longest stall so far.
    pub(crate) longest_stall_ns: u64,
    pub(crate) stalls: u64,
    pub(crate) missing_ns: u64,
    pub(crate) skipped: u64,
    /// What of that the server had listed and did not have.
    pub(crate) unavailable_ns: u64,
    pub(crate) unavailable: u64,
}

/// Objects without which segments cannot be decoded, and the outcome of the latest request for each.
#[derive(Clone, Copy, Debug)]
struct Needed {
    init: Arrival,
    key: Arrival,
}

impl ViewerPlayback {
    /// A viewer that pressed "play" at `started_ns`, and plays at least `renditions` playlists together.
    pub(crate) fn new(rules: PlaybackRules, renditions: usize, started_ns: u64) -> Self {
        let arrivals = Arrivals {
            rules,
            playhead: Playhead::new(rules.preset.rules(), renditions, started_ns),
            tracks: Vec::new(),
            needed: Needed { init: Arrival::Whole, key: Arrival::Whole },
            unlisted: 0,
            latest: None,
        };
        Self {
            source: Source::Arrivals(Box::new(arrivals)),
            taken: Viewing::default(),
            speed: SpeedWindow::default(),
        }
    }

    /// The state of the playhead.
    pub(crate) fn state(&self) -> State {
        match &self.source {
            Source::Reported(reported) => reported.state(),
            Source::Arrivals(arrivals) => arrivals.playhead.state(),
        }
    }

    /// Takes a report of the viewer's player. Returns the figures of the report before.
    pub(crate) fn report(&mut self, at_ns: u64, seen: Seen) -> Figures {
        match &mut self.source {
            Source::Reported(reported) => {
                std::mem::replace(&mut **reported, Reported::new(at_ns, seen)).seen().figures
            }
            Source::Arrivals(_) => {
                self.source = Source::Reported(Box::new(Reported::new(at_ns, seen)));
                Figures::default()
            }
        }
    }

    const fn reported(&self) -> Option<&Reported> {
        match &self.source {
            Source::Reported(reported) => Some(reported),
            Source::Arrivals(_) => None,
        }
    }

    fn arrivals(&mut self) -> Option<&mut Arrivals> {
        match &mut self.source {
            Source::Reported(_) => None,
            Source::Arrivals(arrivals) => Some(arrivals),
        }
    }

    /// Whether the viewer's player reports what it sees.
    pub(crate) const fn is_reported(&self) -> bool {
        self.reported().is_some()
    }

    /// The number of playlists that it plays together; `None` where its player reports what it sees, or no playlist was
    /// seen.
    pub(crate) fn tracks(&self) -> Option<usize> {
        match &self.source {
            Source::Reported(_) => None,
            Source::Arrivals(arrivals) => Some(arrivals.tracks.len()).filter(|tracks| *tracks > 0),
        }
    }

    /// Whether a stall is under way that does not count before it has ended.
    pub(crate) fn is_unended(&self) -> bool {
        self.reported().is_some_and(Reported::is_unended)
    }

    /// Counts a stall under way, because nothing that comes later counts. Returns its reason, the first time.
    pub(crate) fn settle(&mut self) -> Option<StallReason> {
        match &mut self.source {
            Source::Reported(reported) => reported.settle(),
            Source::Arrivals(_) => None,
        }
    }

    fn viewing(&self) -> Viewing {
        match &self.source {
            Source::Reported(reported) => reported.viewing(),
            Source::Arrivals(arrivals) => arrivals.playhead.viewing(),
        }
    }

    /// The viewer is known to play this number of playlists together.
    pub(crate) fn expect(&mut self, renditions: usize, started_ns: u64) {
        if let Some(arrivals) = self.arrivals()
            && arrivals.tracks.is_empty()
            && arrivals.playhead.state() == State::Starting
        {
            arrivals.playhead = Playhead::new(arrivals.rules.preset.rules(), renditions, started_ns);
        }
    }

    /// Moves the playhead to `at_ns`.
    pub(crate) fn advance(&mut self, at_ns: u64) {
        match &mut self.source {
            Source::Reported(reported) => reported.advance(at_ns),
            Source::Arrivals(arrivals) => arrivals.playhead.advance(at_ns),
        }
    }

    /// Records that the viewer's session is over: nothing is shown until the next one.
    pub(crate) fn session_ended(&mut self) {
        if let Source::Reported(reported) = &mut self.source {
            reported.end();
        }
    }

    /// Records that the viewer has played the stream to its end, and will request nothing more of it.
    pub(crate) fn finished(&mut self) {
        let Some(arrivals) = self.arrivals() else { return };
        for rendition in 0..arrivals.tracks.len().max(1) {
            arrivals.playhead.end_of_rendition(0, rendition);
        }
    }

    /// The change since the last call; `None` if there is none.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let now = self.viewing();
        if now == self.taken {
            return None;
        }
        let before = std::mem::replace(&mut self.taken, now);
        self.speed.note(&now);
        Some(Taken {
            startup_ns: now.startup_ns.filter(|_| before.startup_ns.is_none()),
            played_ns: now.played_ns.saturating_sub(before.played_ns),
            stalled_ns: now.stalled_ns.cast_signed().saturating_sub(before.stalled_ns.cast_signed()),
            longest_stall_ns: now.longest_stall_ns,
            stalls: now.stalls.saturating_sub(before.stalls),
            missing_ns: now.missing_ns.saturating_sub(before.missing_ns),
            skipped: now.skipped.saturating_sub(before.skipped),
            unavailable_ns: now.unavailable_ns.saturating_sub(before.unavailable_ns),
            unavailable: now.unavailable.saturating_sub(before.unavailable),
        })
    }

    /// Media shown per time of the last seconds; absent until some have passed since the first frame.
    pub(crate) fn speed(&self) -> Option<f64> {
        self.speed.value(&self.taken)
    }

    /// Lag behind a viewer who never stalled, seconds. Media that was jumped over catches up.
    pub(crate) fn drift_seconds(&self) -> Option<f64> {
        let Viewing { startup_ns, stalled_ns, missing_ns, .. } = self.taken;
        startup_ns.map(|_| stalled_ns.saturating_sub(missing_ns) as f64 / 1e9)
    }

    /// Records that the viewer read a media playlist at `at_ns`.
    pub(crate) fn playlist(&mut self, at_ns: u64, playlist: u64, kind: Rendition, said: &Arc<Playlist>) {
        if let Some(arrivals) = self.arrivals() {
            arrivals.playlist(at_ns, playlist, kind, said);
        }
    }

    /// Records an exchange of the viewer.
    pub(crate) fn exchange(&mut self, exchange: &Exchange) {
        let redirected = exchange.status.is_some_and(|status| (300..400).contains(&status));
        if let Some(arrivals) = self.arrivals().filter(|_| !redirected) {
            arrivals.exchange(exchange);
        }
    }
}

impl Arrivals {
    fn playlist(&mut self, at_ns: u64, playlist: u64, kind: Rendition, said: &Arc<Playlist>) {
        let Some(new) = media(said).filter(|_| kind != Rendition::Subtitles) else { return };
        let index = self.track_of(playlist, kind);
        let Some(track) = self.tracks.get_mut(index) else { return };
        let same =
            track.said.first().and_then(Option::as_ref).is_some_and(|latest| Arc::ptr_eq(latest, said));
        let elapsed_ns = at_ns.saturating_sub(std::mem::replace(&mut track.read_ns, at_ns));
        track.idle_ns = 0;
        if same {
            return;
        }
        let other = std::mem::replace(&mut track.playlist, playlist) != playlist;
        let first = new.media_sequence.saturating_add(new.skipped);
        if let Some(old) = track.latest() {
            let regressed = !other && new.next_sequence() < old.next_sequence();
            let behind = other && new.is_live() && new.next_sequence() + MAX_STALE < old.next_sequence();
            // More media than time has passed since: numbers did not go on, they restarted.
            let ahead_ns = nanos(first.saturating_sub(old.next_sequence()) as f64 * usual_duration(old));
            let ahead = new.is_live() && ahead_ns > elapsed_ns + nanos(old.duration());
            track.regressed = regressed;
            if behind || ahead {
                track.next = None;
                self.playhead.sequence_began_anew(at_ns, index);
            }
        }
        if !other {
            // Segments that left the playlist before they were requested.
            self.leave_out(at_ns, index, first);
        }
        let Some(track) = self.tracks.get_mut(index) else { return };
        let [latest, earlier] = &mut track.said;
        *earlier = latest.replace(Arc::clone(said));
        let new_from = earlier.as_ref().and_then(media).map(Media::next_sequence);
        for gap in
            new.segments.iter().rev().take_while(|one| new_from.is_some_and(|from| one.sequence >= from))
        {
            if gap.gap {
                let duration_ns = nanos(gap.duration);
                self.playhead.segment(at_ns, index, gap.sequence, duration_ns, Arrival::Missing);
            }
        }
        if new.ended && !new.segments.is_empty() {
            self.playhead.ends_after(at_ns, index, new.next_sequence() - 1);
        }
    }

    fn exchange(&mut self, exchange: &Exchange) {
        match exchange.kind {
            Kind::Init => self.needed.init = arrival(exchange),
            Kind::Key => self.needed.key = arrival(exchange),
            Kind::Segment => {
                if let Some(segment) = exchange.segment {
                    self.segment(exchange, &segment);
                } else if self.tracks.is_empty() {
                    self.unlisted(exchange);
                }
            }
            Kind::Playlist | Kind::Steering | Kind::Other => {}
        }
    }

    /// Records a segment of a viewer whose playlists are not seen, as without a probe. Segments are requested in order.
    fn unlisted(&mut self, exchange: &Exchange) {
        if !is_whole(exchange) || self.latest == Some(exchange.url_hash) {
            return;
        }
        self.latest = Some(exchange.url_hash);
        self.unlisted += 1;
        let at_ns = exchange.started_ns.saturating_add(exchange.first_byte_ns.unwrap_or(0));
        self.playhead.segment(at_ns, 0, self.unlisted, self.rules.unlisted_ns, Arrival::Whole);
    }

    fn segment(&mut self, exchange: &Exchange, segment: &SegmentId) {
        if segment.rendition == Rendition::Subtitles {
            return;
        }
        let index = self.track_of_segment(segment, &exchange.name);
        let Some(track) = self.tracks.get_mut(index) else { return };
        let took = exchange.first_byte_ns.unwrap_or(0).saturating_add(exchange.download_ns.unwrap_or(0));
        let at_ns = exchange.started_ns.saturating_add(took);
        let sequence = segment.sequence;
        track.idle_ns = 0;
        if track.regressed && track.next.is_some_and(|next| sequence < next) {
            (track.regressed, track.next) = (false, None);
            self.playhead.sequence_began_anew(at_ns, index);
        }
        // A viewer that requests several at a time may still get the one before.
        let left_out = if self.rules.together { sequence } else { sequence.saturating_sub(1) };
        self.leave_out(at_ns, index, left_out);
        let Some(track) = self.tracks.get_mut(index) else { return };
        track.next = Some(track.next.unwrap_or(0).max(sequence.saturating_add(1)));
        let known_ns = Some(segment.duration_us * 1000).filter(|duration_ns| *duration_ns > 0);
        let duration_ns = known_ns.unwrap_or_else(|| track.duration_ns(sequence));
        let listed_ns = track.read_ns.saturating_add(track.lists_ns()).saturating_add(duration_ns);
        let key = if segment.encrypted { self.needed.key } else { Arrival::Whole };
        let failed =
            [arrival(exchange), self.needed.init, key].into_iter().find(|one| *one != Arrival::Whole);
        let arrival = match failed {
            None => Arrival::Whole,
            Some(Arrival::Unavailable) if exchange.started_ns <= listed_ns => Arrival::Unavailable,
            Some(_) => Arrival::Missing,
        };
        self.playhead.set_needed(at_ns, index, true);
        self.playhead.segment(at_ns, index, sequence, duration_ns, arrival);
        if arrival == Arrival::Whole {
            self.others_are_idle(at_ns, index, duration_ns);
        }
    }

    /// Counts media of a rendition as idle time of the others. Viewers read the playlists of renditions that they do
    /// not play.
    fn others_are_idle(&mut self, at_ns: u64, index: usize, duration_ns: u64) {
        for (place, track) in self.tracks.iter_mut().enumerate().filter(|(place, _)| *place != index) {
            track.idle_ns = track.idle_ns.saturating_add(duration_ns);
            let longest = track.latest().map_or(0.0, Media::longest_segment);
            if track.idle_ns > nanos(IDLE_SEGMENTS * longest) {
                self.playhead.set_needed(at_ns, place, false);
            }
        }
    }

    /// Notes that the viewer will not request the segments before `until`.
    fn leave_out(&mut self, at_ns: u64, index: usize, until: u64) {
        let Some(track) = self.tracks.get_mut(index) else { return };
        let Some(next) = track.next.filter(|next| *next < until) else { return };
        track.next = Some(until);
        for sequence in next..until.min(next.saturating_add(MAX_LEFT_OUT)) {
            let duration_ns = track.duration_ns(sequence);
            self.playhead.segment(at_ns, index, sequence, duration_ns, Arrival::Missing);
        }
    }

    /// The index of the rendition of a playlist, which is added if it is new.
    fn track_of(&mut self, playlist: u64, kind: Rendition) -> usize {
        let together = self.rules.together;
        let known = self
            .tracks
            .iter()
            .position(|track| if together { track.playlist == playlist } else { track.kind == kind });
        known.unwrap_or_else(|| {
            self.tracks.push(Track::new(playlist, kind));
            let index = self.tracks.len() - 1;
            if index < self.playhead.renditions() { index } else { self.playhead.add_rendition() }
        })
    }

    /// The index of the rendition of a segment. Playlists with different addresses may list the same segment; then the
    /// playlist that another viewer read may be the one that is known.
    fn track_of_segment(&mut self, segment: &SegmentId, name: &str) -> usize {
        if let Some(index) = self.tracks.iter().position(|track| track.playlist == segment.playlist) {
            return index;
        }
        let mut alike = self.tracks.iter().enumerate().filter(|(_, track)| track.kind == segment.rendition);
        match (alike.next(), alike.next()) {
            (Some((index, _)), None) => index,
            (Some((first, _)), Some(_)) => {
                let lists = |track: &Track| track.lists(segment.sequence, name);
                self.tracks.iter().position(lists).unwrap_or(first)
            }
            (None, _) => self.track_of(segment.playlist, segment.rendition),
        }
    }
}

/// The outcome of a request. What a playlist announces as missing is not blamed on the server.
fn arrival(exchange: &Exchange) -> Arrival {
    let refused = exchange.status.is_some_and(|status| status >= 400) || exchange.defect().is_some();
    match (is_whole(exchange), refused && !exchange.gap) {
        (true, _) => Arrival::Whole,
        (false, true) => Arrival::Unavailable,
        (false, false) => Arrival::Missing,
    }
}

/// Whether an object arrived whole and is what was requested.
fn is_whole(exchange: &Exchange) -> bool {
    let served = matches!(exchange.status, Some(200 | 206));
    served && exchange.outcome == Outcome::Complete && exchange.defect().is_none()
}

/// Playback at two earlier moments, from which speed is measured.
#[derive(Clone, Copy, Debug, Default)]
struct SpeedWindow {
    /// Time since the first frame and media shown, nanoseconds.
    older: (u64, u64),
    newer: (u64, u64),
}

impl SpeedWindow {
    fn note(&mut self, viewing: &Viewing) {
        let elapsed_ns = viewing.played_ns + viewing.stalled_ns;
        if elapsed_ns.saturating_sub(self.newer.0) >= SPEED_WINDOW_NS {
            self.older = std::mem::replace(&mut self.newer, (elapsed_ns, viewing.played_ns));
        }
    }

    fn value(&self, viewing: &Viewing) -> Option<f64> {
        let elapsed_ns = (viewing.played_ns + viewing.stalled_ns).saturating_sub(self.older.0);
        let played_ns = viewing.played_ns.saturating_sub(self.older.1);
        (elapsed_ns >= SPEED_WINDOW_NS / 2).then(|| played_ns as f64 / elapsed_ns as f64)
    }
}
