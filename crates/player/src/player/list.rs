//! Rules about media playlists: where to begin, when to reload, what has changed, and which segment comes next.

use std::time::Duration;

use hls_swarm_hls::playlist::Media;
use hls_swarm_hls::playlist::low_latency::{Part, ServerControl};
use hls_swarm_hls::playlist::media::Segment;

use super::rules::Rules;

/// A segment within this of its end is left out at the start or after a switch (hls.js: maxFragLookUpTolerance),
/// seconds.
const TOLERANCE: f64 = 0.25;
/// The shortest time between two loads of a playlist, whatever it promises.
const MIN_RELOAD: Duration = Duration::from_millis(250);
const MAX_SECONDS: f64 = 86_400.0;

/// A duration of a playlist, nanoseconds.
pub(crate) fn to_ns(seconds: f64) -> u64 {
    (seconds.clamp(0.0, MAX_SECONDS) * 1e9).round() as u64
}

/// A place in a playlist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// The media sequence number of the segment there.
    pub(crate) sequence: u64,
    /// The index of the part there; 0 where the segment is played as a whole.
    pub(crate) part: u64,
    /// Seconds of that part, or segment, before the place.
    pub(crate) into: f64,
}

impl Place {
    pub(crate) const fn new(sequence: u64, into: f64) -> Self {
        Self { sequence, part: 0, into }
    }
}

/// The segment with this media sequence number. Nothing follows the largest number, so it is the place after the last
/// segment and no segment of its own.
pub(crate) fn segment(media: &Media, sequence: u64) -> Option<(usize, &Segment)> {
    if sequence == u64::MAX {
        return None;
    }
    let first = media.segments.first()?.sequence;
    let index = usize::try_from(sequence.checked_sub(first)?).ok()?;
    Some((index, media.segments.get(index)?))
}

/// The place `seconds` after the beginning of the first segment listed.
pub(crate) fn place_at(media: &Media, seconds: f64) -> Option<Place> {
    let mut begin = 0.0;
    for segment in &media.segments {
        let end = begin + segment.duration;
        if seconds < end - TOLERANCE.min(segment.duration / 2.0) {
            return Some(Place::new(segment.sequence, (seconds - begin).max(0.0)));
        }
        begin = end;
    }
    media.segments.last().map(|last| Place::new(last.sequence, 0.0))
}

/// How far from the end of a live playlist playback begins, seconds. `parts`: whether parts are played.
pub(crate) fn hold_back(media: &Media, parts: bool) -> f64 {
    let announced = |seconds: fn(&ServerControl) -> Option<f64>| {
        media.server_control.as_ref().and_then(seconds).filter(|seconds| *seconds > 0.0)
    };
    if let Some(target) = media.part_target.filter(|_| parts) {
        return announced(|control| control.part_hold_back).unwrap_or(3.0 * target);
    }
    announced(|control| control.hold_back).unwrap_or(3.0 * media.longest_segment())
}

/// Where playback begins (RFC 8216bis, 6.3.3). `yielded` is added to the distance from the live edge.
pub(crate) fn start(media: &Media, rules: &Rules, yielded: f64, parts: bool) -> Option<Place> {
    let complete = media.duration();
    let duration = complete + if parts { media.partial_duration() } else { 0.0 };
    let (seconds, precise) = match media.start {
        Some(start) if start.time_offset < 0.0 => (duration + start.time_offset, start.precise),
        Some(start) => (start.time_offset, start.precise),
        None if media.is_live() => (duration - hold_back(media, parts) - yielded, false),
        None => return place_at(media, 0.0),
    };
    let seconds = seconds.clamp(0.0, duration);
    let mut place = if parts && media.partial.is_some() && seconds > complete - TOLERANCE {
        Place::new(media.next_sequence(), (seconds - complete).max(0.0))
    } else {
        place_at(media, seconds)?
    };
    if parts {
        place = at_part(media, place);
    }
    if !precise && !rules.precise_start {
        place.into = 0.0;
    }
    Some(place)
}

