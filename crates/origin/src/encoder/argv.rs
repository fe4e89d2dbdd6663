//! FFmpeg's arguments: encoding a loop, replaying it, and encoding in real time.
//!
//! FFmpeg 4.4 and all later versions have every option used here. FFmpeg writes the segments and a hidden list
//! of them; the origin itself writes the playlists for viewers (`publisher::publication`), so that they
//! are the same with every version of FFmpeg, and continue when FFmpeg restarts.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use crate::layout::{Media, Rendition};
use crate::low_latency::Division;
use crate::profile::Format;
use crate::profile::derived::{AAC_FRAME, Derived};
use crate::profile::stream::{Source, Stream, Variant};

/// Start of the media time, in seconds. FFmpeg would shift each output so that it starts at zero, by a different
/// amount with B-frames than without. An offset that is larger than the delay of B-frames (at one frame per
/// second) avoids the shift, so that audio, video and subtitles stay aligned.
pub const TIMELINE_START: u32 = 10;
/// Number of entries in FFmpeg's list in addition to the size of the playlist.
const LIST_SLACK: u32 = 60;

/// The destination of FFmpeg's segments.
#[derive(Clone, Copy, Debug)]
pub struct SegmentOutput<'a> {
    /// The stream's directory.
    pub directory: &'a Path,
    /// Number of the first segment.
    pub number: u64,
    /// FFmpeg's key info file, if segments are encrypted.
    pub key_info: Option<&'a Path>,
    /// The pipes into which FFmpeg writes the renditions instead, for the origin to cut.
    pub pipes: &'a [RawFd],
}

/// The speed and the duration of a replay of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// In real time, without an end.
    RealTime,
    /// As fast as possible, this many seconds.
    FullSpeed(u32),
}

/// Encodes the loop into the file `target`.
///
/// The container is NUT, because it preserves every timestamp. A loop in MPEG-TS loses a frame each time it
/// repeats (FFmpeg 5.1), and MP4 hides the AAC priming frame behind an edit list.
#[must_use]
pub fn encode_loop(stream: &Stream, derived: &Derived, target: &Path) -> Vec<OsString> {
    let mut argv = logging();
    argv.extend(test_source(stream, false));
    argv.extend(arguments(["-t", &stream.loop_seconds.to_string()]));
    for index in 0..stream.variants.len() {
        argv.extend(arguments(["-map", &video_input(stream, index)]));
    }
    argv.extend(arguments(["-map", "1:a"]));
    argv.extend(video_codec(stream, derived));
    for (index, variant) in stream.variants.iter().enumerate() {
        argv.extend(rates(variant, &format!(":v:{index}")));
    }
    // The priming frame of the encoder is one frame early. Moved to zero, no audio is before the first video
    // frame, where FFmpeg would miss it when it seeks back to the start of the loop.
    let samples = derived.loop_samples;
    argv.extend(arguments(["-af", &format!("atrim=end_sample={samples},asetpts=PTS+{AAC_FRAME}")]));
    argv.extend(audio_codec(stream));
    argv.extend(arguments(["-f", "nut", "-y"]));
    argv.push(target.into());
    argv
}

/// Replays a loop as segments, without encoding.
#[must_use]
pub fn replay(
    stream: &Stream,
    renditions: &[Rendition],
    source: &Path,
    place: SegmentOutput<'_>,
    pace: Pace,
) -> Vec<OsString> {
    let mut argv = logging();
    if pace == Pace::RealTime {
        argv.extend(arguments(["-re"]));
    }
    argv.extend(arguments(["-stream_loop", "-1", "-f", "nut", "-i"]));
    argv.push(source.into());
    for (nth, rendition) in renditions.iter().enumerate() {
        let Some(maps) = maps(stream, rendition, |index| format!("0:v:{index}"), "0:a") else { continue };
        argv.extend(maps);
        argv.extend(arguments(["-c", "copy"]));
        if let Pace::FullSpeed(seconds) = pace {
            argv.extend(arguments(["-t", &seconds.to_string()]));
        }
        argv.extend(output(stream, (nth, rendition), place, pace));
    }
    argv
}

/// Encodes segments in real time, without an end.
#[must_use]
pub fn live(
    stream: &Stream,
    derived: &Derived,
    renditions: &[Rendition],
    place: SegmentOutput<'_>,
) -> Vec<OsString> {
    let mut argv = logging();
    argv.extend(test_source(stream, true));
    for (nth, rendition) in renditions.iter().enumerate() {
        let Some(maps) = maps(stream, rendition, |index| video_input(stream, index), "1:a") else { continue };
        argv.extend(maps);
        if let Media::Video(index) = rendition.media {
            argv.extend(video_codec(stream, derived));
            argv.extend(stream.variants.get(index).into_iter().flat_map(|variant| rates(variant, ":v")));
        }
        if rendition.media == Media::Audio || !stream.separate_audio {
            argv.extend(audio_codec(stream));
        }
        argv.extend(output(stream, (nth, rendition), place, Pace::RealTime));
    }
    argv
}

