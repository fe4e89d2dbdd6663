//! Reads playlists line by line, as tolerantly as FFmpeg does.

use std::sync::Arc;

use url::Url;

use super::attributes::{attribute, integer, number};
use super::low_latency::{Part, Partial, PreloadHint, RenditionReport, ServerControl};
use super::media::{ByteRange, EncryptionMethod, Key, Map, Media, PlaylistType, Segment, Start};
use super::multivariant::{ContentSteering, Multivariant, Rendition, RenditionKind, Variant};
use super::variables::{Definition, replaced};
use super::warning::{Deviation, MAX_ADDRESS_BYTES, Warning};
use super::{InvalidPlaylist, Playlist};

/// The maximum number of warnings of one playlist; the same deviation may be on every line.
const WARNINGS: usize = 32;

/// Tags that other players use, and that are ignored here.
const IGNORED: [&str; 4] =
    ["EXT-X-BITRATE", "EXT-X-DATERANGE", "EXT-X-I-FRAME-STREAM-INF", "EXT-X-SESSION-DATA"];

/// Tags that need a value.
const VALUED: [&str; 8] = [
    "EXTINF",
    "EXT-X-BYTERANGE",
    "EXT-X-KEY",
    "EXT-X-MAP",
    "EXT-X-MEDIA",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-STREAM-INF",
    "EXT-X-TARGETDURATION",
];

/// A playlist, and the warnings about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The playlist.
    pub playlist: Playlist,
    /// Its deviations, up to a maximum number.
    pub warnings: Vec<Warning>,
    /// Tags in it that mean something to other players, and that are not read here
    /// (EXT-X-DATERANGE, for example), each once.
    pub ignored: Vec<&'static str>,
}

/// Reads the playlist in `text`, which was found at `base`. Reads what FFmpeg reads, and more; what is odd
/// becomes a [`Warning`].
///
/// # Errors
/// [`InvalidPlaylist`] if the text is not a playlist. A media playlist may have no segments.
pub fn read(text: &str, base: &Url) -> Result<Reading, InvalidPlaylist> {
    read_with(text, base, &[])
}

/// Reads a media playlist like [`read`], with the variables of its multivariant playlist, which it may import.
///
/// # Errors
/// As [`read`].
pub fn read_with(text: &str, base: &Url, imports: &[Definition]) -> Result<Reading, InvalidPlaylist> {
    let mut reader = Reader::new(base, imports);
    let unmarked = text.strip_prefix('\u{feff}').unwrap_or(text);
    let start = unmarked.trim_start();
    if start.is_empty() {
        return Err(InvalidPlaylist::Empty);
    }
    if !start.starts_with("#EXTM3U") {
        let lower: String = start.chars().take(200).collect::<String>().to_ascii_lowercase();
        if lower.starts_with("<!doctype") || lower.starts_with("<html") || lower.contains("<head") {
            return Err(InvalidPlaylist::Html);
        }
        return Err(InvalidPlaylist::NoHeader(start.chars().take(24).collect()));
    }
    reader.line = 1;
    if unmarked.len() < text.len() {
        reader.warn(Deviation::ByteOrderMark);
    }
    if start.len() < unmarked.len() {
        reader.warn(Deviation::BlankBeforeHeader);
    }
    let (mut header, mut number) = (false, 0);
    // FFmpeg takes each of CR, LF and CRLF for the end of a line.
    let mut rest = unmarked;
    while !rest.is_empty() {
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\r', '\n'])).unwrap_or(after);
        number += 1;
        reader.line = number;
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if !header {
            header = true;
            if trimmed != "#EXTM3U" {
                reader.warn(Deviation::HeaderNotAlone);
            }
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            reader.warn(Deviation::LeadingBlank);
        }
        reader.take(trimmed);
    }
    reader.finish()
}

