//! What was measured of each exchange and of each connection, and who gets to know it.

use std::cell::Cell;
use std::net::SocketAddr;

use url::Url;

use crate::head::Head;
use crate::response::Sink;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The response arrived whole.
    Complete,
    /// The viewer gave it up, or was stopped.
    ClosedByViewer,
    /// Nothing arrived for as long as the viewer waits.
    TimedOut,
    /// The peer ended the connection first.
    ClosedByPeer,
    /// The connection failed with this errno.
    SocketError(u16),
    /// What arrived is not a response; the connection was closed.
    Malformed,
    /// The peer had closed the kept connection before the request arrived; it is sent again on another one.
    Stale,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    Http1,
    /// HTTP/2 (RFC 9113).
    Http2,
    /// HTTP/3 (RFC 9114).
    Http3,
}

/// One request and its response. Times are nanoseconds of `CLOCK_MONOTONIC`; what was not measured is `None`.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// The address that was requested.
    pub url: Url,
    /// Whether the request went to a proxy, with the whole address as its target.
    pub through_proxy: bool,
    /// The version of HTTP.
    pub version: Version,
    /// The connection of this viewer, from 1.
    pub connection: u32,
    /// Requests under way on the connection when this one was sent, with it.
    pub streams: u32,
    /// The peer.
    pub peer: SocketAddr,
    /// The local port.
    pub local_port: Option<u16>,
    /// Whether the exchange ran inside TLS.
    pub tls: bool,
    /// When the request was sent.
    pub started_ns: u64,
    /// Name lookup, if this viewer made one for the connection.
    pub dns_ns: Option<u64>,
    /// TCP connect, on the first exchange of a connection.
    pub connect_ns: Option<u64>,
    /// TLS handshake, on the first exchange of a connection.
    pub tls_ns: Option<u64>,
    /// QUIC handshake, on the first exchange of a connection.
    pub quic_ns: Option<u64>,
    /// From the request to the first byte of the response.
    pub first_byte_ns: Option<u64>,
    /// From the request to the last byte that arrived.
    pub last_byte_ns: Option<u64>,
    /// From the last byte (or the request) to the end.
    pub idle_ns: u64,
    /// How it ended.
    pub end: End,
    /// The head of the response, if that arrived.
    pub head: Option<Box<Head>>,
    /// Bytes of the head; of HTTP/2, those of all frames of the response but the payload of DATA.
    pub head_bytes: u64,
    /// Bytes of the body, with the framing of chunks.
    pub body_bytes: u64,
    /// Bytes beyond the end of the response.
    pub excess_bytes: u64,
    /// Bytes that the kernel received on the connection since the exchange before; `None` where requests share the
    /// connection, whose bytes are reported as those of no exchange.
    pub received_bytes: Option<u64>,
    /// Retransmits of the connection so far.
    pub retransmits: Option<u32>,
    /// Packets of a QUIC connection that the viewer sent and that were lost, so far.
    pub lost_packets: Option<u32>,
    /// Round-trip time, microseconds.
    pub rtt_us: Option<u32>,
    /// The smallest round-trip time of the last minutes, microseconds.
    pub min_rtt_us: Option<u32>,
}

/// A connection that could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// Why, in the operating system's words.
    pub reason: String,
    /// Whether the operating system reported a timeout.
    pub timed_out: bool,
    /// How long the viewer had waited when it gave up or was stopped without an answer.
    pub given_up_after_ns: Option<u64>,
    /// Whether the viewer was stopped in the middle of the TLS handshake.
    pub handshake_left: bool,
    /// Whether this machine was at a limit: of open files, local ports, or memory.
    pub exhausted: bool,
    /// How long the name lookup took that failed, if this viewer made it.
    pub lookup_ns: Option<u64>,
}

impl ConnectFailure {
    /// A failure of the peer, or of the way to it.
    pub(crate) const fn new(reason: String) -> Self {
        Self {
            reason,
            timed_out: false,
            given_up_after_ns: None,
            handshake_left: false,
            exhausted: false,
            lookup_ns: None,
        }
    }
}

/// The receiver of what a viewer's client measures. Calls come in the order of events.
pub trait Observer: 'static {
    /// What the viewer knows of a request.
    type Tag;
    /// Where bodies go.
    type Sink: Sink;

    /// An exchange has ended.
    fn transfer(&self, tag: &Self::Tag, sink: &Self::Sink, transfer: &Transfer);

    /// A connection could not be made.
    fn connect_failed(&self, failure: ConnectFailure);

    /// The kernel received bytes on a connection that no exchange accounts for.
    fn received(&self, bytes: u64, tls: bool);

    /// An origin announces HTTP/3 (`Alt-Svc`), and no connection could be made, for this reason.
    fn alternative_failed(&self, reason: &str);
}

/// The progress of a response under way.
#[derive(Debug, Default)]
pub struct Progress {
    /// When the request was sent; 0 = not yet.
    pub started_ns: Cell<u64>,
    /// Bytes of the body so far.
    pub body_bytes: Cell<u64>,
    /// The length of the body, once it is known; 0 = not known.
    pub length: Cell<u64>,
    /// When the first byte of the response arrived; 0 = not yet.
    pub first_byte_ns: Cell<u64>,
}
