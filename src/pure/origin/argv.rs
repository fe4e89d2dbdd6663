//! FFmpeg's arguments: encoding a loop, replaying it, encoding in real time.
//!
//! Every option here is known to FFmpeg 4.4 and all later ones.

use std::ffi::OsString;
use std::path::Path;

use super::derived::{AAC_FRAME, Derived};
use super::playlist::{PLAYLIST, SEGMENT_PATTERN};
use super::stream::Stream;

/// Encodes a loop of `seconds` into the file `target`.
///
/// The container is NUT: it keeps every time stamp as it is. Read back from MPEG-TS, a loop loses
/// a frame at each seam (FFmpeg 5.1), and MP4 hides the AAC priming frame behind an edit list.
#[must_use]
pub fn encode_loop(stream: &Stream, derived: &Derived, seconds: u32, target: &Path) -> Vec<OsString> {
    let mut argv = quiet();
    argv.extend(test_picture_and_sound(stream, false));
    argv.extend(words(["-t", &seconds.to_string()]));
    argv.extend(codecs(stream, derived));
    argv.extend(words(["-f", "nut", "-y"]));
    argv.push(target.into());
    argv
}

/// Replays a loop in real time, for ever, without encoding, as segments below `directory`.
#[must_use]
pub fn replay(stream: &Stream, source: &Path, directory: &Path, append: bool) -> Vec<OsString> {
    let mut argv = quiet();
    argv.extend(words(["-re", "-stream_loop", "-1", "-f", "nut", "-i"]));
    argv.push(source.into());
    argv.extend(words(["-map", "0", "-c", "copy"]));
    argv.extend(segments(stream, directory, append));
    argv
}

/// Encodes in real time, for ever, as segments below `directory`.
#[must_use]
pub fn live(stream: &Stream, derived: &Derived, directory: &Path, append: bool) -> Vec<OsString> {
    let mut argv = quiet();
    argv.extend(test_picture_and_sound(stream, true));
    argv.extend(codecs(stream, derived));
    argv.extend(segments(stream, directory, append));
    argv
}

fn quiet() -> Vec<OsString> {
    words(["-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning"])
}

/// A moving test picture with a clock and a 1000 Hz tone.
fn test_picture_and_sound(stream: &Stream, real_time: bool) -> Vec<OsString> {
    let pace: &[&str] = if real_time { &["-re"] } else { &[] };
    let picture = format!("testsrc2=size={}:rate={}", stream.size, stream.fps);
    let mut argv = words(pace.iter().copied());
    argv.extend(words(["-f", "lavfi", "-i", &picture]));
    argv.extend(words(pace.iter().copied()));
    argv.extend(words(["-f", "lavfi", "-i", "sine=frequency=1000:sample_rate=48000"]));
    argv.extend(words(["-map", "0:v", "-map", "1:a"]));
    argv
}

fn codecs(stream: &Stream, derived: &Derived) -> Vec<OsString> {
    let kbps = |rate: u32| format!("{rate}k");
    let gop = derived.gop_frames.to_string();
    let mut argv = words(["-c:v", "libx264", "-preset", &stream.preset, "-profile:v", &stream.h264_profile]);
    if let Some(tune) = &stream.tune {
        argv.extend(words(["-tune", tune]));
    }
    argv.extend(words(["-pix_fmt", "yuv420p", "-b:v", &kbps(stream.video_kbps)]));
    argv.extend(words(["-maxrate", &kbps(stream.max_video_kbps)]));
    argv.extend(words(["-bufsize", &kbps(stream.max_video_kbps.saturating_mul(2))]));
    // One closed group of pictures is one segment; a scene cut would start another one.
    argv.extend(words(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0", "-flags:v", "+cgop"]));
    if let Some(samples) = derived.loop_samples {
        // The encoder's priming frame comes one frame early. Moved to zero, no sound lies before the
        // first picture, where going back to the start of the loop would miss it.
        argv.extend(words(["-af", &format!("atrim=end_sample={samples},asetpts=PTS+{AAC_FRAME}")]));
    }
    argv.extend(words(["-c:a", "aac", "-b:a", &kbps(stream.audio_kbps), "-ar", "48000", "-ac", "2"]));
    argv
}

/// `append` goes on with the playlist that an earlier FFmpeg left: its media sequence continues and
/// the seam is marked with EXT-X-DISCONTINUITY.
fn segments(stream: &Stream, directory: &Path, append: bool) -> Vec<OsString> {
    // temp_file: nobody ever fetches half a segment; omit_endlist: a stop is not the stream's end.
    let mut flags = "delete_segments+omit_endlist+temp_file".to_owned();
    if append {
        flags.push_str("+append_list");
    }
    let mut argv = words(["-f", "hls", "-hls_segment_type", "mpegts"]);
    argv.extend(words(["-hls_time", &stream.segment_seconds.to_string()]));
    argv.extend(words(["-hls_list_size", &stream.list_size.to_string()]));
    argv.extend(words(["-hls_delete_threshold", &stream.delete_threshold.to_string()]));
    argv.extend(words(["-hls_flags", &flags, "-hls_segment_filename"]));
    argv.push(directory.join(SEGMENT_PATTERN).into());
    argv.push(directory.join(PLAYLIST).into());
    argv
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pure::origin::profile;
    use crate::words::cli::origin::{EncoderMode, StreamArgs};

    fn lines(argv: &[OsString]) -> String {
        let text: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
        text.join("\n")
    }

    fn built_in(name: &str, encoder: Option<EncoderMode>) -> (Stream, Derived) {
        let profile = profile::parse(name, profile::built_in(name).unwrap()).unwrap();
        let stream = Stream::resolve(profile, &StreamArgs { encoder, ..StreamArgs::default() }).unwrap();
        let derived = Derived::of(&stream);
        (stream, derived)
    }

    #[test]
    fn loop_of_the_default_profile() {
        let (stream, derived) = built_in("default", None);
        let argv = encode_loop(&stream, &derived, 8, Path::new("/cache/loop.part"));
        insta::assert_snapshot!("encode_loop_default", lines(&argv));
    }

    #[test]
    fn loop_of_the_low_latency_profile() {
        let (stream, derived) = built_in("low-latency", None);
        let argv = encode_loop(&stream, &derived, 8, Path::new("/cache/loop.part"));
        insta::assert_snapshot!("encode_loop_low_latency", lines(&argv));
    }

    #[test]
    fn replay_of_the_default_profile() {
        let (stream, _) = built_in("default", None);
        let argv = replay(&stream, Path::new("/run/o/loop.nut"), Path::new("/run/o/www"), false);
        insta::assert_snapshot!("replay_default", lines(&argv));
    }

    #[test]
    fn a_restart_goes_on_with_the_playlist() {
        let (stream, _) = built_in("default", None);
        let argv = replay(&stream, Path::new("/run/o/loop.nut"), Path::new("/run/o/www"), true);
        assert!(lines(&argv).contains("\ndelete_segments+omit_endlist+temp_file+append_list\n"));
    }

    #[test]
    fn live_encoding_of_the_default_profile() {
        let (stream, derived) = built_in("default", Some(EncoderMode::Live));
        let argv = live(&stream, &derived, Path::new("/run/o/www"), false);
        insta::assert_snapshot!("live_default", lines(&argv));
    }
}
