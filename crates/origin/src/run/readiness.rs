//! READY: said once playlist and first segment really came over HTTP.

use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::notify;
use hls_swarm_os::output::replace_file;

use crate::cli::OriginArgs;
use crate::encoder::channel::Channel;
use crate::layout::{self, MASTER};
use crate::profile::derived::Derived;
use crate::profile::stream::Stream;
use crate::publisher::playlist::{self, PLAYLIST};
use crate::run::runtime_dir::RuntimeDir;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const FETCH_TIME: Duration = Duration::from_secs(5);
/// Time for the first segment beyond the segments' own length; a slow machine encodes slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// What will be announced.
#[derive(Debug)]
pub(crate) struct ReadyMessage {
    address: SocketAddr,
    base: String,
    /// Path of what viewers are given.
    entry: String,
    /// Paths of all media playlists.
    playlists: Vec<String>,
    more: serde_json::Map<String, serde_json::Value>,
    directory: Option<PathBuf>,
    fresh: Option<PathBuf>,
    ready: CancellationToken,
    ready_file: Option<PathBuf>,
}

impl ReadyMessage {
    /// Removes a READY file of an earlier start, which would be a lie from now on.
    pub(crate) fn new(
        args: &OriginArgs,
        stream: &Stream,
        address: SocketAddr,
        runtime_dir: Option<&RuntimeDir>,
    ) -> Result<Self, Failure> {
        if let Some(file) = &args.ready_file {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(unwritable(file, error));
                }
                _ => {}
            }
        }
        let renditions = layout::renditions(stream);
        let entry = if layout::has_choice(&renditions) { MASTER } else { PLAYLIST };
        let base = format!("http://{}", reachable(address));
        let mut more = serde_json::Map::new();
        if !stream.further.is_empty() {
            let urls: Vec<_> = stream.further.iter().map(|name| format!("{base}/{name}/{entry}")).collect();
            more.insert("further".to_owned(), urls.into());
        }
        let folders =
            std::iter::once(String::new()).chain(stream.further.iter().map(|name| format!("{name}/")));
        Ok(Self {
            address: reachable(address),
            base,
            entry: entry.to_owned(),
            playlists: folders
                .flat_map(|folder| renditions.iter().map(move |one| format!("{folder}{}", one.playlist())))
                .collect(),
            more,
            directory: runtime_dir.map(|runtime_dir| runtime_dir.root().to_owned()),
            fresh: runtime_dir.map(RuntimeDir::fresh),
            ready: CancellationToken::new(),
            ready_file: args.ready_file.clone(),
        })
    }

    /// Where this machine reaches the stream.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cancelled as soon as READY is said.
    pub(crate) fn ready(&self) -> CancellationToken {
        self.ready.clone()
    }

    /// Adds where HTTPS is served, and the authority to be trusted.
    pub(crate) fn tell_tls(&mut self, address: SocketAddr, authority: &Path) {
        self.tell("tls_url", format!("https://{}/{}", reachable(address), self.entry));
        self.tell("tls_port", address.port());
        self.tell("ca", authority.to_string_lossy().into_owned());
    }

    /// Adds a fact to READY's line of JSON.
    pub(crate) fn tell(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.more.insert(name.to_owned(), value.into());
    }

    /// Waits until the stream can be fetched, says so, and takes the READY file back at `stop`.
    pub(crate) async fn make(
        &self,
        derived: &Derived,
        settled: &[Arc<AtomicBool>],
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let patience = PATIENCE + Duration::from_secs(u64::from(derived.window_seconds));
        tokio::select! {
            fetched = tokio::time::timeout(patience, self.fetchable()) => fetched.map_err(|_| {
                Failure::preflight(format!(
                    "no segment could be fetched from {}/{} within {} s",
                    self.base, self.entry, patience.as_secs()
                ))
                .help("is the machine overloaded? pass --encoder loop or a smaller --video-size; see --log-level debug")
            })?,
            () = stop.cancelled() => return Ok(()),
        }
        settled.iter().for_each(|one| one.store(true, Ordering::Relaxed));
        let mut line = serde_json::json!({
            "ready": true,
            "url": format!("{}/{}", self.base, self.entry),
            "port": self.address.port(),
            "pid": std::process::id(),
        });
        if let Some(facts) = line.as_object_mut() {
            facts.extend(self.directory.iter().map(|path| ("directory".to_owned(), serde_json::json!(path))));
            facts.extend(self.more.clone());
        }
        if let Some(file) = &self.ready_file {
            replace_file(file, &format!("{line}\n")).map_err(|error| unwritable(file, error))?;
        }
        self.ready.cancel();
        if let Err(error) = notify::ready(&format!("{}/{}", self.base, self.entry)) {
            tracing::warn!(%error, "cannot tell systemd that the stream is there");
        }
        // Whoever started us may not listen; the stream is there all the same.
        drop(writeln!(std::io::stdout(), "READY {}/{}\n{line}", self.base, self.entry));
        stop.cancelled().await;
        drop(notify::stopping());
        if let Some(file) = &self.ready_file {
            drop(std::fs::remove_file(file));
        }
        Ok(())
    }

    async fn fetchable(&self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            // No request before there can be an answer: the access log is for viewers.
            if self.fresh.as_ref().is_some_and(|fresh| !fresh.exists()) {
                continue;
            }
            let (base, playlists) = (self.base.clone(), self.playlists.clone());
            match tokio::task::spawn_blocking(move || fetch_first(&base, &playlists)).await {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => tracing::debug!(reason, "not ready yet"),
                Err(error) => tracing::debug!(%error, "not ready yet"),
            }
        }
    }
}

