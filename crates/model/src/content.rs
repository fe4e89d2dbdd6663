//! The apparent content of a response, and whether it matches the request.

use std::fmt;

use serde::Serialize;

use crate::exchange::{Exchange, Kind, Outcome};
use crate::listed::SegmentId;

/// The apparent content of a body, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// No bytes at all.
    Empty,
    /// MPEG transport stream.
    MpegTs,
    /// ISO base media file (fragmented MP4).
    IsoBox,
    /// AAC with ADTS headers.
    Adts,
    /// An ID3 tag: packed audio.
    Id3,
    /// MPEG audio.
    MpegAudio,
    /// AC-3 or Enhanced AC-3.
    Ac3,
    /// WebVTT.
    WebVtt,
    /// A playlist.
    Playlist,
    /// An HTML page.
    Html,
    /// XML.
    Xml,
    /// JSON.
    Json,
    /// Other text.
    Text,
    /// Something else, such as encrypted segments and keys.
    Other,
}

/// Size of an AES block: AES-128 in CBC mode pads to a multiple of it (RFC 8216, 4.3.2.4).
const CIPHER_BLOCK: u64 = 16;

impl Content {
    /// The description in messages, such as "MPEG-TS" or "a playlist".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::MpegTs => "MPEG-TS",
            Self::IsoBox => "MP4",
            Self::Adts => "AAC",
            Self::Id3 => "audio with an ID3 tag",
            Self::MpegAudio => "MPEG audio",
            Self::Ac3 => "AC-3",
            Self::WebVtt => "WebVTT",
            Self::Playlist => "a playlist",
            Self::Html => "an HTML page",
            Self::Xml => "XML",
            Self::Json => "JSON",
            Self::Text => "text",
            Self::Other => "unknown data",
        }
    }

    /// Whether it can be a body of this kind and of `bytes` bytes. `encrypted`: whether the
    /// playlist declares that whole segments are encrypted (AES-128); then their content cannot be inspected.
    #[must_use]
    pub const fn suits(self, kind: Kind, encrypted: bool, bytes: u64) -> bool {
        let legible =
            matches!(self, Self::Empty | Self::Playlist | Self::Html | Self::Xml | Self::Json | Self::Text);
        let media = matches!(
            self,
            Self::MpegTs | Self::IsoBox | Self::Adts | Self::Id3 | Self::MpegAudio | Self::Ac3 | Self::WebVtt
        );
        match kind {
            Kind::Segment | Kind::Init if encrypted => !legible && bytes.is_multiple_of(CIPHER_BLOCK),
            Kind::Segment | Kind::Init => media,
            Kind::Playlist => matches!(self, Self::Playlist),
            Kind::Key => bytes == CIPHER_BLOCK,
            Kind::Steering => !matches!(self, Self::Empty | Self::Html | Self::Xml | Self::Playlist),
            Kind::Other => true,
        }
    }
}

/// A defect of a response that arrived completely and with a successful status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The content is not what was requested.
    Content(Content),
    /// The body ends in the middle of a packet or of a box.
    CutShort,
    /// The body is longer than its announced length.
    TooLong,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content(content) => f.write_str(content.name()),
            Self::CutShort => f.write_str("cut short"),
            Self::TooLong => f.write_str("longer than its Content-Length"),
        }
    }
}

