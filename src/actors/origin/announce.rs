//! READY: said once playlist and first segment really came over HTTP.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::house::House;
use crate::pure::origin::derived::Derived;
use crate::pure::origin::playlist::{self, PLAYLIST};
use crate::words::cli::origin::OriginArgs;
use crate::words::failure::Failure;

const LOOK_EVERY: Duration = Duration::from_millis(50);
const FETCH_TIME: Duration = Duration::from_secs(5);
/// Time for the first segment beyond the segments' own length; a slow machine encodes slowly.
const PATIENCE: Duration = Duration::from_secs(60);

/// What will be announced.
#[derive(Debug)]
pub(super) struct Announcement {
    base: String,
    port: u16,
    directory: PathBuf,
    fresh: PathBuf,
    ready_file: Option<PathBuf>,
}

impl Announcement {
    /// Removes a READY file of an earlier start, which would be a lie from now on.
    pub(super) fn new(args: &OriginArgs, socket: &TcpListener, house: &House) -> Result<Self, Failure> {
        let address = socket
            .local_addr()
            .map_err(|error| Failure::internal("cannot tell the own address").because(error))?;
        if let Some(file) = &args.ready_file {
            match std::fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(unwritable(file, error));
                }
                _ => {}
            }
        }
        Ok(Self {
            base: format!("http://{}", reachable(address)),
            port: address.port(),
            directory: house.root().to_owned(),
            fresh: house.fresh(),
            ready_file: args.ready_file.clone(),
        })
    }

    /// Waits until the stream can be fetched, says so, and takes the READY file back at `stop`.
    pub(super) async fn make(
        &self,
        derived: &Derived,
        encoder: Arc<AtomicBool>,
        server: Arc<AtomicBool>,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let patience = PATIENCE + Duration::from_secs(u64::from(derived.window_seconds));
        tokio::select! {
            fetched = tokio::time::timeout(patience, self.fetchable()) => fetched.map_err(|_| {
                Failure::preflight(format!(
                    "no segment could be fetched from {}/{PLAYLIST} within {} s",
                    self.base, patience.as_secs()
                ))
                .cure("is the machine overloaded? pass --encoder loop or a smaller --video-size; see --log-level debug")
            })?,
            () = stop.cancelled() => return Ok(()),
        }
        encoder.store(true, Ordering::Relaxed);
        server.store(true, Ordering::Relaxed);
        let line = serde_json::json!({
            "ready": true,
            "url": format!("{}/{PLAYLIST}", self.base),
            "port": self.port,
            "pid": std::process::id(),
            "directory": self.directory,
        });
        if let Some(file) = &self.ready_file {
            write_whole(file, &format!("{line}\n")).map_err(|error| unwritable(file, error))?;
        }
        // Whoever started us may not listen; the stream is there all the same.
        drop(writeln!(std::io::stdout(), "READY {}/{PLAYLIST}\n{line}", self.base));
        stop.cancelled().await;
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
            if !self.fresh.exists() {
                continue;
            }
            let base = self.base.clone();
            match tokio::task::spawn_blocking(move || fetch_first(&base)).await {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => tracing::debug!(reason, "not ready yet"),
                Err(error) => tracing::debug!(%error, "not ready yet"),
            }
        }
    }
}

/// Fetches the playlist and the first segment in it, as a viewer would.
fn fetch_first(base: &str) -> Result<(), String> {
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
    let text = fetch(PLAYLIST)?;
    let listed = playlist::read(&String::from_utf8_lossy(&text)).ok_or("no playlist came")?;
    let first = listed.segments.first().ok_or("the playlist is empty")?;
    match fetch(first)?.len() {
        0 => Err(format!("{first} is empty")),
        _ => Ok(()),
    }
}

/// The address under which this machine reaches a socket that listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Writes a file so that nobody ever reads half of it.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, file))
}

fn unwritable(file: &Path, error: std::io::Error) -> Failure {
    Failure::preflight(format!("cannot write the READY file {}", file.display()))
        .because(error)
        .cure("pass --ready-file with a path that you may write to")
}