/// The state while a playlist is read.
struct Reader<'a> {
    base: &'a Url,
    imports: &'a [Definition],
    definitions: Vec<Definition>,
    line: usize,
    warnings: Vec<Warning>,
    ignored: Vec<&'static str>,
    /// Whether there was a tag that only media playlists have.
    is_media: bool,
    /// Whether there was a tag by which FFmpeg recognizes a playlist.
    recognizable: bool,
    multivariant: Multivariant,
    media: Media,
    /// Of the variant whose address comes next: its attributes.
    variant: Option<String>,
    /// Of the segment whose address comes next.
    duration: Option<f64>,
    byte_range: Option<(u64, Option<u64>)>,
    discontinuity: bool,
    gap: bool,
    date: Option<jiff::Timestamp>,
    /// Of this and the following segments.
    key: Option<Arc<Key>>,
    map: Option<Arc<Map>>,
    /// The number of segments before the first key.
    unkeyed: Option<usize>,
    /// Parts of the segment whose address comes next.
    parts: Vec<Part>,
}

impl<'a> Reader<'a> {
    fn new(base: &'a Url, imports: &'a [Definition]) -> Self {
        Self {
            base,
            imports,
            definitions: Vec::new(),
            line: 0,
            warnings: Vec::new(),
            ignored: Vec::new(),
            is_media: false,
            recognizable: false,
            multivariant: Multivariant::default(),
            media: Media::default(),
            variant: None,
            duration: None,
            byte_range: None,
            discontinuity: false,
            gap: false,
            date: None,
            key: None,
            map: None,
            unkeyed: None,
            parts: Vec::new(),
        }
    }

    fn warn(&mut self, deviation: Deviation) {
        if self.warnings.len() < WARNINGS {
            self.warnings.push(Warning { line: self.line, deviation });
        }
    }

