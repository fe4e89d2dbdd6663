//! The state of one low-latency rendition: its segments and parts, its playlist, and when a request for that is answered
//! (RFC 8216bis, 6.2.5).

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use url::Url;

use hls_swarm_hls::playlist::Media;
use hls_swarm_hls::playlist::low_latency::{
    HintKind, Part, Partial, PreloadHint, RenditionReport, ServerControl,
};
use hls_swarm_hls::playlist::media::{Map, Segment};

use super::Division;
use crate::layout::Rendition;
use crate::profile::Format;
use crate::profile::stream::Stream;

/// PART-HOLD-BACK in part durations: at least two, and three are recommended.
const PART_HOLD_BACK: f64 = 3.0;
/// CAN-SKIP-UNTIL in target durations: the least that is permitted.
const SKIP_UNTIL: f64 = 6.0;
/// Parts are listed of the segments within this many target durations from the end.
const PARTS_LISTED: f64 = 3.0;

/// The version that EXT-X-SKIP requires.
const VERSION: u64 = 9;

/// The delivery directives of a request (RFC 8216bis, 6.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    /// `_HLS_msn`.
    pub(crate) sequence: Option<u64>,
    /// `_HLS_part`.
    pub(crate) part: Option<u64>,
    /// `_HLS_skip`.
    pub(crate) skip: bool,
}

impl Directives {
    /// Reads them from a query; the reason why that is not possible.
    pub(crate) fn read(query: &str) -> Result<Self, &'static str> {
        let mut read = Self::default();
        for (name, value) in query.split('&').filter_map(|one| one.split_once('=')) {
            let number = || value.parse().map(Some);
            match name {
                "_HLS_msn" => read.sequence = number().map_err(|_| "_HLS_msn is not a number")?,
                "_HLS_part" => read.part = number().map_err(|_| "_HLS_part is not a number")?,
                "_HLS_skip" => read.skip = matches!(value, "YES" | "v2"),
                _ => {}
            }
        }
        match (read.sequence, read.part) {
            (None, Some(_)) => Err("_HLS_part without _HLS_msn"),
            _ => Ok(read),
        }
    }
}

/// When a request for the playlist is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reload {
    /// Now.
    Now,
    /// When the playlist has changed, perhaps.
    Wait,
    /// With 400.
    Refused(&'static str),
}

/// What is known of a file that may be a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It is there.
    Present,
    /// It is the next part.
    Next,
    /// Neither.
    Unknown,
}

/// A segment, complete or not.
#[derive(Clone, Debug, PartialEq)]
struct Listed {
    number: u64,
    /// Number of the first segment of the same encoder.
    encoder_start: u64,
    date: Option<Timestamp>,
    /// Whether it was never made: FFmpeg ended before.
    gap: bool,
    parts: Vec<ListedPart>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ListedPart {
    seconds: f64,
    independent: bool,
}

impl Listed {
    const fn empty(number: u64, encoder_start: u64) -> Self {
        Self { number, encoder_start, date: None, gap: false, parts: Vec::new() }
    }

    fn seconds(&self) -> f64 {
        self.parts.iter().map(|part| part.seconds).sum()
    }

    /// Whether the timestamps restart at this segment.
    const fn is_discontinuity(&self) -> bool {
        self.number == self.encoder_start && self.number > 0
    }

