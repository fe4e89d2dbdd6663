//! A live stream of files for many viewers, published without FFmpeg. Its segments are null packets of a size that the
//! test chooses, so that a server of one processor can serve thousands of viewers.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Segments in the playlist.
const LISTED: u32 = 6;
/// The number of the first segment that is published as time passes.
const FIRST: u32 = 11;

/// MPEG-TS null packets, at most `bytes`.
pub fn packets(bytes: usize) -> Vec<u8> {
    [[0x47_u8, 0x1F, 0xFF, 0x10].as_slice(), &[0xFF; 184]].concat().repeat(bytes / 188)
}

/// Publishes a live stream, `live.m3u8`, until it is dropped.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Publishes segments of this duration, in whole seconds, and of at most this many bytes in `www`.
    pub fn start(www: &Path, segment: Duration, bytes: usize) -> Self {
        fs::write(www.join("segment"), packets(bytes)).unwrap();
        let (stop, www) = (Arc::new(AtomicBool::new(false)), www.to_owned());
        let stopped = Arc::clone(&stop);
        publish(&www, FIRST - 1, segment);
        let thread = thread::spawn(move || until_stopped(&www, segment, &stopped));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn until_stopped(www: &Path, segment: Duration, stopped: &AtomicBool) {
    let began = Instant::now();
    for number in FIRST.. {
        let due = segment * (number - FIRST + 1);
        while began.elapsed() < due {
            if stopped.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        publish(www, number, segment);
    }
}

/// Publishes the playlist whose last segment has this number.
fn publish(www: &Path, last: u32, segment: Duration) {
    let (first, seconds) = (last + 1 - LISTED, segment.as_secs());
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{seconds}\n#EXT-X-MEDIA-SEQUENCE:{first}\n"
    );
    for number in first..=last {
        let name = www.join(format!("s{number}.ts"));
        if !name.exists() {
            fs::hard_link(www.join("segment"), name).unwrap();
        }
        text += &format!("#EXTINF:{seconds}.000,\ns{number}.ts\n");
    }
    fs::write(www.join("next"), text).unwrap();
    fs::rename(www.join("next"), www.join("live.m3u8")).unwrap();
}
