//! The renditions of a stream, and the names of their playlists and segments.

use super::profile::Format;
use crate::profile::stream::Stream;
use crate::publisher::playlist::PLAYLIST;

/// File name of the multivariant playlist.
pub const MULTIVARIANT: &str = "master.m3u8";
/// File name of the encryption key.
pub const KEY: &str = "stream.key";

/// The media of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// The video of the variant with this index, and the audio unless that is separate.
    Video(usize),
    /// Audio only.
    Audio,
    /// WebVTT subtitles.
    Subtitles,
}

/// One rendition: a media playlist and its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its media.
    pub media: Media,
    stem: String,
    prefix: String,
    extension: &'static str,
}

impl Rendition {
    /// File name of the media playlist.
    #[must_use]
    pub fn playlist(&self) -> String {
        format!("{}.m3u8", self.stem)
    }

    /// File name of a segment.
    #[must_use]
    pub fn segment(&self, number: u64) -> String {
        format!("{}_{number:05}.{}", self.prefix, self.extension)
    }

    /// File name of a part of a segment.
    #[must_use]
    pub fn part(&self, number: u64, index: u64) -> String {
        format!("{}_{number:05}.{index}.{}", self.prefix, self.extension)
    }

    /// The segment and the index of the part with this file name.
    #[must_use]
    pub fn part_of(&self, file: &str) -> Option<(u64, u64)> {
        let numbers = file.strip_prefix(&self.prefix)?.strip_prefix('_')?;
        let (number, rest) = numbers.split_once('.')?;
        let (index, _) = rest.split_once('.')?;
        let found = (number.parse().ok()?, index.parse().ok()?);
        (self.part(found.0, found.1) == file).then_some(found)
    }

    /// File names of the segments as a pattern for FFmpeg's muxer.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}_%05d.{}", self.prefix, self.extension)
    }

    /// File name of the initialization section for the segments from this number on.
    #[must_use]
    pub fn initialization(&self, number: u64) -> String {
        format!("{}_init_{number:05}.mp4", self.prefix)
    }

    /// File name of the hidden list that FFmpeg maintains, which is not served.
    #[must_use]
    pub fn list(&self) -> String {
        format!(".{}.list", self.stem)
    }
}

/// The renditions of a stream: variants, audio, subtitles.
#[must_use]
pub fn renditions(stream: &Stream) -> Vec<Rendition> {
    let extension = match stream.format {
        Format::Ts => "ts",
        Format::Fmp4 => "m4s",
    };
    let rendition = |media, stem: &str, prefix: &str, extension| Rendition {
        media,
        stem: stem.to_owned(),
        prefix: prefix.to_owned(),
        extension,
    };
    let first = PLAYLIST.trim_end_matches(".m3u8");
    let mut renditions = vec![rendition(Media::Video(0), first, "seg", extension)];
    for index in 1..stream.variants.len() {
        let name = format!("v{index}");
        renditions.push(rendition(Media::Video(index), &name, &name, extension));
    }
    if stream.separate_audio {
        renditions.push(rendition(Media::Audio, "audio", "audio", extension));
    }
    if stream.subtitles {
        renditions.push(rendition(Media::Subtitles, "subtitles", "subtitles", "vtt"));
    }
    renditions
}

/// Whether viewers need the multivariant playlist, because there is more than one rendition.
#[must_use]
pub fn needs_multivariant(renditions: &[Rendition]) -> bool {
    renditions.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_of_a_ladder_with_all_kinds_of_renditions() {
        let flags = ["--profile=4k-abr", "--separate-audio", "--subtitles", "--format=fmp4"];
        let renditions = renditions(&Stream::of_flags(&flags).unwrap());
        let names: Vec<_> = renditions.iter().map(|one| (one.playlist(), one.segment(7))).collect();
        let names: Vec<_> = names.iter().map(|(list, segment)| (list.as_str(), segment.as_str())).collect();
        assert_eq!(
            names,
            [
                ("stream.m3u8", "seg_00007.m4s"),
                ("v1.m3u8", "v1_00007.m4s"),
                ("v2.m3u8", "v2_00007.m4s"),
                ("v3.m3u8", "v3_00007.m4s"),
                ("v4.m3u8", "v4_00007.m4s"),
                ("audio.m3u8", "audio_00007.m4s"),
                ("subtitles.m3u8", "subtitles_00007.vtt"),
            ]
        );
        assert_eq!(renditions[0].pattern(), "seg_%05d.m4s");
        assert_eq!(renditions[1].initialization(123_456), "v1_init_123456.mp4");
    }
}