    fn date_after(&self) -> Option<Timestamp> {
        self.date?.checked_add(Duration::from_secs_f64(self.seconds())).ok()
    }
}

/// The state of one rendition.
#[derive(Clone, Debug)]
pub(crate) struct LiveList {
    rendition: Rendition,
    has_map: bool,
    target_seconds: u32,
    part_target: f64,
    list_size: usize,
    delete_threshold: usize,
    /// Discontinuities before the first segment listed.
    discontinuities: u64,
    segments: VecDeque<Listed>,
    /// Numbers of segments that are listed no more.
    delisted: VecDeque<(u64, u64)>,
    /// The segment that is not complete.
    open: Listed,
    /// The number of the last segment whose parts were deleted.
    parts_deleted: Option<u64>,
}

impl LiveList {
    /// An empty list whose first segment will have this number.
    pub(crate) fn new(
        stream: &Stream,
        division: Division,
        rendition: Rendition,
        next: u64,
        discontinuities: u64,
    ) -> Self {
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            rendition,
            has_map: stream.format == Format::Fmp4,
            target_seconds: stream.segment_seconds,
            part_target: division.seconds(division.part_frames),
            list_size: count(stream.list_size),
            delete_threshold: count(stream.delete_threshold),
            discontinuities,
            segments: VecDeque::new(),
            delisted: VecDeque::new(),
            open: Listed::empty(next, next),
            parts_deleted: None,
        }
    }

    /// The rendition.
    pub(crate) const fn rendition(&self) -> &Rendition {
        &self.rendition
    }

    /// The number of the segment that is not complete, and how many parts of it are.
    pub(crate) const fn position(&self) -> (u64, usize) {
        (self.open.number, self.open.parts.len())
    }

    /// Discontinuities up to the segment that is not complete.
    pub(crate) fn all_discontinuities(&self) -> u64 {
        let listed = self.segments.iter().chain([&self.open]).filter(|one| one.is_discontinuity()).count();
        self.discontinuities + listed as u64
    }

    /// Goes on with another encoder: the number of its first segment is `number`, and timestamps restart.
    pub(crate) fn begin_encoder(&mut self, number: u64) {
        self.open = Listed::empty(number, number);
    }

    /// Adds a part to the segment that is not complete. `date` is that of the segment, for its first part.
    pub(crate) fn add_part(&mut self, seconds: f64, independent: bool, date: Option<Timestamp>) {
        if self.open.parts.is_empty() {
            let after = self.segments.back().filter(|last| last.encoder_start == self.open.encoder_start);
            self.open.date = after.and_then(Listed::date_after).or(date);
        }
        self.open.parts.push(ListedPart { seconds, independent });
    }

    /// Lists a segment that this rendition lacks, although others have it. Returns the files that are needed no more.
    pub(crate) fn add_gap(&mut self) -> Vec<String> {
        self.open.gap = true;
        self.add_part(f64::from(self.target_seconds), false, None);
        self.finish_segment()
    }

