//! FFmpeg's arguments: encoding a loop, replaying it, encoding in real time.
//!
//! Every option here is known to FFmpeg 4.4 and all later ones. FFmpeg writes segments and keeps a
//! list of them for us; the playlists that viewers get are written by the origin itself
//! ([`crate::publisher::publication`]), so that they are the same with every FFmpeg and survive its restarts.

use std::ffi::OsString;
use std::path::Path;

use crate::layout::{Media, Rendition};
use crate::profile::Format;
use crate::profile::derived::{AAC_FRAME, Derived};
use crate::profile::stream::{Source, Stream, Variant};

/// Where media time begins, in seconds. Each output would shift itself to begin at zero, by another
/// amount with B-frames than without: beginning late, none has a reason to, and sound, pictures and
/// subtitles stay aligned. More than the delay of B-frames at one frame per second.
pub const TIMELINE_START: u32 = 10;
/// Entries of the list that FFmpeg keeps for us beyond what may be in the playlist.
const LIST_SLACK: u32 = 60;

/// Where segments go.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The stream's directory.
    pub directory: &'a Path,
    /// Number of the first segment.
    pub number: u64,
    /// FFmpeg's key info file, if segments are encrypted.
    pub key_info: Option<&'a Path>,
}

/// How fast a loop is replayed, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// In real time, for ever.
    RealTime,
    /// As fast as possible, this many seconds.
    AtOnce(u32),
}

/// Encodes the loop into the file `target`.
///
/// The container is NUT: it keeps every time stamp as it is. Read back from MPEG-TS, a loop loses
/// a frame at each seam (FFmpeg 5.1), and MP4 hides the AAC priming frame behind an edit list.
#[must_use]
pub fn encode_loop(stream: &Stream, derived: &Derived, target: &Path) -> Vec<OsString> {
    let mut argv = quiet();
    argv.extend(test_picture_and_sound(stream, false));
    argv.extend(words(["-t", &stream.loop_seconds.to_string()]));
    for index in 0..stream.variants.len() {
        argv.extend(words(["-map", &picture(stream, index)]));
    }
    argv.extend(words(["-map", "1:a"]));
    argv.extend(video_codec(stream, derived));
    for (index, variant) in stream.variants.iter().enumerate() {
        argv.extend(rates(variant, &format!(":v:{index}")));
    }
    // The encoder's priming frame comes one frame early. Moved to zero, no sound lies before the
    // first picture, where going back to the start of the loop would miss it.
    let samples = derived.loop_samples;
    argv.extend(words(["-af", &format!("atrim=end_sample={samples},asetpts=PTS+{AAC_FRAME}")]));
    argv.extend(audio_codec(stream));
    argv.extend(words(["-f", "nut", "-y"]));
    argv.push(target.into());
    argv
}

/// Replays a loop without encoding, as segments.
#[must_use]
pub fn replay(
    stream: &Stream,
    renditions: &[Rendition],
    source: &Path,
    place: Place<'_>,
    pace: Pace,
) -> Vec<OsString> {
    let mut argv = quiet();
    if pace == Pace::RealTime {
        argv.extend(words(["-re"]));
    }
    argv.extend(words(["-stream_loop", "-1", "-f", "nut", "-i"]));
    argv.push(source.into());
    for rendition in renditions {
        let Some(maps) = maps(stream, rendition, |index| format!("0:v:{index}"), "0:a") else { continue };
        argv.extend(maps);
        argv.extend(words(["-c", "copy"]));
        if let Pace::AtOnce(seconds) = pace {
            argv.extend(words(["-t", &seconds.to_string()]));
        }
        argv.extend(segments(stream, rendition, place, pace));
    }
    argv
}

/// Encodes in real time, for ever, as segments.
#[must_use]
pub fn live(stream: &Stream, derived: &Derived, renditions: &[Rendition], place: Place<'_>) -> Vec<OsString> {
    let mut argv = quiet();
    argv.extend(test_picture_and_sound(stream, true));
    for rendition in renditions {
        let Some(maps) = maps(stream, rendition, |index| picture(stream, index), "1:a") else { continue };
        argv.extend(maps);
        if let Media::Video(index) = rendition.media {
            argv.extend(video_codec(stream, derived));
            argv.extend(stream.variants.get(index).into_iter().flat_map(|variant| rates(variant, ":v")));
        }
        if rendition.media == Media::Audio || !stream.separate_audio {
            argv.extend(audio_codec(stream));
        }
        argv.extend(segments(stream, rendition, place, Pace::RealTime));
    }
    argv
}

/// What goes into a rendition; none if FFmpeg does not make it.
fn maps(
    stream: &Stream,
    rendition: &Rendition,
    video: impl Fn(usize) -> String,
    audio: &str,
) -> Option<Vec<OsString>> {
    let mut argv = Vec::new();
    match rendition.media {
        Media::Video(index) => {
            argv.extend(words(["-map", &video(index)]));
            if !stream.separate_audio {
                argv.extend(words(["-map", audio]));
            }
        }
        Media::Audio => argv.extend(words(["-map", audio])),
        Media::Subtitles => return None,
    }
    Some(argv)
}

