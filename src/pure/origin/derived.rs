//! Everything that follows from a [`Stream`], computed in one place so that nothing disagrees.

use super::stream::{Source, Stream};

/// Share of MPEG-TS and container overhead on top of the payload, in percent.
const CONTAINER_PERCENT: u64 = 10;
/// Room on tmpfs beside the segments: nginx's files, the loop's copy of small streams, slack.
const SLACK_BYTES: u64 = 64 << 20;
/// Samples per AAC frame.
pub const AAC_FRAME: u64 = 1024;
/// Sample rate of the sound.
const SAMPLE_RATE: u64 = 48_000;

/// What follows from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// Frames per group of pictures: one group is one segment.
    pub gop_frames: u32,
    /// Upper estimate of one segment in bytes (at the ceiling of the rate, container included).
    pub segment_bytes: u64,
    /// Media time in the playlist, in seconds.
    pub window_seconds: u32,
    /// Bytes of the segments in the playlist.
    pub window_bytes: u64,
    /// How long a segment can be fetched after it was first listed, in seconds.
    pub lifetime_seconds: u32,
    /// Files that exist at once: listed, lingering, being written, and the playlist.
    pub files: u32,
    /// Entries for nginx's open_file_cache: files of three lifetimes' turnover.
    pub open_file_cache_max: u32,
    /// Bytes that must be free on the file system that holds the segments.
    pub storage_bytes: u64,
    /// `max-age` of a media playlist in seconds: half a segment.
    pub playlist_max_age: u32,
    /// `stale-while-revalidate` of a media playlist in seconds: one segment.
    pub playlist_stale: u32,
    /// How long nginx keeps an idle connection, in seconds: longer than any gap between two
    /// requests of a playing viewer, so that no viewer meets a connection that was just closed.
    pub keepalive_seconds: u32,
    /// Samples of sound handed to the AAC encoder for a loop. The encoder puts one priming frame in
    /// front, so one frame less than the loop holds makes the loop whole.
    pub loop_samples: Option<u64>,
    /// A playlist that has not changed for this many seconds is stale.
    pub stale_after_seconds: u32,
}

impl Derived {
    /// Computes everything from the stream.
    #[must_use]
    pub fn of(stream: &Stream) -> Self {
        let segment = u64::from(stream.segment_seconds);
        let payload = u64::from(stream.max_video_kbps) + u64::from(stream.audio_kbps);
        let bytes_per_second = payload * 125 * (100 + CONTAINER_PERCENT) / 100;
        let segment_bytes = bytes_per_second * segment;
        let window_bytes = segment_bytes * u64::from(stream.list_size);
        let files = stream.list_size + stream.delete_threshold + 2;
        let (loop_bytes, loop_samples) = match stream.source {
            Source::Live => (0, None),
            Source::Loop { seconds } => {
                let samples = u64::from(seconds) * SAMPLE_RATE;
                (bytes_per_second * u64::from(seconds), Some(samples - AAC_FRAME))
            }
        };
        Self {
            gop_frames: stream.fps * stream.segment_seconds,
            segment_bytes,
            window_seconds: stream.segment_seconds * stream.list_size,
            window_bytes,
            lifetime_seconds: stream.segment_seconds * (stream.list_size + stream.delete_threshold),
            files,
            open_file_cache_max: 3 * files,
            // Twice the window covers the segments that left the playlist and are still fetched,
            // as long as there are fewer of them than listed ones; else they are counted.
            storage_bytes: (2 * window_bytes).max(segment_bytes * u64::from(files))
                + loop_bytes
                + SLACK_BYTES,
            playlist_max_age: stream.segment_seconds / 2,
            playlist_stale: stream.segment_seconds,
            keepalive_seconds: (10 * stream.segment_seconds).max(75),
            loop_samples,
            stale_after_seconds: 3 * stream.segment_seconds + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::origin::profile;
    use crate::words::cli::origin::StreamArgs;

    fn stream(args: &StreamArgs) -> Stream {
        let text = profile::built_in("default").unwrap();
        Stream::resolve(profile::parse("default", text).unwrap(), args).unwrap()
    }

    #[test]
    fn the_default_profile_by_hand() {
        let derived = Derived::of(&stream(&StreamArgs::default()));
        assert_eq!(derived.gop_frames, 60);
        assert_eq!(derived.segment_bytes, 1_547_700, "5628 kbit/s * 2 s / 8 * 1.1");
        assert_eq!((derived.window_seconds, derived.lifetime_seconds), (20, 30));
        assert_eq!((derived.files, derived.open_file_cache_max), (17, 51));
        assert_eq!(derived.storage_bytes, 2 * 15_477_000 + 6_190_800 + (64 << 20));
        assert_eq!((derived.playlist_max_age, derived.playlist_stale), (1, 2));
        assert_eq!(derived.loop_samples, Some(374 * 1024));
    }

    proptest! {
        #[test]
        fn values_agree_with_each_other(
            segment in 1_u32..=60, list in 3_u32..=1000, fps in 1_u32..=240, kbps in 16_u32..=500_000,
        ) {
            let stream = stream(&StreamArgs {
                segment_seconds: Some(segment), list_size: Some(list), fps: Some(fps),
                video_bitrate: Some(kbps), ..StreamArgs::default()
            });
            let derived = Derived::of(&stream);
            prop_assert_eq!(derived.gop_frames, fps * segment);
            prop_assert!(derived.lifetime_seconds > derived.window_seconds);
            prop_assert!(derived.storage_bytes > derived.segment_bytes * u64::from(derived.files));
            prop_assert!(derived.playlist_max_age < segment);
            prop_assert!(derived.keepalive_seconds > 3 * segment);
            // The sound of a loop, priming frame included, is exactly as long as its picture.
            let Source::Loop { seconds } = stream.source else { panic!("the default is a loop") };
            prop_assert_eq!(derived.loop_samples.unwrap() + 1024, u64::from(seconds) * 48_000);
        }
    }
}
