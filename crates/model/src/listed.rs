//! The addresses that playlists listed. The playlist determines the kind of a request, not the name of the
//! address or the content type that the server sends.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use hls_swarm_hls::playlist::multivariant::{self, Multivariant, RenditionKind, Variant};

use crate::exchange::Kind;
use crate::recent::Recent;

/// The maximum number of known addresses. At 1000 viewers with addresses of their own, and a segment every 2 s,
/// these are the last three minutes; where viewers share addresses, hours.
const MAX_ADDRESSES: usize = 200_000;

/// A segment, as a media playlist lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentId {
    /// The playlist that lists it: hash of its URL without delivery directives.
    pub playlist: u64,
    /// Its media sequence number. Of several segments with one address, that of the last.
    pub sequence: u64,
    /// EXTINF, microseconds; 0 = not known.
    pub duration_us: u64,
    /// Its media.
    pub rendition: Rendition,
    /// Whether it is encrypted as a whole (AES-128).
    pub encrypted: bool,
    /// Whether the whole segment was requested, and not a later part, as after an interrupted download.
    pub from_start: bool,
}

/// The media of a media playlist's segments, by the multivariant playlist that refers to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rendition {
    /// A variant, or a media playlist that was opened directly.
    #[default]
    Main,
    /// Separate audio.
    Audio,
    /// Separate video.
    Video,
    /// Subtitles.
    Subtitles,
}

/// A variant or a rendition, as a multivariant playlist describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VariantLabel {
    /// Its name: `1280x720@2500k`, `audio:English`.
    pub name: String,
    /// Its media.
    pub rendition: Rendition,
    /// BANDWIDTH, bits per second; renditions have none.
    pub bandwidth: Option<u64>,
    /// AVERAGE-BANDWIDTH, bits per second.
    pub average_bandwidth: Option<u64>,
    /// The name of the separate audio that players play with the variant: its bit rate is part of that of the variant.
    pub audio: Option<String>,
    /// CODECS.
    pub codecs: Option<String>,
}

impl VariantLabel {
    /// The label of a variant of `playlist`.
    #[must_use]
    pub fn of_variant(playlist: &Multivariant, variant: &Variant) -> Self {
        Self {
            name: playlist.variant_name(variant),
            rendition: Rendition::Main,
            bandwidth: Some(variant.bandwidth).filter(|bits| *bits > 0),
            average_bandwidth: variant.average_bandwidth,
            audio: playlist.audio_rendition_of(variant).map(|audio| playlist.rendition_name(audio)),
            codecs: variant.codecs.clone(),
        }
    }

    /// The label of a rendition of `playlist`.
    #[must_use]
    pub fn of_rendition(playlist: &Multivariant, rendition: &multivariant::Rendition) -> Self {
        let name = playlist.rendition_name(rendition);
        let rendition = Rendition::of(rendition.kind);
        Self { name, rendition, bandwidth: None, average_bandwidth: None, audio: None, codecs: None }
    }
}

impl Rendition {
    /// The media of an EXT-X-MEDIA.
    #[must_use]
    pub const fn of(kind: RenditionKind) -> Self {
        match kind {
            RenditionKind::Audio => Self::Audio,
            RenditionKind::Video => Self::Video,
            RenditionKind::Subtitles | RenditionKind::ClosedCaptions => Self::Subtitles,
        }
    }
}

/// The role in which a playlist lists an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A segment; `None` if it is an unknown one of several in the same resource.
    Segment(Option<SegmentId>),
    /// A segment that is announced as missing (EXT-X-GAP). Players should not request it; FFmpeg does.
    Gap,
    /// An initialization section.
    Init,
    /// A key.
    Key,
    /// A media playlist.
    Playlist(Rendition),
    /// A steering manifest.
    Steering,
}

impl Listed {
    /// The kind of a request for it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Segment(_) | Self::Gap => Kind::Segment,
            Self::Init => Kind::Init,
            Self::Key => Kind::Key,
            Self::Playlist(_) => Kind::Playlist,
            Self::Steering => Kind::Steering,
        }
    }

    /// The segment, if it is known.
    #[must_use]
    pub const fn segment(&self) -> Option<SegmentId> {
        match self {
            Self::Segment(segment) => *segment,
            _ => None,
        }
    }
}

