//! The files of one stream: which renditions it has, and what their playlists and segments are called.

use super::profile::Format;
use crate::profile::stream::Stream;
use crate::publisher::playlist::PLAYLIST;

/// File name of the master playlist.
pub const MASTER: &str = "master.m3u8";
/// File name of the key of encrypted segments.
pub const KEY: &str = "stream.key";

/// What a rendition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// The picture of the variant with this index, with the sound unless that is separate.
    Video(usize),
    /// The sound alone.
    Audio,
    /// WebVTT.
    Subtitles,
}

/// One rendition: a media playlist and its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// What it holds.
    pub media: Media,
    stem: String,
    prefix: String,
    ending: &'static str,
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
        format!("{}_{number:05}.{}", self.prefix, self.ending)
    }

    /// File names of the segments, as FFmpeg's muxer takes them.
    #[must_use]
    pub fn pattern(&self) -> String {
        format!("{}_%05d.{}", self.prefix, self.ending)
    }

    /// File name of the initialization section of the segments from this number on.
    #[must_use]
    pub fn initialization(&self, number: u64) -> String {
        format!("{}_init_{number:05}.mp4", self.prefix)
    }

    /// File name of the list that FFmpeg keeps for us. Hidden: it is no playlist, and not served.
    #[must_use]
    pub fn list(&self) -> String {
        format!(".{}.list", self.stem)
    }
}

/// The renditions of a stream: variants, sound, subtitles.
#[must_use]
pub fn renditions(stream: &Stream) -> Vec<Rendition> {
    let ending = match stream.format {
        Format::Ts => "ts",
        Format::Fmp4 => "m4s",
    };
    let rendition = |media, stem: &str, prefix: &str, ending| Rendition {
        media,
        stem: stem.to_owned(),
        prefix: prefix.to_owned(),
        ending,
    };
    let first = PLAYLIST.trim_end_matches(".m3u8");
    let mut renditions = vec![rendition(Media::Video(0), first, "seg", ending)];
    for index in 1..stream.variants.len() {
        let name = format!("v{index}");
        renditions.push(rendition(Media::Video(index), &name, &name, ending));
    }
    if stream.separate_audio {
        renditions.push(rendition(Media::Audio, "audio", "audio", ending));
    }
    if stream.subtitles {
        renditions.push(rendition(Media::Subtitles, "subtitles", "subtitles", "vtt"));
    }
    renditions
}

/// Whether viewers should be given the master playlist: there is something to choose or to combine.
#[must_use]
pub fn has_choice(renditions: &[Rendition]) -> bool {
    renditions.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::plan::Plan;

    #[test]
    fn files_of_a_ladder_with_everything() {
        let flags = ["--profile=4k-abr", "--separate-audio", "--subtitles", "--format=fmp4"];
        let renditions = renditions(&Plan::of_flags(&flags).unwrap().stream);
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
