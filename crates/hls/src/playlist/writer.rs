//! Writes playlists: what the model keeps, in the form of RFC 8216.

use std::fmt::{Display, Formatter, Result};
use std::sync::Arc;

use jiff::Timestamp;

use super::Playlist;
use super::low_latency::{Part, PreloadHint, RenditionReport, ServerControl};
use super::media::{ByteRange, Key, Map, Media, PlaylistType, Segment};
use super::multivariant::{Multivariant, Rendition, Variant};
use super::variables::{Definition, DefinitionSource};

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
        head(f, self.version, self.independent_segments, &self.definitions)?;
        if let Some(steering) = &self.content_steering {
            write!(f, "#EXT-X-CONTENT-STEERING:SERVER-URI=\"{}\"", steering.uri)?;
            quoted(f, "PATHWAY-ID", steering.pathway.as_deref())?;
            writeln!(f)?;
        }
        self.session_keys.iter().try_for_each(|key| write_key(f, "EXT-X-SESSION-KEY", key))?;
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
        quoted(f, "STABLE-RENDITION-ID", self.stable_id.as_deref())?;
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
        quoted(f, "PATHWAY-ID", self.pathway.as_deref())?;
        quoted(f, "STABLE-VARIANT-ID", self.stable_id.as_deref())?;
        writeln!(f, "\n{}", self.uri)
    }
}

/// What every playlist may begin with.
fn head(
    f: &mut Formatter<'_>,
    version: Option<u64>,
    independent: bool,
    definitions: &[Definition],
) -> Result {
    writeln!(f, "#EXTM3U")?;
    version.map_or(Ok(()), |version| writeln!(f, "#EXT-X-VERSION:{version}"))?;
    definitions.iter().try_for_each(|one| one.fmt(f))?;
    if independent { writeln!(f, "#EXT-X-INDEPENDENT-SEGMENTS") } else { Ok(()) }
}

impl Display for Definition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self { name, source, value } = self;
        match source {
            DefinitionSource::Value => {
                let value = value.as_deref().unwrap_or_default();
                writeln!(f, "#EXT-X-DEFINE:NAME=\"{name}\",VALUE=\"{value}\"")
            }
            DefinitionSource::Import => writeln!(f, "#EXT-X-DEFINE:IMPORT=\"{name}\""),
            DefinitionSource::QueryParameter => writeln!(f, "#EXT-X-DEFINE:QUERYPARAM=\"{name}\""),
        }
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        head(f, self.version, self.independent_segments, &self.definitions)?;
        writeln!(f, "#EXT-X-TARGETDURATION:{}", self.target_duration)?;
        if let Some(control) = self.server_control {
            control.fmt(f)?;
        }
        if let Some(target) = self.part_target {
            writeln!(f, "#EXT-X-PART-INF:PART-TARGET={target}")?;
        }
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
        if self.skipped > 0 || !self.removed_dateranges.is_empty() {
            write!(f, "#EXT-X-SKIP:SKIPPED-SEGMENTS={}", self.skipped)?;
            let removed = self.removed_dateranges.join("\t");
            quoted(f, "RECENTLY-REMOVED-DATERANGES", Some(removed.as_str()).filter(|ids| !ids.is_empty()))?;
            writeln!(f)?;
        }
        let mut applied = Applied::default();
        // A delta update may continue a key that it does not name.
        let names_key = |index| self.skipped > 0 && index == self.unkeyed;
        for (index, segment) in self.segments.iter().enumerate() {
            applied.change(f, segment.key.as_ref(), segment.map.as_ref(), names_key(index))?;
            segment.fmt(f)?;
        }
        if let Some(partial) = &self.partial {
            let named = names_key(self.segments.len());
            applied.change(f, partial.key.as_ref(), partial.map.as_ref(), named)?;
            begin(f, partial.discontinuity, partial.program_date_time)?;
            partial.parts.iter().try_for_each(|part| part.fmt(f))?;
        }
        self.preload_hints.iter().try_for_each(|hint| hint.fmt(f))?;
        self.rendition_reports.iter().try_for_each(|report| report.fmt(f))?;
        if self.ended { writeln!(f, "#EXT-X-ENDLIST") } else { Ok(()) }
    }
}