/// The parts of the segment with this number, complete or not.
pub(crate) fn parts(media: &Media, sequence: u64) -> &[Part] {
    match segment(media, sequence) {
        Some((_, segment)) => &segment.parts,
        None if sequence == media.next_sequence() => {
            media.partial.as_ref().map_or(&[], |partial| partial.parts.as_slice())
        }
        None => &[],
    }
}

/// The place in the last part before `place` that playback can begin with.
pub(crate) fn at_part(media: &Media, place: Place) -> Place {
    let (mut begin, mut found) = (0.0, Place { part: 0, ..place });
    for (index, part) in (0..).zip(parts(media, place.sequence)) {
        if begin > place.into + 1e-6 {
            break;
        }
        if part.independent {
            found = Place { part: index, into: place.into - begin, ..place };
        }
        begin += part.duration;
    }
    found
}

/// Whether a binary search among `listed` segments finds the one at `index` before the one after it, when both would do:
/// that is how hls.js looks for the segment at the end of its buffer.
pub(crate) fn is_found_first(index: usize, listed: usize) -> bool {
    let (mut from, mut to) = (0, listed);
    while from < to {
        let middle = usize::midpoint(from, to - 1);
        match middle {
            _ if middle < index => from = middle + 1,
            _ if middle > index + 1 => to = middle,
            _ => return middle == index,
        }
    }
    false
}

/// The date at the beginning of the segment that is not complete.
pub(crate) fn partial_date_ns(media: &Media) -> Option<i64> {
    let partial = media.partial.as_ref()?;
    if let Some(date) = partial.program_date_time {
        return i64::try_from(date.as_nanosecond()).ok();
    }
    let last = media.segments.len().checked_sub(1).filter(|_| !partial.discontinuity)?;
    date_ns(media, last)?.checked_add_unsigned(to_ns(media.segments.get(last)?.duration))
}

/// The date at the beginning of a segment, nanoseconds since 1970: its own, or that of one before it that nothing
/// separates from it, or else of one after it.
pub(crate) fn date_ns(media: &Media, index: usize) -> Option<i64> {
    let date = |segment: &Segment| {
        segment.program_date_time.and_then(|date| i64::try_from(date.as_nanosecond()).ok())
    };
    let mut passed = 0_u64;
    for (at, segment) in media.segments.iter().enumerate().take(index + 1).rev() {
        if at < index {
            passed = passed.saturating_add(to_ns(segment.duration));
        }
        if let Some(date) = date(segment) {
            return date.checked_add_unsigned(passed);
        }
        if segment.discontinuity {
            return None;
        }
    }
    let mut ahead = 0_u64;
    for (at, segment) in media.segments.iter().enumerate().skip(index) {
        if at > index && segment.discontinuity {
            return None;
        }
        if let Some(date) = date(segment) {
            return date.checked_sub_unsigned(ahead);
        }
        ahead = ahead.saturating_add(to_ns(segment.duration));
    }
    None
}

/// The place in `other` of the date at which `sequence` begins in `media`.
pub(crate) fn same_date(media: &Media, sequence: u64, other: &Media) -> Option<Place> {
    let date = match segment(media, sequence) {
        Some((index, _)) => date_ns(media, index)?,
        None if sequence == media.next_sequence() => {
            let last = media.segments.len().checked_sub(1)?;
            date_ns(media, last)?.checked_add_unsigned(to_ns(media.segments[last].duration))?
        }
        None => return None,
    };
    let seconds = date.saturating_sub(date_ns(other, 0)?) as f64 / 1e9;
    // Not before the first segment: there the number decides, or else the player has fallen behind.
    (seconds > -TOLERANCE).then(|| place_or_end(other, seconds)).flatten()
}

