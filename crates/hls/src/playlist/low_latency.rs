//! Low-Latency HLS (RFC 8216bis): partial segments, preload hints, rendition reports, server control, and delta updates.

use std::sync::Arc;

use jiff::Timestamp;
use url::Url;

use super::attributes::{attribute, integer, number};
use super::media::{ByteRange, Key, Map, Media};

/// EXT-X-SERVER-CONTROL: what the server offers to players that want low latency, and how far from the end of
/// the playlist to begin (RFC 8216bis, 4.4.3.8).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerControl {
    /// CAN-BLOCK-RELOAD: whether a request for a playlist may wait for the next update.
    pub can_block_reload: bool,
    /// CAN-SKIP-UNTIL: segments farther from the end of the playlist than this may be left out of a delta update,
    /// seconds. `None`: there are no delta updates.
    pub can_skip_until: Option<f64>,
    /// CAN-SKIP-DATERANGES: whether a delta update may leave out date ranges as well.
    pub can_skip_dateranges: bool,
    /// HOLD-BACK, seconds.
    pub hold_back: Option<f64>,
    /// PART-HOLD-BACK, seconds.
    pub part_hold_back: Option<f64>,
}

impl ServerControl {
    pub(super) fn read(list: &str) -> Self {
        let yes = |name| attribute(list, name) == Some("YES");
        let seconds = |name| attribute(list, name).and_then(number).filter(|seconds| *seconds >= 0.0);
        Self {
            can_block_reload: yes("CAN-BLOCK-RELOAD"),
            can_skip_until: seconds("CAN-SKIP-UNTIL"),
            can_skip_dateranges: yes("CAN-SKIP-DATERANGES"),
            hold_back: seconds("HOLD-BACK"),
            part_hold_back: seconds("PART-HOLD-BACK"),
        }
    }
}

/// EXT-X-PART: a partial segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// URI as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// DURATION, seconds; 0 if it cannot be read.
    pub duration: f64,
    /// INDEPENDENT: whether it contains an independent frame, so that playback can begin with it.
    pub independent: bool,
    /// GAP: whether it is missing, so that players do not load it.
    pub gap: bool,
    /// BYTERANGE: the part of the resource that it is.
    pub byte_range: Option<ByteRange>,
}

/// The segment at the end of a playlist that is not complete yet: the parts of it that are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partial {
    /// Its parts; never empty in a playlist that was read.
    pub parts: Vec<Part>,
    /// Whether EXT-X-DISCONTINUITY precedes it.
    pub discontinuity: bool,
    /// EXT-X-KEY: how it is encrypted.
    pub key: Option<Arc<Key>>,
    /// EXT-X-MAP: its initialization section.
    pub map: Option<Arc<Map>>,
    /// EXT-X-PROGRAM-DATE-TIME of its first sample.
    pub program_date_time: Option<Timestamp>,
}

/// EXT-X-PRELOAD-HINT: a resource that will be needed soon, and that may be requested already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// TYPE.
    pub kind: HintKind,
    /// URI as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// BYTERANGE-START.
    pub start: u64,
    /// BYTERANGE-LENGTH; `None`: up to the end of the resource.
    pub length: Option<u64>,
}

/// TYPE of an EXT-X-PRELOAD-HINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintKind {
    /// PART: the next partial segment.
    Part,
    /// MAP: the initialization section of the next segments.
    Map,
}

impl HintKind {
    const NAMES: [(&str, Self); 2] = [("PART", Self::Part), ("MAP", Self::Map)];

