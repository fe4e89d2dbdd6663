//! What nginx serves: a segment to download again and again, and a live stream.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hls_swarm_test_support::nginx::{Nginx, Site};

/// The size of a downloaded file, bytes.
pub(crate) const FILE_BYTES: usize = 560_000 / 188 * 188;
/// The size of a segment of the live stream, bytes.
pub(crate) const SEGMENT_BYTES: usize = 500_000 / 188 * 188;
const SEGMENT: Duration = Duration::from_secs(2);

fn packets(bytes: usize) -> Vec<u8> {
    [[0x47_u8].as_slice(), &[0; 187]].concat().repeat(bytes / 188)
}

pub(crate) fn fill(folder: &Path) {
    fs::create_dir(folder.join("www")).unwrap();
    fs::write(folder.join("www/file.ts"), packets(FILE_BYTES)).unwrap();
    fs::write(folder.join("www/segment"), packets(SEGMENT_BYTES)).unwrap();
}

pub(crate) fn serve(folder: &Path) -> Nginx {
    let server = "sendfile on; keepalive_requests 1000000;";
    Nginx::start(folder, Site { server, ..Site::default() })
}

/// Publishes a live stream until it is dropped.
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    pub(crate) fn start(folder: &Path) -> Self {
        let (stop, www) = (Arc::new(AtomicBool::new(false)), folder.join("www"));
        let stopped = Arc::clone(&stop);
        publish(&www, 10);
        let thread = thread::spawn(move || {
            let began = Instant::now();
            for number in 11_u32.. {
                let due = SEGMENT * (number - 10);
                while began.elapsed() < due {
                    if stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                publish(&www, number);
            }
        });
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

/// Publishes the playlist whose last segment has this number, six segments in all.
fn publish(www: &Path, last: u32) {
    let first = last - 5;
    let mut text =
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for number in first..=last {
        let segment = www.join(format!("s{number}.ts"));
        if !segment.exists() {
            fs::hard_link(www.join("segment"), segment).unwrap();
        }
        text += &format!("#EXTINF:2.000,\ns{number}.ts\n");
    }
    fs::write(www.join("next"), text).unwrap();
    fs::rename(www.join("next"), www.join("live.m3u8")).unwrap();
}