impl Exchange {
    /// The time when it ended, as far as it is known, `CLOCK_MONOTONIC` nanoseconds.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        let body = self.download_ns.or(self.idle_ns).unwrap_or(0);
        self.started_ns.saturating_add(self.first_byte_ns.unwrap_or(0)).saturating_add(body)
    }

    /// The requested segment, if it arrived whole and without a defect.
    #[must_use]
    pub fn whole_segment(&self) -> Option<SegmentId> {
        let whole = self.kind == Kind::Segment
            && self.outcome == Outcome::Complete
            && matches!(self.status, Some(200 | 206))
            && self.defect().is_none();
        self.segment.filter(|segment| whole && segment.from_start)
    }

    /// The defect of the body of a complete, successful response, if there is one.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        if self.outcome != Outcome::Complete || !matches!(self.status, Some(200 | 206)) {
            return None;
        }
        let later_part = self.segment.is_some_and(|segment| !segment.from_start);
        let encrypted = self.segment.is_some_and(|segment| segment.encrypted);
        let unsuited = self.content.filter(|content| {
            // A response that no playlist lists may be anything, but an HTML page is never a segment.
            let listed = self.segment.is_some() || *content != Content::Other;
            listed && !later_part && !content.suits(self.kind, encrypted, self.body_bytes)
        });
        if let Some(content) = unsuited {
            return Some(Defect::Content(content));
        }
        if self.excess_bytes > 0 {
            return Some(Defect::TooLong);
        }
        (self.cut_short && !encrypted && !later_part).then_some(Defect::CutShort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listed::Rendition;
    use crate::stats::tests::segment;

    #[test]
    fn only_complete_responses_have_defects() {
        let valid = segment(1);
        assert_eq!(valid.defect(), None);
        let page = Exchange { content: Some(Content::Html), ..segment(1) };
        assert_eq!(page.defect(), Some(Defect::Content(Content::Html)));
        assert_eq!(Exchange { status: Some(404), ..page.clone() }.defect(), None);
        assert_eq!(Exchange { outcome: Outcome::ClosedByPeer, ..page }.defect(), None);
        let listed = SegmentId {
            playlist: 1,
            sequence: 1,
            duration_us: 1,
            rendition: Rendition::Main,
            encrypted: false,
            from_start: true,
        };
        let unknown = Exchange { content: Some(Content::Other), ..segment(1) };
        assert_eq!(unknown.defect(), None, "no playlist lists it");
        let of = |listed: SegmentId| Exchange { segment: Some(listed), ..unknown.clone() };
        assert_eq!(of(listed).defect(), Some(Defect::Content(Content::Other)));
        assert_eq!(of(SegmentId { from_start: false, ..listed }).defect(), None);
        let encrypted = Exchange { body_bytes: 1600, ..of(SegmentId { encrypted: true, ..listed }) };
        assert_eq!(encrypted.defect(), None);
        let odd = Exchange { body_bytes: 1601, ..encrypted };
        assert_eq!(odd.defect(), Some(Defect::Content(Content::Other)));
        assert_eq!(Exchange { cut_short: true, ..segment(1) }.defect(), Some(Defect::CutShort));
        assert_eq!(
            Exchange { excess_bytes: 1, cut_short: true, ..segment(1) }.defect(),
            Some(Defect::TooLong)
        );
    }

    #[test]
    fn an_error_page_is_a_defect_of_anything_that_a_playlist_lists() {
        for page in [Content::Html, Content::Empty, Content::Json, Content::Text, Content::Xml] {
            for kind in [Kind::Segment, Kind::Init, Kind::Playlist] {
                assert!(!page.suits(kind, false, 3200) && !page.suits(kind, true, 3200), "{page:?} {kind:?}");
            }
        }
    }

    #[test]
    fn encrypted_segments_are_known_by_their_length() {
        for (content, encrypted, bytes, suits) in [
            (Content::MpegTs, false, 188, true),
            (Content::Other, false, 3200, false),
            (Content::Other, true, 3200, true),
            (Content::Other, true, 3201, false),
            // By chance, the first bytes look like something else.
            (Content::Adts, true, 3200, true),
        ] {
            assert_eq!(
                content.suits(Kind::Segment, encrypted, bytes),
                suits,
                "{content:?} {encrypted} {bytes}"
            );
        }
        assert!(Content::Other.suits(Kind::Key, false, 16) && !Content::Html.suits(Kind::Key, false, 5000));
    }
}
