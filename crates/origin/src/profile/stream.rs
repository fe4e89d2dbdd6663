//! The stream to serve: the profile with flags applied, validated.

use std::time::Duration;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use super::ladder::{self, KBPS, Size, VariantSpec};
use crate::profile::plan::Plan;
use crate::profile::{Encryption, Format, Kind, Mode, Profile};

/// The length of a loop must be a multiple of this. AAC frames have 1024 samples, so at 48 kHz a frame ends on a
/// whole second only every 8 s. A loop of another length would have an audio gap or overlap where it repeats.
pub const LOOP_UNIT_SECONDS: u32 = hls_swarm_profiles::sizing::origin::LOOP_UNIT_SECONDS as u32;

/// The shortest part.
const SHORTEST_PART: Duration = Duration::from_millis(100);

/// The stream to serve; the values are valid together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Number of segments in the playlist.
    pub list_size: u32,
    /// Number of segments kept after they left the playlist.
    pub delete_threshold: u32,
    /// Length of a part of Low-Latency HLS; `None` without parts.
    pub part_duration: Option<Duration>,
    /// Container of the segments.
    pub format: Format,
    /// Whether segments are encrypted.
    pub encryption: Encryption,
    /// Whether there is a WebVTT rendition.
    pub subtitles: bool,
    /// Names of additional streams.
    pub additional_streams: Vec<String>,
    /// Variants, starting with the first one of the multivariant playlist.
    pub variants: Vec<Variant>,
    /// Frames per second.
    pub fps: u32,
    /// x264 preset.
    pub preset: String,
    /// H.264 profile.
    pub h264_profile: String,
    /// x264 tune.
    pub tune: Option<String>,
    /// Audio bitrate in 1000 bit/s.
    pub audio_kbps: u32,
    /// Whether audio is a separate rendition.
    pub separate_audio: bool,
    /// Length of the loop in seconds: a multiple of [`LOOP_UNIT_SECONDS`] and of the segment length.
    pub loop_seconds: u32,
    /// The source of the stream.
    pub source: Source,
}

/// One video variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Size of the video.
    pub size: Size,
    /// Average bitrate in 1000 bit/s.
    pub kbps: u32,
    /// Maximum bitrate in 1000 bit/s.
    pub max_kbps: u32,
}

/// The source of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The loop, replayed without an end.
    Loop,
    /// Encoding in real time, or the loop if the machine is too slow.
    Live,
    /// A VOD of this many seconds, created from the loop.
    Vod(u32),
}

impl Stream {
    /// The stream of an origin with these flags, without the environment.
    ///
    /// # Errors
    /// The flags are invalid, or values do not fit together.
    pub fn of_flags(flags: &[&str]) -> Result<Self, Failure> {
        Plan::of_flags(flags).map(|plan| plan.stream)
    }

