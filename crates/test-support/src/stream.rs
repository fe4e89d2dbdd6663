//! Streams for viewers: a live stream for fake viewers, which decode nothing, and a short VOD for real ones.

use std::path::Path;
use std::time::Instant;

use crate::program::program;
use crate::server::{Answer, Server};

/// Serves a live stream of one-second segments: a segment under each name that ends in `.ts`, and the playlist under
/// every other path.
pub fn endless() -> Server {
    let began = Instant::now();
    Server::start(move |target, _| served(target, began))
}

/// The answer of [`endless`], for a stream that began at this time.
pub fn served(target: &str, began: Instant) -> Answer {
    if target.ends_with(".ts") {
        return Answer::ok("video/mp2t", &[0x47; 188].repeat(5));
    }
    list(began.elapsed().as_secs())
}

/// The playlist of [`endless`] after `seconds`.
pub fn list(seconds: u64) -> Answer {
    let first = seconds + 7;
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:";
    let segments: String = (first..first + 3).map(|number| format!("#EXTINF:1,\ns{number}.ts\n")).collect();
    Answer::ok("application/vnd.apple.mpegurl", format!("{head}{first}\n{segments}").as_bytes())
}

/// Creates `folder/www/vod.m3u8` with this duration, in segments of one second.
pub fn vod(folder: &Path, seconds: u32) {
    let www = folder.join("www");
    std::fs::create_dir(&www).unwrap();
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=10"]);
    ffmpeg.args(["-t", &seconds.to_string(), "-c:v", "mpeg2video", "-g", "10"]);
    ffmpeg.args(["-f", "hls", "-hls_time", "1", "-hls_playlist_type", "vod"]);
    let output = ffmpeg.arg(www.join("vod.m3u8")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