/// The inputs of a rendition; `None` if FFmpeg does not create it.
fn maps(
    stream: &Stream,
    rendition: &Rendition,
    video: impl Fn(usize) -> String,
    audio: &str,
) -> Option<Vec<OsString>> {
    let mut argv = Vec::new();
    match rendition.media {
        Media::Video(index) => {
            argv.extend(arguments(["-map", &video(index)]));
            if !stream.separate_audio {
                argv.extend(arguments(["-map", audio]));
            }
        }
        Media::Audio => argv.extend(arguments(["-map", audio])),
        Media::Subtitles => return None,
    }
    Some(argv)
}

fn logging() -> Vec<OsString> {
    arguments(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+warning"])
}

/// A moving test pattern with a clock, in every size, and a 1000 Hz tone.
fn test_source(stream: &Stream, real_time: bool) -> Vec<OsString> {
    let pace: &[&str] = if real_time { &["-re"] } else { &[] };
    let [first, others @ ..] = stream.variants.as_slice() else { return Vec::new() };
    let source = format!("testsrc2=size={}:rate={}", first.size, stream.fps);
    let mut argv = arguments(pace.iter().copied());
    argv.extend(arguments(["-f", "lavfi", "-i", &source]));
    argv.extend(arguments(pace.iter().copied()));
    argv.extend(arguments(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"]));
    if !others.is_empty() {
        // All sizes are scaled from one source, so that a segment starts with the same frame in each.
        let outputs: String = (1..=others.len()).map(|index| format!("[s{index}]")).collect();
        let scales: String = (1..)
            .zip(others)
            .map(|(index, Variant { size, .. })| {
                format!(";[s{index}]scale={}:{},setsar=1[v{index}]", size.width, size.height)
            })
            .collect();
        let graph = format!("[0:v]split={}[v0]{outputs}{scales}", stream.variants.len());
        argv.extend(arguments(["-filter_complex", &graph]));
    }
    argv
}

/// The specifier of the video of a variant.
fn video_input(stream: &Stream, index: usize) -> String {
    if stream.variants.len() == 1 { "0:v".to_owned() } else { format!("[v{index}]") }
}

fn video_codec(stream: &Stream, derived: &Derived) -> Vec<OsString> {
    let gop = derived.gop_frames.to_string();
    let mut argv =
        arguments(["-c:v", "libx264", "-preset", &stream.preset, "-profile:v", &stream.h264_profile]);
    if let Some(tune) = &stream.tune {
        argv.extend(arguments(["-tune", tune]));
    }
    argv.extend(arguments(["-pix_fmt", "yuv420p"]));
    // One segment is one closed GOP; a scene cut would start another GOP.
    argv.extend(arguments(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0", "-flags:v", "+cgop"]));
    argv
}

/// The bitrates of one variant; `specifier` is FFmpeg's stream specifier.
fn rates(variant: &Variant, specifier: &str) -> Vec<OsString> {
    let kbps = |rate: u32| format!("{rate}k");
    arguments([
        format!("-b{specifier}").as_str(),
        &kbps(variant.kbps),
        &format!("-maxrate{specifier}"),
        &kbps(variant.max_kbps),
        &format!("-bufsize{specifier}"),
        &kbps(variant.max_kbps.saturating_mul(2)),
    ])
}

fn audio_codec(stream: &Stream) -> Vec<OsString> {
    arguments(["-c:a", "aac", "-b:a", &format!("{}k", stream.audio_kbps), "-ar", "48000", "-ac", "2"])
}

/// Where a rendition is written to: into its pipe, if it has one, or as segments.
fn output(
    stream: &Stream,
    (nth, rendition): (usize, &Rendition),
    place: SegmentOutput<'_>,
    pace: Pace,
) -> Vec<OsString> {
    let Some(pipe) = place.pipes.get(nth) else { return segment_output(stream, rendition, place, pace) };
    let mut argv = arguments(["-output_ts_offset", &TIMELINE_START.to_string(), "-f", "mp4"]);
    // A fragment is a part: it ends before a key frame, or when the next frame of video would make it longer. A fragment
    // for each frame would be more flexible, but FFmpeg (5.1) moves timestamps of audio then.
    // frag_discont: the first timestamp is not moved to zero.
    argv.extend(arguments(["-movflags", "+frag_keyframe+empty_moov+default_base_moof+frag_discont"]));
    let part = Division::of(stream).map_or(0.0, |division| division.seconds(division.part_frames));
    // Timestamps are rounded, and a frame lasts longer than this.
    let microseconds = (part * 1e6 - 1e3).max(0.0).floor();
    argv.extend(arguments(["-frag_duration", &format!("{microseconds:.0}")]));
    argv.extend(arguments(["-flush_packets", "1", &format!("pipe:{pipe}")]));
    argv
}

fn segment_output(
    stream: &Stream,
    rendition: &Rendition,
    place: SegmentOutput<'_>,
    pace: Pace,
) -> Vec<OsString> {
    let SegmentOutput { directory, number, key_info, .. } = place;
    // No segment may leave the list before the publisher has seen it; the list of a VOD is never shortened.
    let entries = match pace {
        Pace::RealTime if !matches!(stream.source, Source::Vod(_)) => stream.list_size + LIST_SLACK,
        _ => 0,
    };
    let mut argv = arguments(["-output_ts_offset", &TIMELINE_START.to_string(), "-f", "hls"]);
    argv.extend(arguments(["-hls_time", &stream.segment_seconds.to_string()]));
    argv.extend(arguments(["-hls_list_size", &entries.to_string()]));
    argv.extend(arguments(["-start_number", &number.to_string()]));
    // temp_file: neither a list nor a segment exists before it is complete; omit_endlist: FFmpeg may be
    // restarted.
    argv.extend(arguments(["-hls_flags", "omit_endlist+temp_file"]));
    match stream.format {
        Format::Ts => argv.extend(arguments(["-hls_segment_type", "mpegts"])),
        Format::Fmp4 => {
            argv.extend(arguments(["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename"]));
            argv.push(rendition.initialization(number).into());
        }
    }
    if let Some(file) = key_info {
        argv.extend(arguments(["-hls_key_info_file"]));
        argv.push(file.into());
    }
    argv.extend(arguments(["-hls_segment_filename"]));
    argv.push(directory.join(rendition.pattern()).into());
    argv.push(directory.join(rendition.list()).into());
    argv
}

fn arguments<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;

    fn lines(argv: &[OsString]) -> String {
        let text: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
        text.join("\n")
    }

    fn planned(flags: &[&str]) -> (Stream, Derived, Vec<Rendition>) {
        let stream = Stream::of_flags(flags).unwrap();
        let (derived, renditions) = (Derived::from_stream(&stream), layout::renditions(&stream));
        (stream, derived, renditions)
    }

    fn place(number: u64, key_info: Option<&Path>) -> SegmentOutput<'_> {
        SegmentOutput { directory: Path::new("/run/o/www"), number, key_info, pipes: &[] }
    }

    #[test]
    fn loop_encoding() {
        for name in ["default", "low-latency", "4k-abr"] {
            let (stream, derived, _) = planned(&["--profile", name]);
            let argv = encode_loop(&stream, &derived, Path::new("/cache/loop.part"));
            insta::assert_snapshot!(format!("encode_loop_{}", name.replace('-', "_")), lines(&argv));
        }
    }

    #[test]
    fn replaying_the_default_profile() {
        let (stream, _, renditions) = planned(&[]);
        let argv = replay(&stream, &renditions, Path::new("/run/o/loop.nut"), place(0, None), Pace::RealTime);
        insta::assert_snapshot!("replay_default", lines(&argv));
    }

    #[test]
    fn replaying_every_kind_of_rendition() {
        let flags = ["--ladder=640x360@500", "--separate-audio", "--subtitles", "--format=fmp4"];
        let (stream, _, renditions) = planned(&flags);
        let argv = replay(&stream, &renditions, Path::new("/l.nut"), place(41, None), Pace::FullSpeed(8));
        insta::assert_snapshot!("replay_renditions", lines(&argv));
    }

    #[test]
    fn parts_are_cut_from_pipes() {
        let (stream, _, renditions) = planned(&["--profile=ll-hls", "--ladder=640x360@500"]);
        let place = SegmentOutput { pipes: &[7, 9], ..place(0, None) };
        let argv = replay(&stream, &renditions, Path::new("/l.nut"), place, Pace::RealTime);
        insta::assert_snapshot!("replay_parts", lines(&argv));
    }

    #[test]
    fn ffmpeg_encrypts_the_segments() {
        let (stream, _, renditions) = planned(&[]);
        let argv =
            replay(&stream, &renditions, Path::new("/l"), place(0, Some(Path::new("/k"))), Pace::RealTime);
        assert!(lines(&argv).contains("\n-hls_key_info_file\n/k\n"));
    }

    #[test]
    fn live_encoding() {
        let (stream, derived, renditions) = planned(&["--encoder=live", "--ladder=1280x720@2000"]);
        insta::assert_snapshot!("live_ladder", lines(&live(&stream, &derived, &renditions, place(5, None))));
    }
}