/// Fetches each playlist and the first segment in it, as a viewer would.
fn fetch_first(base: &str, playlists: &[String]) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIME))
        .http_status_as_error(false)
        // A proxy from the environment would tell nothing of our own server.
        .proxy(None)
        .user_agent(concat!("hls-origin/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let fetch = |name: &str| -> Result<Vec<u8>, String> {
        let mut answer = agent.get(format!("{base}/{name}")).call().map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("{name}: status {}", answer.status().as_u16()));
        }
        let body = answer.body_mut().with_config().limit(u64::MAX);
        body.read_to_vec().map_err(|error| format!("{name}: {error}"))
    };
    for name in playlists {
        let text = fetch(name)?;
        let listed = playlist::read(&String::from_utf8_lossy(&text)).ok_or("no playlist came")?;
        let first = listed.segments.first().ok_or("the playlist is empty")?;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let first = format!("{folder}/{first}");
        if fetch(first.trim_start_matches('/'))?.is_empty() {
            return Err(format!("{first} is empty"));
        }
    }
    Ok(())
}

/// The address under which this machine reaches a socket that listens on `address`.
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn unwritable(file: &Path, error: std::io::Error) -> Failure {
    Failure::preflight(format!("cannot write the READY file {}", file.display()))
        .caused_by(error)
        .help("pass --ready-file with a path that you may write to")
}

const UPDATE_EVERY: Duration = Duration::from_millis(100);

/// Keeps the file as the streams are, for ever.
pub(crate) async fn tell(runtime_dir: &RuntimeDir, channels: &[Channel<'_>]) -> Infallible {
    let mark = runtime_dir.fresh();
    let mut looks = tokio::time::interval(UPDATE_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        mark_as(channels.iter().all(Channel::is_fresh), &mark);
    }
}

fn mark_as(fresh: bool, mark: &Path) {
    let outcome = match (fresh, mark.exists()) {
        (true, false) => std::fs::write(mark, "").map(|()| tracing::debug!("the stream advances")),
        (false, true) => std::fs::remove_file(mark)
            .map(|()| tracing::warn!("the stream does not advance; /health says so")),
        _ => return,
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot tell /health");
    }
}
