//! The status of a running origin for the metrics: processes, segments, playlists, nginx's counters.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use hls_swarm_hls::playlist;
use hls_swarm_hls::playlist::media::Segment;
use hls_swarm_model::classify::{self, ResponseHints};
use hls_swarm_model::exchange::Kind;

use crate::embedded::server::EmbeddedStream;
use crate::exporter::nginx::StubStatus;
use crate::exporter::origin::{OriginSnapshot, PlaylistSnapshot, ProcessSnapshot};
use crate::fault::injector::FaultInjector;
use crate::low_latency::edge::Edges;

/// Time limit for nginx's answer, which arrives immediately or not at all.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_STATUS_BYTES: u64 = 4 << 10;
/// Maximum depth of stream directories below the served directory.
const MAX_DEPTH: usize = 4;

/// Whether a process is running, and how many times it was started.
#[derive(Debug, Default)]
pub(crate) struct ProcessState {
    /// Whether it is running.
    pub(crate) up: AtomicBool,
    /// Number of starts.
    pub(crate) starts: AtomicU64,
}

/// The parts of an origin whose status is reported.
#[derive(Debug)]
pub(crate) struct OriginStatus {
    started: f64,
    media: MediaStore,
    server: SocketAddr,
    processes: Mutex<Vec<(&'static str, Arc<ProcessState>)>>,
    faults: Option<Arc<FaultInjector>>,
}

/// The location of segments and playlists.
#[derive(Debug)]
pub(crate) enum MediaStore {
    /// In files below this directory; low-latency playlists are in memory.
    Directory(PathBuf, Option<Arc<Edges>>),
    /// In memory.
    Embedded(Arc<EmbeddedStream>),
}

impl OriginStatus {
    /// Creates the status of an origin that starts now; `server` is the address that viewers connect to.
    pub(crate) fn new(media: MediaStore, server: SocketAddr, faults: Option<Arc<FaultInjector>>) -> Self {
        Self { started: epoch(SystemTime::now()), media, server, processes: Mutex::default(), faults }
    }

    /// Adds a process; several processes of the same name are reported as one.
    pub(crate) fn add_process(&self, name: &'static str, state: Arc<ProcessState>) {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).push((name, state));
    }

    /// The current state of the origin.
    pub(crate) fn snapshot(&self) -> OriginSnapshot {
        let mut snapshot = OriginSnapshot {
            server: "nginx",
            started: self.started,
            now: epoch(SystemTime::now()),
            processes: self.processes(),
            faults: self.faults.as_ref().map(|faults| faults.list()),
            ..OriginSnapshot::default()
        };
        match &self.media {
            MediaStore::Directory(www, edges) => {
                scan_directory(www, www, MAX_DEPTH, &mut snapshot);
                let edges = edges.iter().flat_map(|edges| &edges.0);
                snapshot.playlists.extend(edges.flat_map(|(folder, edge)| edge.describe(folder)));
            }
            MediaStore::Embedded(stream) => stream.describe(&mut snapshot),
        }
        snapshot.playlists.sort_by(|one, other| one.name.cmp(&other.name));
        snapshot
    }

    fn processes(&self) -> Vec<ProcessSnapshot> {
        let mut all: Vec<ProcessSnapshot> = Vec::new();
        for (name, state) in self.processes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let up = state.up.load(Ordering::Relaxed);
            let restarts = state.starts.load(Ordering::Relaxed).saturating_sub(1);
            match all.iter_mut().find(|one| one.name == *name) {
                Some(one) => {
                    one.up &= up;
                    one.restarts += restarts;
                }
                None => all.push(ProcessSnapshot { name: (*name).to_owned(), up, restarts }),
            }
        }
        all
    }

    /// nginx's counters; `None` if it does not answer.
    pub(crate) async fn nginx_status(&self) -> Option<StubStatus> {
        let request = async {
            let mut stream = TcpStream::connect(self.server).await.ok()?;
            let user_agent = concat!("hls-origin/", env!("CARGO_PKG_VERSION"));
            let request = format!("GET /nginx_status HTTP/1.0\r\nUser-Agent: {user_agent}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.ok()?;
            let mut response = String::new();
            stream.take(MAX_STATUS_BYTES).read_to_string(&mut response).await.ok()?;
            StubStatus::parse(response.split_once("\r\n\r\n")?.1)
        };
        tokio::time::timeout(STATUS_TIMEOUT, request).await.ok().flatten()
    }
}

/// Adds the segments and playlists in `directory` and below.
fn scan_directory(www: &Path, directory: &Path, depth: usize, snapshot: &mut OriginSnapshot) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.filter_map(Result::ok) {
        // The file may have been deleted meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        let (path, name) = (entry.path(), entry.file_name());
        if metadata.is_dir() && depth > 0 {
            scan_directory(www, &path, depth - 1, snapshot);
        }
        match classify::kind(ResponseHints { name: &name.to_string_lossy(), ..ResponseHints::default() }) {
            Kind::Segment if metadata.is_file() => {
                snapshot.segment_files += 1;
                snapshot.segment_bytes += metadata.len();
            }
            Kind::Playlist => {
                let written = metadata.modified().map(epoch).unwrap_or_default();
                snapshot.playlists.extend(media_playlist(www, &path, written));
            }
            _ => {}
        }
    }
}

/// Parses a media playlist; `None` for any other file.
fn media_playlist(www: &Path, path: &Path, written: f64) -> Option<PlaylistSnapshot> {
    let name = path.strip_prefix(www).ok()?.to_str()?.to_owned();
    let base = Url::parse("http://origin/").and_then(|base| base.join(&name)).ok()?;
    let text = std::fs::read_to_string(path).ok()?;
    let playlist::Playlist::Media(media) = playlist::parse(&text, &base).ok()? else { return None };
    let segment = |segment: &Segment| {
        let file = www.join(segment.url.path().trim_start_matches('/'));
        (segment.duration, std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok().map(epoch))
    };
    let segments = media.segments.iter().map(segment).collect();
    Some(PlaylistSnapshot { name, written, media_sequence: media.media_sequence, segments })
}

fn epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
