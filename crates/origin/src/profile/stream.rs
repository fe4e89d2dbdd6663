//! The stream that a profile describes, checked once.

use hls_swarm_base::error::Failure;

use super::ladder::{self, KBPS, LadderStep, Size};
use crate::profile::{Encryption, Format, Kind, Mode, Profile};

/// AAC frames hold 1024 samples, so at 48 kHz only every 8 s a frame ends on a whole second: a loop
/// of another length would have a gap or an overlap in the sound at each seam.
pub const LOOP_UNIT_SECONDS: u32 = hls_swarm_profiles::sizing::origin::LOOP_UNIT_SECONDS as u32;

/// The stream to be served; its values fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Segments in the playlist.
    pub list_size: u32,
    /// Segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// Container of the segments.
    pub format: Format,
    /// Whether segments are encrypted.
    pub encryption: Encryption,
    /// Whether there is a WebVTT rendition.
    pub subtitles: bool,
    /// Names of further streams.
    pub further: Vec<String>,
    /// Variants, the first one first.
    pub variants: Vec<Variant>,
    /// Frames per second.
    pub fps: u32,
    /// Preset of x264.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// Tune of x264.
    pub tune: Option<String>,
    /// Rate of the sound in 1000 bit/s.
    pub audio_kbps: u32,
    /// The sound is a rendition of its own.
    pub separate_audio: bool,
    /// Length of the loop in seconds: a multiple of [`LOOP_UNIT_SECONDS`] and of the segment length.
    pub loop_seconds: u32,
    /// Where the stream comes from.
    pub source: Source,
}

/// One variant of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Size of the picture.
    pub size: Size,
    /// Average rate in 1000 bit/s.
    pub kbps: u32,
    /// Ceiling of the rate in 1000 bit/s.
    pub max_kbps: u32,
}

/// Where the stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The loop, replayed for ever.
    Loop,
    /// Encoding in real time; the loop where the machine is too slow for that.
    Live,
    /// The loop, written as a film of this many seconds.
    Film(u32),
}

impl Stream {
    /// Checks the profile's values.
    ///
    /// # Errors
    /// A value is out of its range, or values do not fit together.
    pub fn of(profile: &Profile) -> Result<Self, Failure> {
        let Profile { video, audio, encoder, .. } = profile;
        let segment_seconds = within("segment-seconds", profile.segment_seconds, 1, 60)?;
        if (profile.format, profile.encryption) == (Format::Fmp4, Encryption::Aes128) {
            return Err(Failure::usage("segments in fMP4 cannot be encrypted with AES-128")
                .help("FFmpeg does it for MPEG-TS only: pass --format ts or --encryption none"));
        }
        let loop_seconds = loop_seconds(encoder.loop_seconds, segment_seconds)?;
        let source = match (profile.kind, encoder.mode) {
            (Kind::Vod, Mode::Live) => {
                return Err(Failure::usage("a film is not encoded in real time")
                    .help("pass --encoder loop for a film, or --vod 0 for a live stream"));
            }
            (Kind::Vod, Mode::Loop) => {
                // The playlist holds all of it.
                Source::Film(within("vod", profile.vod_seconds, segment_seconds, 24 * 3600)?)
            }
            (Kind::Live, Mode::Loop) => Source::Loop,
            (Kind::Live, Mode::Live) => Source::Live,
        };
        Ok(Self {
            segment_seconds,
            // RFC 8216 section 6.2.2: a live playlist must not be shorter than three target durations.
            list_size: within("list-size", profile.list_size, 3, 1000)?,
            delete_threshold: within("delete-threshold", profile.delete_threshold, 1, 1000)?,
            format: profile.format,
            encryption: profile.encryption,
            subtitles: profile.subtitles,
            further: names(&profile.streams)?,
            variants: variants(profile)?,
            fps: within("fps", video.fps, 1, 240)?,
            preset: word("preset", &video.preset)?,
            h264_profile: word("h264_profile", &video.h264_profile)?,
            tune: Some(word("tune", &video.tune)?).filter(|tune| tune != "none"),
            audio_kbps: within("audio-bitrate", audio.bitrate_kbps, 16, 512)?,
            separate_audio: audio.separate,
            loop_seconds,
            source,
        })
    }
}

fn variants(profile: &Profile) -> Result<Vec<Variant>, Failure> {
    let video = &profile.video;
    let kbps = within("video-bitrate", video.bitrate_kbps, *KBPS.start(), *KBPS.end())?;
    let max_kbps = within("max_bitrate_kbps", video.max_bitrate_kbps, kbps, 1_000_000)?;
    let mut variants = vec![Variant { size: video.size.parse()?, kbps, max_kbps }];
    for rung in &video.ladder {
        let LadderStep { size, kbps: rate } = rung.parse()?;
        variants.push(Variant { size, kbps: rate, max_kbps: ladder::ceiling(rate, kbps, max_kbps) });
    }
    if variants.len() > 16 {
        return Err(
            Failure::usage(format!("{} variants are too many", variants.len())).help("give at most 16")
        );
    }
    Ok(variants)
}

