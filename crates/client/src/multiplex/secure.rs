//! A TLS connection as a stream of bytes, for the library that speaks HTTP/2. Ciphertext passes through the buffer that
//! all connections of a thread share.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::connection::Connection;
use crate::shard::Shard;
use crate::transfer::{End, Observer};

/// The most plain text that is encrypted at a time, bytes: a TLS record.
const LARGEST_RECORD: usize = 16 << 10;

/// A connection, the frames on it, and how it ended.
#[derive(Debug)]
pub(super) struct Transport<O: Observer> {
    pub(super) connection: Connection<O>,
    pub(super) frames: Frames,
    /// How the connection ended, as the socket or TLS reported it.
    pub(super) end: Option<End>,
}

/// The stream of bytes.
#[derive(Debug)]
pub(super) struct SecureStream<O: Observer> {
    transport: Rc<RefCell<Transport<O>>>,
    shard: Rc<Shard>,
    /// Plain text that has not been read yet, and how much of it has.
    plain: Vec<u8>,
    read: usize,
    /// Ciphertext for which the socket had no room, and how much of it was sent.
    outgoing: Vec<u8>,
    sent: usize,
}

impl<O: Observer> SecureStream<O> {
    pub(super) const fn new(transport: Rc<RefCell<Transport<O>>>, shard: Rc<Shard>) -> Self {
        Self { transport, shard, plain: Vec::new(), read: 0, outgoing: Vec::new(), sent: 0 }
    }

    /// Passes on plain text that is left; returns whether there was any.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let rest = self.plain.get(self.read..).unwrap_or_default();
        let length = rest.len().min(buffer.remaining());
        buffer.put_slice(rest.get(..length).unwrap_or_default());
        self.read += length;
        if self.read == self.plain.len() {
            // An idle connection must not hold memory.
            (self.plain, self.read) = (Vec::new(), 0);
        }
        length > 0
    }

    /// Sends ciphertext that is left.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outgoing.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let transport = self.transport.borrow();
            match transport.connection.socket.try_send(rest) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(transport.connection.socket.poll_writable(context))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Receives what has arrived; `false` = the connection has ended.
    fn receive(&mut self) -> io::Result<bool> {
        let mut transport = self.transport.borrow_mut();
        let Transport { connection, frames, end } = &mut *transport;
        let Some(session) = connection.tls.as_deref_mut() else { return Ok(false) };
        let mut shared = self.shard.buffer.borrow_mut();
        let begin = session.restore(&mut shared);
        let received = match connection.socket.receive(shared.get_mut(begin..).unwrap_or_default()) {
            Ok(received) => received,
            Err(error) => {
                session.keep(shared.get(..begin).unwrap_or_default());
                return Err(error);
            }
        };
        if received == 0 {
            end.get_or_insert(End::ClosedByPeer);
            return Ok(false);
        }
        let plain = &mut self.plain;
        let incoming = shared.get_mut(..begin + received).unwrap_or_default();
        let taken = session.take_and_keep(incoming, &mut |bytes| {
            frames.take(bytes);
            plain.extend_from_slice(bytes);
        });
        if let Err(error) = taken {
            end.get_or_insert(End::Malformed);
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        self.outgoing.extend(session.take_outgoing());
        if session.is_ended() {
            end.get_or_insert(End::ClosedByPeer);
        }
        Ok(true)
    }

    /// Notes that the socket has failed.
    fn failed(&self, error: &io::Error) {
        let errno = error.raw_os_error().and_then(|code| u16::try_from(code).ok());
        if let Some(errno) = errno {
            self.transport.borrow_mut().end.get_or_insert(End::SocketError(errno));
        }
    }
}

impl<O: Observer> AsyncRead for SecureStream<O> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.pass_on(buffer) || self.transport.borrow().end.is_some() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.transport.borrow().connection.socket.poll_readable(context))?;
            match self.receive() {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    self.failed(&error);
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

impl<O: Observer> AsyncWrite for SecureStream<O> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(context))?;
        let record = bytes.get(..LARGEST_RECORD).unwrap_or(bytes);
        let encrypted = match self.transport.borrow_mut().connection.tls.as_deref_mut() {
            Some(session) => session.encrypt(record)?,
            None => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        self.outgoing = encrypted;
        // What cannot be sent now is sent by the next flush.
        match self.as_mut().poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(record.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = ready!(self.poll_send(context));
        if let Err(error) = &sent {
            self.failed(error);
        }
        Poll::Ready(sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