    /// Reads a line that is not empty.
    fn take(&mut self, line: &str) {
        let is_tag = line.starts_with('#');
        let (line, undefined) = replaced(line, &self.definitions);
        if let Some(name) = undefined.filter(|_| !is_tag || line.starts_with("#EXT")) {
            self.warn(Deviation::UndefinedVariable(name));
        }
        let Some(tag) = line.strip_prefix('#').filter(|_| is_tag) else {
            return match line.trim() {
                // What a variable has turned into no address, or into a comment.
                "" => {}
                comment if comment.starts_with('#') => {}
                address => self.address(address),
            };
        };
        let (tag, value) = tag.split_once(':').map_or((tag, None), |(tag, value)| (tag, Some(value)));
        match (tag, value) {
            ("EXTINF", Some(value)) => self.duration = Some(self.duration_of(value)),
            ("EXT-X-STREAM-INF", Some(value)) => {
                self.recognizable = true;
                self.variant = Some(value.to_owned());
            }
            ("EXT-X-MEDIA", Some(value)) => self.rendition(value),
            ("EXT-X-TARGETDURATION", Some(value)) => {
                (self.is_media, self.recognizable) = (true, true);
                let seconds = number(value);
                match seconds {
                    None => self.warn(Deviation::UnreadableNumber("EXT-X-TARGETDURATION")),
                    Some(seconds) if seconds < 0.0 => self.warn(Deviation::NegativeTargetDuration),
                    Some(_) => {}
                }
                self.media.target_duration = seconds.unwrap_or(0.0).max(0.0);
            }
            ("EXT-X-MEDIA-SEQUENCE", Some(value)) => {
                (self.is_media, self.recognizable) = (true, true);
                self.media.media_sequence = self.integer("EXT-X-MEDIA-SEQUENCE", value);
            }
            ("EXT-X-DISCONTINUITY-SEQUENCE", Some(value)) => {
                self.media.discontinuity_sequence = self.integer("EXT-X-DISCONTINUITY-SEQUENCE", value);
            }
            ("EXT-X-SKIP", Some(value)) => {
                let skipped = attribute(value, "SKIPPED-SEGMENTS").unwrap_or_default();
                self.media.skipped = self.integer("EXT-X-SKIP", skipped);
                let removed = attribute(value, "RECENTLY-REMOVED-DATERANGES").unwrap_or_default();
                self.media.removed_dateranges =
                    removed.split('\t').filter(|id| !id.is_empty()).map(str::to_owned).collect();
            }
            ("EXT-X-ENDLIST", _) => (self.is_media, self.media.ended) = (true, true),
            ("EXT-X-PLAYLIST-TYPE", Some(value)) => {
                self.media.playlist_type = match value.trim() {
                    "VOD" => Some(PlaylistType::Vod),
                    "EVENT" => Some(PlaylistType::Event),
                    _ => None,
                };
            }
            ("EXT-X-START", Some(value)) => self.start(value),
            ("EXT-X-SERVER-CONTROL", Some(value)) => {
                self.media.server_control = Some(ServerControl::read(value));
            }
            ("EXT-X-PART-INF", Some(value)) => {
                self.media.part_target =
                    attribute(value, "PART-TARGET").and_then(number).filter(|seconds| *seconds > 0.0);
                if self.media.part_target.is_none() {
                    self.warn(Deviation::UnreadableNumber("EXT-X-PART-INF"));
                }
            }
            ("EXT-X-PART", Some(value)) => self.part(value),
            ("EXT-X-PRELOAD-HINT", Some(value)) => {
                let hint = PreloadHint::read(value, |uri| self.resolved(uri));
                self.keep(hint, "EXT-X-PRELOAD-HINT", |media| &mut media.preload_hints);
            }
            ("EXT-X-RENDITION-REPORT", Some(value)) => {
                let report = RenditionReport::read(value, |uri| self.resolved(uri));
                self.keep(report, "EXT-X-RENDITION-REPORT", |media| &mut media.rendition_reports);
            }
            ("EXT-X-VERSION", Some(value)) => {
                let version = integer(value);
                (self.media.version, self.multivariant.version) = (version, version);
            }
            ("EXT-X-INDEPENDENT-SEGMENTS", _) => {
                (self.media.independent_segments, self.multivariant.independent_segments) = (true, true);
            }
            ("EXT-X-CONTENT-STEERING", Some(value)) => self.steering(value),
            ("EXT-X-SESSION-KEY", Some(value)) => {
                let key = self.key_of(value);
                self.multivariant.session_keys.extend(key);
            }
            ("EXT-X-BYTERANGE", Some(value)) => {
                self.byte_range = range(value);
                if self.byte_range.is_none() {
                    self.warn(Deviation::UnreadableValue("EXT-X-BYTERANGE"));
                }
            }
            ("EXT-X-DISCONTINUITY", _) => self.discontinuity = true,
            ("EXT-X-GAP", _) => self.gap = true,
            ("EXT-X-KEY", Some(value)) => self.key(value),
            ("EXT-X-MAP", Some(value)) => self.map(value),
            ("EXT-X-PROGRAM-DATE-TIME", Some(value)) => {
                self.date = value.trim().parse().ok();
                if self.date.is_none() {
                    self.warn(Deviation::UnreadableValue("EXT-X-PROGRAM-DATE-TIME"));
                }
            }
            ("EXT-X-DEFINE", value) => self.define(value.unwrap_or_default()),
            (tag, value) => self.other(tag, value.is_some()),
        }
    }

    /// Notes a tag that is ignored.
    fn other(&mut self, tag: &str, has_value: bool) {
        let word = tag.split(char::is_whitespace).next().unwrap_or(tag);
        if let Some(known) = VALUED.iter().find(|known| **known == word)
            && (!has_value || word.len() < tag.len())
        {
            self.warn(Deviation::TagWithoutColon(known));
        }
        if let Some(known) = IGNORED.iter().find(|known| **known == tag)
            && !self.ignored.contains(known)
        {
            self.ignored.push(known);
        }
    }

    fn integer(&mut self, tag: &'static str, value: &str) -> u64 {
        integer(value).unwrap_or_else(|| {
            self.warn(Deviation::UnreadableNumber(tag));
            0
        })
    }

