//! The exchange log: one line of JSON per exchange, an access log from the viewers' side.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use hls_swarm_base::error::Failure;
use hls_swarm_model::exchange::{Cache, Exchange, HttpVersion, Kind, Outcome};
use hls_swarm_os::secrets;

/// How long the reader of a pipe may take to make room, milliseconds.
const WRITE_TIMEOUT_MS: u16 = 1000;

/// An open exchange log.
#[derive(Debug)]
pub struct ExchangeLog {
    path: PathBuf,
    out: BufWriter<BoundedWriter>,
}

impl ExchangeLog {
    /// Creates (or empties) the file.
    ///
    /// # Errors
    /// A usage failure that names the path.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let out = BoundedWriter::open(path).map_err(|error| {
            Failure::usage(format!("--exchange-log {}: cannot be written", path.display()))
                .caused_by(error)
                .help("name a file in a directory that exists and that you may write to, or a pipe that is read")
        })?;
        Ok(Self { path: path.to_owned(), out: BufWriter::with_capacity(64 << 10, out) })
    }

    /// Writes one exchange.
    ///
    /// # Errors
    /// The disk is full, or the file is gone.
    pub fn write(&mut self, exchange: &Exchange) -> Result<(), Failure> {
        let line = Line::from(exchange);
        serde_json::to_string(&line)
            .map_err(io::Error::from)
            // A secret may be part of a path.
            .and_then(|line| writeln!(self.out, "{}", secrets::redact(&line)))
            .map_err(|error| self.failed(error))
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// As [`ExchangeLog::write`].
    pub fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Failure {
        Failure::internal(format!("cannot write the exchange log {}", self.path.display()))
            .caused_by(error)
            .help("make room on the disk, or run without --exchange-log")
    }
}

/// The file, or a pipe whose reader must make room within [`WRITE_TIMEOUT_MS`]. Without this limit, a reader that stops
/// reading would block the run, which then would not react to signals either.
#[derive(Debug)]
struct BoundedWriter(File);

impl BoundedWriter {
    /// Opens the file for writing and empties it. A pipe that no process reads is refused immediately.
    fn open(path: &Path) -> io::Result<Self> {
        let mut how = File::options();
        how.write(true).create(true).truncate(true).custom_flags(OFlag::O_NONBLOCK.bits());
        how.open(path).map(Self)
    }
}

impl Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut room, PollTimeout::from(WRITE_TIMEOUT_MS))? == 0 {
                    let why = "the process that reads the pipe does not keep up";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                self.0.write(bytes)
            }
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// One line; times in seconds, absent where they were not measured.
#[derive(Serialize)]
struct Line<'a> {
    viewer: u32,
    generation: u32,
    pid: u32,
    http: HttpVersion,
    connection: u32,
    streams: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    kind: Kind,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<&'a str>,
    url_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    outcome: Outcome,
    /// `CLOCK_MONOTONIC` of this machine.
    started: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_handshake: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quic_handshake: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttfb: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    download: Option<f64>,
    head_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_bytes: Option<u64>,
    tls: bool,
    /// Whether the server held the response as asked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    blocking_reload: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_rtt_us: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_packets: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Cache>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<u32>,
}

impl<'a> From<&'a Exchange> for Line<'a> {
    fn from(exchange: &'a Exchange) -> Self {
        let seconds = |nanos: Option<u64>| nanos.map(|nanos| nanos as f64 / 1e9);
        Self {
            viewer: exchange.viewer,
            generation: exchange.generation,
            pid: exchange.pid,
            http: exchange.http,
            connection: exchange.connection,
            streams: exchange.streams,
            local_port: exchange.local_port,
            peer: exchange.peer.map(|(address, port)| std::net::SocketAddr::new(address, port).to_string()),
            kind: exchange.kind,
            name: &exchange.name,
            variant: exchange.variant.as_ref().map(|variant| variant.name.as_str()),
            url_hash: format!("{:016x}", exchange.url_hash),
            status: exchange.status,
            outcome: exchange.outcome,
            started: exchange.started_ns as f64 / 1e9,
            dns: seconds(exchange.dns_ns),
            connect: seconds(exchange.connect_ns),
            tls_handshake: seconds(exchange.tls_ns),
            quic_handshake: seconds(exchange.quic_ns),
            ttfb: seconds(exchange.first_byte_ns),
            download: seconds(exchange.download_ns),
            head_bytes: exchange.head_bytes,
            body_bytes: (!exchange.unknown_body).then_some(exchange.body_bytes),
            received_bytes: exchange.received_bytes,
            tls: exchange.tls,
            blocking_reload: exchange.blocking_reload,
            rtt_us: exchange.rtt_us,
            min_rtt_us: exchange.min_rtt_us,
            retransmits: exchange.retransmits,
            lost_packets: exchange.lost_packets,
            cache: exchange.cache,
            age: exchange.age_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_stops_reading_does_not_block_the_run() {
        let folder = tempfile::TempDir::new().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(BoundedWriter::open(&pipe).is_err(), "no process reads it");
        let reader = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe).unwrap();
        let mut out = BoundedWriter::open(&pipe).unwrap();
        let began = std::time::Instant::now();
        let error = (0..1000).find_map(|_| out.write_all(&[b'x'; 4096]).err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
        drop(reader);
        assert!(out.write_all(b"x").is_err(), "its reader has closed it");
    }
}
