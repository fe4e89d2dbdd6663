//! Making connections: names, addresses one after the other, proxies, and TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use percent_encoding::percent_decode_str;
use rustls::AlertDescription;
use tokio::time::{sleep, timeout};
use url::Url;

use hls_swarm_os::clock::now_ns;

use crate::client::Client;
use crate::connection::{Broken, Connection, Times, Work};
use crate::head::{self, Parsed};
use crate::socket::{Origin, Socket};
use crate::tls::{Alpn, Session};
use crate::transfer::{ConnectFailure, Observer};

/// How long an address is tried alone before the next one is tried as well (RFC 8305, 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The longest response of a proxy to CONNECT, bytes.
const LONGEST_PROXY_HEAD: usize = 16 << 10;

impl<O: Observer> Client<O> {
    /// Makes a connection for `url`, which speaks one of the protocols of `alpn` if it is encrypted.
    pub(crate) async fn open(&self, url: &Url, alpn: Alpn) -> Result<Connection<O>, ConnectFailure> {
        let began_ns = now_ns();
        let limit = self.shard.settings.timeout;
        timeout(limit, self.open_in_time(url, alpn)).await.unwrap_or_else(|_| {
            Err(ConnectFailure {
                reason: "connect: given up without an answer".into(),
                timed_out: false,
                given_up_after_ns: Some(now_ns().saturating_sub(began_ns)),
                handshake_left: false,
                exhausted: false,
                lookup_ns: None,
            })
        })
    }

    async fn open_in_time(&self, url: &Url, alpn: Alpn) -> Result<Connection<O>, ConnectFailure> {
        let settings = &self.shard.settings;
        let proxy = settings.proxies.of(url);
        let target = proxy.unwrap_or(url);
        let names = self.names.as_ref().unwrap_or(&self.shard.names);
        let turn = self.turn.get();
        let answer = names.of(target, &settings.resolve, turn).await.map_err(|failure| ConnectFailure {
            lookup_ns: failure.took_ns,
            ..ConnectFailure::new(format!("name lookup: {}", failure.reason))
        })?;
        let port = target.port_or_known_default().unwrap_or(80);
        let connecting_ns = now_ns();
        let origin = Origin { source: self.source, receive_buffer: self.pace.receive_buffer() };
        let attempt = async |peer| Socket::connect(peer, origin).await.map(|socket| (socket, peer));
        let connected = race(&answer.addresses, port, self.source, attempt).await;
        let (socket, peer) = connected.map_err(|error: io::Error| {
            // The next connection tries the next address of a rule first.
            self.turn.set(turn.wrapping_add(1));
            ConnectFailure::from(error)
        })?;
        let connect_ns = Some(now_ns().saturating_sub(connecting_ns));
        let (number, observer, shard) =
            (self.next_number(), Rc::clone(&self.observer), Rc::clone(&self.shard));
        let mut connection = Connection::new(socket, peer, url, number, observer, shard);
        connection.times = Times { dns_ns: answer.took_ns, connect_ns, ..Times::default() };
        if url.scheme() == "https" {
            if let Some(proxy) = proxy {
                self.tunnel(&mut connection, proxy, url).await?;
            }
            self.encrypt(&mut connection, url, alpn).await?;
        } else {
            connection.through_proxy = proxy.is_some();
        }
        Ok(connection)
    }

    async fn encrypt(
        &self,
        connection: &mut Connection<O>,
        url: &Url,
        alpn: Alpn,
    ) -> Result<(), ConnectFailure> {
        let began_ns = now_ns();
        let failure = |error: String| ConnectFailure::new(format!("TLS handshake failed: {error}"));
        let config = self.shard.tls(alpn).map_err(failure)?;
        let session = Session::new(config, url.host_str().unwrap_or_default())
            .map_err(|error| failure(error.to_string()))?;
        let with_buffer = |work: Work<'_>| work(&mut self.shard.buffer.borrow_mut());
        connection.handshake(session, with_buffer).await.map_err(|broken| {
            failure(match broken {
                Broken::Socket(error) => error.to_string(),
                Broken::Tls(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                    format!("the server does not speak {alpn} (ALPN)")
                }
                Broken::Tls(error) => error.to_string(),
                Broken::Malformed(error) => error.to_string(),
            })
        })?;
        if alpn == Alpn::Http2 && !connection.speaks_http2() {
            return Err(failure(
                "the server did not choose HTTP/2 (ALPN), which it does not seem to speak".into(),
            ));
        }
        connection.times.tls_ns = Some(now_ns().saturating_sub(began_ns));
        Ok(())
    }

