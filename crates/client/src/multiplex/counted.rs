//! The streams of a QUIC connection, with the bytes that arrive on each: the library that speaks HTTP/3 shows bodies only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming, StreamId, WriteBuf,
};

/// Bytes that have arrived, by stream, of requests that are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Rc<RefCell<Vec<Stream>>>);

/// A stream, and its bytes.
type Stream = (StreamId, Rc<Cell<u64>>);

impl Arrivals {
    /// The bytes of a stream.
    pub(super) fn of(&self, stream: StreamId) -> u64 {
        self.0.borrow().iter().find(|(known, _)| *known == stream).map_or(0, |(_, bytes)| bytes.get())
    }

    /// Stops counting what arrives on a stream.
    pub(super) fn forget(&self, stream: StreamId) {
        self.0.borrow_mut().retain(|(known, _)| *known != stream);
    }

    /// Requests under way.
    pub(super) fn count(&self) -> usize {
        self.0.borrow().len()
    }

    fn begin(&self, stream: StreamId) -> Rc<Cell<u64>> {
        let bytes = Rc::new(Cell::new(0));
        self.0.borrow_mut().push((stream, Rc::clone(&bytes)));
        bytes
    }
}

/// A connection whose requests are counted.
pub(super) struct Counted {
    pub(super) connection: h3_quinn::Connection,
    pub(super) arrivals: Arrivals,
}

/// Opens streams whose bytes are counted.
#[derive(Clone)]
pub(super) struct Opener {
    opener: h3_quinn::OpenStreams,
    arrivals: Arrivals,
}

/// A stream whose bytes are counted.
pub(super) struct CountedStream {
    stream: h3_quinn::BidiStream<Bytes>,
    bytes: Rc<Cell<u64>>,
    id: StreamId,
    /// Whether it waits for data. The stream below panics if anything else is asked of it then.
    is_waiting: bool,
}

fn counted(arrivals: &Arrivals, stream: h3_quinn::BidiStream<Bytes>) -> CountedStream {
    let id = stream.recv_id();
    CountedStream { stream, bytes: arrivals.begin(id), id, is_waiting: false }
}

type Opened<T> = Poll<Result<T, StreamErrorIncoming>>;

impl OpenStreams<Bytes> for Opener {
    type BidiStream = CountedStream;
    type SendStream = h3_quinn::SendStream<Bytes>;

    fn poll_open_bidi(&mut self, context: &mut Context<'_>) -> Opened<Self::BidiStream> {
        let opened = self.opener.poll_open_bidi(context);
        opened.map_ok(|stream| counted(&self.arrivals, stream))
    }

    fn poll_open_send(&mut self, context: &mut Context<'_>) -> Opened<Self::SendStream> {
        self.opener.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        OpenStreams::<Bytes>::close(&mut self.opener, code, reason);
    }
}

impl OpenStreams<Bytes> for Counted {
    type BidiStream = CountedStream;
    type SendStream = h3_quinn::SendStream<Bytes>;

    fn poll_open_bidi(&mut self, context: &mut Context<'_>) -> Opened<Self::BidiStream> {
        let opened = self.connection.poll_open_bidi(context);
        opened.map_ok(|stream| counted(&self.arrivals, stream))
    }

    fn poll_open_send(&mut self, context: &mut Context<'_>) -> Opened<Self::SendStream> {
        self.connection.poll_open_send(context)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        OpenStreams::<Bytes>::close(&mut self.connection, code, reason);
    }
}

impl h3::quic::Connection<Bytes> for Counted {
    type RecvStream = h3_quinn::RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        h3::quic::Connection::<Bytes>::poll_accept_recv(&mut self.connection, context)
    }

    fn poll_accept_bidi(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        // A server opens none (RFC 9114, 6.1); the library refuses it.
        let accepted = h3::quic::Connection::<Bytes>::poll_accept_bidi(&mut self.connection, context);
        accepted.map_ok(|stream| CountedStream {
            id: stream.recv_id(),
            stream,
            bytes: Rc::default(),
            is_waiting: false,
        })
    }

    fn opener(&self) -> Opener {
        let opener = h3::quic::Connection::<Bytes>::opener(&self.connection);
        Opener { opener, arrivals: self.arrivals.clone() }
    }
}

impl RecvStream for CountedStream {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Opened<Option<Bytes>> {
        let polled = self.stream.poll_data(context);
        self.is_waiting = polled.is_pending();
        if let Poll::Ready(Ok(Some(bytes))) = &polled {
            self.bytes.update(|sum| sum.saturating_add(bytes.remaining() as u64));
        }
        polled
    }

    fn stop_sending(&mut self, error_code: u64) {
        // Otherwise it is stopped when it is dropped.
        if !self.is_waiting {
            self.stream.stop_sending(error_code);
        }
    }

    fn recv_id(&self) -> StreamId {
        self.id
    }
}

impl SendStream<Bytes> for CountedStream {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Opened<()> {
        self.stream.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.stream.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Opened<()> {
        self.stream.poll_finish(context)
    }

    fn reset(&mut self, reset_code: u64) {
        self.stream.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.stream.send_id()
    }
}
