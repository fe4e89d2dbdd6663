//! The published state of a stream: which segments are listed, which ones are delisted but still available, and
//! the text of each media playlist.
//!
//! A segment is published when every rendition has it, in all renditions at the same time and under the same
//! number. FFmpeg may restart at any time: the numbers continue, and the discontinuity is marked.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::playlist::FinishedSegment;
use crate::layout::{KEY, MULTIVARIANT, Media, Rendition};
use crate::profile::stream::{Source, Stream};
use crate::profile::{Encryption, Format};

/// The position of a stream, which is saved so that the stream can continue after a restart of the program.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// Number of the next segment.
    pub(crate) next: u64,
    /// Number of discontinuities before it.
    pub(crate) discontinuities: u64,
}

/// One published segment, in all renditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublishedSegment {
    /// Its number.
    pub(crate) number: u64,
    /// Number of the first segment of the same FFmpeg process.
    pub(crate) encoder_start: u64,
    /// Number of discontinuities up to and including this segment.
    discontinuities: u64,
    /// Seconds from the first segment of the same FFmpeg process to this one.
    pub(crate) start: f64,
    /// Its duration in each rendition, in seconds.
    pub(crate) seconds: Vec<f64>,
}

impl PublishedSegment {
    /// Whether the timestamps restart at this segment.
    fn is_discontinuity(&self) -> bool {
        self.number == self.encoder_start && self.number > 0
    }
}

/// The published segments of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    renditions: Vec<Rendition>,
    list_size: usize,
    delete_threshold: usize,
    target_seconds: u32,
    format: Format,
    encrypted: bool,
    is_vod: bool,
    /// Maximum number of segments. FFmpeg may write an additional one with a frame or two.
    max_segments: u64,
    position: Position,
    encoder_start: u64,
    start: f64,
    listed: VecDeque<PublishedSegment>,
    delisted: VecDeque<PublishedSegment>,
}

/// FFmpeg's list does not contain the next segment any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MissingSegment;

