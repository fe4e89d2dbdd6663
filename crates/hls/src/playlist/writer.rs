//! Writes playlists: what the model keeps, in the form of RFC 8216.

use std::fmt::{Display, Formatter, Result};

use super::Playlist;
use super::media::{ByteRange, Key, Map, Media, PlaylistType, Segment};
use super::multivariant::{Multivariant, Rendition, Variant};

impl Display for Playlist {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Multivariant(playlist) => playlist.fmt(f),
            Self::Media(playlist) => playlist.fmt(f),
        }
    }
}

/// `,NAME="value"`, if there is a value.
fn quoted(f: &mut Formatter<'_>, name: &str, value: Option<&str>) -> Result {
    value.map_or(Ok(()), |value| write!(f, ",{name}=\"{value}\""))
}

const fn yes(value: bool) -> &'static str {
    if value { "YES" } else { "NO" }
}

impl Display for Multivariant {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "#EXTM3U")?;
        self.renditions.iter().try_for_each(|rendition| rendition.fmt(f))?;
        self.variants.iter().try_for_each(|variant| variant.fmt(f))
    }
}

impl Display for Rendition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-MEDIA:TYPE={},GROUP-ID=\"{}\"", self.kind.name(), self.group)?;
        quoted(f, "NAME", self.name.as_deref())?;
        quoted(f, "LANGUAGE", self.language.as_deref())?;
        write!(f, ",DEFAULT={},AUTOSELECT={}", yes(self.default), yes(self.autoselect))?;
        quoted(f, "URI", self.uri.as_deref())?;
        writeln!(f)
    }
}

impl Display for Variant {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-STREAM-INF:BANDWIDTH={}", self.bandwidth)?;
        if let Some(average) = self.average_bandwidth {
            write!(f, ",AVERAGE-BANDWIDTH={average}")?;
        }
        if let Some((width, height)) = self.resolution {
            write!(f, ",RESOLUTION={width}x{height}")?;
        }
        quoted(f, "CODECS", self.codecs.as_deref())?;
        quoted(f, "AUDIO", self.audio.as_deref())?;
        quoted(f, "VIDEO", self.video.as_deref())?;
        quoted(f, "SUBTITLES", self.subtitles.as_deref())?;
        quoted(f, "CLOSED-CAPTIONS", self.closed_captions.as_deref())?;
        writeln!(f, "\n{}", self.uri)
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "#EXTM3U\n#EXT-X-TARGETDURATION:{}", self.target_duration)?;
        writeln!(f, "#EXT-X-MEDIA-SEQUENCE:{}", self.media_sequence)?;
        if self.discontinuity_sequence > 0 {
            writeln!(f, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", self.discontinuity_sequence)?;
        }
        match self.playlist_type {
            Some(PlaylistType::Vod) => writeln!(f, "#EXT-X-PLAYLIST-TYPE:VOD")?,
            Some(PlaylistType::Event) => writeln!(f, "#EXT-X-PLAYLIST-TYPE:EVENT")?,
            None => {}
        }
        if let Some(start) = self.start {
            let precise = yes(start.precise);
            writeln!(f, "#EXT-X-START:TIME-OFFSET={},PRECISE={precise}", start.time_offset)?;
        }
        if let Some(control) = self.server_control {
            write!(f, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD={}", yes(control.can_block_reload))?;
            for (name, seconds) in
                [("HOLD-BACK", control.hold_back), ("PART-HOLD-BACK", control.part_hold_back)]
            {
                seconds.map_or(Ok(()), |seconds| write!(f, ",{name}={seconds}"))?;
            }
            writeln!(f)?;
        }
        if self.skipped > 0 {
            writeln!(f, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", self.skipped)?;
        }
        let (mut key, mut map) = (None, None);
        for segment in &self.segments {
            // Both apply until the next one.
            if segment.key != key {
                match &segment.key {
                    Some(key) => key.fmt(f)?,
                    None => writeln!(f, "#EXT-X-KEY:METHOD=NONE")?,
                }
                key.clone_from(&segment.key);
            }
            if segment.map != map {
                segment.map.iter().try_for_each(|map| map.fmt(f))?;
                map.clone_from(&segment.map);
            }
            segment.fmt(f)?;
        }
        if self.ended { writeln!(f, "#EXT-X-ENDLIST") } else { Ok(()) }
    }
}

impl Display for Segment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if self.discontinuity {
            writeln!(f, "#EXT-X-DISCONTINUITY")?;
        }
        if let Some(date) = self.program_date_time {
            writeln!(f, "#EXT-X-PROGRAM-DATE-TIME:{date}")?;
        }
        if self.gap {
            writeln!(f, "#EXT-X-GAP")?;
        }
        writeln!(f, "#EXTINF:{},", self.duration)?;
        if let Some(ByteRange { offset, length }) = self.byte_range {
            writeln!(f, "#EXT-X-BYTERANGE:{length}@{offset}")?;
        }
        writeln!(f, "{}", self.uri)
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-KEY:METHOD={}", self.method.name())?;
        quoted(f, "URI", Some(&self.uri).filter(|uri| !uri.is_empty()).map(String::as_str))?;
        if let Some(iv) = self.iv {
            write!(f, ",IV=0x{iv:032x}")?;
        }
        quoted(f, "KEYFORMAT", self.format.as_deref())?;
        writeln!(f)
    }
}

impl Display for Map {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-MAP:URI=\"{}\"", self.uri)?;
        if let Some(ByteRange { offset, length }) = self.byte_range {
            write!(f, ",BYTERANGE=\"{length}@{offset}\"")?;
        }
        writeln!(f)
    }
}