/// Names that are folders on the server, and nothing else there.
fn names(names: &[String]) -> Result<Vec<String>, Failure> {
    let taken = ["health", "nginx_status", "files", "keys"];
    for (index, name) in names.iter().enumerate() {
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !fits || !(1..=64).contains(&name.len()) || taken.contains(&name.as_str()) {
            return Err(Failure::usage(format!("\"{name}\" cannot be the name of a stream"))
                .help(format!("give letters, digits, - and _; taken are {}", taken.join(", "))));
        }
        if names.iter().take(index).any(|other| other == name) {
            return Err(Failure::usage(format!("two streams are called \"{name}\"")).help("name each once"));
        }
    }
    within("the number of streams", u32::try_from(names.len()).unwrap_or(u32::MAX), 0, 100)?;
    Ok(names.to_vec())
}

pub(crate) fn within(name: &str, value: u32, least: u32, most: u32) -> Result<u32, Failure> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!("{name} {value} is out of range")).help(format!("give {least} to {most}")))
}

fn word(name: &str, value: &str) -> Result<String, Failure> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(value.to_owned());
    }
    Err(Failure::usage(format!("{name} \"{value}\" is not a name that x264 knows"))
        .help("see `ffmpeg -h encoder=libx264`"))
}

/// The shortest loop that has no seam, or the asked one if it has none.
fn loop_seconds(asked: u32, segment: u32) -> Result<u32, Failure> {
    let unit = least_common_multiple(LOOP_UNIT_SECONDS, segment);
    match asked {
        0 => Ok(unit),
        seconds if seconds % unit == 0 && seconds <= 3600 => Ok(seconds),
        seconds => Err(Failure::usage(format!(
            "a loop of {seconds} s would have a gap at each seam: AAC frames at 48 kHz end on a whole second \
             every {LOOP_UNIT_SECONDS} s only, and segments of {segment} s must fit in"
        ))
        .help(format!(
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
    use crate::profile;
    use crate::profile::plan::Plan;

    fn profile(name: &str) -> Profile {
        profile::parse(name, profile::built_in(name).unwrap()).unwrap()
    }

    #[test]
    fn the_profile_alone_is_the_stream() {
        let stream = Stream::of(&profile("default")).unwrap();
        let size = Size { width: 1920, height: 1080 };
        assert_eq!(stream.variants, [Variant { size, kbps: 5000, max_kbps: 5500 }]);
        assert_eq!((stream.source, stream.loop_seconds, stream.tune), (Source::Loop, 8, None));
    }

    #[test]
    fn a_ladder_has_its_ceilings_in_proportion() {
        let stream = Stream::of(&profile("4k-abr")).unwrap();
        let rates: Vec<_> = stream.variants.iter().map(|one| (one.kbps, one.max_kbps)).collect();
        assert_eq!(rates, [(15000, 16500), (5000, 5500), (2000, 2200), (1000, 1100), (500, 550)]);
    }

    #[test]
    fn a_loop_with_a_seam_is_refused_with_the_next_one_that_has_none() {
        let failure = Plan::of_flags(&["--loop-seconds=10", "--segment-seconds=3"]).unwrap_err();
        assert_eq!(failure.help_text(), Some("give a multiple of 24 up to 3600, for example 24"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let refused = |change: &dyn Fn(&mut Profile)| {
            let mut profile = profile("default");
            change(&mut profile);
            Stream::of(&profile).unwrap_err().chain()
        };
        let both = |profile: &mut Profile| {
            (profile.format, profile.encryption) = (Format::Fmp4, Encryption::Aes128);
        };
        assert_eq!(refused(&both), "segments in fMP4 cannot be encrypted with AES-128");
        let film = |profile: &mut Profile| (profile.kind, profile.encoder.mode) = (Kind::Vod, Mode::Live);
        assert_eq!(refused(&film), "a film is not encoded in real time");
        for (names, complaint) in [
            (["a", "../b"], "\"../b\" cannot be the name of a stream"),
            (["a", "health"], "\"health\" cannot be the name of a stream"),
            (["a", "a"], "two streams are called \"a\""),
        ] {
            let streams = |profile: &mut Profile| profile.streams = names.map(str::to_owned).to_vec();
            assert_eq!(refused(&streams), complaint);
        }
    }

    proptest! {
        #[test]
        fn every_loop_is_seamless_and_every_ceiling_is_above_its_rate(
            segment in 1_u32..=60, kbps in 16_u32..=500_000, fps in 1_u32..=240,
        ) {
            let flags = [
                "--profile=4k-abr".to_owned(), format!("--segment-seconds={segment}"), format!("--video-bitrate={kbps}"),
                format!("--fps={fps}"),
            ];
            let stream = Plan::of_flags(&flags.each_ref().map(String::as_str)).unwrap().stream;
            prop_assert_eq!(stream.loop_seconds % segment, 0);
            prop_assert_eq!(u64::from(stream.loop_seconds) * 48_000 % 1024, 0);
            for variant in stream.variants {
                prop_assert!(variant.max_kbps >= variant.kbps);
            }
        }
    }
}
