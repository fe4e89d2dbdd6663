//! The playlists of the synthetic stream: which segments there are at a time, and as texts.

use std::time::Duration;

use super::Synthetic;
use crate::publisher::playlist::PLAYLIST;

/// Path of the master playlist on the server.
pub const MASTER: &str = "master.m3u8";
/// Path of the playlist that has an end.
pub const VOD: &str = "vod.m3u8";

/// A media playlist that slides, and how long segments can still be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Length of a segment in seconds.
    pub seconds: u32,
    /// Segments in the playlist.
    pub listed: u32,
    /// Segments that can be fetched although they are not listed any more.
    pub lingering: u32,
}

impl Window {
    /// Number of the first listed segment, `elapsed` after the start: the list is full from the start.
    #[must_use]
    pub fn first(&self, elapsed: Duration) -> u64 {
        elapsed.as_secs() / u64::from(self.seconds.max(1))
    }

    /// When the playlist changed last, as time after the start.
    #[must_use]
    pub fn changed(&self, elapsed: Duration) -> Duration {
        Duration::from_secs(self.first(elapsed) * u64::from(self.seconds))
    }

    /// Numbers of the segments that can be fetched: listed or lingering.
    #[must_use]
    pub fn there(&self, elapsed: Duration) -> std::ops::Range<u64> {
        let first = self.first(elapsed);
        first.saturating_sub(self.lingering.into())..first + u64::from(self.listed)
    }

    /// The playlist.
    #[must_use]
    pub fn text(&self, elapsed: Duration) -> String {
        let first = self.first(elapsed);
        let mut text = head(self.seconds, first);
        for number in first..first + u64::from(self.listed) {
            text.push_str(&entry(self.seconds, &live_name(number)));
        }
        text
    }
}

/// The playlist that has an end, after so many segments.
#[must_use]
pub fn vod(seconds: u32, segments: u64) -> String {
    let mut text = head(seconds, 0).replacen("#EXTM3U\n", "#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n", 1);
    for number in 0..segments {
        text.push_str(&entry(seconds, &vod_name(number)));
    }
    text + "#EXT-X-ENDLIST\n"
}

/// The master playlist: one variant.
#[must_use]
pub fn master(synthetic: &Synthetic) -> String {
    let Synthetic { size, fps, seconds, .. } = synthetic;
    // One packet of sound more or less is all that segments differ by.
    let bits = (synthetic.segment_bytes() + 188) * 8 / u64::from((*seconds).max(1));
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH={bits},AVERAGE-BANDWIDTH={bits},\
         CODECS=\"{}\",RESOLUTION={size},FRAME-RATE={fps}.000\n{PLAYLIST}\n",
        synthetic.codecs()
    )
}

/// File name of a live segment, as FFmpeg's muxer would number it.
#[must_use]
pub fn live_name(number: u64) -> String {
    format!("seg_{number:05}.ts")
}

/// File name of a segment that is always there.
#[must_use]
pub fn vod_name(number: u64) -> String {
    format!("vod_{number:05}.ts")
}

/// The number in a file name that `name` would give it.
#[must_use]
pub fn number_in(file: &str, name: fn(u64) -> String) -> Option<u64> {
    let digits = file.strip_suffix(".ts")?.get(4..)?;
    digits.parse().ok().filter(|number| name(*number) == file)
}

fn head(seconds: u32, first: u64) -> String {
    format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:{first}\n")
}

fn entry(seconds: u32, name: &str) -> String {
    format!("#EXTINF:{seconds}.000000,\n{name}\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::publisher::playlist;

    const WINDOW: Window = Window { seconds: 2, listed: 3, lingering: 2 };

    #[test]
    fn the_window_slides_with_the_clock() {
        assert_eq!(
            WINDOW.text(Duration::from_millis(3999)),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n\
             #EXTINF:2.000000,\nseg_00001.ts\n#EXTINF:2.000000,\nseg_00002.ts\n\
             #EXTINF:2.000000,\nseg_00003.ts\n"
        );
        assert_eq!(WINDOW.there(Duration::from_secs(2)), 0..4);
        assert_eq!(WINDOW.there(Duration::from_secs(20)), 8..13);
        assert_eq!(WINDOW.changed(Duration::from_millis(3999)), Duration::from_secs(2));
    }

    #[test]
    fn the_end_of_vod_is_marked() {
        let text = vod(7, 9);
        assert_eq!(playlist::read(&text).unwrap().segments.len(), 9);
        assert!(
            text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("vod_00008.ts\n#EXT-X-ENDLIST\n")
        );
    }

    #[test]
    fn names_are_read_as_they_are_written_only() {
        assert_eq!(number_in("seg_00042.ts", live_name), Some(42));
        assert_eq!(number_in("seg_123456.ts", live_name), Some(123_456));
        for wrong in ["seg_42.ts", "seg_00042.mp4", "vod_00042.ts", "seg_+0042.ts", "s.ts", ""] {
            assert_eq!(number_in(wrong, live_name), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_listed_is_there_and_never_goes_back(
            at in 0_u64..1_000_000, later in 0_u64..10_000, seconds in 1_u32..9, listed in 3_u32..20,
        ) {
            let window = Window { seconds, listed, lingering: 5 };
            let (at, then) = (Duration::from_millis(at), Duration::from_millis(at + later));
            let one = playlist::read(&window.text(at)).unwrap();
            let next = playlist::read(&window.text(then)).unwrap();
            prop_assert!(next.media_sequence >= one.media_sequence);
            let there = window.there(at);
            for name in &one.segments {
                prop_assert!(there.contains(&number_in(name, live_name).unwrap()));
            }
        }
    }
}
