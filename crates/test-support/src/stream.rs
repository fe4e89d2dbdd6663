//! Streams for viewers: a playlist for fake viewers, which do not parse it, and a short VOD for real ones.

use std::path::Path;

use crate::program::program;
use crate::server::{Answer, Server};

/// Serves a live playlist of one-second segments under every path.
pub fn endless() -> Server {
    Server::start(|_, _| list())
}

/// The playlist that [`endless`] serves.
pub fn list() -> Answer {
    let list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n\
                #EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXTINF:1,\nc.ts\n";
    Answer::ok("application/vnd.apple.mpegurl", list.as_bytes())
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