/// What is known about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its role.
    pub listed: Listed,
    /// The variant or rendition that it belongs to. `None` if no multivariant playlist was seen that lists it, and for
    /// keys, which variants share.
    pub variant: Option<Arc<VariantLabel>>,
}

/// One address in a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUrl {
    /// Hash of the request for it.
    pub url_hash: u64,
    /// First byte of the part, if it is a part of a resource.
    pub offset: Option<u64>,
    /// What is known about it.
    pub entry: Entry,
}

/// The addresses that playlists of a run listed recently.
#[derive(Clone, Debug)]
pub struct ListedUrls {
    known: Recent<(u64, Option<u64>), Entry>,
}

impl Default for ListedUrls {
    fn default() -> Self {
        Self { known: Recent::new(MAX_ADDRESSES) }
    }
}

impl ListedUrls {
    /// See [`Recent::generation`]: the addresses of a playlist have to be added again only when this has changed.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.known.generation()
    }

    /// Adds the addresses that a playlist lists.
    pub fn list(&mut self, url: ListedUrl) {
        let ListedUrl { url_hash, offset, entry } = url;
        // A part with another range is still a part of a segment.
        if offset.is_some() && matches!(entry.listed, Listed::Segment(_)) {
            let any = Entry { listed: Listed::Segment(None), variant: entry.variant.clone() };
            self.known.insert((url_hash, None), any, 1);
        }
        self.known.insert((url_hash, offset), entry, 1);
    }

    /// The role of a request for the bytes from `range_start` on.
    #[must_use]
    pub fn find(&self, url_hash: u64, range_start: u64) -> Option<Entry> {
        let part = self.known.get(&(url_hash, Some(range_start))).cloned();
        let whole = || {
            let mut entry = self.known.get(&(url_hash, None))?.clone();
            if let Listed::Segment(Some(id)) = &mut entry.listed {
                id.from_start = range_start == 0;
            }
            Some(entry)
        };
        part.or_else(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u64) -> SegmentId {
        SegmentId {
            playlist: 7,
            sequence,
            duration_us: 2_000_000,
            rendition: Rendition::Main,
            encrypted: false,
            from_start: true,
        }
    }

    fn list(urls: &mut ListedUrls, url_hash: u64, offset: Option<u64>, listed: Listed) {
        urls.list(ListedUrl { url_hash, offset, entry: Entry { listed, variant: None } });
    }

    fn found(urls: &ListedUrls, url_hash: u64, range_start: u64) -> Option<Listed> {
        urls.find(url_hash, range_start).map(|entry| entry.listed)
    }

    #[test]
    fn parts_of_one_resource_are_distinguished_by_their_offsets() {
        let mut urls = ListedUrls::default();
        list(&mut urls, 1, Some(0), Listed::Init);
        for (sequence, offset) in [(1, 700), (2, 1700)] {
            list(&mut urls, 1, Some(offset), Listed::Segment(Some(segment(sequence))));
        }
        assert_eq!(found(&urls, 1, 0), Some(Listed::Init));
        assert_eq!(found(&urls, 1, 1700).and_then(|listed| listed.segment()), Some(segment(2)));
        let other = found(&urls, 1, 1000).unwrap();
        assert_eq!((other.kind(), other.segment()), (Kind::Segment, None));
        assert_eq!(urls.find(2, 0), None);
    }

    #[test]
    fn a_download_that_resumes_in_the_middle_belongs_to_the_same_segment() {
        let mut urls = ListedUrls::default();
        list(&mut urls, 1, None, Listed::Segment(Some(segment(3))));
        assert_eq!(found(&urls, 1, 0).and_then(|listed| listed.segment()), Some(segment(3)));
        let later = found(&urls, 1, 5000).and_then(|listed| listed.segment()).unwrap();
        assert_eq!((later.sequence, later.from_start), (3, false));
    }

    #[test]
    fn the_latest_addresses_are_known_however_many_are_listed() {
        let mut urls = ListedUrls::default();
        for number in 0..3 * MAX_ADDRESSES as u64 {
            list(&mut urls, number, None, Listed::Key);
        }
        assert_eq!(urls.find(0, 0), None);
        let latest = 3 * MAX_ADDRESSES as u64 - MAX_ADDRESSES as u64 / 2;
        assert!((latest..3 * MAX_ADDRESSES as u64).all(|number| urls.find(number, 0).is_some()));
    }
}
