//! FFmpeg plays the synthetic stream without warnings, and finds the requested times, sizes and bitrates.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use hls_swarm_origin::embedded::synthetic::SyntheticStream;
use hls_swarm_origin::profile::stream::Stream;

fn synthetic(size: &str, fps: u32, seconds: u32, kbps: u32) -> SyntheticStream {
    let flags = [
        format!("--video-size={size}"),
        format!("--fps={fps}"),
        format!("--segment-seconds={seconds}"),
        format!("--video-bitrate={kbps}"),
    ];
    SyntheticStream::of(&Stream::of_flags(&flags.each_ref().map(String::as_str)).unwrap())
}

/// Decodes and copies the whole file, both without warnings.
fn assert_plays(file: &Path) {
    for codec in [&["-c", "copy"][..], &[]] {
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "warning", "-threads", "1", "-i"]).arg(file);
        let output = command.args(codec).args(["-f", "null", "-"]).output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{codec:?}");
    }
}

/// The output of ffprobe, which must not print warnings.
fn probe(query: &[&str], file: &Path) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    let output = command.args(["-v", "warning"]).args(query).args(["-of", "csv=p=0"]).arg(file).output();
    let output = output.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
}

fn stamps(kind: &str, file: &Path) -> Vec<i64> {
    let query = ["-select_streams", kind, "-show_entries", "packet=pts"];
    probe(&query, file).iter().map(|line| line.parse().unwrap()).collect()
}

fn written(home: &TempDir, synthetic: &SyntheticStream, numbers: std::ops::Range<u64>) -> std::path::PathBuf {
    let file = home.path().join("some.ts");
    std::fs::write(&file, numbers.flat_map(|number| synthetic.segment(number)).collect::<Vec<_>>()).unwrap();
    file
}

#[test]
fn ffmpeg_plays_every_size_without_warnings() {
    let home = TempDir::new().unwrap();
    for (size, fps, seconds, kbps) in [
        ("160x90", 10, 1, 100),
        ("16x16", 24, 2, 16),
        ("640x360", 25, 2, 1000),
        ("1280x720", 30, 1, 2000),
        ("1920x1080", 60, 2, 5000),
        ("354x202", 7, 3, 300),
    ] {
        let synthetic = synthetic(size, fps, seconds, kbps);
        let file = written(&home, &synthetic, 0..4);
        assert_plays(&file);
        let shown =
            probe(&["-select_streams", "v", "-show_entries", "stream=width,height,r_frame_rate"], &file);
        assert_eq!(shown[0], format!("{},{fps}/1", size.replace('x', ",")));
        let whole = u64::from(seconds * 4);
        assert_eq!(stamps("v", &file).len() as u64, whole * u64::from(fps), "{size}");
    }
}

#[test]
fn timestamps_continue_without_a_gap() {
    let home = TempDir::new().unwrap();
    let file = written(&home, &synthetic("320x180", 25, 2, 300), 3..9);
    let (video, audio) = (stamps("v", &file), stamps("a", &file));
    assert!(video.windows(2).all(|pair| pair[1] - pair[0] == 3600), "{video:?}");
    assert!(audio.windows(2).all(|pair| pair[1] - pair[0] == 1920), "{audio:?}");
    assert_eq!((video.len(), video[0]), (6 * 50, 3 * 180_000 + 45_000));
    // Video and audio start and end together, except for one packet of audio.
    assert!(
        (audio[0] - video[0]).abs() < 15_360
            && (audio.last().unwrap() - video.last().unwrap()).abs() < 15_360
    );
}

#[test]
fn time_stamps_start_again_after_33_bits() {
    let home = TempDir::new().unwrap();
    // 2^33 ticks of 90 kHz are 95443.7 s: the turn lies within segment 47721.
    let file = written(&home, &synthetic("320x180", 25, 2, 300), 47_719..47_725);
    assert_plays(&file);
    let video = stamps("v", &file);
    assert_eq!(video.len(), 6 * 50);
    assert!(video.windows(2).all(|pair| pair[1] - pair[0] == 3600), "ffprobe sees no gap: {video:?}");
}

#[test]
fn the_color_bars_move_with_the_segment_number() {
    let home = TempDir::new().unwrap();
    let size = synthetic("128x32", 5, 1, 100);
    let middle_of_bar = |frame: &[u8], bar: usize| {
        let (y, offset) = (frame[16 * 128 + bar * 16 + 8], 128 * 32);
        [y, frame[offset + 8 * 64 + bar * 8 + 4], frame[offset + 64 * 16 + 8 * 64 + bar * 8 + 4]]
    };
    for number in [0, 3] {
        let file = written(&home, &size, number..number + 1);
        let raw = home.path().join("raw.yuv");
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-loglevel", "warning", "-y", "-i"]).arg(&file);
        let output = command.args(["-an", "-f", "rawvideo"]).arg(&raw).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let bytes = std::fs::read(&raw).unwrap();
        let frames: Vec<&[u8]> = bytes.chunks(128 * 32 * 3 / 2).collect();
        assert_eq!(frames.len(), 5);
        let (white, black) = ([180, 128, 128], [16, 128, 128]);
        for frame in frames {
            let place = |bar: u64| usize::try_from((bar + 8 - number) % 8).unwrap();
            assert_eq!(middle_of_bar(frame, place(0)), white);
            assert_eq!(middle_of_bar(frame, place(7)), black);
        }
    }
}
