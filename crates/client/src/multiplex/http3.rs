//! One HTTP/3 connection (RFC 9114) of a viewer: the `quinn` crate speaks QUIC, and `h3` speaks HTTP/3 over it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, StreamError};
use h3::quic::StreamId;
use http::HeaderMap;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use tokio::task::{AbortHandle, spawn_local};
use url::Url;

use super::carrier::{Facts, Lost};
use super::counted::{Arrivals, Counted, CountedStream, Opener};
use super::http2::WINDOWS;
use super::udp::Udp;
use crate::connection::Times;
use crate::head::LONGEST_HEAD;
use crate::shard::Shard;
use crate::socket::Origin;
use crate::transfer::{ConnectFailure, End, Version};

/// How long a connection may be idle: as long as in Chromium.
const IDLE: Duration = Duration::from_secs(30);
/// The largest code of a QUIC transport error that is a TLS alert, and the smallest (RFC 9001, 4.8).
const ALERTS: std::ops::RangeInclusive<u64> = 0x100..=0x1FF;
/// The alert `no_application_protocol`.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// A connection.
pub(crate) struct Http3 {
    quic: quinn::Connection,
    udp: Arc<Udp>,
    sender: SendRequest<Opener, Bytes>,
    arrivals: Arrivals,
    is_open: Rc<Cell<bool>>,
    driver: AbortHandle,
    is_kept: Cell<bool>,
    host: Box<str>,
    port: u16,
    number: u32,
    peer: SocketAddr,
    times: RefCell<Times>,
    /// Bytes received that were reported.
    reported: Cell<u64>,
    _endpoint: quinn::Endpoint,
}

impl fmt::Debug for Http3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http3").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A response under way. Dropped before its end, it cancels the stream.
pub(super) struct Incoming {
    stream: RequestStream<CountedStream, Bytes>,
    id: StreamId,
}

/// A QUIC connection whose handshake is done.
pub(super) struct Established {
    endpoint: quinn::Endpoint,
    quic: quinn::Connection,
    udp: Arc<Udp>,
    peer: SocketAddr,
}

/// Makes a QUIC connection to `peer`, which has a certificate for `host`.
pub(super) async fn connect(
    peer: SocketAddr,
    origin: Origin,
    host: &str,
    shard: &Shard,
) -> Result<Established, ConnectFailure> {
    let failure = |why: String| ConnectFailure::new(format!("QUIC handshake failed: {why}"));
    let udp = Udp::connect(peer, origin, Arc::clone(&shard.datagrams))?;
    let runtime = Arc::new(TokioRuntime);
    let socket: Arc<dyn quinn::AsyncUdpSocket> = Arc::clone(&udp) as _;
    let endpoint =
        quinn::Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, runtime);
    let endpoint = endpoint?;
    let tls = QuicClientConfig::try_from(shard.quic().map_err(failure)?);
    let tls = tls.map_err(|error| failure(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(origin.receive_buffer)));
    let host = host.trim_matches(['[', ']']);
    let connecting = endpoint.connect_with(config, peer, host).map_err(|error| failure(error.to_string()))?;
    let connected = tokio::select! {
        connected = connecting => connected,
        error = udp.unreachable() => return Err(error.into()),
    };
    let quic = connected.map_err(|error| match (&error, udp.errno()) {
        (_, Some(errno)) => io::Error::from_raw_os_error(errno.into()).into(),
        (ConnectionError::TimedOut, _) => ConnectFailure { timed_out: true, ..failure("no answer".into()) },
        (ConnectionError::ConnectionClosed(close), _)
            if u64::from(close.error_code) == NO_APPLICATION_PROTOCOL =>
        {
            failure("the server does not speak HTTP/3 (ALPN)".into())
        }
        (ConnectionError::TransportError(error), _)
            if ALERTS.contains(&u64::from(error.code)) && !error.reason.is_empty() =>
        {
            failure(error.reason.clone())
        }
        _ => failure(error.to_string()),
    })?;
    Ok(Established { endpoint, quic, udp, peer })
}

fn transport(window: Option<u32>) -> TransportConfig {
    // What is in a window has arrived too early for a viewer whose reading is limited.
    let (of_stream, of_connection) = window.map_or(WINDOWS, |bytes| (bytes, bytes));
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(IDLE).ok())
        .stream_receive_window(of_stream.into())
        .receive_window(of_connection.into())
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    transport
}