    /// FFmpeg takes what is not a duration for none.
    fn duration_of(&mut self, value: &str) -> f64 {
        self.is_media = true;
        match number(value) {
            Some(seconds) if seconds >= 0.0 => seconds,
            _ => {
                self.warn(Deviation::UnreadableNumber("EXTINF"));
                0.0
            }
        }
    }

    fn start(&mut self, value: &str) {
        let precise = attribute(value, "PRECISE") == Some("YES");
        match attribute(value, "TIME-OFFSET").and_then(number) {
            Some(time_offset) => self.media.start = Some(Start { time_offset, precise }),
            None => self.warn(Deviation::UnreadableValue("EXT-X-START")),
        }
    }

    fn key(&mut self, list: &str) {
        self.key = self.key_of(list);
        self.unkeyed.get_or_insert(self.media.segments.len());
    }

    /// The key in an attribute list; `None`: segments are not encrypted.
    fn key_of(&mut self, list: &str) -> Option<Arc<Key>> {
        let method = attribute(list, "METHOD").and_then(|method| method.split(',').next()).map(str::trim);
        let method = match method {
            None | Some("NONE") => return None,
            Some("AES-128") => EncryptionMethod::Aes128,
            Some(other) => EncryptionMethod::Other(other.to_owned()),
        };
        let uri = attribute(list, "URI").unwrap_or_default().to_owned();
        let format = attribute(list, "KEYFORMAT").filter(|format| !matches!(*format, "" | "identity"));
        let iv = attribute(list, "IV").and_then(|iv| {
            let digits = iv.strip_prefix("0x").or_else(|| iv.strip_prefix("0X"));
            let iv = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
            if iv.is_none() {
                self.warn(Deviation::UnreadableValue("EXT-X-KEY"));
            }
            iv
        });
        let url = Some(&uri).filter(|uri| !uri.is_empty()).map(|uri| self.resolved(uri));
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https" | "data"));
        let is_known = matches!(method.name(), "AES-128" | "SAMPLE-AES");
        if !is_known || format.is_some() || url.is_none() {
            // FairPlay, for example, gives the key to players with a license only.
            let by =
                format.or_else(|| uri.split_once(':').filter(|_| url.is_none()).map(|(scheme, _)| scheme));
            let named =
                by.map_or_else(|| method.name().to_owned(), |by| format!("{} of {by}", method.name()));
            self.warn(Deviation::UnplayableEncryption(named));
        }
        Some(Arc::new(Key { method, uri, url, iv, format: format.map(str::to_owned) }))
    }

    fn map(&mut self, list: &str) {
        let Some(uri) = attribute(list, "URI").filter(|uri| !uri.is_empty()) else {
            return self.warn(Deviation::UnreadableValue("EXT-X-MAP"));
        };
        let byte_range = attribute(list, "BYTERANGE").and_then(range);
        let byte_range = byte_range.map(|(length, offset)| ByteRange { offset: offset.unwrap_or(0), length });
        self.map = Some(Arc::new(Map { uri: uri.to_owned(), url: self.resolved(uri), byte_range }));
    }

    fn part(&mut self, list: &str) {
        self.is_media = true;
        let Some(uri) = attribute(list, "URI").filter(|uri| !uri.is_empty()) else {
            return self.warn(Deviation::UnreadableValue("EXT-X-PART"));
        };
        let duration = attribute(list, "DURATION").and_then(number).filter(|seconds| *seconds >= 0.0);
        if duration.is_none() {
            self.warn(Deviation::UnreadableNumber("EXT-X-PART"));
        }
        // Without an offset it begins where the part before it of the same resource ends.
        let before = self.parts.last().or_else(|| self.media.segments.last()?.parts.last());
        let next = before.filter(|before| before.uri == uri).and_then(|before| before.byte_range);
        let next = next.map_or(0, |range| range.offset.saturating_add(range.length));
        let byte_range = attribute(list, "BYTERANGE")
            .and_then(range)
            .map(|(length, offset)| ByteRange { offset: offset.unwrap_or(next), length });
        let url = self.resolved(uri);
        self.parts.push(Part {
            uri: uri.to_owned(),
            url,
            duration: duration.unwrap_or(0.0),
            independent: attribute(list, "INDEPENDENT") == Some("YES"),
            gap: attribute(list, "GAP") == Some("YES"),
            byte_range,
        });
    }