impl Publication {
    /// Starts at `position` with empty playlists.
    #[must_use]
    pub(crate) fn new(stream: &Stream, renditions: Vec<Rendition>, position: Position) -> Self {
        let is_vod = matches!(stream.source, Source::Vod(_));
        let max_segments = match stream.source {
            Source::Vod(seconds) => u64::from(seconds.div_ceil(stream.segment_seconds)),
            Source::Loop | Source::Live => u64::MAX,
        };
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            renditions,
            list_size: if is_vod { usize::MAX } else { count(stream.list_size) },
            delete_threshold: count(stream.delete_threshold),
            target_seconds: stream.segment_seconds,
            format: stream.format,
            encrypted: stream.encryption == Encryption::Aes128,
            is_vod,
            max_segments,
            position,
            encoder_start: position.next,
            start: 0.0,
            listed: VecDeque::new(),
            delisted: VecDeque::new(),
        }
    }

    /// The segments of one loop, for measuring them.
    #[must_use]
    pub(crate) fn of_loop(stream: &Stream, renditions: Vec<Rendition>) -> Self {
        let max_segments = u64::from(stream.loop_seconds / stream.segment_seconds);
        Self { max_segments, ..Self::new(stream, renditions, Position::default()) }
    }

    /// Prepares for a new FFmpeg process, and returns the number of its first segment.
    pub(crate) fn begin_encoder(&mut self) -> u64 {
        self.encoder_start = self.position.next;
        self.start = 0.0;
        self.encoder_start
    }

    /// The current position of the stream.
    #[must_use]
    pub(crate) const fn position(&self) -> Position {
        self.position
    }

    /// The renditions, in the order of the playlists.
    #[must_use]
    pub(crate) fn renditions(&self) -> &[Rendition] {
        &self.renditions
    }

    /// The segments in the playlists, oldest first.
    pub(crate) fn listed(&self) -> impl Iterator<Item = &PublishedSegment> {
        self.listed.iter()
    }

    /// Publishes every segment that all renditions have. `finished` are the contents of FFmpeg's lists, one list
    /// for each rendition that FFmpeg creates, in order. Returns the number of new segments.
    ///
    /// # Errors
    /// [`MissingSegment`]: FFmpeg must be restarted, because numbers must not be skipped.
    pub(crate) fn publish(&mut self, finished: &[Vec<FinishedSegment>]) -> Result<usize, MissingSegment> {
        let before = self.position.next;
        loop {
            let next = self.position.next;
            let found: Option<Vec<f64>> = finished
                .iter()
                .map(|list| list.iter().find(|one| one.number == next).map(|one| one.seconds))
                .collect();
            let Some(mut seconds) = found.filter(|found| !found.is_empty() && next < self.max_segments)
            else {
                let skips_next =
                    |list: &Vec<FinishedSegment>| list.first().is_some_and(|first| first.number > next);
                let is_missing = finished.iter().any(skips_next);
                let new = usize::try_from(next - before).unwrap_or(usize::MAX);
                return if is_missing { Err(MissingSegment) } else { Ok(new) };
            };
            let length = seconds.first().copied().unwrap_or_default();
            // The origin creates the subtitles; their segments are as long as those of the video.
            seconds.resize(self.renditions.len(), length);
            let mut segment = PublishedSegment {
                number: next,
                encoder_start: self.encoder_start,
                discontinuities: 0,
                start: self.start,
                seconds,
            };
            self.position.discontinuities += u64::from(segment.is_discontinuity());
            segment.discontinuities = self.position.discontinuities;
            self.position.next += 1;
            self.start += length;
            self.listed.push_back(segment);
        }
    }

    /// Delists the oldest segments, and returns the files that are no longer needed.
    pub(crate) fn delist(&mut self) -> Vec<String> {
        while self.listed.len() > self.list_size {
            self.delisted.extend(self.listed.pop_front());
        }
        let mut files = Vec::new();
        while self.delisted.len() > self.delete_threshold {
            let Some(gone) = self.delisted.pop_front() else { break };
            files.extend(self.renditions.iter().map(|rendition| rendition.segment(gone.number)));
            let oldest = self.delisted.front().or(self.listed.front());
            if self.format == Format::Fmp4
                && oldest.is_some_and(|segment| segment.encoder_start != gone.encoder_start)
            {
                files.extend(
                    self.renditions.iter().map(|rendition| rendition.initialization(gone.encoder_start)),
                );
            }
        }
        files
    }

    /// The files of the stream that viewers may request.
    #[must_use]
    pub(crate) fn needed(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::from([MULTIVARIANT.to_owned(), KEY.to_owned()]);
        for rendition in &self.renditions {
            files.extend([
                rendition.playlist(),
                rendition.list(),
                rendition.initialization(self.encoder_start),
            ]);
            for segment in self.delisted.iter().chain(&self.listed) {
                files.extend([
                    rendition.segment(segment.number),
                    rendition.initialization(segment.encoder_start),
                ]);
            }
        }
        files
    }

    /// The media playlist of the rendition with this index.
    #[must_use]
    pub(crate) fn playlist(&self, index: usize) -> String {
        let Some(rendition) = self.renditions.get(index) else { return String::new() };
        let first = self.listed.front().map_or(self.position.next, |first| first.number);
        let is_from_ffmpeg = rendition.media != Media::Subtitles;
        let has_map = self.format == Format::Fmp4 && is_from_ffmpeg;
        // EXT-X-MAP in a playlist that is not I-frames only requires version 6.
        let version = if has_map { 6 } else { 3 };
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n",
            self.target_seconds
        );
        let before = self
            .listed
            .front()
            .map_or(0, |first| first.discontinuities - u64::from(first.is_discontinuity()));
        if before > 0 {
            line(&mut text, &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{before}"));
        }
        if self.is_vod {
            line(&mut text, "#EXT-X-PLAYLIST-TYPE:VOD");
        }
        if self.encrypted && is_from_ffmpeg {
            // Without an IV attribute, the IV is the media sequence number (RFC 8216 section 5.2), as FFmpeg uses it.
            line(&mut text, &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{KEY}\""));
        }
        let mut map = None;
        for segment in &self.listed {
            if segment.is_discontinuity() {
                line(&mut text, "#EXT-X-DISCONTINUITY");
            }
            if has_map && map != Some(segment.encoder_start) {
                line(
                    &mut text,
                    &format!("#EXT-X-MAP:URI=\"{}\"", rendition.initialization(segment.encoder_start)),
                );
                map = Some(segment.encoder_start);
            }
            let seconds = segment.seconds.get(index).copied().unwrap_or_default();
            line(&mut text, &format!("#EXTINF:{seconds:.6},\n{}", rendition.segment(segment.number)));
        }
        if self.is_vod {
            line(&mut text, "#EXT-X-ENDLIST");
        }
        text
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout;

    const TWO_VARIANTS: &[&str] = &["--ladder=640x360@500", "--list-size=3", "--delete-threshold=1"];

    fn publication(flags: &[&str], position: Position) -> Publication {
        let stream = Stream::of_flags(flags).unwrap();
        Publication::new(&stream, layout::renditions(&stream), position)
    }

    fn finished(numbers: std::ops::Range<u64>) -> Vec<FinishedSegment> {
        numbers.map(|number| FinishedSegment { number, seconds: 2.0 }).collect()
    }

    #[test]
    fn a_segment_is_published_when_every_variant_has_it() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        assert_eq!(publication.begin_encoder(), 0);
        assert_eq!(publication.publish(&[finished(0..3), finished(0..1)]), Ok(1));
        assert_eq!(publication.publish(&[finished(0..3), finished(0..3)]), Ok(2));
        assert_eq!(
            publication.playlist(1),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.000000,\n\
             v1_00000.ts\n#EXTINF:2.000000,\nv1_00001.ts\n#EXTINF:2.000000,\nv1_00002.ts\n"
        );
    }

    #[test]
    fn a_restart_marks_a_discontinuity_which_is_counted_when_it_leaves_the_playlist() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        publication.begin_encoder();
        publication.publish(&[finished(0..2), finished(0..3)]).unwrap();
        assert_eq!(publication.begin_encoder(), 2, "the segment that only one variant had is created again");
        publication.publish(&[finished(2..4), finished(2..4)]).unwrap();
        assert_eq!(publication.delist(), [""; 0]);
        let text = publication.playlist(0);
        assert!(
            text.contains("SEQUENCE:1\n#EXTINF:2.000000,\nseg_00001.ts\n#EXT-X-DISCONTINUITY\n#EXTINF"),
            "{text}"
        );
        publication.publish(&[finished(2..6), finished(2..6)]).unwrap();
        assert_eq!(publication.delist(), ["seg_00000.ts", "v1_00000.ts", "seg_00001.ts", "v1_00001.ts"]);
        let text = publication.playlist(0);
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF"), "{text}");
        assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    }

    #[test]
    fn a_saved_position_is_continued() {
        let mut publication = publication(TWO_VARIANTS, Position { next: 7, discontinuities: 2 });
        assert_eq!(publication.begin_encoder(), 7);
        publication.publish(&[finished(7..8), finished(7..8)]).unwrap();
        let text = publication.playlist(0);
        let head = "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-DISCONTINUITY\n";
        assert!(text.contains(head), "{text}");
        assert_eq!(publication.position(), Position { next: 8, discontinuities: 3 });
    }

    #[test]
    fn a_gap_in_the_list_of_ffmpeg_is_an_error() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        publication.begin_encoder();
        assert_eq!(publication.publish(&[finished(1..5), finished(0..5)]), Err(MissingSegment));
        assert_eq!(publication.publish(&[vec![], vec![]]), Ok(0));
    }

    #[test]
    fn initialization_sections_are_deleted_with_the_last_segment_that_needs_them() {
        let flags = [TWO_VARIANTS, &["--format=fmp4", "--subtitles"]].concat();
        let mut publication = publication(&flags, Position::default());
        publication.begin_encoder();
        publication.publish(&[finished(0..1), finished(0..1)]).unwrap();
        publication.begin_encoder();
        publication.publish(&[finished(1..5), finished(1..5)]).unwrap();
        let files = publication.delist();
        assert!(
            files.contains(&"seg_init_00000.mp4".to_owned())
                && files.contains(&"subtitles_00000.vtt".to_owned())
        );
        let text = publication.playlist(0);
        assert!(
            text.contains("#EXT-X-VERSION:6\n") && text.contains("#EXT-X-MAP:URI=\"seg_init_00001.mp4\"\n")
        );
        assert!(publication.needed().contains("seg_init_00001.mp4"));
        let text = publication.playlist(2);
        assert!(!text.contains("MAP") && text.contains("subtitles_00004.vtt"), "{text}");
    }

    #[test]
    fn a_vod_playlist_is_complete_and_ends() {
        let mut publication = publication(&["--vod=60", "--encryption=aes-128"], Position::default());
        publication.begin_encoder();
        assert_eq!(publication.publish(&[finished(0..31)]), Ok(30));
        assert_eq!(publication.delist(), [""; 0]);
        let text = publication.playlist(0);
        assert!(
            text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-KEY:METHOD=AES-128,URI=\"stream.key\"\n#EXTINF")
        );
        assert!(text.ends_with("seg_00029.ts\n#EXT-X-ENDLIST\n"), "{text}");
    }

    proptest! {
        #[test]
        fn numbers_continue_and_discontinuities_are_counted_over_any_restarts(
            lifetimes in proptest::collection::vec((0_u64..6, 0_u64..6), 1..20), next in 0_u64..3,
        ) {
            let mut publication = publication(TWO_VARIANTS, Position { next, discontinuities: next });
            let (mut sequence, mut discontinuities) = (0, 0);
            for (one, other) in lifetimes {
                let from = publication.begin_encoder();
                let lists = [finished(from..from + one), finished(from..from + other)];
                prop_assert_eq!(publication.publish(&lists), Ok(usize::try_from(one.min(other)).unwrap()));
                publication.delist();
                let text = publication.playlist(1);
                let number = |tag: &str| -> u64 {
                    let value = text.lines().find_map(|line| line.strip_prefix(tag));
                    value.map_or(0, |value| value.parse().unwrap())
                };
                let first = number("#EXT-X-MEDIA-SEQUENCE:");
                prop_assert!(first >= sequence);
                sequence = first;
                let listed = text.matches("#EXT-X-DISCONTINUITY\n").count();
                let now = number("#EXT-X-DISCONTINUITY-SEQUENCE:") + u64::try_from(listed).unwrap();
                prop_assert!(now >= discontinuities, "{}", text);
                discontinuities = now;
            }
        }
    }
}