    /// Asks a proxy for a tunnel to the host of `url` (RFC 9110, 9.3.6).
    async fn tunnel(
        &self,
        connection: &mut Connection<O>,
        proxy: &Url,
        url: &Url,
    ) -> Result<(), ConnectFailure> {
        let failure = |why: String| ConnectFailure::new(format!("proxy: {why}"));
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let authorization = credentials(proxy)
            .map_or_else(String::new, |credentials| format!("Proxy-Authorization: {credentials}\r\n"));
        let text = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
        connection.socket.send(text.as_bytes()).await.map_err(|error| failure(error.to_string()))?;
        let mut answer = Vec::new();
        loop {
            let mut part = [0; 1024];
            match connection.socket.receive(&mut part) {
                Ok(0) => return Err(failure("it closed the connection".into())),
                Ok(received) => answer.extend(part.iter().take(received)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.socket.readable().await.map_err(|error| failure(error.to_string()))?;
                    continue;
                }
                Err(error) => return Err(failure(error.to_string())),
            }
            match head::parse(&answer) {
                Ok(Parsed::Head(head, _)) if (200..300).contains(&head.status) => return Ok(()),
                Ok(Parsed::Head(head, _)) => {
                    return Err(failure(format!("it answered {} to CONNECT", head.status)));
                }
                Ok(Parsed::Interim(length)) => drop(answer.drain(..length)),
                Ok(Parsed::Partial) if answer.len() < LONGEST_PROXY_HEAD => {}
                Ok(Parsed::Partial) => return Err(failure("its answer is too long".into())),
                Err(error) => return Err(failure(error.to_string())),
            }
        }
    }
}

/// The user and the password in a URL, as a value of `Authorization` or `Proxy-Authorization` (RFC 7617).
#[must_use]
pub fn credentials(url: &Url) -> Option<String> {
    let user = Some(url.username()).filter(|user| !user.is_empty())?;
    let plain = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(user), b":".to_vec(), plain(url.password().unwrap_or_default())].concat();
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

/// Whether a connection could not be made because this machine is at a limit, which is not the fault of the peer.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&code))
}

impl From<io::Error> for ConnectFailure {
    fn from(error: io::Error) -> Self {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let exhausted = is_exhaustion(&error);
        Self { timed_out, exhausted, ..Self::new(format!("connect: {error}")) }
    }
}

/// Connects to the first address that answers.
pub(crate) async fn race<T, E: From<io::Error>>(
    addresses: &[IpAddr],
    port: u16,
    source: Option<IpAddr>,
    attempt: impl AsyncFn(SocketAddr) -> Result<T, E>,
) -> Result<T, E> {
    let attempt = async |address: IpAddr| attempt(SocketAddr::new(address, port)).await;
    let usable = |address: &IpAddr| source.is_none_or(|source| source.is_ipv4() == address.is_ipv4());
    let mut rest = addresses.iter().copied().filter(usable).peekable();
    let mut last = E::from(io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        "no address of the host fits the source address",
    ));
    let mut attempts = FuturesUnordered::new();
    loop {
        match rest.next() {
            // The usual case needs no race.
            Some(only) if attempts.is_empty() && rest.peek().is_none() => return attempt(only).await,
            Some(address) => attempts.push(attempt(address)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let is_last = rest.peek().is_none();
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            },
            () = sleep(ATTEMPT_DELAY), if !is_last => {}
        }
    }
}
