//! Readiness and health: `READY` is printed once every playlist and its first segment were fetched over HTTP,
//! and a file indicates to nginx's `/health` whether all streams advance.

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
use crate::layout::{self, MULTIVARIANT};
use crate::profile::derived::Derived;
use crate::profile::stream::Stream;
use crate::publisher::playlist::{self, PLAYLIST};
use crate::run::runtime_dir::RuntimeDir;

const FETCH_INTERVAL: Duration = Duration::from_millis(50);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Time until the origin must be ready, in addition to the length of the playlist; slow machines encode slowly.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The READY message, and what is needed to decide when it is sent.
#[derive(Debug)]
pub(crate) struct ReadyMessage {
    address: SocketAddr,
    base_url: String,
    /// File name of the playlist that viewers are given.
    entry: String,
    /// Paths of all media playlists.
    playlists: Vec<String>,
    extra_fields: serde_json::Map<String, serde_json::Value>,
    directory: Option<PathBuf>,
    fresh_file: Option<PathBuf>,
    token: CancellationToken,
    ready_file: Option<PathBuf>,
}

impl ReadyMessage {
    /// Prepares the message, and removes a READY file of an earlier start.
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
        let entry = if layout::needs_multivariant(&renditions) { MULTIVARIANT } else { PLAYLIST };
        let base_url = format!("http://{}", reachable(address));
        let mut extra_fields = serde_json::Map::new();
        if !stream.additional_streams.is_empty() {
            let urls: Vec<_> =
                stream.additional_streams.iter().map(|name| format!("{base_url}/{name}/{entry}")).collect();
            extra_fields.insert("additional_urls".to_owned(), urls.into());
        }
        let folders = std::iter::once(String::new())
            .chain(stream.additional_streams.iter().map(|name| format!("{name}/")));
        Ok(Self {
            address: reachable(address),
            base_url,
            entry: entry.to_owned(),
            playlists: folders
                .flat_map(|folder| renditions.iter().map(move |one| format!("{folder}{}", one.playlist())))
                .collect(),
            extra_fields,
            directory: runtime_dir.map(|runtime_dir| runtime_dir.root().to_owned()),
            fresh_file: runtime_dir.map(RuntimeDir::fresh_file),
            token: CancellationToken::new(),
            ready_file: args.ready_file.clone(),
        })
    }

    /// The address at which this machine reaches the server.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A token that is cancelled when the origin is ready.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Adds the URL for HTTPS, and the path of the certificate authority to trust.
    pub(crate) fn add_tls(&mut self, address: SocketAddr, authority: &Path) {
        self.add_field("tls_url", format!("https://{}/{}", reachable(address), self.entry));
        self.add_field("tls_port", address.port());
        self.add_field("ca", authority.to_string_lossy().into_owned());
    }

    /// Adds the URLs of the metrics endpoints.
    pub(crate) fn add_metrics(&mut self, endpoints: Vec<(&str, SocketAddr)>) {
        for (name, address) in endpoints {
            self.add_field(name, format!("http://{}/metrics", reachable(address)));
        }
    }

    /// Adds a field to the JSON line of the message.
    pub(crate) fn add_field(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.extra_fields.insert(name.to_owned(), value.into());
    }

    /// Waits until the stream can be fetched, sends the message, and removes the READY file at `stop`.
    /// `was_ready` is set for the processes that have proved to work.
    pub(crate) async fn report(
        &self,
        derived: &Derived,
        was_ready: &[Arc<AtomicBool>],
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let timeout = READY_TIMEOUT + Duration::from_secs(u64::from(derived.window_seconds));
        tokio::select! {
            ready = tokio::time::timeout(timeout, self.wait_until_fetchable()) => ready.map_err(|_| {
                Failure::preflight(format!(
                    "no segment could be fetched from {}/{} within {} s", self.base_url, self.entry, timeout.as_secs()
                ))
                .help(
                    "if the machine is overloaded, pass --encoder loop or a smaller --video-size; \
                     --log-level debug shows more",
                )
            })?,
            () = stop.cancelled() => return Ok(()),
        }
        was_ready.iter().for_each(|one| one.store(true, Ordering::Relaxed));
        self.send()?;
        stop.cancelled().await;
        drop(notify::stopping());
        if let Some(file) = &self.ready_file {
            drop(std::fs::remove_file(file));
        }
        Ok(())
    }

    /// Sends the message to the READY file, systemd and standard output.
    fn send(&self) -> Result<(), Failure> {
        let url = format!("{}/{}", self.base_url, self.entry);
        let mut message = serde_json::json!({
            "ready": true,
            "url": url,
            "port": self.address.port(),
            "pid": std::process::id(),
        });
        if let Some(fields) = message.as_object_mut() {
            fields
                .extend(self.directory.iter().map(|path| ("directory".to_owned(), serde_json::json!(path))));
            fields.extend(self.extra_fields.clone());
        }
        if let Some(file) = &self.ready_file {
            replace_file(file, &format!("{message}\n")).map_err(|error| unwritable(file, error))?;
        }
        self.token.cancel();
        if let Err(error) = notify::ready(&url) {
            tracing::warn!(%error, "cannot notify systemd that the origin is ready");
        }
        // Standard output may be closed; the stream is available nevertheless.
        drop(writeln!(std::io::stdout(), "READY {url}\n{message}"));
        Ok(())
    }

    async fn wait_until_fetchable(&self) {
        let mut ticks = tokio::time::interval(FETCH_INTERVAL);
        loop {
            ticks.tick().await;
            // No requests before the stream can exist, because they would appear in the access log.
            if self.fresh_file.as_ref().is_some_and(|file| !file.exists()) {
                continue;
            }
            let (base_url, playlists) = (self.base_url.clone(), self.playlists.clone());
            match tokio::task::spawn_blocking(move || fetch_first_segments(&base_url, &playlists)).await {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => tracing::debug!(reason, "not ready yet"),
                Err(error) => tracing::debug!(%error, "not ready yet"),
            }
        }
    }
}