/// What applies to segments until the next one of its kind.
#[derive(Default)]
struct Applied<'a> {
    key: Option<&'a Arc<Key>>,
    map: Option<&'a Arc<Map>>,
}

impl<'a> Applied<'a> {
    /// Writes what changes, and the key at any rate if it `is_named`.
    fn change(
        &mut self,
        f: &mut Formatter<'_>,
        key: Option<&'a Arc<Key>>,
        map: Option<&'a Arc<Map>>,
        is_named: bool,
    ) -> Result {
        if key != self.key || is_named {
            match key {
                Some(key) => key.fmt(f)?,
                None => writeln!(f, "#EXT-X-KEY:METHOD=NONE")?,
            }
        }
        if let Some(map) = map.filter(|map| self.map != Some(map)) {
            map.fmt(f)?;
        }
        *self = Self { key, map };
        Ok(())
    }
}

impl Display for ServerControl {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD={}", yes(self.can_block_reload))?;
        let seconds = [
            ("CAN-SKIP-UNTIL", self.can_skip_until),
            ("HOLD-BACK", self.hold_back),
            ("PART-HOLD-BACK", self.part_hold_back),
        ];
        for (name, seconds) in seconds {
            seconds.map_or(Ok(()), |seconds| write!(f, ",{name}={seconds}"))?;
        }
        if self.can_skip_dateranges {
            write!(f, ",CAN-SKIP-DATERANGES=YES")?;
        }
        writeln!(f)
    }
}

impl Display for Part {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-PART:DURATION={},URI=\"{}\"", self.duration, self.uri)?;
        if self.independent {
            write!(f, ",INDEPENDENT=YES")?;
        }
        if let Some(ByteRange { offset, length }) = self.byte_range {
            write!(f, ",BYTERANGE=\"{length}@{offset}\"")?;
        }
        writeln!(f, "{}", if self.gap { ",GAP=YES" } else { "" })
    }
}

impl Display for PreloadHint {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-PRELOAD-HINT:TYPE={},URI=\"{}\"", self.kind.name(), self.uri)?;
        if self.start > 0 {
            write!(f, ",BYTERANGE-START={}", self.start)?;
        }
        self.length.map_or(Ok(()), |length| write!(f, ",BYTERANGE-LENGTH={length}"))?;
        writeln!(f)
    }
}

impl Display for RenditionReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "#EXT-X-RENDITION-REPORT:URI=\"{}\"", self.uri)?;
        self.last_sequence.map_or(Ok(()), |number| write!(f, ",LAST-MSN={number}"))?;
        self.last_part.map_or(Ok(()), |index| write!(f, ",LAST-PART={index}"))?;
        writeln!(f)
    }
}

/// The tags before the parts of a segment.
fn begin(f: &mut Formatter<'_>, discontinuity: bool, date: Option<Timestamp>) -> Result {
    if discontinuity {
        writeln!(f, "#EXT-X-DISCONTINUITY")?;
    }
    date.map_or(Ok(()), |date| writeln!(f, "#EXT-X-PROGRAM-DATE-TIME:{date}"))
}

impl Display for Segment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        begin(f, self.discontinuity, self.program_date_time)?;
        self.parts.iter().try_for_each(|part| part.fmt(f))?;
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
        write_key(f, "EXT-X-KEY", self)
    }
}

fn write_key(f: &mut Formatter<'_>, tag: &str, key: &Key) -> Result {
    write!(f, "#{tag}:METHOD={}", key.method.name())?;
    quoted(f, "URI", Some(&key.uri).filter(|uri| !uri.is_empty()).map(String::as_str))?;
    if let Some(iv) = key.iv {
        write!(f, ",IV=0x{iv:032x}")?;
    }
    quoted(f, "KEYFORMAT", key.format.as_deref())?;
    writeln!(f)
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