    /// The name in a playlist.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

impl PreloadHint {
    /// Reads it; `None` if it has no URI or no known TYPE.
    pub(super) fn read(list: &str, resolve: impl FnOnce(&str) -> Url) -> Option<Self> {
        let kind = attribute(list, "TYPE")?;
        let (_, kind) = HintKind::NAMES.into_iter().find(|(name, _)| *name == kind)?;
        let uri = attribute(list, "URI").filter(|uri| !uri.is_empty())?;
        Some(Self {
            kind,
            uri: uri.to_owned(),
            url: resolve(uri),
            start: attribute(list, "BYTERANGE-START").and_then(integer).unwrap_or(0),
            length: attribute(list, "BYTERANGE-LENGTH").and_then(integer),
        })
    }
}

/// EXT-X-RENDITION-REPORT: how far the playlist of another rendition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionReport {
    /// URI of that playlist as this one has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// LAST-MSN: the media sequence number of its last segment, complete or not.
    pub last_sequence: Option<u64>,
    /// LAST-PART: the index of the last part of that segment.
    pub last_part: Option<u64>,
}

impl RenditionReport {
    /// Reads it; `None` if it has no URI.
    pub(super) fn read(list: &str, resolve: impl FnOnce(&str) -> Url) -> Option<Self> {
        let uri = attribute(list, "URI").filter(|uri| !uri.is_empty())?;
        Some(Self {
            uri: uri.to_owned(),
            url: resolve(uri),
            last_sequence: attribute(list, "LAST-MSN").and_then(integer),
            last_part: attribute(list, "LAST-PART").and_then(integer),
        })
    }
}

impl Media {
    /// The last part that is listed: the media sequence number of its segment, and its index. Where the last segment has
    /// no parts, the index of the first part that would follow is 0 of the next segment, and this is `None`.
    #[must_use]
    pub fn last_part(&self) -> Option<(u64, u64)> {
        let (sequence, parts) = match &self.partial {
            Some(partial) => (self.next_sequence(), partial.parts.len()),
            None => (self.segments.last()?.sequence, self.segments.last()?.parts.len()),
        };
        Some((sequence, (parts as u64).checked_sub(1)?))
    }

    /// The duration of the parts after the last complete segment, seconds.
    #[must_use]
    pub fn partial_duration(&self) -> f64 {
        self.partial.iter().flat_map(|partial| &partial.parts).map(|part| part.duration).sum()
    }

    /// The number of segments that a delta update may leave out: those that end before the skip boundary (RFC 8216bis,
    /// 6.2.5.1). 0 without EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL.
    #[must_use]
    pub fn skippable(&self) -> usize {
        let Some(until) = self.server_control.and_then(|control| control.can_skip_until) else { return 0 };
        let mut to_end = self.partial_duration();
        let kept = self.segments.iter().rev().take_while(|segment| {
            let begins_within = to_end < until;
            to_end += segment.duration;
            begins_within
        });
        self.segments.len() - kept.count()
    }

    /// The delta update that leaves out the first `count` segments.
    #[must_use]
    pub fn delta(&self, count: usize) -> Self {
        let count = count.min(self.segments.len());
        let kept = self.segments.get(count..).unwrap_or_default().to_vec();
        Self {
            skipped: self.skipped.saturating_add(count as u64),
            segments: kept,
            unkeyed: 0,
            ..self.clone()
        }
    }