    /// Keeps what a tag has, or notes that it cannot be read.
    fn keep<T>(&mut self, read: Option<T>, tag: &'static str, list: impl FnOnce(&mut Media) -> &mut Vec<T>) {
        match read {
            Some(read) => list(&mut self.media).push(read),
            None => self.warn(Deviation::UnreadableValue(tag)),
        }
    }

    fn steering(&mut self, list: &str) {
        let Some(uri) = attribute(list, "SERVER-URI").filter(|uri| !uri.is_empty()) else {
            return self.warn(Deviation::UnreadableValue("EXT-X-CONTENT-STEERING"));
        };
        let pathway = attribute(list, "PATHWAY-ID").map(str::to_owned);
        let steering = ContentSteering { uri: uri.to_owned(), url: self.resolved(uri), pathway };
        self.multivariant.content_steering = Some(steering);
    }

    fn define(&mut self, list: &str) {
        self.warn(Deviation::Variables);
        match Definition::read(list, self.base, self.imports) {
            Some(one) if self.definitions.iter().all(|known| known.name != one.name) => {
                if one.value.is_none() {
                    self.warn(Deviation::UndefinedVariable(one.name.clone()));
                }
                self.definitions.push(one);
            }
            // A name has one value.
            _ => self.warn(Deviation::UnreadableValue("EXT-X-DEFINE")),
        }
    }

    fn rendition(&mut self, list: &str) {
        let kind = attribute(list, "TYPE").and_then(RenditionKind::of);
        let (Some(kind), Some(group)) = (kind, attribute(list, "GROUP-ID")) else {
            return self.warn(Deviation::UnreadableValue("EXT-X-MEDIA"));
        };
        let text = |name: &str| attribute(list, name).map(str::to_owned);
        let uri = text("URI").filter(|uri| !uri.is_empty());
        let rendition = Rendition {
            kind,
            group: group.to_owned(),
            name: text("NAME"),
            language: text("LANGUAGE"),
            url: uri.as_deref().map(|uri| self.resolved(uri)),
            uri,
            default: attribute(list, "DEFAULT") == Some("YES"),
            autoselect: attribute(list, "AUTOSELECT") == Some("YES"),
            stable_id: text("STABLE-RENDITION-ID"),
        };
        self.multivariant.renditions.push(rendition);
    }

    fn address(&mut self, uri: &str) {
        if let Some(list) = self.variant.take() {
            let variant = self.variant(uri, &list);
            self.multivariant.variants.push(variant);
        }
        // As for FFmpeg, one address may be both.
        if let Some(duration) = self.duration.take() {
            self.segment(uri, duration);
        } else if self.multivariant.variants.last().is_none_or(|variant| variant.uri != uri) {
            self.warn(Deviation::StrayAddress);
        }
    }

    fn variant(&mut self, uri: &str, list: &str) -> Variant {
        let text = |name: &str| attribute(list, name).map(str::to_owned);
        // The peak decides what fits through a line; the average is better than nothing.
        let bandwidth = ["BANDWIDTH", "AVERAGE-BANDWIDTH"]
            .into_iter()
            .find_map(|name| attribute(list, name).and_then(integer));
        if bandwidth.is_none() {
            self.warn(Deviation::UnreadableNumber("EXT-X-STREAM-INF"));
        }
        let resolution = attribute(list, "RESOLUTION").and_then(|text| {
            let (width, height) = text.split_once(['x', 'X'])?;
            Some((u32::try_from(integer(width)?).ok()?, u32::try_from(integer(height)?).ok()?))
        });
        Variant {
            uri: uri.to_owned(),
            url: self.resolved(uri),
            bandwidth: bandwidth.unwrap_or(0),
            average_bandwidth: attribute(list, "AVERAGE-BANDWIDTH").and_then(integer),
            resolution,
            codecs: text("CODECS"),
            audio: text("AUDIO"),
            video: text("VIDEO"),
            subtitles: text("SUBTITLES"),
            closed_captions: text("CLOSED-CAPTIONS").filter(|group| group != "NONE"),
            pathway: text("PATHWAY-ID"),
            stable_id: text("STABLE-VARIANT-ID"),
        }
    }

