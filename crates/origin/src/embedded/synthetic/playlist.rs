//! The playlists of the synthetic stream, as a function of time.

use std::time::Duration;

use super::SyntheticStream;
use crate::publisher::playlist::PLAYLIST;

/// File name of the VOD playlist.
pub(crate) const VOD: &str = "vod.m3u8";

/// A live playlist: a sliding window of segments, and how long delisted segments stay available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LiveWindow {
    /// Length of a segment in seconds.
    pub(crate) seconds: u32,
    /// Segments in the playlist.
    pub(crate) listed: u32,
    /// Number of segments that stay available after they left the playlist.
    pub(crate) delisted: u32,
}

impl LiveWindow {
    /// Number of the first listed segment, `elapsed` after the start. The playlist is full from the start.
    #[must_use]
    pub(crate) fn first(&self, elapsed: Duration) -> u64 {
        elapsed.as_secs() / u64::from(self.seconds.max(1))
    }

    /// Time of the last change of the playlist, as time after the start.
    #[must_use]
    pub(crate) fn updated(&self, elapsed: Duration) -> Duration {
        Duration::from_secs(self.first(elapsed) * u64::from(self.seconds))
    }

    /// Numbers of the segments that can be fetched, listed or delisted.
    #[must_use]
    pub(crate) fn available(&self, elapsed: Duration) -> std::ops::Range<u64> {
        let first = self.first(elapsed);
        first.saturating_sub(self.delisted.into())..first + u64::from(self.listed)
    }

    /// The text of the playlist.
    #[must_use]
    pub(crate) fn text(&self, elapsed: Duration) -> String {
        let first = self.first(elapsed);
        let mut text = head(self.seconds, first);
        for number in first..first + u64::from(self.listed) {
            text.push_str(&entry(self.seconds, &live_name(number)));
        }
        text
    }
}

/// The text of a VOD playlist with this number of segments.
#[must_use]
pub(crate) fn vod(seconds: u32, segments: u64) -> String {
    let mut text = head(seconds, 0).replacen("#EXTM3U\n", "#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n", 1);
    for number in 0..segments {
        text.push_str(&entry(seconds, &vod_name(number)));
    }
    text + "#EXT-X-ENDLIST\n"
}

/// The text of the multivariant playlist, which has one variant.
#[must_use]
pub(crate) fn multivariant(synthetic: &SyntheticStream) -> String {
    let SyntheticStream { size, fps, seconds, .. } = synthetic;
    // Segments differ by at most one packet of audio.
    let bits = (synthetic.segment_bytes() + 188) * 8 / u64::from((*seconds).max(1));
    format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-STREAM-INF:BANDWIDTH={bits},AVERAGE-BANDWIDTH={bits},\
         CODECS=\"{}\",RESOLUTION={size},FRAME-RATE={fps}.000\n{PLAYLIST}\n",
        synthetic.codecs()
    )
}

/// File name of a live segment, in the format of FFmpeg's muxer.
#[must_use]
pub(crate) fn live_name(number: u64) -> String {
    format!("seg_{number:05}.ts")
}

/// File name of a VOD segment.
#[must_use]
pub(crate) fn vod_name(number: u64) -> String {
    format!("vod_{number:05}.ts")
}

/// The number of the segment whose file name, according to `name`, is `file`.
#[must_use]
pub(crate) fn number_in(file: &str, name: fn(u64) -> String) -> Option<u64> {
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

    const WINDOW: LiveWindow = LiveWindow { seconds: 2, listed: 3, delisted: 2 };

    #[test]
    fn the_window_slides_with_the_clock() {
        assert_eq!(
            WINDOW.text(Duration::from_millis(3999)),
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n\
             #EXTINF:2.000000,\nseg_00001.ts\n#EXTINF:2.000000,\nseg_00002.ts\n\
             #EXTINF:2.000000,\nseg_00003.ts\n"
        );
        assert_eq!(WINDOW.available(Duration::from_secs(2)), 0..4);
        assert_eq!(WINDOW.available(Duration::from_secs(20)), 8..13);
        assert_eq!(WINDOW.updated(Duration::from_millis(3999)), Duration::from_secs(2));
    }

    #[test]
    fn a_vod_playlist_has_an_end() {
        let text = vod(7, 9);
        assert_eq!(playlist::parse(&text).unwrap().segments.len(), 9);
        assert!(
            text.contains("#EXT-X-PLAYLIST-TYPE:VOD\n") && text.ends_with("vod_00008.ts\n#EXT-X-ENDLIST\n")
        );
    }

    #[test]
    fn only_names_in_the_written_format_are_parsed() {
        assert_eq!(number_in("seg_00042.ts", live_name), Some(42));
        assert_eq!(number_in("seg_123456.ts", live_name), Some(123_456));
        for wrong in ["seg_42.ts", "seg_00042.mp4", "vod_00042.ts", "seg_+0042.ts", "s.ts", ""] {
            assert_eq!(number_in(wrong, live_name), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn listed_segments_are_available_and_the_sequence_never_decreases(
            at in 0_u64..1_000_000, later in 0_u64..10_000, seconds in 1_u32..9, listed in 3_u32..20,
        ) {
            let window = LiveWindow { seconds, listed, delisted: 5 };
            let (at, then) = (Duration::from_millis(at), Duration::from_millis(at + later));
            let one = playlist::parse(&window.text(at)).unwrap();
            let next = playlist::parse(&window.text(then)).unwrap();
            prop_assert!(next.media_sequence >= one.media_sequence);
            let available = window.available(at);
            for name in &one.segments {
                prop_assert!(available.contains(&number_in(name, live_name).unwrap()));
            }
        }
    }
}