/// The place at `seconds`, or the one behind the last segment.
fn place_or_end(media: &Media, seconds: f64) -> Option<Place> {
    if seconds >= media.duration() - TOLERANCE {
        return Some(Place::new(media.next_sequence(), 0.0));
    }
    place_at(media, seconds)
}

/// The place behind a playlist that has ended.
pub(crate) fn end(media: &Media) -> Option<Place> {
    media.ended.then(|| Place::new(media.next_sequence(), 0.0))
}

/// The place `seconds` after another one.
pub(crate) fn forward(media: &Media, place: Place, seconds: f64) -> Place {
    let mut into = place.into + seconds;
    if place.sequence >= media.next_sequence() {
        return Place { into, ..place };
    }
    for segment in media.segments.iter().filter(|segment| segment.sequence >= place.sequence) {
        if into < segment.duration - TOLERANCE.min(segment.duration / 2.0) {
            return Place::new(segment.sequence, into);
        }
        into = (into - segment.duration).max(0.0);
    }
    place
}

/// Where `other`, a playlist of the same media, has what begins at `sequence` in `media`: by date, else by media
/// sequence number, else by its distance from the beginning (ended) or from the end (live).
pub(crate) fn same_place(media: &Media, sequence: u64, other: &Media) -> Option<Place> {
    if let Some(place) = same_date(media, sequence, other) {
        return Some(place);
    }
    if media.ended && other.ended {
        let before = media.segments.iter().take_while(|segment| segment.sequence < sequence);
        let seconds: f64 = before.map(|segment| segment.duration).sum();
        return place_or_end(other, seconds);
    }
    let first = other.segments.first()?.sequence;
    // One playlist may have been written a little before the other.
    let near = other.next_sequence().saturating_add(other.segments.len() as u64);
    if sequence >= first && sequence <= near {
        return Some(Place::new(sequence, 0.0));
    }
    let rest = media.segments.iter().filter(|segment| segment.sequence >= sequence);
    let behind: f64 = rest.map(|segment| segment.duration).sum();
    place_at(other, (other.duration() - behind).max(0.0))
}

/// What a reload brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing new.
    Unchanged,
    /// More segments, or an end.
    Changed,
    /// An older playlist than the last one, as from a cache that is behind.
    Older,
    /// Media sequence numbers that start over.
    Restarted,
}

/// Compares a playlist with the one that was loaded before it.
pub(crate) fn change(before: &Media, after: &Media) -> Change {
    let (old_end, new_end) = (before.next_sequence(), after.next_sequence());
    if new_end > old_end || (new_end == old_end && after.ended != before.ended) {
        // Numbers may also have been reached again by an encoder that was restarted.
        return if differs(before, after) { Change::Restarted } else { Change::Changed };
    }
    let (old_parts, new_parts) = (partial_parts(before), partial_parts(after));
    if new_end == old_end && new_parts > old_parts && !differs(before, after) {
        return Change::Changed;
    }
    let same_begin = after.media_sequence >= before.media_sequence;
    if differs(before, after) {
        return Change::Restarted;
    }
    if new_end == old_end && new_parts < old_parts {
        return Change::Older;
    }
    if new_end == old_end || (same_begin && after.segments.is_empty()) {
        return Change::Unchanged;
    }
    // Without a common segment, a smaller number is that of an encoder that was restarted.
    let apart = new_end <= before.media_sequence && !after.segments.is_empty();
    if apart { Change::Restarted } else { Change::Older }
}

fn partial_parts(media: &Media) -> usize {
    media.partial.as_ref().map_or(0, |partial| partial.parts.len())
}

/// Whether a media sequence number that both playlists have belongs to different media.
fn differs(before: &Media, after: &Media) -> bool {
    let (Some(old), Some(new)) = (before.segments.first(), after.segments.first()) else { return false };
    let first = old.sequence.max(new.sequence);
    let (Some((_, old)), Some((_, new))) = (segment(before, first), segment(after, first)) else {
        return false;
    };
    // Queries may change from load to load, as tokens do.
    let dated = old.program_date_time.is_some() && old.program_date_time == new.program_date_time;
    old.url.path() != new.url.path() && !dated
}