impl Http3 {
    /// Begins to speak HTTP/3 with the origin of `url`.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) async fn begin(
        established: Established,
        url: &Url,
        number: u32,
        times: Times,
    ) -> Result<Self, String> {
        let Established { endpoint, quic, udp, peer } = established;
        let arrivals = Arrivals::default();
        let counted =
            Counted { connection: h3_quinn::Connection::new(quic.clone()), arrivals: arrivals.clone() };
        let mut builder = h3::client::builder();
        builder.send_grease(false).max_field_section_size(LONGEST_HEAD as u64);
        let built = builder.build::<_, _, Bytes>(counted).await;
        let (mut connection, sender) = built.map_err(|error| error.to_string())?;
        let is_open = Rc::new(Cell::new(true));
        let open = Rc::clone(&is_open);
        let driver = spawn_local(async move {
            let error = connection.wait_idle().await;
            tracing::debug!(%error, "an HTTP/3 connection has ended");
            open.set(false);
        });
        Ok(Self {
            quic,
            udp,
            sender,
            arrivals,
            is_open,
            driver: driver.abort_handle(),
            is_kept: Cell::new(false),
            host: url.host_str().unwrap_or_default().into(),
            port: url.port_or_known_default().unwrap_or_default(),
            number,
            peer,
            times: RefCell::new(times),
            reported: Cell::new(0),
            _endpoint: endpoint,
        })
    }

    /// Whether further requests can be sent.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.get() && self.quic.close_reason().is_none()
    }

    /// Notes that it has carried a whole response.
    pub(super) fn keep(&self) {
        self.is_kept.set(true);
    }

    /// Whether it has carried a whole response.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.get()
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The connection takes no further request.
    pub(super) async fn send(&self, request: http::Request<()>) -> Result<Incoming, Lost> {
        let sent = async {
            let mut stream = self.sender.clone().send_request(request).await?;
            stream.finish().await?;
            Ok::<_, StreamError>(stream)
        };
        let sent = sent.await.map(|stream| Incoming { id: stream.id(), stream });
        sent.map_err(|error| Lost { is_unprocessed: true, ..self.lost(&error) })
    }

    /// Waits for the head of a response; interim ones are skipped.
    ///
    /// # Errors
    /// The stream or the connection has ended before.
    pub(super) async fn head(&self, incoming: &mut Incoming) -> Result<(u16, HeaderMap), Lost> {
        loop {
            let response = incoming.stream.recv_response().await.map_err(|error| self.lost(&error))?;
            let (head, ()) = response.into_parts();
            if !head.status.is_informational() {
                return Ok((head.status.as_u16(), head.headers));
            }
        }
    }

    /// Waits for the next piece of a body; `None` = the response is whole.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(super) async fn data(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, Lost> {
        let piece = incoming.stream.recv_data().await.map_err(|error| self.lost(&error))?;
        Ok(piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))
    }

    /// Bytes of a response that are not a body, of which `body` bytes have arrived.
    pub(super) fn head_bytes(&self, incoming: &Incoming, body: u64) -> u64 {
        self.arrivals.of(incoming.id).saturating_sub(body)
    }

    /// Requests under way.
    pub(super) fn under_way(&self) -> usize {
        self.arrivals.count()
    }

    /// Ends the account of a response.
    pub(super) fn forget(&self, incoming: &Incoming) {
        self.arrivals.forget(incoming.id);
    }

    /// What is known of the connection. Its times are given once.
    pub(super) fn facts(&self) -> Facts {
        let path = self.quic.stats().path;
        let received = self.udp.received();
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        Facts {
            version: Version::Http3,
            connection: self.number,
            peer: self.peer,
            local_port: quinn::AsyncUdpSocket::local_addr(&*self.udp).ok().map(|address| address.port()),
            times: self.times.take(),
            received_bytes: received.saturating_sub(self.reported.replace(received)),
            retransmits: None,
            lost_packets: Some(u32::try_from(path.lost_packets).unwrap_or(u32::MAX)),
            rtt_us: Some(micros(path.rtt)),
            min_rtt_us: Some(micros(path.min_rtt)),
        }
    }

    /// Whether it leads to the origin of `url`.
    pub(super) fn leads_to(&self, url: &Url) -> bool {
        url.scheme() == "https"
            && url.port_or_known_default() == Some(self.port)
            && url.host_str() == Some(&*self.host)
    }

    /// How a response was lost.
    fn lost(&self, error: &StreamError) -> Lost {
        let lost = |end, why: String| Lost { end, why, is_unprocessed: false, is_of_connection: true };
        if let Some(errno) = self.udp.errno() {
            let error = io::Error::from_raw_os_error(errno.into());
            return lost(End::SocketError(errno), format!("the connection failed: {error}"));
        }
        match error {
            StreamError::RemoteTerminate { code, .. } => Lost {
                is_unprocessed: *code == Code::H3_REQUEST_REJECTED,
                is_of_connection: false,
                ..lost(End::ClosedByPeer, format!("the server reset the stream: {code}"))
            },
            StreamError::RemoteClosing { .. } => {
                // It takes no further request, and those before it go on.
                self.is_open.set(false);
                let why = "the server closed the connection".to_owned();
                Lost { is_unprocessed: true, ..lost(End::ClosedByPeer, why) }
            }
            _ => match self.quic.close_reason() {
                Some(ConnectionError::TimedOut) => {
                    let errno = u16::try_from(libc::ETIMEDOUT).unwrap_or_default();
                    lost(End::SocketError(errno), "the connection failed: no packet arrived for 30 s".into())
                }
                Some(ConnectionError::ApplicationClosed(close)) => {
                    let code = Code::from(close.error_code.into_inner());
                    lost(End::ClosedByPeer, format!("the server closed the connection: {code}"))
                }
                Some(ConnectionError::ConnectionClosed(_) | ConnectionError::Reset) => {
                    let why = "the connection was closed before the response was whole";
                    lost(End::ClosedByPeer, why.into())
                }
                Some(ConnectionError::TransportError(error)) => {
                    lost(End::Malformed, format!("not valid QUIC: {error}"))
                }
                _ => Lost {
                    is_of_connection: false,
                    ..lost(End::Malformed, format!("not valid HTTP/3: {error}"))
                },
            },
        }
    }
}

impl Drop for Http3 {
    fn drop(&mut self) {
        self.driver.abort();
        let code = u32::try_from(Code::H3_NO_ERROR.value()).unwrap_or_default();
        self.quic.close(VarInt::from_u32(code), b"");
    }
}