    /// Completes a delta update with the segments of `before`, a playlist that was loaded earlier. `None` if that lacks
    /// one of them, or misses some itself: then the whole playlist must be loaded.
    #[must_use]
    pub fn completed(&self, before: &Self) -> Option<Self> {
        if self.skipped == 0 {
            return Some(self.clone());
        }
        let first = before.segments.first()?.sequence;
        let from = usize::try_from(self.media_sequence.checked_sub(first)?).ok()?;
        let count = usize::try_from(self.skipped).ok()?;
        let known = before.segments.get(from..from.checked_add(count)?)?;
        if before.skipped > 0 {
            return None;
        }
        // Their parts are too old to be listed.
        let mut segments: Vec<_> = known.to_vec();
        segments.iter_mut().for_each(|segment| segment.parts.clear());
        let last = segments.last()?;
        let (key, map) = (last.key.clone(), last.map.clone());
        let mut completed = Self { skipped: 0, removed_dateranges: Vec::new(), unkeyed: 0, ..self.clone() };
        // Both apply until the next one, which may have been left out.
        let unkeyed = self.unkeyed;
        let unmapped = self.segments.iter().take_while(|segment| segment.map.is_none()).count();
        for (index, segment) in completed.segments.iter_mut().enumerate() {
            if index < unkeyed {
                segment.key.clone_from(&key);
            }
            if index < unmapped {
                segment.map.clone_from(&map);
            }
        }
        if let Some(partial) = &mut completed.partial {
            if self.segments.len() < unkeyed {
                partial.key = key;
            }
            if self.segments.len() == unmapped && partial.map.is_none() {
                partial.map = map;
            }
        }
        segments.append(&mut completed.segments);
        Some(Self { segments, ..completed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playlist::{Multivariant, Playlist, Reading, read, read_with};

    const TEXT: &str = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12,PART-HOLD-BACK=1.5,CAN-SKIP-DATERANGES=YES\n\
        #EXT-X-PART-INF:PART-TARGET=0.5\n#EXT-X-MEDIA-SEQUENCE:100\n#EXT-X-MAP:URI=\"init.mp4\"\n\
        #EXTINF:2,\n100.mp4\n\
        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00Z\n\
        #EXT-X-PART:DURATION=1,URI=\"101.mp4\",INDEPENDENT=YES,BYTERANGE=\"300@0\"\n\
        #EXT-X-PART:DURATION=1,URI=\"101.mp4\",BYTERANGE=\"200\"\n\
        #EXTINF:2,\n101.mp4\n\
        #EXT-X-DISCONTINUITY\n#EXT-X-PART:DURATION=0.5,URI=\"102.0.mp4\",INDEPENDENT=YES\n\
        #EXT-X-PART:DURATION=0.25,URI=\"102.1.mp4\",GAP=YES\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"102.2.mp4\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"x.mp4\",BYTERANGE-START=7,BYTERANGE-LENGTH=9\n\
        #EXT-X-RENDITION-REPORT:URI=\"../low/a.m3u8\",LAST-MSN=102,LAST-PART=1\n";

    fn base() -> Url {
        Url::parse("http://host/live/a.m3u8?token=t%20x").unwrap()
    }

    fn media(text: &str) -> Media {
        match read(text, &base()).unwrap().playlist {
            Playlist::Media(media) => media,
            Playlist::Multivariant(_) => panic!("a media playlist"),
        }
    }

    #[test]
    fn every_tag_is_read_and_written() {
        let media = media(TEXT);
        let control = media.server_control.unwrap();
        assert_eq!((control.can_skip_until, control.can_skip_dateranges), (Some(12.0), true));
        assert_eq!((media.part_target, media.version), (Some(0.5), Some(9)));
        let ranges: Vec<_> = media.segments[1].parts.iter().filter_map(|part| part.byte_range).collect();
        assert_eq!(ranges, [ByteRange { offset: 0, length: 300 }, ByteRange { offset: 300, length: 200 }]);
        let partial = media.partial.as_ref().unwrap();
        assert!(partial.discontinuity && partial.map == media.segments[0].map);
        let flags: Vec<_> = partial.parts.iter().map(|part| (part.independent, part.gap)).collect();
        assert_eq!(flags, [(true, false), (false, true)]);
        assert_eq!((media.last_part(), media.partial_duration()), (Some((102, 1)), 0.75));
        let [part, map] = &media.preload_hints[..] else { panic!("{media:?}") };
        assert_eq!(
            (part.kind, part.url.path(), part.start, part.length),
            (HintKind::Part, "/live/102.2.mp4", 0, None)
        );
        assert_eq!((map.kind, map.start, map.length), (HintKind::Map, 7, Some(9)));
        let report = &media.rendition_reports[0];
        assert_eq!(
            (report.url.path(), report.last_sequence, report.last_part),
            ("/low/a.m3u8", Some(102), Some(1))
        );
        assert_eq!(self::media(&media.to_string()), media);
    }

    #[test]
    fn a_delta_update_is_completed_with_what_was_known() {
        let before = media(TEXT);
        let head = TEXT.split("#EXT-X-MAP").next().unwrap();
        // 100 and 101 are left out, and with them the initialization section that 102 needs as well.
        let update = media(&format!(
            "{head}#EXT-X-SKIP:SKIPPED-SEGMENTS=2,RECENTLY-REMOVED-DATERANGES=\"a\tb\"\n#EXTINF:0.75,\n102.mp4\n\
             #EXT-X-PART:DURATION=0.5,URI=\"103.0.mp4\"\n"
        ));
        assert_eq!(update.removed_dateranges, ["a", "b"]);
        let whole = update.completed(&before).unwrap();
        assert_eq!((whole.skipped, whole.segments.len(), whole.next_sequence()), (0, 3, 103));
        let maps =
            |media: &Media| media.segments.iter().map(|segment| segment.map.clone()).collect::<Vec<_>>();
        assert!(maps(&whole).iter().all(|map| *map == before.segments[0].map));
        assert_eq!(whole.partial.as_ref().unwrap().map, before.segments[0].map);
        assert_eq!(whole.segments[1].program_date_time, before.segments[1].program_date_time);
        // What came before is not enough, or is itself an update.
        let mut later = before.clone();
        later.media_sequence = 101;
        later.segments.remove(0);
        assert_eq!(update.completed(&later), None);
        assert_eq!(update.completed(&update), None);
        assert_eq!(update.completed(&Media::default()), None);
    }

    #[test]
    fn segments_that_begin_within_the_skip_boundary_are_kept() {
        let mut media = media(TEXT);
        let segment = media.segments[0].clone();
        media.segments = vec![segment; 10];
        // 12 s before the end are within the sixth segment from the end: 0.75 s, and 5.6 segments of 2 s.
        assert_eq!(media.skippable(), 4);
        media.server_control.as_mut().unwrap().can_skip_until = None;
        assert_eq!(media.skippable(), 0);
    }

    #[test]
    fn variables_of_all_three_forms_are_replaced() {
        let text = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"host\",VALUE=\"http://cdn\"\n\
                    #EXT-X-DEFINE:NAME=\"path\",VALUE=\"{$host}/a\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
                    #EXT-X-CONTENT-STEERING:SERVER-URI=\"{$host}/steer\",PATHWAY-ID=\"A\"\n\
                    #EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"{$path}/key\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"A\"\n{$path}/list.m3u8?t={$token}\n";
        let Playlist::Multivariant(main) = read(text, &base()).unwrap().playlist else { panic!("{text}") };
        let variant = &main.variants[0];
        assert_eq!(variant.url.as_str(), "http://cdn/a/list.m3u8?t=t%20x");
        assert_eq!(variant.pathway.as_deref(), Some("A"));
        assert_eq!(main.content_steering.as_ref().unwrap().url.as_str(), "http://cdn/steer");
        assert_eq!(main.session_keys[0].url.as_ref().unwrap().as_str(), "http://cdn/a/key");
        let written = main.to_string();
        let Playlist::Multivariant(again) = read(&written, &base()).unwrap().playlist else {
            panic!("{written}")
        };
        assert_eq!(again, main);
        let imported = |main: &Multivariant| {
            let text =
                "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-DEFINE:IMPORT=\"path\"\n#EXTINF:2,\n{$path}/1.ts\n";
            read_with(text, &base(), &main.definitions).unwrap()
        };
        let Reading { playlist: Playlist::Media(media), .. } = imported(&main) else { panic!("media") };
        assert_eq!(media.segments[0].url.as_str(), "http://cdn/a/1.ts");
        let unknown = imported(&Multivariant::default()).warnings;
        let lines: Vec<_> = unknown.iter().map(|warning| warning.line).collect();
        assert_eq!(
            lines,
            [3, 3, 5],
            "FFmpeg knows no variables, there is none to import, and it is used: {unknown:?}"
        );
    }
}
