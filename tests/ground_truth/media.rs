//! Media for the tests: small loops, encoded once and kept below target/, and streams copied from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::program::{Companion, program};
use super::waiting::eventually;

/// Size and rate of each rendition, best first.
const RENDITIONS: [(&str, &str); 3] = [("320x180", "300k"), ("256x144", "150k"), ("160x90", "80k")];
/// Maximum duration of a live stream in seconds, in case a test does not stop it.
const MAX_SECONDS: &str = "180";

/// The loop of a rendition: 12 s, a key frame every second.
fn source(rendition: usize) -> PathBuf {
    static SOURCES: OnceLock<PathBuf> = OnceLock::new();
    let folder = SOURCES.get_or_init(|| {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ground-truth-loops-1");
        if !kept.is_dir() {
            encode(&kept);
        }
        kept
    });
    folder.join(format!("{rendition}.mp4"))
}

/// Encodes all loops atomically, even if another process does the same.
fn encode(kept: &Path) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (number, (size, rate)) in RENDITIONS.iter().enumerate() {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-f", "lavfi", "-i"]);
        ffmpeg.arg(format!("testsrc2=size={size}:rate=25"));
        ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100", "-t", "12"]);
        ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-b:v", rate, "-maxrate", rate]);
        ffmpeg.args(["-bufsize", "600k", "-g", "25", "-keyint_min", "25", "-sc_threshold", "0"]);
        ffmpeg.args(["-bf", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "48k"]);
        done(ffmpeg.arg(folder.path().join(format!("{number}.mp4"))));
    }
    // The second process finds the folder, and may use it.
    let result = fs::rename(folder.path(), kept);
    assert!(result.is_ok() || kept.is_dir(), "{}: {result:?}", kept.display());
}

fn done(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A VOD of 12 s in segments of 2 s: `www/s.m3u8`.
pub(crate) fn vod(www: &Path) {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-nostdin", "-i"]).arg(source(0)).args(["-map", "0", "-c", "copy"]);
    ffmpeg.args(["-f", "hls", "-hls_time", "2", "-hls_playlist_type", "vod"]);
    done(ffmpeg.arg(www.join("s.m3u8")));
}

/// A live stream that is written until this is dropped.
pub(crate) struct Live {
    _ffmpeg: Companion,
}

impl Live {
    /// `www/s.m3u8`, one rendition in segments of one second, with additional arguments for FFmpeg.
    pub(crate) fn start(www: &Path, arguments: &[&str]) -> Self {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i"]).arg(source(0));
        ffmpeg.args(["-map", "0"]);
        Self::write(ffmpeg, www, arguments, "s.m3u8", "s.m3u8")
    }

    /// `www/master.m3u8`, three renditions in `v0`, `v1` and `v2`, best first.
    pub(crate) fn start_renditions(www: &Path) -> Self {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin"]);
        for number in 0..RENDITIONS.len() {
            ffmpeg.args(["-re", "-stream_loop", "-1", "-i"]).arg(source(number));
        }
        for number in 0..RENDITIONS.len() {
            ffmpeg.args(["-map", &format!("{number}:v"), "-map", &format!("{number}:a")]);
        }
        let renditions = ["-var_stream_map", "v:0,a:0 v:1,a:1 v:2,a:2", "-master_pl_name", "master.m3u8"];
        Self::write(ffmpeg, www, &renditions, "v%v/s.m3u8", "v2/s.m3u8")
    }

    /// `www/master.m3u8`, two video renditions in `v0` and `v1`, the audio of both in `v2`.
    pub(crate) fn start_separate_audio(www: &Path) -> Self {
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args(["-v", "error", "-nostdin"]);
        for number in 0..2 {
            ffmpeg.args(["-re", "-stream_loop", "-1", "-i"]).arg(source(number));
        }
        ffmpeg.args(["-map", "0:v", "-map", "1:v", "-map", "0:a"]);
        let map = "v:0,agroup:audio v:1,agroup:audio a:0,agroup:audio,default:yes";
        let renditions = ["-var_stream_map", map, "-master_pl_name", "master.m3u8"];
        Self::write(ffmpeg, www, &renditions, "v%v/s.m3u8", "v2/s.m3u8")
    }

    fn write(mut ffmpeg: Command, www: &Path, arguments: &[&str], playlist: &str, awaited: &str) -> Self {
        ffmpeg.args(["-t", MAX_SECONDS, "-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "5"]);
        ffmpeg.args(["-hls_delete_threshold", "8", "-hls_flags", "delete_segments+temp_file"]);
        ffmpeg.args(arguments).arg(www.join(playlist)).stdout(Stdio::null());
        let live = Self { _ffmpeg: Companion::start(&mut ffmpeg) };
        eventually("a live stream of four segments", Duration::from_secs(30), || {
            let text = fs::read_to_string(www.join(awaited)).ok()?;
            (text.matches("#EXTINF").count() >= 4).then_some(())
        });
        live
    }
}
