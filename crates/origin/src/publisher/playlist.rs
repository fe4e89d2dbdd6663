//! What the origin needs to know of its own media playlist: where it stands and what it lists.
//!
//! This is no general parser: it reads what FFmpeg's muxer has just written.

/// File name of the media playlist, and its path on the server.
pub const PLAYLIST: &str = "stream.m3u8";

/// The state of a media playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// EXT-X-MEDIA-SEQUENCE: number of the first listed segment.
    pub media_sequence: u64,
    /// File names of the listed segments, oldest first.
    pub segments: Vec<String>,
}

/// A segment that FFmpeg has finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    /// Its number.
    pub number: u64,
    /// Its length in seconds.
    pub seconds: f64,
}

/// Reads a media playlist; none if the text is not a whole one.
#[must_use]
pub fn read(text: &str) -> Option<Listed> {
    let mut lines = text.lines();
    if lines.next()? != "#EXTM3U" {
        return None;
    }
    let number = |line: &str| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")?.parse().ok();
    let media_sequence = text.lines().find_map(number)?;
    let segments =
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
    Some(Listed { media_sequence, segments })
}

/// Reads the list that FFmpeg keeps for us: number and length of each finished segment. Empty if there
/// is no list yet.
#[must_use]
pub fn finished(text: &str) -> Vec<Finished> {
    let Some(Listed { media_sequence, .. }) = read(text) else { return Vec::new() };
    let length = |line: &str| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok();
    (media_sequence..)
        .zip(text.lines().filter_map(length))
        .map(|(number, seconds)| Finished { number, seconds })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_playlist_of_ffmpeg_after_a_restart() {
        let text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:3\n\
                    #EXTINF:2.000000,\nseg_00003.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:2.000000,\nseg_00004.ts\n";
        let listed = read(text).unwrap();
        assert_eq!(listed.media_sequence, 3);
        assert_eq!(listed.segments, ["seg_00003.ts", "seg_00004.ts"]);
        let both = [Finished { number: 3, seconds: 2.0 }, Finished { number: 4, seconds: 2.0 }];
        assert_eq!(finished(text), both);
        assert_eq!(finished(""), []);
    }

    #[test]
    fn other_texts_are_no_playlists() {
        assert_eq!(read(""), None);
        assert_eq!(read("<html>"), None);
        assert_eq!(read("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"), None);
    }
}
