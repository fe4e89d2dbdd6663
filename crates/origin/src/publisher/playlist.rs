//! A reader for the media playlists of FFmpeg's muxer and of this origin: media sequence and segments.
//!
//! `hls_swarm_hls` has the general parser.

/// File name of the first media playlist, and its path on the server.
pub const PLAYLIST: &str = "stream.m3u8";

/// The contents of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-MEDIA-SEQUENCE: number of the first segment.
    pub media_sequence: u64,
    /// File names of the segments, oldest first.
    pub segments: Vec<String>,
}

/// A segment that FFmpeg has finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FinishedSegment {
    /// Its number.
    pub number: u64,
    /// Its duration in seconds.
    pub seconds: f64,
}

/// Parses a media playlist; `None` if the text is not a media playlist.
#[must_use]
pub fn parse(text: &str) -> Option<MediaPlaylist> {
    let mut lines = text.lines();
    if lines.next()? != "#EXTM3U" {
        return None;
    }
    let number = |line: &str| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok();
    let media_sequence = text.lines().find_map(number)?;
    let segments =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    Some(MediaPlaylist { media_sequence, segments })
}

/// Parses the list that FFmpeg maintains: number and duration of each finished segment. Empty if there is no
/// list yet.
#[must_use]
pub fn finished_segments(text: &str) -> Vec<FinishedSegment> {
    let Some(MediaPlaylist { media_sequence, .. }) = parse(text) else { return Vec::new() };
    let duration = |line: &str| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok();
    (media_sequence..)
        .zip(text.lines().filter_map(duration))
        .map(|(number, seconds)| FinishedSegment { number, seconds })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_with_a_discontinuity_is_parsed() {
        let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:3\n\
                    #EXTINF:2.000000,\nseg_00003.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\nseg_00004.ts\n";
        let listed = parse(text).unwrap();
        assert_eq!(listed.media_sequence, 3);
        assert_eq!(listed.segments, ["seg_00003.ts", "seg_00004.ts"]);
        let both = [FinishedSegment { number: 3, seconds: 2.0 }, FinishedSegment { number: 4, seconds: 2.0 }];
        assert_eq!(finished_segments(text), both);
        assert_eq!(finished_segments(""), []);
    }

    #[test]
    fn other_texts_are_not_media_playlists() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("<html>"), None);
        assert_eq!(parse("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"), None);
    }
}
