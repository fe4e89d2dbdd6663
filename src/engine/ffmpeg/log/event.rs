//! The facts that the interpreter finds in a log; each is one event.

use std::net::IpAddr;

/// A fact from FFmpeg's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request and its response, as far as it was logged (levels `debug` and `trace`).
    Exchange(Exchange),
    /// The body of a response that has been reported already did not arrive whole.
    CutShort {
        /// The exchange, as it was reported.
        exchange: Exchange,
        /// Bytes of the body that arrived; `None` = the log does not show that.
        arrived: Option<u64>,
    },
    /// A connection could not be made; once per attempt to open, whatever the number of addresses.
    ConnectFailed {
        /// The error text of the C library.
        error: String,
    },
    /// A connection is being made (level `verbose`).
    Connecting {
        /// The address.
        address: IpAddr,
    },
    /// A host name did not resolve.
    NameNotResolved {
        /// The error text of the resolver.
        error: String,
    },
    /// The TLS library reported an error.
    TlsFailed,
    /// FFmpeg opens the first playlist again (its `reconnect` options act on nothing else).
    WillReconnect,
    /// A live playlist could not be reloaded; once per process, which ends then.
    ReloadFailed,
    /// A segment failed after all retries.
    SegmentSkipped,
    /// The viewer fell behind the live window.
    FellBehind {
        /// How many segments had left the playlist unplayed.
        segments: u64,
    },
}

/// An HTTP request as the log shows it. Times are those at which lines were received, so they are late by the time that
/// a line takes from FFmpeg to this program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The address of FFmpeg's object that made the request; FFmpeg reuses it for other objects.
    pub context: u64,
    /// Whether the request used HTTPS.
    pub secure: bool,
    /// Whether the request used a connection that had served another one before.
    pub kept_connection: bool,
    /// `GET`; empty if the request line was not seen.
    pub method: String,
    /// Path and query; empty if the request line was not seen.
    pub path: String,
    /// The `Host` header.
    pub host: Option<String>,
    /// When the request line was received.
    pub started_ns: u64,
    /// From the request line to the status line, nanoseconds (an inferred time to first byte).
    pub first_byte_ns: Option<u64>,
    /// Status code of the response.
    pub status: Option<u16>,
    /// `Content-Length` of the response. FFmpeg before 7.1 reads no headers after an error status.
    pub content_length: Option<u64>,
    /// The sizes of the chunks read so far, if the response is chunked.
    pub chunks: Option<Chunks>,
    /// `Content-Type` of the response.
    pub content_type: Option<String>,
    /// `Location` of the response.
    pub location: Option<String>,
    /// How the exchange ended, as far as the log shows.
    pub ending: ExchangeEnd,
}

impl Exchange {
    /// Bytes of the body, inferred: what the origin announced, or the chunks that FFmpeg began to
    /// read. A body that was cut or abandoned counts as if it had arrived whole (its last chunk, if
    /// chunked). `None` = nothing was announced.
    #[must_use]
    pub const fn body_bytes(&self) -> Option<u64> {
        match self.chunks {
            Some(chunks) => Some(chunks.bytes),
            None => self.content_length,
        }
    }
}

/// A chunked body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// Sum of the chunk sizes, framing not included.
    pub bytes: u64,
    /// Whether the last chunk (size 0) was read.
    pub whole: bool,
    /// From the request line to the line of the newest chunk, nanoseconds.
    pub last_ns: u64,
}

/// The longest time after which a request into a connection that had ended before is given up: FFmpeg reads the end of
/// the connection as soon as it waits for the response. Nanoseconds.
pub(super) const STALE_WITHIN_NS: u64 = 1_000_000_000;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// A response head arrived.
    #[default]
    Answered,
    /// FFmpeg went on without a response: the connection was closed, reset or timed out.
    Unanswered,
    /// FFmpeg sent the request into a kept connection that had ended, and immediately sent it again on a new one
    /// (RFC 9112, 9.3.1). The log does not show when the server closed it: a server that closes a kept connection
    /// within `STALE_WITHIN_NS` of a request, because of that request, looks the same.
    Stale,
    /// The viewer stopped, or the log ended, before a response head arrived.
    InFlight,
    /// The log level does not show responses, so nothing is known about this one.
    Untraced,
}
