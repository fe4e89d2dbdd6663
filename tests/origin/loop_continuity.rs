//! A replayed loop is continuous, in its timestamps and for a decoder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use hls_swarm_origin::encoder::argv::{self, Pace, SegmentOutput};
use hls_swarm_origin::layout;
use hls_swarm_origin::profile::derived::Derived;
use hls_swarm_origin::profile::stream::Stream;
use hls_swarm_origin::publisher::playlist::PLAYLIST;

fn run(program: &str, arguments: &[OsString]) -> (String, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {err}");
    (out.into_owned(), err.into_owned())
}

fn words(words: &[&str], path: &Path) -> Vec<OsString> {
    words.iter().map(OsString::from).chain([path.into()]).collect()
}

/// The intervals between the timestamps of consecutive packets, in 90 kHz, and how often each occurs.
fn intervals(playlist: &Path, stream: &str) -> BTreeMap<i64, usize> {
    let query = ["-v", "error", "-select_streams", stream, "-show_entries", "packet=dts", "-of", "csv=p=0"];
    let (output, _) = run("ffprobe", &words(&query, playlist));
    let stamps: Vec<i64> =
        output.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    let mut intervals = BTreeMap::new();
    for pair in stamps.windows(2) {
        *intervals.entry(pair[1] - pair[0]).or_default() += 1;
    }
    intervals
}

fn assert_continuous(profile: &str, segment_seconds: u32, fps: u32) {
    let home = TempDir::new().unwrap();
    let file = home.path().join("loop.nut");
    let flags = [
        format!("--profile={profile}"),
        format!("--segment-seconds={segment_seconds}"),
        format!("--fps={fps}"),
        "--video-size=160x90".to_owned(),
        "--video-bitrate=100".to_owned(),
    ];
    let stream = Stream::of_flags(&flags.each_ref().map(String::as_str)).unwrap();
    let derived = Derived::from_stream(&stream);
    let seconds = stream.loop_seconds;
    let (_, warnings) = run("ffmpeg", &argv::encode_loop(&stream, &derived, &file));
    assert_eq!(warnings, "");

    // Replayed like in the origin, but at full speed, five and a half times, keeping all segments.
    let renditions = layout::renditions(&stream);
    let output = SegmentOutput { directory: home.path(), number: 0, key_info: None, pipes: &[] };
    let replay = argv::replay(&stream, &renditions, &file, output, Pace::FullSpeed(seconds * 11 / 2));
    let (_, warnings) = run("ffmpeg", &replay);
    assert_eq!(warnings, "");

    let list = home.path().join(renditions[0].list());
    let text = std::fs::read_to_string(list).unwrap();
    let lengths: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")).collect();
    let whole = format!("{}.000000,", stream.segment_seconds);
    let (_, all_but_last) = lengths.split_last().unwrap();
    assert!(all_but_last.iter().all(|length| *length == whole), "{lengths:?}");
    assert!(lengths.len() >= usize::try_from(seconds * 5 / stream.segment_seconds).unwrap());

    let playlist = home.path().join(PLAYLIST);
    std::fs::write(&playlist, format!("{text}#EXT-X-ENDLIST\n")).unwrap();
    let video = intervals(&playlist, "v");
    assert_eq!(video.keys().collect::<Vec<_>>(), [&(90_000 / i64::from(stream.fps))], "{video:?}");
    let audio = intervals(&playlist, "a");
    assert_eq!(audio.keys().collect::<Vec<_>>(), [&1920], "1024 samples each: {audio:?}");
    for codec in [&["-c", "copy"], &["-threads", "1"]] {
        let mut play = words(&["-v", "warning", "-nostdin", "-i"], &playlist);
        play.extend([codec.as_slice(), &["-f", "null", "-"]].concat().iter().map(OsString::from));
        let (_, warnings) = run("ffmpeg", &play);
        assert_eq!(warnings, "", "{codec:?}");
    }
}

#[test]
fn loops_of_the_default_profile_are_continuous() {
    assert_continuous("default", 2, 30);
    assert_continuous("default", 3, 25);
}

#[test]
fn loops_of_the_low_latency_profile_are_continuous() {
    assert_continuous("low-latency", 1, 30);
}
