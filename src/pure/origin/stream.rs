//! What the origin is asked to serve: the profile with the flags on top, checked once.

use std::fmt;
use std::str::FromStr;

use super::profile::{Mode, Profile};
use crate::words::cli::origin::StreamArgs;
use crate::words::failure::Failure;

/// AAC frames hold 1024 samples, so at 48 kHz only every 8 s a frame ends on a whole second: a loop
/// of another length would have a gap or an overlap in the sound at each seam.
pub const LOOP_UNIT_SECONDS: u32 = 8;

/// Size of the picture in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels per line; even, as 4:2:0 asks.
    pub width: u32,
    /// Lines; even, as 4:2:0 asks.
    pub height: u32,
}

impl FromStr for Size {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let number = |part: &str| part.parse::<u32>().ok().filter(|n| (16..=8192).contains(n) && n % 2 == 0);
        text.split_once('x')
            .and_then(|(width, height)| Some(Self { width: number(width)?, height: number(height)? }))
            .ok_or_else(|| {
                Failure::usage(format!("video size \"{text}\" is not WIDTHxHEIGHT"))
                    .cure("give two even numbers from 16 to 8192, for example 1280x720")
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// The stream to be served; its values fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Segments in the playlist.
    pub list_size: u32,
    /// Segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// Size of the picture.
    pub size: Size,
    /// Frames per second.
    pub fps: u32,
    /// Average rate of the picture in 1000 bit/s.
    pub video_kbps: u32,
    /// Ceiling of the picture's rate in 1000 bit/s.
    pub max_video_kbps: u32,
    /// Preset of x264.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// Tune of x264.
    pub tune: Option<String>,
    /// Rate of the sound in 1000 bit/s.
    pub audio_kbps: u32,
    /// Where the stream comes from.
    pub source: Source,
}

/// Where the stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A loop of this many seconds, encoded once and replayed.
    Loop {
        /// Length of the loop, a multiple of [`LOOP_UNIT_SECONDS`] and of the segment length.
        seconds: u32,
    },
    /// Encoding in real time.
    Live,
}

impl Stream {
    /// Puts the flags on top of the profile and checks the result.
    ///
    /// # Errors
    /// A value is out of its range, or values do not fit together.
    pub fn resolve(profile: Profile, args: &StreamArgs) -> Result<Self, Failure> {
        let Profile { segment_seconds, list_size, delete_threshold, video, audio, encoder } = profile;
        let size = args.video_size.as_deref().unwrap_or(&video.size).parse()?;
        let fps = within("fps", args.fps.unwrap_or(video.fps), 1, 240)?;
        let segment_seconds =
            within("segment-seconds", args.segment_seconds.unwrap_or(segment_seconds), 1, 60)?;
        // RFC 8216 section 6.2.2: a live playlist must not be shorter than three target durations.
        let list_size = within("list-size", args.list_size.unwrap_or(list_size), 3, 1000)?;
        let video_kbps =
            within("video-bitrate", args.video_bitrate.unwrap_or(video.bitrate_kbps), 16, 500_000)?;
        // A given rate moves the ceiling along, in the profile's proportion.
        let max_video_kbps = match args.video_bitrate {
            None => within("max_bitrate_kbps", video.max_bitrate_kbps, video_kbps, 1_000_000)?,
            Some(kbps) => ceiling(kbps, video.bitrate_kbps, video.max_bitrate_kbps),
        };
        let mode = args.encoder.map_or(encoder.mode, Into::into);
        let source = match mode {
            Mode::Live if args.loop_seconds.is_some() => {
                return Err(Failure::usage("--loop-seconds has no meaning for a live encoder")
                    .cure("drop it, or pass --encoder loop"));
            }
            Mode::Live => Source::Live,
            Mode::Loop => Source::Loop { seconds: loop_seconds(args.loop_seconds, segment_seconds)? },
        };
        Ok(Self {
            segment_seconds,
            list_size,
            delete_threshold: within("delete_threshold", delete_threshold, 1, 1000)?,
            size,
            fps,
            video_kbps,
            max_video_kbps,
            preset: word("preset", video.preset)?,
            h264_profile: word("h264_profile", video.h264_profile)?,
            tune: Some(word("tune", video.tune)?).filter(|tune| tune != "none"),
            audio_kbps: within("audio bitrate_kbps", audio.bitrate_kbps, 16, 512)?,
            source,
        })
    }
}

fn within(name: &str, value: u32, least: u32, most: u32) -> Result<u32, Failure> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!("{name} {value} is out of range")).cure(format!("give {least} to {most}")))
}

