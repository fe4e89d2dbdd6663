//! What viewers are told of a stream: which segments are listed, which still linger, and the text of
//! each media playlist.
//!
//! A segment is published when every rendition has it, in all of them at once and under one number.
//! FFmpeg may end and begin again at any time: numbers go on, and the seam is marked.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::playlist::Finished;
use crate::layout::{KEY, MASTER, Media, Rendition};
use crate::profile::stream::{Source, Stream};
use crate::profile::{Encryption, Format};

/// Where a stream stands; kept, so that it can go on after the program has ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Number of the next segment.
    pub next: u64,
    /// Discontinuities before it.
    pub discontinuities: u64,
}

/// One published segment, in all renditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// Number of the first segment of the same FFmpeg.
    pub origin: u64,
    /// Discontinuities up to and with this one.
    discontinuities: u64,
    /// Seconds from the first segment of the same FFmpeg to this one.
    pub start: f64,
    /// Its length in each rendition.
    pub seconds: Vec<f64>,
}

impl Entry {
    /// Time stamps begin anew, and a viewer may have seen an earlier segment.
    fn is_seam(&self) -> bool {
        self.number == self.origin && self.number > 0
    }
}

/// What is published of a stream.
#[derive(Clone, Debug)]
pub struct Publication {
    renditions: Vec<Rendition>,
    list_size: usize,
    delete_threshold: usize,
    target_seconds: u32,
    format: Format,
    encrypted: bool,
    film: bool,
    /// Segments that are published at most: cut at a time, FFmpeg leaves a frame or two of another one.
    most: u64,
    position: Position,
    origin: u64,
    start: f64,
    listed: VecDeque<Entry>,
    lingering: VecDeque<Entry>,
}

