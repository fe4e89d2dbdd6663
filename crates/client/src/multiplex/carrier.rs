//! A connection that requests share, whichever version of HTTP it speaks.

use std::net::SocketAddr;

use bytes::Bytes;
use http::HeaderMap;
use url::Url;

use super::http2::{self, Http2};
use super::http3::{self, Http3};
use crate::connection::Times;
use crate::transfer::{End, Observer, Version};

/// What is known of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) version: Version,
    pub(super) connection: u32,
    pub(super) peer: SocketAddr,
    pub(super) local_port: Option<u16>,
    pub(super) times: Times,
    /// Bytes received since the last call.
    pub(super) received_bytes: u64,
    pub(super) retransmits: Option<u32>,
    pub(super) lost_packets: Option<u32>,
    pub(super) rtt_us: Option<u32>,
    pub(super) min_rtt_us: Option<u32>,
}

/// How a response was lost.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    pub(super) end: End,
    pub(super) why: String,
    /// Whether the peer has certainly not processed the request, so that it can be sent again.
    pub(super) is_unprocessed: bool,
    /// Whether the connection was lost, and not only the stream.
    pub(super) is_of_connection: bool,
}

/// A connection.
#[derive(Debug)]
pub(super) enum Carrier<O: Observer> {
    Http2(Http2<O>),
    Http3(Box<Http3>),
}

/// A response under way. Dropped before its end, it cancels the stream.
pub(super) enum Incoming {
    Http2(http2::Incoming),
    Http3(Box<http3::Incoming>),
}

/// A response of another connection than this one, which does not happen.
fn foreign() -> Lost {
    let why = "a response of another connection".to_owned();
    Lost { end: End::Malformed, why, is_unprocessed: false, is_of_connection: false }
}

impl<O: Observer> Carrier<O> {
    /// Whether it speaks HTTP/3.
    pub(super) const fn is_http3(&self) -> bool {
        matches!(self, Self::Http3(_))
    }

    /// Whether further requests can be sent.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Http2(http2) => http2.is_open(),
            Self::Http3(http3) => http3.is_open(),
        }
    }

    /// Whether it leads to the origin of `url`.
    pub(super) fn leads_to(&self, url: &Url) -> bool {
        match self {
            Self::Http2(http2) => http2.leads_to(url),
            Self::Http3(http3) => http3.leads_to(url),
        }
    }

    /// Notes that it has carried a whole response.
    pub(super) fn keep(&self) {
        match self {
            Self::Http2(http2) => http2.keep(),
            Self::Http3(http3) => http3.keep(),
        }
    }

    /// Whether it has carried a whole response.
    pub(super) fn is_kept(&self) -> bool {
        match self {
            Self::Http2(http2) => http2.is_kept(),
            Self::Http3(http3) => http3.is_kept(),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The connection takes no further request.
    pub(super) async fn send(&self, request: http::Request<()>) -> Result<Incoming, Lost> {
        match self {
            Self::Http2(http2) => http2.send(request).await.map(Incoming::Http2),
            Self::Http3(http3) => http3.send(request).await.map(Box::new).map(Incoming::Http3),
        }
    }

    /// Waits for the head of a response.
    ///
    /// # Errors
    /// The stream or the connection has ended before.
    pub(super) async fn head(&self, incoming: &mut Incoming) -> Result<(u16, HeaderMap), Lost> {
        match (self, incoming) {
            (Self::Http2(http2), Incoming::Http2(incoming)) => http2.head(incoming).await,
            (Self::Http3(http3), Incoming::Http3(incoming)) => http3.head(incoming).await,
            _ => Err(foreign()),
        }
    }

    /// Waits for the next piece of a body; `None` = the response is whole.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(super) async fn data(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, Lost> {
        match (self, incoming) {
            (Self::Http2(http2), Incoming::Http2(incoming)) => http2.data(incoming).await,
            (Self::Http3(http3), Incoming::Http3(incoming)) => http3.data(incoming).await,
            _ => Err(foreign()),
        }
    }

    /// Bytes of a response that are not a body, of which `body` bytes have arrived.
    pub(super) fn head_bytes(&self, incoming: &Incoming, body: u64) -> u64 {
        match (self, incoming) {
            (Self::Http2(http2), Incoming::Http2(incoming)) => http2.head_bytes(incoming),
            (Self::Http3(http3), Incoming::Http3(incoming)) => http3.head_bytes(incoming, body),
            _ => 0,
        }
    }

    /// Requests under way.
    pub(super) fn under_way(&self) -> usize {
        match self {
            Self::Http2(http2) => http2.under_way(),
            Self::Http3(http3) => http3.under_way(),
        }
    }

    /// Ends the account of a response.
    pub(super) fn forget(&self, incoming: &Incoming) {
        match (self, incoming) {
            (Self::Http2(http2), Incoming::Http2(incoming)) => http2.forget(incoming),
            (Self::Http3(http3), Incoming::Http3(incoming)) => http3.forget(incoming),
            _ => {}
        }
    }

    /// What is known of the connection. Its times are given once.
    pub(super) fn facts(&self) -> Facts {
        match self {
            Self::Http2(http2) => http2.facts(),
            Self::Http3(http3) => http3.facts(),
        }
    }
}
