//! One HTTP/2 connection (RFC 9113) of a viewer. The `h2` crate speaks the protocol; what it does not show is taken from
//! the frames themselves ([`Frames`]).

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::HeaderMap;
use tokio::task::{AbortHandle, spawn_local};

use super::carrier::{Facts, Lost};
use super::frames::Frames;
use super::secure::{SecureStream, Transport};
use crate::connection::Connection;
use crate::head::LONGEST_HEAD;
use crate::pace::Pace;
use crate::shard::Shard;
use crate::transfer::{End, Observer, Version};

/// The bytes that may be under way on a stream, and on a connection: those of Chromium, so that no viewer waits for
/// permission to receive.
pub(super) const WINDOWS: (u32, u32) = (6 << 20, 15 << 20);
/// The smallest window of a connection, which no setting changes (RFC 9113, 6.9.2).
const SMALLEST_CONNECTION_WINDOW: u32 = 65_535;

/// A connection.
#[derive(Debug)]
pub(crate) struct Http2<O: Observer> {
    transport: Rc<RefCell<Transport<O>>>,
    sender: SendRequest<Bytes>,
    is_open: Rc<Cell<bool>>,
    driver: AbortHandle,
    is_kept: Cell<bool>,
}

/// A response under way. Dropped before its end, it cancels the stream.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: u32,
    state: State,
    /// Bytes that were taken and that the peer may not replace yet.
    unreleased: usize,
}

#[derive(Debug)]
enum State {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl<O: Observer> Http2<O> {
    /// Begins to speak HTTP/2 on a connection whose TLS handshake has decided so.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) async fn begin(
        connection: Connection<O>,
        shard: &Rc<Shard>,
        pace: &Pace,
    ) -> Result<Self, String> {
        let transport = Rc::new(RefCell::new(Transport { connection, frames: Frames::default(), end: None }));
        let stream = SecureStream::new(Rc::clone(&transport), Rc::clone(shard));
        // What is in a window has arrived too early for a viewer whose reading is limited.
        let (of_stream, of_connection) = pace.receive_buffer().map_or(WINDOWS, |bytes| (bytes, bytes));
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(of_stream)
            .initial_connection_window_size(of_connection.max(SMALLEST_CONNECTION_WINDOW))
            .max_header_list_size(LONGEST_HEAD as u32);
        let (sender, connection) =
            builder.handshake::<_, Bytes>(stream).await.map_err(|error| error.to_string())?;
        let is_open = Rc::new(Cell::new(true));
        let open = Rc::clone(&is_open);
        let driver = spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "an HTTP/2 connection has ended");
            }
            open.set(false);
        });
        Ok(Self { transport, sender, is_open, driver: driver.abort_handle(), is_kept: Cell::new(false) })
    }

    /// Whether further requests can be sent.
    pub(super) fn is_open(&self) -> bool {
        self.is_open.get() && !self.transport.borrow().frames.is_going_away()
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
            let (response, _) = self.sender.clone().ready().await?.send_request(request, true)?;
            Ok::<_, h2::Error>(response)
        };
        let response = sent.await.map_err(|error| self.lost(&error, None))?;
        let stream = response.stream_id().as_u32();
        self.transport.borrow_mut().frames.watch(stream);
        Ok(Incoming { stream, state: State::Head(response), unreleased: 0 })
    }

    /// Waits for the head of a response.
    ///
    /// # Errors
    /// The stream or the connection has ended before.
    pub(super) async fn head(&self, incoming: &mut Incoming) -> Result<(u16, HeaderMap), Lost> {
        let State::Head(response) = &mut incoming.state else { return Ok((0, HeaderMap::new())) };
        let response = response.await.map_err(|error| self.lost(&error, Some(incoming.stream)))?;
        let (head, body) = response.into_parts();
        incoming.state = State::Body(body);
        Ok((head.status.as_u16(), head.headers))
    }

    /// Waits for the next piece of a body; `None` = the response is whole.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub(super) async fn data(&self, incoming: &mut Incoming) -> Result<Option<Bytes>, Lost> {
        let State::Body(body) = &mut incoming.state else { return Ok(None) };
        // Only now, so that the sender does not run ahead of a viewer that reads slowly.
        let released = body.flow_control().release_capacity(std::mem::take(&mut incoming.unreleased));
        let piece = match (released, body.data().await) {
            (_, None) => return Ok(None),
            (Err(error), _) | (_, Some(Err(error))) => {
                return Err(self.lost(&error, Some(incoming.stream)));
            }
            (Ok(()), Some(Ok(piece))) => piece,
        };
        incoming.unreleased = piece.len();
        Ok(Some(piece))
    }

    /// Bytes of a response that are not a body.
    pub(super) fn head_bytes(&self, incoming: &Incoming) -> u64 {
        self.transport.borrow().frames.head_bytes(incoming.stream)
    }

    /// Requests under way.
    pub(super) fn under_way(&self) -> usize {
        self.transport.borrow().frames.under_way()
    }

    /// Ends the account of a response.
    pub(super) fn forget(&self, incoming: &Incoming) {
        self.transport.borrow_mut().frames.forget(incoming.stream);
    }

    /// What is known of the connection. Its times are given once.
    pub(super) fn facts(&self) -> Facts {
        let connection = &mut self.transport.borrow_mut().connection;
        let (kernel, received_bytes) = connection.account(0).unzip();
        Facts {
            version: Version::Http2,
            connection: connection.number,
            peer: connection.peer,
            local_port: connection.local_port,
            times: std::mem::take(&mut connection.times),
            received_bytes: received_bytes.unwrap_or(0),
            retransmits: kernel.map(|info| info.retransmits),
            lost_packets: None,
            rtt_us: kernel.map(|info| info.rtt_us),
            min_rtt_us: kernel.map(|info| info.min_rtt_us),
        }
    }

    /// Whether it leads to the origin of `url`.
    pub(super) fn leads_to(&self, url: &url::Url) -> bool {
        self.transport.borrow().connection.leads_to(url)
    }

    /// How a response was lost; `stream` is `None` if the request was not sent.
    fn lost(&self, error: &h2::Error, stream: Option<u32>) -> Lost {
        let transport = self.transport.borrow();
        let is_reset = error.is_reset() && error.is_remote();
        let is_refused = is_reset && error.reason() == Some(Reason::REFUSED_STREAM);
        let is_unprocessed = is_refused || stream.is_none_or(|stream| transport.frames.is_refused(stream));
        let reason = error.reason().map_or_else(String::new, |reason| format!(": {}", reason.description()));
        let (end, why) = match transport.end {
            _ if is_reset => (End::ClosedByPeer, format!("the server reset the stream{reason}")),
            _ if error.is_go_away() && error.is_remote() => {
                (End::ClosedByPeer, format!("the server closed the connection{reason}"))
            }
            Some(End::SocketError(errno)) => {
                let error = io::Error::from_raw_os_error(errno.into());
                (End::SocketError(errno), format!("the connection failed: {error}"))
            }
            Some(End::Malformed) => (End::Malformed, format!("the connection failed: {error}")),
            None if !error.is_io() => (End::Malformed, format!("not valid HTTP/2: {error}")),
            _ => {
                let why = "the connection was closed before the response was whole";
                (End::ClosedByPeer, why.to_owned())
            }
        };
        Lost { end, why, is_unprocessed, is_of_connection: !is_reset }
    }
}

impl<O: Observer> Drop for Http2<O> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
