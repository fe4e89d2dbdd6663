//! What the body of a response looks like, and whether that is what was asked for.

use serde::Serialize;

use crate::exchange::Kind;

/// What a body looks like, by its first bytes.
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
    /// Something else: encrypted segments and keys look so.
    Other,
}

/// Block of AES: what is encrypted with AES-128 in CBC mode is padded to it (RFC 8216, 4.3.2.4).
const CIPHER_BLOCK: u64 = 16;

impl Content {
    /// What came, in words: "what came was …".
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

    /// Whether it can be a body of this kind and of `bytes` bytes. `encrypted`: whether the playlist says
    /// that whole segments are encrypted (AES-128); then what is in them cannot be seen.
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
            Kind::Other => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_page_suits_nothing_that_a_playlist_lists() {
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