    fn segment(&mut self, uri: &str, duration: f64) {
        let before = self.media.segments.last();
        let byte_range = self.byte_range.take().map(|(length, offset)| {
            // Without an offset it begins where the part of the same resource before it ends.
            let next = before.filter(|before| before.uri == uri).and_then(|before| before.byte_range);
            let next = next.map_or(0, |range| range.offset.saturating_add(range.length));
            ByteRange { offset: offset.unwrap_or(next), length }
        });
        let segment = Segment {
            uri: uri.to_owned(),
            url: self.resolved(uri),
            sequence: self.media.segments.len() as u64,
            duration,
            byte_range,
            discontinuity: std::mem::take(&mut self.discontinuity),
            gap: std::mem::take(&mut self.gap),
            key: self.key.clone(),
            map: self.map.clone(),
            program_date_time: self.date.take(),
            parts: std::mem::take(&mut self.parts),
        };
        self.media.segments.push(segment);
    }

    /// The address in full. FFmpeg asks for whatever a playlist has, so what no URL can be made of becomes a
    /// name beside the playlist.
    fn resolved(&mut self, uri: &str) -> Url {
        if let Ok(url) = self.base.join(uri) {
            let bytes = url.as_str().len();
            if bytes > MAX_ADDRESS_BYTES && matches!(url.scheme(), "http" | "https") {
                self.warn(Deviation::LongAddress(bytes));
            }
            return url;
        }
        self.warn(Deviation::UnreadableAddress);
        let mut url = self.base.clone();
        url.set_query(None);
        url.set_fragment(None);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop().push(uri);
        }
        url
    }

    fn finish(mut self) -> Result<Reading, InvalidPlaylist> {
        let is_multivariant = !self.multivariant.variants.is_empty();
        if !self.recognizable {
            self.line = 1;
            self.warn(Deviation::Unrecognizable);
        }
        if !is_multivariant && !self.is_media {
            let lost = self
                .warnings
                .into_iter()
                .find(|warning| matches!(warning.deviation, Deviation::TagWithoutColon(_)));
            return Err(lost.map_or(InvalidPlaylist::NothingListed, InvalidPlaylist::Refused));
        }
        let first = self.media.media_sequence.saturating_add(self.media.skipped);
        for segment in &mut self.media.segments {
            segment.sequence = segment.sequence.saturating_add(first);
        }
        if !self.parts.is_empty() {
            self.media.partial = Some(Partial {
                parts: self.parts,
                discontinuity: self.discontinuity,
                key: self.key,
                map: self.map,
                program_date_time: self.date,
            });
        }
        if self.media.skipped > 0 {
            let items = self.media.segments.len() + usize::from(self.media.partial.is_some());
            self.media.unkeyed = self.unkeyed.map_or(items, |before| before.min(items));
        }
        let playlist = if is_multivariant {
            self.multivariant.definitions = self.definitions;
            Playlist::Multivariant(self.multivariant)
        } else {
            self.media.definitions = self.definitions;
            Playlist::Media(self.media)
        };
        Ok(Reading { playlist, warnings: self.warnings, ignored: self.ignored })
    }
}

/// `LENGTH` or `LENGTH@OFFSET`.
fn range(value: &str) -> Option<(u64, Option<u64>)> {
    let (length, offset) =
        value.split_once('@').map_or((value, None), |(length, offset)| (length, Some(offset)));
    Some((integer(length)?, offset.map(integer).map(|offset| offset.unwrap_or(0))))
}
