//! Multivariant playlists (RFC 8216, 4.3.4): variants, and the renditions that belong to them.

use std::sync::Arc;

use url::Url;

use super::media::Key;
use super::variables::Definition;

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Multivariant {
    /// EXT-X-VERSION.
    pub version: Option<u64>,
    /// EXT-X-DEFINE.
    pub definitions: Vec<Definition>,
    /// Whether every segment of every rendition begins with an independent frame: EXT-X-INDEPENDENT-SEGMENTS.
    pub independent_segments: bool,
    /// EXT-X-CONTENT-STEERING.
    pub content_steering: Option<ContentSteering>,
    /// EXT-X-SESSION-KEY: keys of the media playlists.
    pub session_keys: Vec<Arc<Key>>,
    /// Variants in the order of the text.
    pub variants: Vec<Variant>,
    /// Renditions in the order of the text.
    pub renditions: Vec<Rendition>,
}

impl Multivariant {
    /// The audio that a player selects for `variant`: the default of its group, or the one that may be
    /// selected without the user, or the first one. `None` where the audio is inside the variant's own
    /// segments.
    #[must_use]
    pub fn audio_of(&self, variant: &Variant) -> Option<&Url> {
        self.audio_rendition_of(variant)?.url.as_ref()
    }

    /// The rendition of [`Self::audio_of`].
    #[must_use]
    pub fn audio_rendition_of(&self, variant: &Variant) -> Option<&Rendition> {
        let group = variant.audio.as_deref()?;
        let audio =
            self.renditions.iter().filter(|one| one.kind == RenditionKind::Audio && one.group == group);
        // Of equals the first one.
        let best = audio.reduce(|best, one| if one.rank() > best.rank() { one } else { best })?;
        best.url.is_some().then_some(best)
    }

    /// Audio renditions that have playlists of their own.
    pub fn separate_audio(&self) -> impl Iterator<Item = &Url> {
        let audio = self.renditions.iter().filter(|one| one.kind == RenditionKind::Audio);
        audio.filter_map(|one| one.url.as_ref())
    }
}

/// EXT-X-CONTENT-STEERING: where players ask which pathway to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSteering {
    /// SERVER-URI as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// PATHWAY-ID: the pathway to begin with.
    pub pathway: Option<String>,
}

/// A variant stream (EXT-X-STREAM-INF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Address of its media playlist as the playlist has it.
    pub uri: String,
    /// The same, resolved.
    pub url: Url,
    /// BANDWIDTH, or AVERAGE-BANDWIDTH where that is all there is; bits per second.
    pub bandwidth: u64,
    /// AVERAGE-BANDWIDTH, bits per second.
    pub average_bandwidth: Option<u64>,
    /// RESOLUTION: width and height.
    pub resolution: Option<(u32, u32)>,
    /// CODECS.
    pub codecs: Option<String>,
    /// AUDIO: the group of its audio renditions.
    pub audio: Option<String>,
    /// VIDEO: the group of its video renditions.
    pub video: Option<String>,
    /// SUBTITLES: the group of its subtitles.
    pub subtitles: Option<String>,
    /// CLOSED-CAPTIONS: the group of its captions.
    pub closed_captions: Option<String>,
    /// PATHWAY-ID: the content steering pathway that it belongs to.
    pub pathway: Option<String>,
    /// STABLE-VARIANT-ID: what it is called in every pathway.
    pub stable_id: Option<String>,
}

/// A rendition (EXT-X-MEDIA).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// TYPE.
    pub kind: RenditionKind,
    /// GROUP-ID.
    pub group: String,
    /// NAME.
    pub name: Option<String>,
    /// LANGUAGE.
    pub language: Option<String>,
    /// Address of its media playlist as the playlist has it; `None`: it is inside the variant's segments.
    pub uri: Option<String>,
    /// The same, resolved.
    pub url: Option<Url>,
    /// DEFAULT: whether it plays unless the user has chosen another one.
    pub default: bool,
    /// AUTOSELECT: whether it may play without the user having chosen it.
    pub autoselect: bool,
    /// STABLE-RENDITION-ID: what it is called in every pathway.
    pub stable_id: Option<String>,
}

impl Rendition {
    const fn rank(&self) -> u8 {
        match (self.default, self.autoselect) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
}

/// TYPE of an EXT-X-MEDIA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionKind {
    /// AUDIO.
    Audio,
    /// VIDEO.
    Video,
    /// SUBTITLES.
    Subtitles,
    /// CLOSED-CAPTIONS.
    ClosedCaptions,
}

impl RenditionKind {
    const NAMES: [(&str, Self); 4] = [
        ("AUDIO", Self::Audio),
        ("VIDEO", Self::Video),
        ("SUBTITLES", Self::Subtitles),
        ("CLOSED-CAPTIONS", Self::ClosedCaptions),
    ];

    /// The kind of a TYPE.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// The name in a playlist.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}