    /// Validates the values of the profile.
    ///
    /// # Errors
    /// A value is out of range, or values are invalid together.
    pub fn from_profile(profile: &Profile) -> Result<Self, Failure> {
        let Profile { video, audio, encoder, .. } = profile;
        let segment_seconds = within("segment-seconds", profile.segment_seconds, 1, 60)?;
        if (profile.format, profile.encryption) == (Format::Fmp4, Encryption::Aes128) {
            return Err(Failure::usage("fMP4 segments cannot be encrypted with AES-128")
                .help("FFmpeg encrypts only MPEG-TS: pass --format ts or --encryption none"));
        }
        let loop_seconds = loop_seconds(encoder.loop_seconds, segment_seconds)?;
        let source = match (profile.kind, encoder.mode) {
            (Kind::Vod, Mode::Live) => {
                return Err(Failure::usage("a VOD cannot be encoded in real time")
                    .help("pass --encoder loop for a VOD, or --vod 0 for a live stream"));
            }
            (Kind::Vod, Mode::Loop) => {
                // The playlist lists all segments.
                Source::Vod(within("vod", profile.vod_seconds, segment_seconds, 24 * 3600)?)
            }
            (Kind::Live, Mode::Loop) => Source::Loop,
            (Kind::Live, Mode::Live) => Source::Live,
        };
        Ok(Self {
            segment_seconds,
            // RFC 8216 section 6.2.2: a live playlist must not be shorter than three target durations.
            list_size: within("list-size", profile.list_size, 3, 1000)?,
            delete_threshold: within("delete-threshold", profile.delete_threshold, 1, 1000)?,
            part_duration: part_duration(profile)?,
            format: profile.format,
            encryption: profile.encryption,
            subtitles: profile.subtitles,
            additional_streams: names(&profile.streams)?,
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

/// Validates the length of parts, and what they can be combined with.
fn part_duration(profile: &Profile) -> Result<Option<Duration>, Failure> {
    let GoDuration(part) = profile.part_duration;
    if part.is_zero() {
        return Ok(None);
    }
    let segment = Duration::from_secs(profile.segment_seconds.into());
    if !(SHORTEST_PART..=segment / 2).contains(&part) {
        return Err(Failure::usage(format!("invalid part-duration {}: out of range", profile.part_duration))
            .help(format!("pass 100ms to {}, half a segment, or 0s for no parts", GoDuration(segment / 2))));
    }
    let unsupported = [
        (profile.format != Format::Fmp4, "parts of MPEG-TS segments", "pass --format fmp4"),
        (profile.kind == Kind::Vod, "parts of a VOD", "pass --vod 0"),
        (profile.audio.separate, "parts of separate audio", "omit --separate-audio"),
        (profile.subtitles, "subtitles beside parts", "omit --subtitles"),
    ];
    match unsupported.iter().find(|(is_asked, ..)| *is_asked) {
        Some((_, what, help)) => Err(Failure::usage(format!("the origin does not support {what}"))
            .help(format!("{help}, or pass --part-duration 0s"))),
        None => Ok(Some(part)),
    }
}

fn variants(profile: &Profile) -> Result<Vec<Variant>, Failure> {
    let video = &profile.video;
    let kbps = within("video-bitrate", video.bitrate_kbps, *KBPS.start(), *KBPS.end())?;
    let max_kbps = within("max_bitrate_kbps", video.max_bitrate_kbps, kbps, 1_000_000)?;
    let mut variants = vec![Variant { size: video.size.parse()?, kbps, max_kbps }];
    for variant in &video.ladder {
        let VariantSpec { size, kbps: own_kbps } = variant.parse()?;
        let max_kbps = ladder::max_kbps(own_kbps, kbps, max_kbps);
        variants.push(Variant { size, kbps: own_kbps, max_kbps });
    }
    if variants.len() > 16 {
        return Err(Failure::usage(format!("too many variants: {}", variants.len())).help("pass at most 16"));
    }
    Ok(variants)
}

/// Validates the names of streams, which are directories on the server.
fn names(names: &[String]) -> Result<Vec<String>, Failure> {
    let reserved = ["health", "nginx_status", "files", "keys"];
    for (index, name) in names.iter().enumerate() {
        let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if !fits || !(1..=64).contains(&name.len()) || reserved.contains(&name.as_str()) {
            return Err(Failure::usage(format!("invalid stream name \"{name}\""))
                .help(format!("use letters, digits, - and _; reserved names are {}", reserved.join(", "))));
        }
        if names.iter().take(index).any(|other| other == name) {
            return Err(
                Failure::usage(format!("two streams have the name \"{name}\"")).help("use each name once")
            );
        }
    }
    within("the number of streams", u32::try_from(names.len()).unwrap_or(u32::MAX), 0, 100)?;
    Ok(names.to_vec())
}

pub(crate) fn within(name: &str, value: u32, min: u32, max: u32) -> Result<u32, Failure> {
    if (min..=max).contains(&value) {
        return Ok(value);
    }
    Err(Failure::usage(format!("invalid {name} {value}: out of range")).help(format!("pass {min} to {max}")))
}

fn word(name: &str, value: &str) -> Result<String, Failure> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(value.to_owned());
    }
    Err(Failure::usage(format!("invalid {name} \"{value}\": x264 has no such name"))
        .help("see `ffmpeg -h encoder=libx264`"))
}

/// The requested length of the loop if it repeats without a gap; the shortest one for 0.
fn loop_seconds(requested: u32, segment: u32) -> Result<u32, Failure> {
    let unit = least_common_multiple(LOOP_UNIT_SECONDS, segment);
    match requested {
        0 => Ok(unit),
        seconds if seconds % unit == 0 && seconds <= 3600 => Ok(seconds),
        seconds => Err(Failure::usage(format!(
            "a loop of {seconds} s would have a gap where it repeats: AAC frames at 48 kHz end on a whole second \
             only every {LOOP_UNIT_SECONDS} s, and the loop must consist of segments of {segment} s"
        ))
        .help(format!(
            "pass a multiple of {unit} up to 3600, for example {}",
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

    fn profile(name: &str) -> Profile {
        profile::parse(name, profile::built_in(name).unwrap()).unwrap()
    }

    #[test]
    fn a_profile_without_flags_is_the_stream() {
        let stream = Stream::from_profile(&profile("default")).unwrap();
        let size = Size { width: 1920, height: 1080 };
        assert_eq!(stream.variants, [Variant { size, kbps: 5000, max_kbps: 5500 }]);
        assert_eq!((stream.source, stream.loop_seconds, stream.tune), (Source::Loop, 8, None));
    }

    #[test]
    fn the_maximum_bitrates_of_a_ladder_are_in_proportion() {
        let stream = Stream::from_profile(&profile("4k-abr")).unwrap();
        let rates: Vec<_> = stream.variants.iter().map(|one| (one.kbps, one.max_kbps)).collect();
        assert_eq!(rates, [(15000, 16500), (5000, 5500), (2000, 2200), (1000, 1100), (500, 550)]);
    }

    #[test]
    fn a_loop_with_a_gap_is_rejected_with_the_next_valid_length() {
        let failure = Stream::of_flags(&["--loop-seconds=10", "--segment-seconds=3"]).unwrap_err();
        assert_eq!(failure.help_text(), Some("pass a multiple of 24 up to 3600, for example 24"));
    }

    #[test]
    fn conflicting_values_are_rejected() {
        let refused = |change: &dyn Fn(&mut Profile)| {
            let mut profile = profile("default");
            change(&mut profile);
            Stream::from_profile(&profile).unwrap_err().chain()
        };
        let both = |profile: &mut Profile| {
            (profile.format, profile.encryption) = (Format::Fmp4, Encryption::Aes128);
        };
        assert_eq!(refused(&both), "fMP4 segments cannot be encrypted with AES-128");
        let vod = |profile: &mut Profile| (profile.kind, profile.encoder.mode) = (Kind::Vod, Mode::Live);
        assert_eq!(refused(&vod), "a VOD cannot be encoded in real time");
        for (change, complaint) in [
            (&["--format=ts"][..], "the origin does not support parts of MPEG-TS segments"),
            (&["--part-duration=1500ms"], "invalid part-duration 1.5s: out of range"),
            (&["--separate-audio"], "the origin does not support parts of separate audio"),
            (&["--vod=60"], "the origin does not support parts of a VOD"),
        ] {
            let flags = [&["--profile=ll-hls"], change].concat();
            assert_eq!(Stream::of_flags(&flags).unwrap_err().chain(), complaint);
        }
        for (names, complaint) in [
            (["a", "../b"], "invalid stream name \"../b\""),
            (["a", "health"], "invalid stream name \"health\""),
            (["a", "a"], "two streams have the name \"a\""),
        ] {
            let streams = |profile: &mut Profile| profile.streams = names.map(str::to_owned).to_vec();
            assert_eq!(refused(&streams), complaint);
        }
    }

    proptest! {
        #[test]
        fn every_loop_repeats_without_a_gap_and_no_maximum_is_below_the_average(
            segment in 1_u32..=60, kbps in 16_u32..=500_000, fps in 1_u32..=240,
        ) {
            let flags = [
                "--profile=4k-abr".to_owned(), format!("--segment-seconds={segment}"), format!("--video-bitrate={kbps}"),
                format!("--fps={fps}"),
            ];
            let stream = Stream::of_flags(&flags.each_ref().map(String::as_str)).unwrap();
            prop_assert_eq!(stream.loop_seconds % segment, 0);
            prop_assert_eq!(u64::from(stream.loop_seconds) * 48_000 % 1024, 0);
            for variant in stream.variants {
                prop_assert!(variant.max_kbps >= variant.kbps);
            }
        }
    }
}