/// Fetches each playlist and the first segment in it, as a viewer would.
fn fetch_first_segments(base_url: &str, playlists: &[String]) -> Result<(), String> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .http_status_as_error(false)
        // A proxy from the environment must not answer in place of this server.
        .proxy(None)
        .user_agent(concat!("hls-origin/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let fetch = |name: &str| -> Result<Vec<u8>, String> {
        let mut response =
            agent.get(format!("{base_url}/{name}")).call().map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("{name}: status {}", response.status().as_u16()));
        }
        let body = response.body_mut().with_config().limit(u64::MAX);
        body.read_to_vec().map_err(|error| format!("{name}: {error}"))
    };
    for name in playlists {
        let text = fetch(name)?;
        let listed = playlist::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| format!("{name} is not a media playlist"))?;
        let first = listed.segments.first().ok_or_else(|| format!("{name} is empty"))?;
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let first = format!("{folder}/{first}");
        if fetch(first.trim_start_matches('/'))?.is_empty() {
            return Err(format!("{first} is empty"));
        }
    }
    Ok(())
}

/// The address at which this machine reaches a socket that listens on `address`.
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
        .help("pass --ready-file with a writable path")
}

const HEALTH_INTERVAL: Duration = Duration::from_millis(100);

/// Creates and removes the file that `/health` checks, as the streams advance or stall. Never returns.
pub(crate) async fn update_health(runtime_dir: &RuntimeDir, channels: &[Channel<'_>]) -> Infallible {
    let file = runtime_dir.fresh_file();
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        set_fresh(channels.iter().all(Channel::is_fresh), &file);
    }
}

fn set_fresh(fresh: bool, file: &Path) {
    let outcome = match (fresh, file.exists()) {
        (true, false) => {
            std::fs::write(file, "").map(|()| tracing::debug!("all streams advance; /health reports 200"))
        }
        (false, true) => std::fs::remove_file(file)
            .map(|()| tracing::warn!("a stream does not advance; /health reports 503")),
        _ => return,
    };
    if let Err(error) = outcome {
        tracing::warn!(%error, "cannot update the file for /health");
    }
}