/// FFmpeg's list went on without a segment that was not published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl Publication {
    /// Goes on at `position` with nothing listed.
    #[must_use]
    pub fn new(stream: &Stream, renditions: Vec<Rendition>, position: Position) -> Self {
        let film = matches!(stream.source, Source::Film(_));
        let most = match stream.source {
            Source::Film(seconds) => u64::from(seconds.div_ceil(stream.segment_seconds)),
            Source::Loop | Source::Live => u64::MAX,
        };
        let count = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            renditions,
            list_size: if film { usize::MAX } else { count(stream.list_size) },
            delete_threshold: count(stream.delete_threshold),
            target_seconds: stream.segment_seconds,
            format: stream.format,
            encrypted: stream.encryption == Encryption::Aes128,
            film,
            most,
            position,
            origin: position.next,
            start: 0.0,
            listed: VecDeque::new(),
            lingering: VecDeque::new(),
        }
    }

    /// The same, with no more than the segments of one loop: to be measured, not to be served.
    #[must_use]
    pub fn of_loop(stream: &Stream, renditions: Vec<Rendition>) -> Self {
        let most = u64::from(stream.loop_seconds / stream.segment_seconds);
        Self { most, ..Self::new(stream, renditions, Position::default()) }
    }

    /// Number of the first segment of an FFmpeg that is about to start.
    pub fn begin(&mut self) -> u64 {
        self.origin = self.position.next;
        self.start = 0.0;
        self.origin
    }

    /// Where the stream stands.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Renditions in the order of the playlists.
    #[must_use]
    pub fn renditions(&self) -> &[Rendition] {
        &self.renditions
    }

    /// Segments in the playlists, oldest first.
    pub fn listed(&self) -> impl Iterator<Item = &Entry> {
        self.listed.iter()
    }

    /// Publishes every segment that all renditions have. `finished` holds what FFmpeg's lists say,
    /// one list per rendition that FFmpeg makes, in order. Tells how many were new.
    ///
    /// # Errors
    /// [`Lost`]: FFmpeg has to be started again, because numbers must not be left out.
    pub fn take(&mut self, finished: &[Vec<Finished>]) -> Result<usize, Lost> {
        let before = self.position.next;
        loop {
            let next = self.position.next;
            let found: Option<Vec<f64>> = finished
                .iter()
                .map(|list| list.iter().find(|one| one.number == next).map(|one| one.seconds))
                .collect();
            let Some(mut seconds) = found.filter(|found| !found.is_empty() && next < self.most) else {
                let passed = |list: &Vec<Finished>| list.first().is_some_and(|first| first.number > next);
                let lost = finished.iter().any(passed);
                let new = usize::try_from(next - before).unwrap_or(usize::MAX);
                return if lost { Err(Lost) } else { Ok(new) };
            };
            let length = seconds.first().copied().unwrap_or_default();
            // Subtitles are ours, and as long as the picture.
            seconds.resize(self.renditions.len(), length);
            let mut entry =
                Entry { number: next, origin: self.origin, discontinuities: 0, start: self.start, seconds };
            self.position.discontinuities += u64::from(entry.is_seam());
            entry.discontinuities = self.position.discontinuities;
            self.position.next += 1;
            self.start += length;
            self.listed.push_back(entry);
        }
    }

    /// Takes off the list what does not fit on it any more, and tells the files that nobody needs.
    pub fn retire(&mut self) -> Vec<String> {
        while self.listed.len() > self.list_size {
            self.lingering.extend(self.listed.pop_front());
        }
        let mut files = Vec::new();
        while self.lingering.len() > self.delete_threshold {
            let Some(gone) = self.lingering.pop_front() else { break };
            files.extend(self.renditions.iter().map(|rendition| rendition.segment(gone.number)));
            let oldest = self.lingering.front().or(self.listed.front());
            if self.format == Format::Fmp4 && oldest.is_some_and(|entry| entry.origin != gone.origin) {
                files.extend(self.renditions.iter().map(|rendition| rendition.initialization(gone.origin)));
            }
        }
        files
    }

    /// The files of the stream's directory that viewers may ask for.
    #[must_use]
    pub fn needed(&self) -> BTreeSet<String> {
        let mut files = BTreeSet::from([MASTER.to_owned(), KEY.to_owned()]);
        for rendition in &self.renditions {
            files.extend([rendition.playlist(), rendition.list(), rendition.initialization(self.origin)]);
            for entry in self.lingering.iter().chain(&self.listed) {
                files.extend([rendition.segment(entry.number), rendition.initialization(entry.origin)]);
            }
        }
        files
    }

    /// The media playlist of the rendition with this index.
    #[must_use]
    pub fn playlist(&self, index: usize) -> String {
        let Some(rendition) = self.renditions.get(index) else { return String::new() };
        let first = self.listed.front().map_or(self.position.next, |first| first.number);
        let made_by_ffmpeg = rendition.media != Media::Subtitles;
        let mapped = self.format == Format::Fmp4 && made_by_ffmpeg;
        // EXT-X-MAP in a playlist of whole segments is of version 6.
        let version = if mapped { 6 } else { 3 };
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{}\n#EXT-X-MEDIA-SEQUENCE:{first}\n",
            self.target_seconds
        );
        let before =
            self.listed.front().map_or(0, |first| first.discontinuities - u64::from(first.is_seam()));
        if before > 0 {
            line(&mut text, &format!("#EXT-X-DISCONTINUITY-SEQUENCE:{before}"));
        }
        if self.film {
            line(&mut text, "#EXT-X-PLAYLIST-TYPE:VOD");
        }
        if self.encrypted && made_by_ffmpeg {
            // Without IV, it is the media sequence number (RFC 8216 section 5.2), as FFmpeg takes it.
            line(&mut text, &format!("#EXT-X-KEY:METHOD=AES-128,URI=\"{KEY}\""));
        }
        let mut map = None;
        for entry in &self.listed {
            if entry.is_seam() {
                line(&mut text, "#EXT-X-DISCONTINUITY");
            }
            if mapped && map != Some(entry.origin) {
                line(&mut text, &format!("#EXT-X-MAP:URI=\"{}\"", rendition.initialization(entry.origin)));
                map = Some(entry.origin);
            }
            let seconds = entry.seconds.get(index).copied().unwrap_or_default();
            line(&mut text, &format!("#EXTINF:{seconds:.6},\n{}", rendition.segment(entry.number)));
        }
        if self.film {
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
    use crate::profile::plan::Plan;

    const TWO_VARIANTS: &[&str] = &["--ladder=640x360@500", "--list-size=3", "--delete-threshold=1"];

    fn publication(flags: &[&str], position: Position) -> Publication {
        let stream = Plan::of_flags(flags).unwrap().stream;
        Publication::new(&stream, layout::renditions(&stream), position)
    }

    fn finished(numbers: std::ops::Range<u64>) -> Vec<Finished> {
        numbers.map(|number| Finished { number, seconds: 2.0 }).collect()
    }

    #[test]
    fn a_segment_is_published_when_every_variant_has_it() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        assert_eq!(publication.begin(), 0);
        assert_eq!(publication.take(&[finished(0..3), finished(0..1)]), Ok(1));
        assert_eq!(publication.take(&[finished(0..3), finished(0..3)]), Ok(2));
        assert_eq!(
            publication.playlist(1),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.000000,\n\
             v1_00000.ts\n#EXTINF:2.000000,\nv1_00001.ts\n#EXTINF:2.000000,\nv1_00002.ts\n"
        );
    }

    #[test]
    fn a_new_ffmpeg_goes_on_with_a_marked_seam_which_is_counted_when_it_leaves() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        publication.begin();
        publication.take(&[finished(0..2), finished(0..3)]).unwrap();
        assert_eq!(publication.begin(), 2, "what only one variant had is made again");
        publication.take(&[finished(2..4), finished(2..4)]).unwrap();
        assert_eq!(publication.retire(), [""; 0]);
        let text = publication.playlist(0);
        assert!(
            text.contains("SEQUENCE:1\n#EXTINF:2.000000,\nseg_00001.ts\n#EXT-X-DISCONTINUITY\n#EXTINF"),
            "{text}"
        );
        publication.take(&[finished(2..6), finished(2..6)]).unwrap();
        assert_eq!(publication.retire(), ["seg_00000.ts", "v1_00000.ts", "seg_00001.ts", "v1_00001.ts"]);
        let text = publication.playlist(0);
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:3\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF"), "{text}");
        assert!(!text.contains("#EXT-X-DISCONTINUITY\n"), "{text}");
    }

    #[test]
    fn a_kept_position_is_gone_on_from() {
        let mut publication = publication(TWO_VARIANTS, Position { next: 7, discontinuities: 2 });
        assert_eq!(publication.begin(), 7);
        publication.take(&[finished(7..8), finished(7..8)]).unwrap();
        let text = publication.playlist(0);
        let head = "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:2\n#EXT-X-DISCONTINUITY\n";
        assert!(text.contains(head), "{text}");
        assert_eq!(publication.position(), Position { next: 8, discontinuities: 3 });
    }

    #[test]
    fn a_hole_in_ffmpegs_list_asks_for_a_new_ffmpeg() {
        let mut publication = publication(TWO_VARIANTS, Position::default());
        publication.begin();
        assert_eq!(publication.take(&[finished(1..5), finished(0..5)]), Err(Lost));
        assert_eq!(publication.take(&[vec![], vec![]]), Ok(0));
    }

    #[test]
    fn initialization_sections_go_with_the_last_segment_that_needs_them() {
        let flags = [TWO_VARIANTS, &["--format=fmp4", "--subtitles"]].concat();
        let mut publication = publication(&flags, Position::default());
        publication.begin();
        publication.take(&[finished(0..1), finished(0..1)]).unwrap();
        publication.begin();
        publication.take(&[finished(1..5), finished(1..5)]).unwrap();
        let files = publication.retire();
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
    fn a_film_is_whole_and_ends() {
        let mut publication = publication(&["--vod=60", "--encryption=aes-128"], Position::default());
        publication.begin();
        assert_eq!(publication.take(&[finished(0..31)]), Ok(30));
        assert_eq!(publication.retire(), [""; 0]);
        let text = publication.playlist(0);
        assert!(
            text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-KEY:METHOD=AES-128,URI=\"stream.key\"\n#EXTINF")
        );
        assert!(text.ends_with("seg_00029.ts\n#EXT-X-ENDLIST\n"), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_dies_numbers_go_on_and_discontinuities_are_counted(
            lifetimes in proptest::collection::vec((0_u64..6, 0_u64..6), 1..20), next in 0_u64..3,
        ) {
            let mut publication = publication(TWO_VARIANTS, Position { next, discontinuities: next });
            let (mut sequence, mut seams) = (0, 0);
            for (one, other) in lifetimes {
                let from = publication.begin();
                let lists = [finished(from..from + one), finished(from..from + other)];
                prop_assert_eq!(publication.take(&lists), Ok(usize::try_from(one.min(other)).unwrap()));
                publication.retire();
                let text = publication.playlist(1);
                let number = |tag: &str| -> u64 {
                    let value = text.lines().find_map(|line| line.strip_prefix(tag));
                    value.map_or(0, |value| value.parse().unwrap())
                };
                let first = number("#EXT-X-MEDIA-SEQUENCE:");
                prop_assert!(first >= sequence);
                sequence = first;
                let marks = text.matches("#EXT-X-DISCONTINUITY\n").count();
                let now = number("#EXT-X-DISCONTINUITY-SEQUENCE:") + u64::try_from(marks).unwrap();
                prop_assert!(now >= seams, "{}", text);
                seams = now;
            }
        }
    }
}
