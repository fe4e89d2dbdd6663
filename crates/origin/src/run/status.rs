//! How the origin is, gathered when somebody asks: processes, what lies on disk, nginx's counters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use hls_swarm_hls::playlist::{self, media::Segment};
use hls_swarm_model::classify::{self, ResponseHints};
use hls_swarm_model::exchange::Kind;

use crate::embedded::server::Memory;
use crate::exporter::nginx::Status;
use crate::exporter::origin::{Origin, Playlist, Process};
use crate::fault::injector::Faults;

/// nginx answers at once or not at all.
const STATUS_TIME: Duration = Duration::from_secs(2);
const STATUS_BYTES: u64 = 4 << 10;
/// Directories of streams below the served one.
const DEEPEST: usize = 4;

/// Whether a process runs, and how often it was started.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// It runs.
    pub(crate) up: AtomicBool,
    /// Starts so far.
    pub(crate) starts: AtomicU64,
}

/// What there is to look at.
#[derive(Debug)]
pub(crate) struct OriginStatus {
    started: f64,
    stream: Place,
    server: SocketAddr,
    lifetimes: Mutex<Vec<(&'static str, Arc<Life>)>>,
    faults: Option<Arc<Faults>>,
}

/// Where the stream is.
#[derive(Debug)]
pub(crate) enum Place {
    /// Files below this directory.
    Disk(PathBuf),
    /// The embedded stream.
    Memory(Arc<Memory>),
}

impl OriginStatus {
    /// `server` is where viewers reach the stream.
    pub(crate) fn new(stream: Place, server: SocketAddr, faults: Option<Arc<Faults>>) -> Self {
        Self { started: epoch(SystemTime::now()), stream, server, lifetimes: Mutex::default(), faults }
    }

    /// Watches a process; several of one name count as one.
    pub(crate) fn watch(&self, name: &'static str, life: Arc<Life>) {
        self.lifetimes.lock().unwrap_or_else(PoisonError::into_inner).push((name, life));
    }

    /// The origin now.
    pub(crate) fn origin(&self) -> Origin {
        let mut origin = Origin {
            server: "nginx",
            started: self.started,
            now: epoch(SystemTime::now()),
            processes: self.processes(),
            faults: self.faults.as_ref().map(|faults| faults.list()),
            ..Origin::default()
        };
        match &self.stream {
            Place::Disk(www) => look(www, www, DEEPEST, &mut origin),
            Place::Memory(memory) => memory.describe(&mut origin),
        }
        origin.playlists.sort_by(|one, other| one.name.cmp(&other.name));
        origin
    }

    fn processes(&self) -> Vec<Process> {
        let mut all: Vec<Process> = Vec::new();
        for (name, life) in self.lifetimes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let up = life.up.load(Ordering::Relaxed);
            let restarts = life.starts.load(Ordering::Relaxed).saturating_sub(1);
            match all.iter_mut().find(|one| one.name == *name) {
                Some(one) => {
                    one.up &= up;
                    one.restarts += restarts;
                }
                None => all.push(Process { name: (*name).to_owned(), up, restarts }),
            }
        }
        all
    }

    /// nginx's counters; none while it does not answer.
    pub(crate) async fn status(&self) -> Option<Status> {
        let asked = async {
            let mut stream = TcpStream::connect(self.server).await.ok()?;
            let name = concat!("hls-origin/", env!("CARGO_PKG_VERSION"));
            let request = format!("GET /nginx_status HTTP/1.0\r\nUser-Agent: {name}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut answer = String::new();
            stream.take(STATUS_BYTES).read_to_string(&mut answer).await.ok()?;
            Status::read(answer.split_once("\r\n\r\n")?.1)
        };
        tokio::time::timeout(STATUS_TIME, asked).await.ok().flatten()
    }
}

/// Adds what lies in `directory` and below.
fn look(www: &Path, directory: &Path, depth: usize, origin: &mut Origin) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        // It may be gone by now.
        let Ok(found) = entry.metadata() else { continue };
        let (path, name) = (entry.path(), entry.file_name());
        if found.is_dir() && depth > 0 {
            look(www, &path, depth - 1, origin);
        }
        match classify::kind(ResponseHints { name: &name.to_string_lossy(), ..ResponseHints::default() }) {
            Kind::Segment if found.is_file() => {
                origin.segment_files += 1;
                origin.segment_bytes += found.len();
            }
            Kind::Playlist => {
                let written = found.modified().map(epoch).unwrap_or_default();
                origin.playlists.extend(media_playlist(www, &path, written));
            }
            _ => {}
        }
    }
}

/// Reads a media playlist; none of what is something else.
fn media_playlist(www: &Path, path: &Path, written: f64) -> Option<Playlist> {
    let name = path.strip_prefix(www).ok()?.to_str()?.to_owned();
    let base = Url::parse("http://origin/").and_then(|base| base.join(&name)).ok()?;
    let text = std::fs::read_to_string(path).ok()?;
    let playlist::Playlist::Media(media) = playlist::parse(&text, &base).ok()? else { return None };
    let segment = |segment: &Segment| {
        let file = www.join(segment.url.path().trim_start_matches('/'));
        (segment.duration, std::fs::metadata(file).and_then(|found| found.modified()).ok().map(epoch))
    };
    let segments = media.segments.iter().map(segment).collect();
    Some(Playlist { name, written, media_sequence: media.media_sequence, segments })
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
