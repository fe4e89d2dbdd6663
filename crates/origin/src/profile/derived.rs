//! The values that are derived from a [`Stream`], computed in one place so that they agree.

use hls_swarm_profiles::sizing::origin::{CONTAINER_PERCENT, SLACK_BYTES};
use serde::Serialize;

use super::stream::{Source, Stream};

/// Samples per AAC frame.
pub const AAC_FRAME: u64 = 1024;
/// Sample rate of the audio.
const SAMPLE_RATE: u64 = 48_000;

/// The values that are derived from a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Derived {
    /// Frames per GOP; one GOP is one segment.
    pub gop_frames: u32,
    /// Upper bound for one segment of every rendition of one stream together, in bytes (at the maximum bitrates,
    /// including the container).
    pub segment_bytes: u64,
    /// Duration of the playlist, in seconds.
    pub window_seconds: u32,
    /// Size of the segments in the playlists of all streams, in bytes.
    pub window_bytes: u64,
    /// Time for which a segment can be fetched after it was first listed, in seconds.
    pub lifetime_seconds: u32,
    /// Number of files that exist at the same time: listed, delisted and unfinished segments, and playlists.
    pub files: u32,
    /// Size of nginx's open_file_cache: three times the number of files.
    pub open_file_cache_max: u32,
    /// Bytes that must be free on the file system of the segments.
    pub storage_bytes: u64,
    /// `max-age` of a media playlist in seconds: half a segment.
    pub playlist_max_age: u32,
    /// `stale-while-revalidate` of a media playlist in seconds: one segment.
    pub playlist_stale: u32,
    /// Time for which nginx keeps an idle connection, in seconds: longer than any gap between two requests of a
    /// playing viewer, so that no viewer uses a connection that was just closed.
    pub keepalive_seconds: u32,
    /// Number of audio samples for the AAC encoder per loop: one frame less than the loop has, because the
    /// encoder adds a priming frame.
    pub loop_samples: u64,
    /// Time without a change after which a playlist is stale, in seconds.
    pub stale_after_seconds: u32,
}

impl Derived {
    /// Computes the values.
    #[must_use]
    pub fn from_stream(stream: &Stream) -> Self {
        let segment = u64::from(stream.segment_seconds);
        let variants = u32::try_from(stream.variants.len()).unwrap_or(u32::MAX);
        let streams = 1 + u32::try_from(stream.additional_streams.len()).unwrap_or(u32::MAX);
        let audio_tracks = if stream.separate_audio { 1 } else { variants };
        let payload: u64 = stream.variants.iter().map(|variant| u64::from(variant.max_kbps)).sum::<u64>()
            + u64::from(stream.audio_kbps) * u64::from(audio_tracks);
        let bytes_per_second = payload * 125 * (100 + CONTAINER_PERCENT) / 100;
        let segment_bytes = bytes_per_second * segment;
        let renditions = variants + u32::from(stream.separate_audio) + u32::from(stream.subtitles);
        let (listed, kept) = match stream.source {
            Source::Vod(seconds) => {
                let all = seconds.div_ceil(stream.segment_seconds);
                (all, all)
            }
            Source::Loop | Source::Live => (stream.list_size, stream.list_size + stream.delete_threshold),
        };
        let window_bytes = segment_bytes * u64::from(listed) * u64::from(streams);
        // In addition to the segments: one that is being written, and the playlist.
        let files = streams * renditions * (kept + 2);
        let loop_bytes = bytes_per_second * u64::from(stream.loop_seconds);
        let segments = match stream.source {
            Source::Vod(_) => window_bytes,
            // Twice the window includes delisted segments, unless there are more of them than listed ones.
            Source::Loop | Source::Live => {
                (2 * window_bytes).max(segment_bytes * u64::from(streams) * u64::from(kept + 2))
            }
        };
        Self {
            gop_frames: stream.fps * stream.segment_seconds,
            segment_bytes,
            window_seconds: stream.segment_seconds * listed,
            window_bytes,
            lifetime_seconds: stream.segment_seconds * kept,
            files,
            open_file_cache_max: 3 * files,
            // The loop exists twice while it is measured, before there are segments.
            storage_bytes: segments.max(loop_bytes) + loop_bytes + SLACK_BYTES,
            playlist_max_age: stream.segment_seconds / 2,
            playlist_stale: stream.segment_seconds,
            keepalive_seconds: (10 * stream.segment_seconds).max(75),
            loop_samples: u64::from(stream.loop_seconds) * SAMPLE_RATE - AAC_FRAME,
            stale_after_seconds: 3 * stream.segment_seconds + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(flags: &[&str]) -> Stream {
        Stream::of_flags(flags).unwrap()
    }

    #[test]
    fn values_of_the_default_profile() {
        let derived = Derived::from_stream(&stream(&[]));
        assert_eq!(derived.gop_frames, 60);
        assert_eq!(derived.segment_bytes, 1_547_700, "5628 kbit/s * 2 s / 8 * 1.1");
        assert_eq!((derived.window_seconds, derived.lifetime_seconds), (20, 30));
        assert_eq!((derived.files, derived.open_file_cache_max), (17, 51));
        assert_eq!(derived.storage_bytes, 2 * 15_477_000 + 6_190_800 + (64 << 20));
        assert_eq!((derived.playlist_max_age, derived.playlist_stale), (1, 2));
        assert_eq!(derived.loop_samples, 374 * 1024);
    }

    #[test]
    fn variants_streams_and_renditions_are_counted() {
        let derived = Derived::from_stream(&stream(&["--profile=4k-abr", "--streams=b", "--subtitles"]));
        let set = (16_500 + 5500 + 2200 + 1100 + 550 + 5 * 128) * 125 * 11 / 10 * 2;
        assert_eq!((derived.segment_bytes, derived.window_bytes), (set, set * 10 * 2));
        assert_eq!(derived.files, 2 * 6 * 17);
        assert_eq!(derived.storage_bytes, 2 * derived.window_bytes + 4 * set + (64 << 20));
    }

    #[test]
    fn a_vod_is_stored_once_and_completely() {
        let derived = Derived::from_stream(&stream(&["--vod=61"]));
        assert_eq!((derived.window_seconds, derived.window_bytes), (62, 31 * derived.segment_bytes));
        assert_eq!(derived.storage_bytes, derived.window_bytes + 4 * derived.segment_bytes + (64 << 20));
    }

    proptest! {
        #[test]
        fn values_agree_with_each_other(
            segment in 1_u32..=60, list in 3_u32..=1000, fps in 1_u32..=240, kbps in 16_u32..=500_000,
        ) {
            let flags = [
                format!("--segment-seconds={segment}"), format!("--list-size={list}"), format!("--fps={fps}"),
                format!("--video-bitrate={kbps}"),
            ];
            let stream = stream(&flags.each_ref().map(String::as_str));
            let derived = Derived::from_stream(&stream);
            prop_assert_eq!(derived.gop_frames, fps * segment);
            prop_assert!(derived.lifetime_seconds > derived.window_seconds);
            prop_assert!(derived.storage_bytes > derived.segment_bytes * u64::from(derived.files));
            prop_assert!(derived.playlist_max_age < segment);
            prop_assert!(derived.keepalive_seconds > 3 * segment);
            // The audio of a loop, including the priming frame, is exactly as long as its video.
            prop_assert_eq!(derived.loop_samples + 1024, u64::from(stream.loop_seconds) * 48_000);
        }
    }
}