fn quiet() -> Vec<OsString> {
    words(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+warning"])
}

/// A moving test picture with a clock, in every size, and a 1000 Hz tone.
fn test_picture_and_sound(stream: &Stream, real_time: bool) -> Vec<OsString> {
    let pace: &[&str] = if real_time { &["-re"] } else { &[] };
    let [first, further @ ..] = stream.variants.as_slice() else { return Vec::new() };
    let source = format!("testsrc2=size={}:rate={}", first.size, stream.fps);
    let mut argv = words(pace.iter().copied());
    argv.extend(words(["-f", "lavfi", "-i", &source]));
    argv.extend(words(pace.iter().copied()));
    argv.extend(words(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"]));
    if !further.is_empty() {
        // All sizes come from one picture, so that a segment begins with the same frame in each.
        let outputs: String = (1..=further.len()).map(|index| format!("[s{index}]")).collect();
        let scales: String = (1..)
            .zip(further)
            .map(|(index, Variant { size, .. })| {
                format!(";[s{index}]scale={}:{},setsar=1[v{index}]", size.width, size.height)
            })
            .collect();
        let graph = format!("[0:v]split={}[v0]{outputs}{scales}", stream.variants.len());
        argv.extend(words(["-filter_complex", &graph]));
    }
    argv
}

/// How an output names the picture of a variant.
fn picture(stream: &Stream, index: usize) -> String {
    if stream.variants.len() == 1 { "0:v".to_owned() } else { format!("[v{index}]") }
}

fn video_codec(stream: &Stream, derived: &Derived) -> Vec<OsString> {
    let gop = derived.gop_frames.to_string();
    let mut argv = words(["-c:v", "libx264", "-preset", &stream.preset, "-profile:v", &stream.h264_profile]);
    if let Some(tune) = &stream.tune {
        argv.extend(words(["-tune", tune]));
    }
    argv.extend(words(["-pix_fmt", "yuv420p"]));
    // One closed group of pictures is one segment; a scene cut would start another one.
    argv.extend(words(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0", "-flags:v", "+cgop"]));
    argv
}

/// The rates of one variant; `which` is FFmpeg's specifier of its stream.
fn rates(variant: &Variant, which: &str) -> Vec<OsString> {
    let kbps = |rate: u32| format!("{rate}k");
    words([
        format!("-b{which}").as_str(),
        &kbps(variant.kbps),
        &format!("-maxrate{which}"),
        &kbps(variant.max_kbps),
        &format!("-bufsize{which}"),
        &kbps(variant.max_kbps.saturating_mul(2)),
    ])
}

fn audio_codec(stream: &Stream) -> Vec<OsString> {
    words(["-c:a", "aac", "-b:a", &format!("{}k", stream.audio_kbps), "-ar", "48000", "-ac", "2"])
}

fn segments(stream: &Stream, rendition: &Rendition, place: Place<'_>, pace: Pace) -> Vec<OsString> {
    let Place { directory, number, key_info } = place;
    // Nothing that we have not seen may leave the list; a whole film is never shortened.
    let entries = match pace {
        Pace::RealTime if !matches!(stream.source, Source::Film(_)) => stream.list_size + LIST_SLACK,
        _ => 0,
    };
    let mut argv = words(["-output_ts_offset", &TIMELINE_START.to_string(), "-f", "hls"]);
    argv.extend(words(["-hls_time", &stream.segment_seconds.to_string()]));
    argv.extend(words(["-hls_list_size", &entries.to_string()]));
    argv.extend(words(["-start_number", &number.to_string()]));
    // temp_file: neither list nor segment is ever there by half; omit_endlist: a stop is no end.
    argv.extend(words(["-hls_flags", "omit_endlist+temp_file"]));
    match stream.format {
        Format::Ts => argv.extend(words(["-hls_segment_type", "mpegts"])),
        Format::Fmp4 => {
            argv.extend(words(["-hls_segment_type", "fmp4", "-hls_fmp4_init_filename"]));
            argv.push(rendition.initialization(number).into());
        }
    }
    if let Some(file) = key_info {
        argv.extend(words(["-hls_key_info_file"]));
        argv.push(file.into());
    }
    argv.extend(words(["-hls_segment_filename"]));
    argv.push(directory.join(rendition.pattern()).into());
    argv.push(directory.join(rendition.list()).into());
    argv
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout;
    use crate::profile::plan::Plan;

    fn lines(argv: &[OsString]) -> String {
        let text: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
        text.join("\n")
    }

    fn planned(flags: &[&str]) -> (Stream, Derived, Vec<Rendition>) {
        let Plan { stream, derived, .. } = Plan::of_flags(flags).unwrap();
        let renditions = layout::renditions(&stream);
        (stream, derived, renditions)
    }

    fn place(number: u64, key_info: Option<&Path>) -> Place<'_> {
        Place { directory: Path::new("/run/o/www"), number, key_info }
    }

    #[test]
    fn loops() {
        for name in ["default", "low-latency", "4k-abr"] {
            let (stream, derived, _) = planned(&["--profile", name]);
            let argv = encode_loop(&stream, &derived, Path::new("/cache/loop.part"));
            insta::assert_snapshot!(format!("encode_loop_{}", name.replace('-', "_")), lines(&argv));
        }
    }

    #[test]
    fn replay_of_the_default_profile() {
        let (stream, _, renditions) = planned(&[]);
        let argv = replay(&stream, &renditions, Path::new("/run/o/loop.nut"), place(0, None), Pace::RealTime);
        insta::assert_snapshot!("replay_default", lines(&argv));
    }

    #[test]
    fn replay_with_every_kind_of_rendition() {
        let flags = ["--ladder=640x360@500", "--separate-audio", "--subtitles", "--format=fmp4"];
        let (stream, _, renditions) = planned(&flags);
        let argv = replay(&stream, &renditions, Path::new("/l.nut"), place(41, None), Pace::AtOnce(8));
        insta::assert_snapshot!("replay_renditions", lines(&argv));
    }

    #[test]
    fn encryption_is_ffmpegs() {
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
