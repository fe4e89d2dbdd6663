//! Media playlists (RFC 8216, 4.3.3): segments in their order, and what it takes to load and play them.

use std::sync::Arc;

use jiff::Timestamp;
use url::Url;

use super::low_latency::{Part, Partial, PreloadHint, RenditionReport, ServerControl};
use super::variables::Definition;

/// A target duration that is this many times as long as the longest segment is a mistake: with it, no
/// viewer would ever count as stalled.
const ABSURD: f64 = 10.0;

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-VERSION.
    pub version: Option<u64>,
    /// EXT-X-DEFINE.
    pub definitions: Vec<Definition>,
    /// Whether every segment begins with an independent frame: EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-TARGETDURATION, seconds; 0 if it is missing.
    pub target_duration: f64,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// Segments that a delta update leaves out before the first one listed (EXT-X-SKIP).
    pub skipped: u64,
    /// RECENTLY-REMOVED-DATERANGES of EXT-X-SKIP: the identifiers of date ranges that are listed no more.
    pub removed_dateranges: Vec<String>,
    /// Of a delta update: the segments before the first EXT-X-KEY. The partial segment counts as the one after the last.
    pub unkeyed: usize,
    /// Its segments.
    pub segments: Vec<Segment>,
    /// The parts of the segment after the last one.
    pub partial: Option<Partial>,
    /// Whether no segments will be added: EXT-X-ENDLIST.
    pub ended: bool,
    /// EXT-X-PLAYLIST-TYPE.
    pub playlist_type: Option<PlaylistType>,
    /// EXT-X-START.
    pub start: Option<Start>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Option<ServerControl>,
    /// PART-TARGET of EXT-X-PART-INF: the longest that a part lasts, seconds.
    pub part_target: Option<f64>,
    /// EXT-X-PRELOAD-HINT.
    pub preload_hints: Vec<PreloadHint>,
    /// EXT-X-RENDITION-REPORT.
    pub rendition_reports: Vec<RenditionReport>,
}

impl Media {
    /// Whether the stream is live: it has no EXT-X-ENDLIST.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        !self.ended
    }

    /// The longest that a segment lasts, seconds: what the playlist promises, unless its segments show that
    /// the promise means nothing. 0 if nothing is known.
    #[must_use]
    pub fn longest_segment(&self) -> f64 {
        let listed = self.segments.iter().map(|segment| segment.duration).fold(0.0, f64::max);
        let absurd = listed > 0.0 && self.target_duration > (ABSURD * listed).max(60.0);
        if absurd { listed.ceil() } else { self.target_duration }
    }

    /// Sum of all segment durations, seconds.
    #[must_use]
    pub fn duration(&self) -> f64 {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// The media sequence number that the segment after the last one will have.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.media_sequence.saturating_add(self.skipped).saturating_add(self.segments.len() as u64)
    }
}

/// EXT-X-PLAYLIST-TYPE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Segments are only added.
    Event,
    /// Nothing changes.
    Vod,
}

/// EXT-X-START: where to begin to play.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// TIME-OFFSET, seconds; from the end if it is negative.
    pub time_offset: f64,
    /// PRECISE: whether samples before it are not to be shown.
    pub precise: bool,
}

/// A segment of a media playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its address as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// Its media sequence number.
    pub sequence: u64,
    /// EXTINF, seconds; 0 if it cannot be read.
    pub duration: f64,
    /// EXT-X-BYTERANGE: the part of the resource that it is.
    pub byte_range: Option<ByteRange>,
    /// Whether EXT-X-DISCONTINUITY precedes it.
    pub discontinuity: bool,
    /// EXT-X-GAP: whether it is missing, so that players do not load it.
    pub gap: bool,
    /// EXT-X-KEY: how it is encrypted.
    pub key: Option<Arc<Key>>,
    /// EXT-X-MAP: its initialization section.
    pub map: Option<Arc<Map>>,
    /// EXT-X-PROGRAM-DATE-TIME of its first sample.
    pub program_date_time: Option<Timestamp>,
    /// EXT-X-PART: the parts that it consists of, where they are listed.
    pub parts: Vec<Part>,
}

/// A part of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// EXT-X-KEY: how segments are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// METHOD.
    pub method: EncryptionMethod,
    /// URI as the playlist has it; empty if it is missing.
    pub uri: String,
    /// The same, resolved; `None` if it is not a network address (`skd:`, for example).
    pub url: Option<Url>,
    /// IV.
    pub iv: Option<u128>,
    /// KEYFORMAT, where it is not `identity`.
    pub format: Option<String>,
}

/// METHOD of an EXT-X-KEY, other than NONE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptionMethod {
    /// AES-128: whole segments, in CBC mode.
    Aes128,
    /// Another one, by its name: samples are encrypted, or DRM is needed.
    Other(String),
}

impl EncryptionMethod {
    /// The name in a playlist.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Aes128 => "AES-128",
            Self::Other(name) => name,
        }
    }
}

/// EXT-X-MAP: a media initialization section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// URI as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// BYTERANGE: the part of the resource that it is.
    pub byte_range: Option<ByteRange>,
}