/// The time between the beginnings of two loads (RFC 8216bis, 6.3.4). `to_edge` is how far the playhead is from the end
/// of the playlist, seconds.
pub(crate) fn reload_after(media: &Media, changed: bool, rules: &Rules, to_edge: f64) -> Duration {
    let target = media.longest_segment();
    let target = if target > 0.0 { target.min(MAX_SECONDS) } else { 2.0 };
    let seconds = if changed {
        let last = media.segments.last().map_or(target, |last| last.duration);
        let near = to_edge < 4.0 * target;
        if rules.reloads_by_last_segment && near && last > 0.0 { target.min(last) } else { target }
    } else {
        target / 2.0
    };
    Duration::from_nanos(to_ns(seconds)).max(MIN_RELOAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::Preset;
    use hls_swarm_hls::playlist::{Playlist, read};
    use url::Url;

    /// A playlist of segments of 2 s, `text` before them and `name` in their URLs.
    fn list(first: u64, count: u64, text: &str, name: &str) -> Media {
        let mut all = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{text}\n");
        for sequence in first..first + count {
            all += &format!("#EXTINF:2,\n{name}{sequence}.ts\n");
        }
        match read(&all, &Url::parse("http://host/a.m3u8").unwrap()).unwrap().playlist {
            Playlist::Media(media) => media,
            Playlist::Multivariant(_) => panic!("a media playlist"),
        }
    }

    fn place(sequence: u64, into: f64) -> Option<Place> {
        Some(Place::new(sequence, into))
    }

    #[test]
    fn playback_begins_where_rfc_8216bis_says() {
        let hlsjs = Rules::of(Preset::HlsJs);
        let simple = Rules::of(Preset::Simple);
        assert_eq!(start(&list(10, 6, "", ""), hlsjs, 0.0, false), place(13, 0.0));
        assert_eq!(
            start(&list(10, 2, "", ""), hlsjs, 0.0, false),
            place(10, 0.0),
            "a window that is too short"
        );
        assert_eq!(start(&list(10, 6, "", ""), hlsjs, 1.0, false), place(12, 1.0), "after a stall");
        let held = "#EXT-X-SERVER-CONTROL:HOLD-BACK=7";
        assert_eq!(start(&list(10, 6, held, ""), hlsjs, 0.0, false), place(12, 1.0));
        assert_eq!(start(&list(10, 6, held, ""), simple, 0.0, false), place(12, 0.0));
        for (offset, sequence, into) in [("3", 11, 1.0), ("-3", 14, 1.0), ("99", 15, 0.0), ("-99", 10, 0.0)] {
            let text = format!("#EXT-X-START:TIME-OFFSET={offset},PRECISE=YES");
            assert_eq!(start(&list(10, 6, &text, ""), simple, 0.0, false), place(sequence, into), "{offset}");
        }
        let mut ended = list(10, 6, "", "");
        ended.ended = true;
        assert_eq!(start(&ended, hlsjs, 0.0, false), place(10, 0.0));
        assert_eq!(start(&Media::default(), hlsjs, 0.0, false), None);
    }

    #[test]
    fn a_reload_waits_for_the_target_duration_or_half_of_it() {
        let ms = |media: &Media, changed, preset, to_edge| {
            reload_after(media, changed, Rules::of(preset), to_edge).as_millis()
        };
        let mut media = list(1, 3, "", "");
        assert_eq!(ms(&media, true, Preset::Simple, 6.0), 2000);
        assert_eq!(ms(&media, false, Preset::HlsJs, 6.0), 1000);
        media.segments[2].duration = 1.2;
        assert_eq!(ms(&media, true, Preset::HlsJs, 6.0), 1200, "near the edge");
        assert_eq!(ms(&media, true, Preset::HlsJs, 8.0), 2000);
        assert_eq!(ms(&media, true, Preset::ExoPlayer, 6.0), 2000);
        media.target_duration = 0.0;
        assert_eq!(ms(&media, true, Preset::Simple, 6.0), 2000, "nothing is promised");
        media.target_duration = 1e-9;
        assert!(ms(&media, false, Preset::Simple, 6.0) >= 250);
    }

    #[test]
    fn a_reload_brings_something_new_or_nothing_or_something_old() {
        let before = list(10, 6, "", "a");
        let at = |after: &Media| change(&before, after);
        assert_eq!(at(&before), Change::Unchanged);
        assert_eq!(at(&list(11, 6, "", "a")), Change::Changed);
        assert_eq!(at(&Media { ended: true, ..before.clone() }), Change::Changed);
        assert_eq!(at(&list(8, 6, "", "a")), Change::Older);
        assert_eq!(at(&list(10, 5, "", "a")), Change::Older);
        assert_eq!(at(&list(0, 3, "", "a")), Change::Restarted);
        assert_eq!(at(&list(8, 6, "", "b")), Change::Restarted, "the same numbers, other media");
        assert_eq!(at(&list(10, 7, "", "b")), Change::Restarted);
        assert_eq!(at(&list(40, 6, "", "a")), Change::Changed, "far ahead");
    }

    #[test]
    fn dates_reach_over_segments_until_a_discontinuity() {
        let mut media = list(10, 4, "", "");
        assert_eq!(date_ns(&media, 2), None);
        media.segments[1].program_date_time = "2026-01-01T00:00:10Z".parse().ok();
        let at = |media: &Media, index| date_ns(media, index).map(|ns| ns / 1_000_000_000 % 60);
        assert_eq!([0, 1, 3].map(|index| at(&media, index)), [Some(8), Some(10), Some(14)]);
        media.segments[3].discontinuity = true;
        assert_eq!((at(&media, 2), at(&media, 3)), (Some(12), None));
    }

    #[test]
    fn the_middle_decides_which_of_two_segments_a_search_finds() {
        // Of ten, a binary search looks at 4, then at 7 or 1, then at 8, 5, 0, or 2.
        let found: Vec<_> = (0..10).filter(|index| is_found_first(*index, 10)).collect();
        assert_eq!(found, [1, 2, 4, 5, 7, 8, 9]);
        assert!(is_found_first(9, 10) && is_found_first(0, 1), "nothing follows the last one");
    }

    #[test]
    fn another_variant_is_continued_at_the_same_media() {
        let one = list(10, 6, "", "a");
        assert_eq!(same_place(&one, 16, &list(11, 6, "", "b")), place(16, 0.0));
        assert_eq!(same_place(&one, 16, &list(9, 6, "", "b")), place(16, 0.0), "not listed yet");
        assert_eq!(same_place(&one, 14, &list(500, 6, "", "b")), place(504, 0.0), "other numbers");
        let dated = |first, date: &str| {
            list(first, 6, &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:{date}Z"), "c")
        };
        assert_eq!(same_place(&dated(10, "00"), 12, &dated(700, "02")), place(701, 0.0));
        assert_eq!(same_place(&dated(10, "00"), 16, &dated(700, "02")), place(705, 0.0));
        assert_eq!(same_place(&dated(10, "00"), 12, &dated(700, "01")), place(701, 1.0));
        let mut short = list(0, 12, "", "d");
        short.ended = true;
        short.segments.iter_mut().for_each(|segment| segment.duration = 1.0);
        let ended = Media { ended: true, ..list(0, 6, "", "e") };
        assert_eq!(same_place(&ended, 3, &short), place(6, 0.0));
        assert_eq!(same_place(&ended, 6, &short), place(12, 0.0));
    }
}