    /// Whether there is a whole segment.
    pub(crate) fn has_segments(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Completes the segment. Returns the files that are needed no more.
    pub(crate) fn finish_segment(&mut self) -> Vec<String> {
        let next = Listed::empty(self.open.number + 1, self.open.encoder_start);
        self.segments.push_back(std::mem::replace(&mut self.open, next));
        let mut files = self.old_parts();
        while self.segments.len() > self.list_size {
            let Some(gone) = self.segments.pop_front() else { break };
            self.discontinuities += u64::from(gone.is_discontinuity());
            self.delisted.push_back((gone.number, gone.encoder_start));
        }
        while self.delisted.len() > self.delete_threshold {
            let Some((gone, encoder_start)) = self.delisted.pop_front() else { break };
            files.push(self.rendition.segment(gone));
            let oldest = self.delisted.front().map(|(_, start)| *start);
            let oldest = oldest.or_else(|| self.segments.front().map(|one| one.encoder_start));
            if self.has_map && oldest.is_some_and(|oldest| oldest != encoder_start) {
                files.push(self.rendition.initialization(encoder_start));
            }
        }
        files
    }

    /// The parts that have not been listed for one segment's duration.
    fn old_parts(&mut self) -> Vec<String> {
        let keep = self.first_with_parts().saturating_sub(1);
        let mut files = Vec::new();
        for segment in self.segments.iter().take(keep) {
            if self.parts_deleted.is_none_or(|last| segment.number > last) {
                let parts = 0..segment.parts.len() as u64;
                files.extend(parts.map(|index| self.rendition.part(segment.number, index)));
                self.parts_deleted = Some(segment.number);
            }
        }
        files
    }

    /// The index of the first segment whose parts are listed.
    fn first_with_parts(&self) -> usize {
        let listed = PARTS_LISTED * f64::from(self.target_seconds);
        let mut to_end = self.open.seconds();
        let near = self.segments.iter().rev().take_while(|segment| {
            let ends_near = to_end < listed;
            to_end += segment.seconds();
            ends_near
        });
        self.segments.len() - near.count()
    }

    /// The last part: the number of its segment, and its index. `None` without any segment.
    fn last_part(&self) -> Option<(u64, u64)> {
        let last = Some(&self.open).filter(|open| !open.parts.is_empty()).or(self.segments.back())?;
        Some((last.number, (last.parts.len() as u64).checked_sub(1)?))
    }

    /// The report on this rendition in the playlists of others.
    pub(crate) fn report(&self) -> Option<RenditionReport> {
        let (sequence, part) = self.last_part()?;
        let uri = self.rendition.playlist();
        let url = resolved(&uri)?;
        Some(RenditionReport { uri, url, last_sequence: Some(sequence), last_part: Some(part) })
    }

    /// When a request with these directives is answered.
    pub(crate) fn reload(&self, directives: Directives) -> Reload {
        let Some(sequence) = directives.sequence else {
            return if self.segments.is_empty() && self.open.parts.is_empty() {
                Reload::Wait
            } else {
                Reload::Now
            };
        };
        let last =
            if self.open.parts.is_empty() { self.open.number.saturating_sub(1) } else { self.open.number };
        if sequence > last.saturating_add(2) {
            return Reload::Refused("_HLS_msn is more than two segments after the last one");
        }
        let Some(part) = directives.part else {
            return if sequence < self.open.number { Reload::Now } else { Reload::Wait };
        };
        // RFC 8216bis, 6.2.5.2: three parts, or three seconds of shorter ones.
        let limit = if self.part_target < 1.0 { (3.0 / self.part_target).ceil() as u64 } else { 3 };
        let open_parts = self.open.parts.len() as u64;
        if sequence == self.open.number && part >= open_parts.saturating_add(limit) {
            return Reload::Refused("_HLS_part is too far after the last part");
        }
        // A part that a complete segment does not have is the first one of the next segment.
        let known = self.segments.iter().find(|segment| segment.number == sequence);
        let (sequence, part) = match known {
            Some(segment) if part >= segment.parts.len() as u64 => (sequence + 1, 0),
            _ => (sequence, part),
        };
        let is_there = sequence < self.open.number || (sequence == self.open.number && part < open_parts);
        if is_there { Reload::Now } else { Reload::Wait }
    }

    /// What is known of a file.
    pub(crate) fn announced(&self, file: &str) -> Announced {
        let Some((number, index)) = self.rendition.part_of(file) else { return Announced::Unknown };
        let open = self.open.parts.len() as u64;
        if (number, index) == (self.open.number, open) {
            return Announced::Next;
        }
        let has =
            |segment: &Listed| segment.number == number && !segment.gap && index < segment.parts.len() as u64;
        let is_there = self.segments.iter().chain([&self.open]).any(has);
        if is_there { Announced::Present } else { Announced::Unknown }
    }

    /// The playlist, with reports on other renditions.
    pub(crate) fn media(&self, reports: Vec<RenditionReport>) -> Option<Media> {
        let target = f64::from(self.target_seconds);
        let first = self.segments.front().map_or(self.open.number, |first| first.number);
        let with_parts = self.first_with_parts();
        let map = |encoder_start| {
            let uri = self.rendition.initialization(encoder_start);
            let url = resolved(&uri)?;
            self.has_map.then_some(std::sync::Arc::new(Map { uri, url, byte_range: None }))
        };
        let segments = self.segments.iter().enumerate().map(|(index, segment)| {
            let uri = self.rendition.segment(segment.number);
            Some(Segment {
                url: resolved(&uri)?,
                uri,
                sequence: segment.number,
                duration: segment.seconds(),
                byte_range: None,
                discontinuity: segment.is_discontinuity(),
                gap: segment.gap,
                key: None,
                map: map(segment.encoder_start),
                program_date_time: segment.date,
                parts: if index < with_parts || segment.gap { Vec::new() } else { self.parts(segment)? },
            })
        });
        let partial = Partial {
            parts: self.parts(&self.open)?,
            discontinuity: self.open.is_discontinuity(),
            key: None,
            map: map(self.open.encoder_start),
            program_date_time: self.open.date,
        };
        let uri = self.rendition.part(self.open.number, self.open.parts.len() as u64);
        let url = resolved(&uri)?;
        Some(Media {
            version: Some(VERSION),
            independent_segments: true,
            target_duration: target,
            media_sequence: first,
            discontinuity_sequence: self.discontinuities,
            segments: segments.collect::<Option<Vec<_>>>()?,
            partial: Some(partial).filter(|partial| !partial.parts.is_empty()),
            server_control: Some(ServerControl {
                can_block_reload: true,
                can_skip_until: Some(SKIP_UNTIL * target),
                can_skip_dateranges: false,
                hold_back: Some(3.0 * target),
                part_hold_back: Some(PART_HOLD_BACK * self.part_target),
            }),
            part_target: Some(self.part_target),
            preload_hints: vec![PreloadHint { kind: HintKind::Part, uri, url, start: 0, length: None }],
            rendition_reports: reports,
            ..Media::default()
        })
    }

    fn parts(&self, segment: &Listed) -> Option<Vec<Part>> {
        let part = |(index, part): (u64, &ListedPart)| {
            let uri = self.rendition.part(segment.number, index);
            let url = resolved(&uri)?;
            let ListedPart { seconds, independent } = *part;
            Some(Part { uri, url, duration: seconds, independent, gap: false, byte_range: None })
        };
        (0..).zip(&segment.parts).map(part).collect()
    }
}

/// Playlists have relative addresses; this is only what the model needs beside them.
fn resolved(uri: &str) -> Option<Url> {
    Url::parse("http://origin/").ok()?.join(uri).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use hls_swarm_hls::playlist::{Playlist, read};

    fn list(flags: &[&str]) -> LiveList {
        let stream = Stream::of_flags(&[&["--profile=ll-hls"], flags].concat()).unwrap();
        let division = Division::of(&stream).unwrap();
        LiveList::new(&stream, division, layout::renditions(&stream).remove(0), 0, 0)
    }

    /// Adds this many parts of 0.5 s; every four are a segment.
    fn grow(list: &mut LiveList, parts: usize) -> Vec<String> {
        let mut files = Vec::new();
        for _ in 0..parts {
            let first = list.open.parts.is_empty();
            list.add_part(0.5, first, "2026-01-01T00:00:00Z".parse().ok());
            if list.open.parts.len() == 4 {
                files.extend(list.finish_segment());
            }
        }
        files
    }

    fn directives(query: &str) -> Directives {
        Directives::read(query).unwrap()
    }

    #[test]
    fn the_playlist_is_what_the_draft_asks_for() {
        let mut list = list(&["--list-size=3"]);
        grow(&mut list, 4 * 5 + 2);
        let text = list.media(Vec::new()).unwrap().to_string();
        insta::assert_snapshot!(text);
        let read = read(&text, &Url::parse("http://origin/stream.m3u8").unwrap()).unwrap();
        assert_eq!(read.warnings, []);
        let Playlist::Media(media) = read.playlist else { panic!("{text}") };
        assert_eq!(Some(media), list.media(Vec::new()));
    }

    #[test]
    fn requests_wait_for_the_part_or_segment_that_they_name() {
        let mut list = list(&[]);
        grow(&mut list, 4 * 5 + 2);
        let at = |query: &str| list.reload(directives(query));
        assert_eq!(at(""), Reload::Now);
        assert_eq!(at("x=1&_HLS_msn=5&_HLS_part=1"), Reload::Now);
        assert_eq!(at("_HLS_msn=5&_HLS_part=2"), Reload::Wait);
        assert_eq!(at("_HLS_msn=5"), Reload::Wait, "the whole segment");
        assert_eq!(at("_HLS_msn=4&_HLS_part=4"), Reload::Now, "the first part of the next segment");
        assert_eq!((at("_HLS_msn=4"), at("_HLS_msn=0")), (Reload::Now, Reload::Now));
        assert_eq!((at("_HLS_msn=6&_HLS_part=0"), at("_HLS_msn=7")), (Reload::Wait, Reload::Wait));
        assert!(matches!(at("_HLS_msn=8"), Reload::Refused(_)));
        assert!(matches!(at("_HLS_msn=5&_HLS_part=8"), Reload::Refused(_)), "six parts after the last one");
        assert_eq!(at("_HLS_msn=5&_HLS_part=7"), Reload::Wait);
        grow(&mut list, 2);
        assert_eq!(list.reload(directives("_HLS_msn=5&_HLS_part=4")), Reload::Wait, "the first of the next");
        assert_eq!(list.reload(directives("_HLS_msn=5")), Reload::Now);
        for query in ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=1&_HLS_part=-1"] {
            assert!(Directives::read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_next_part_is_the_one_that_is_announced() {
        let mut list = list(&[]);
        grow(&mut list, 4 * 2 + 3);
        assert_eq!(list.announced("seg_00002.2.m4s"), Announced::Present);
        assert_eq!(list.announced("seg_00002.3.m4s"), Announced::Next);
        grow(&mut list, 1);
        assert_eq!(list.announced("seg_00003.0.m4s"), Announced::Next);
        for file in ["seg_00002.4.m4s", "seg_00003.1.m4s", "seg_2.0.m4s", "seg_00002.m4s", "stream.m3u8"] {
            assert_eq!(list.announced(file), Announced::Unknown, "{file}");
        }
    }

    #[test]
    fn every_file_is_deleted_once_after_it_was_listed() {
        let mut list = list(&["--list-size=4", "--delete-threshold=1"]);
        let mut deleted = Vec::new();
        for segments in 1..=20 {
            deleted.extend(grow(&mut list, 4));
            let text = list.media(Vec::new()).unwrap().to_string();
            assert!(deleted.iter().all(|file| !text.contains(file.as_str())), "{segments}: {text}");
        }
        let unique: std::collections::BTreeSet<_> = deleted.iter().collect();
        assert_eq!(unique.len(), deleted.len());
        // Of 20 segments, the last 5 are there, and the parts of the last 4.
        assert_eq!(deleted.iter().filter(|file| file.matches('.').count() == 1).count(), 15);
        assert_eq!(deleted.iter().filter(|file| file.matches('.').count() == 2).count(), 4 * 16);
    }

    #[test]
    fn another_encoder_is_a_discontinuity() {
        let mut list = list(&["--list-size=3"]);
        grow(&mut list, 4 * 2);
        list.begin_encoder(2);
        grow(&mut list, 2);
        let media = list.media(Vec::new()).unwrap();
        assert!(media.partial.as_ref().unwrap().discontinuity && !media.segments[1].discontinuity);
        assert_eq!((media.discontinuity_sequence, list.all_discontinuities()), (0, 1));
        grow(&mut list, 4 * 4);
        let media = list.media(Vec::new()).unwrap();
        assert_eq!((media.discontinuity_sequence, media.segments[0].discontinuity), (1, false));
    }
}