fn word(name: &str, value: String) -> Result<String, Failure> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(value);
    }
    Err(Failure::usage(format!("{name} \"{value}\" is not a name that x264 knows"))
        .cure("see `ffmpeg -h encoder=libx264`"))
}

fn ceiling(kbps: u32, profile_kbps: u32, profile_max: u32) -> u32 {
    let scaled = u64::from(kbps) * u64::from(profile_max) / u64::from(profile_kbps.max(1));
    u32::try_from(scaled).unwrap_or(u32::MAX).max(kbps)
}

/// The shortest loop that has no seam, or the asked one if it has none.
fn loop_seconds(asked: Option<u32>, segment: u32) -> Result<u32, Failure> {
    let unit = least_common_multiple(LOOP_UNIT_SECONDS, segment);
    match asked {
        None => Ok(unit),
        Some(seconds) if seconds > 0 && seconds % unit == 0 && seconds <= 3600 => Ok(seconds),
        Some(seconds) => Err(Failure::usage(format!(
            "a loop of {seconds} s would have a gap at each seam: AAC frames at 48 kHz end on a whole second \
             every {LOOP_UNIT_SECONDS} s only, and segments of {segment} s must fit in"
        ))
        .cure(format!(
            "give a multiple of {unit} up to 3600, for example {}",
            seconds.clamp(1, 3600 - unit).next_multiple_of(unit)
        ))),
    }
}

const fn least_common_multiple(left: u32, right: u32) -> u32 {
    let (mut a, mut b) = (left, right);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    left / a * right
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::origin::profile;

    fn default_profile() -> Profile {
        profile::parse("default", profile::built_in("default").unwrap()).unwrap()
    }

    #[test]
    fn the_profile_alone_is_the_stream() {
        let stream = Stream::resolve(default_profile(), &StreamArgs::default()).unwrap();
        assert_eq!(stream.size, Size { width: 1920, height: 1080 });
        assert_eq!(stream.source, Source::Loop { seconds: 8 });
        assert_eq!((stream.video_kbps, stream.max_video_kbps, stream.tune), (5000, 5500, None));
    }

    #[test]
    fn a_loop_with_a_seam_is_refused_with_the_next_one_that_has_none() {
        let args = StreamArgs { loop_seconds: Some(10), segment_seconds: Some(3), ..StreamArgs::default() };
        let failure = Stream::resolve(default_profile(), &args).unwrap_err();
        assert_eq!(failure.cure_text(), Some("give a multiple of 24 up to 3600, for example 24"));
    }

    #[test]
    fn a_flag_moves_the_ceiling_along() {
        let args = StreamArgs { video_bitrate: Some(300), ..StreamArgs::default() };
        let stream = Stream::resolve(default_profile(), &args).unwrap();
        assert_eq!((stream.video_kbps, stream.max_video_kbps), (300, 330));
    }

    #[test]
    fn what_cannot_be_a_size_is_refused() {
        for wrong in ["", "1920", "1920x", "x1080", "1921x1080", "0x0", "1920X1080", "1280x720x3", "16384x16"]
        {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_loop_is_seamless_and_every_ceiling_is_above_its_rate(
            segment in 1_u32..=60, kbps in 16_u32..=500_000, fps in 1_u32..=240,
        ) {
            let args = StreamArgs {
                segment_seconds: Some(segment), video_bitrate: Some(kbps), fps: Some(fps), ..StreamArgs::default()
            };
            let stream = Stream::resolve(default_profile(), &args).unwrap();
            let Source::Loop { seconds } = stream.source else { panic!("the default is a loop") };
            prop_assert_eq!(seconds % segment, 0);
            prop_assert_eq!(u64::from(seconds) * 48_000 % 1024, 0);
            prop_assert!(stream.max_video_kbps >= stream.video_kbps);
        }
    }
}
