//! One connection: its socket, TLS if it has it, and what was reported of it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use url::Url;

use crate::head::Malformed;
use crate::response::{Response, Sink, Want};
use crate::shard::Shard;
use crate::socket::{Socket, TcpInfo};
use crate::tls::{Handshake, Session};
use crate::transfer::Observer;

/// The most bytes of the first read of a response: the head, and enough of the body to see what it is.
const FIRST_READ: usize = 4 << 10;
/// System calls after which other viewers get their turn.
const TURN: u32 = 16;

/// The times of making a connection, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) dns_ns: Option<u64>,
    pub(crate) connect_ns: Option<u64>,
    pub(crate) tls_ns: Option<u64>,
    pub(crate) quic_ns: Option<u64>,
}

/// A connection of a viewer.
#[derive(Debug)]
pub(crate) struct Connection<O: Observer> {
    pub(crate) socket: Socket,
    pub(crate) tls: Option<Box<Session>>,
    observer: Rc<O>,
    shard: Rc<Shard>,
    host: Box<str>,
    port: u16,
    is_secure: bool,
    pub(crate) through_proxy: bool,
    pub(crate) number: u32,
    pub(crate) peer: SocketAddr,
    pub(crate) local_port: Option<u16>,
    /// Reported with its first exchange.
    pub(crate) times: Times,
    /// Bytes received that were reported.
    reported: u64,
    /// Bytes that stay in the socket, because they are a part of a TLS record.
    left: u32,
}

/// A piece of work in the thread's buffer; `None` = nothing has arrived.
pub(crate) type Work<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<Option<Handshake>, Broken>;

/// The state after a turn of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// Nothing more has arrived.
    Blocked,
    /// There may be more.
    Again,
    /// The response is whole; bytes beyond it.
    Whole(u64),
    /// The peer has ended the connection.
    Ended,
}

/// Why reading cannot go on.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The socket failed.
    Socket(io::Error),
    /// It is not TLS.
    Tls(rustls::Error),
    /// It is not a response.
    Malformed(Malformed),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<Malformed> for Broken {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl<O: Observer> Connection<O> {
    pub(crate) fn new(
        socket: Socket,
        peer: SocketAddr,
        url: &Url,
        number: u32,
        observer: Rc<O>,
        shard: Rc<Shard>,
    ) -> Self {
        shard.connections.update(|connections| connections.saturating_add(1));
        Self {
            local_port: socket.local_port(),
            socket,
            tls: None,
            observer,
            shard,
            host: url.host_str().unwrap_or_default().into(),
            port: url.port_or_known_default().unwrap_or_default(),
            is_secure: url.scheme() == "https",
            through_proxy: false,
            number,
            peer,
            times: Times::default(),
            reported: 0,
            left: 0,
        }
    }

    /// Whether it leads to the origin of `url`.
    pub(crate) fn leads_to(&self, url: &Url) -> bool {
        self.is_secure == (url.scheme() == "https")
            && url.port_or_known_default() == Some(self.port)
            && url.host_str() == Some(&*self.host)
    }

    /// Whether its handshake has decided that it speaks HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.is_http2())
    }

    /// Sends plain text, encrypted if the connection is.
    pub(crate) async fn send(&mut self, plain: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.socket.send(plain).await,
            Some(session) => {
                let outgoing = session.encrypt(plain)?;
                self.socket.send(&outgoing).await
            }
        }
    }

    /// Performs the TLS handshake. `buffer` gives access to the thread's buffer.
    pub(crate) async fn handshake(
        &mut self,
        mut session: Session,
        with_buffer: impl Fn(Work<'_>) -> Result<Option<Handshake>, Broken>,
    ) -> Result<(), Broken> {
        // The client speaks first.
        let mut state = session.take_and_keep(&mut [], &mut |_| {}).map_err(Broken::Tls)?;
        loop {
            let outgoing = session.take_outgoing();
            self.socket.send(&outgoing).await?;
            if state == Handshake::Done {
                self.tls = Some(Box::new(session));
                return Ok(());
            }
            let socket = &self.socket;
            let received = with_buffer(&mut |buffer| {
                let begin = session.restore(buffer);
                let received = match socket.receive(buffer.get_mut(begin..).unwrap_or_default()) {
                    Ok(0) => return Err(Broken::Socket(io::ErrorKind::UnexpectedEof.into())),
                    Ok(received) => received,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        session.keep(buffer.get(..begin).unwrap_or_default());
                        return Ok(None);
                    }
                    Err(error) => return Err(error.into()),
                };
                let incoming = buffer.get_mut(..begin + received).unwrap_or_default();
                session.take_and_keep(incoming, &mut |_| {}).map(Some).map_err(Broken::Tls)
            })?;
            match received {
                Some(now) => state = now,
                None => self.socket.readable().await?,
            }
        }
    }

    /// Reads what has arrived of a response, at most `most` bytes.
    pub(crate) fn pump(
        &mut self,
        buffer: &mut [u8],
        response: &mut Response,
        sink: &mut dyn Sink,
        most: Option<u64>,
    ) -> Result<Pumped, Broken> {
        let result = self.pump_turn(buffer, response, sink, most);
        match result {
            // Receiving nothing is not a failure.
            Err(Broken::Socket(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(Pumped::Blocked),
            other => other,
        }
    }

    fn pump_turn(
        &mut self,
        buffer: &mut [u8],
        response: &mut Response,
        sink: &mut dyn Sink,
        most: Option<u64>,
    ) -> Result<Pumped, Broken> {
        let turns = if most.is_some() { 1 } else { TURN };
        let most = most.unwrap_or(u64::MAX);
        for _ in 0..turns {
            let want = response.want(sink);
            let (asked, received) = match (want, &mut self.tls) {
                (Want::Nothing, _) => return Ok(Pumped::Whole(0)),
                (Want::Discard(rest), None) => {
                    let asked = rest.min(most);
                    let discarded = self.socket.discard(asked)?;
                    response.discarded(discarded, sink);
                    (asked, discarded)
                }
                (Want::Bytes, None) => {
                    let first = if response.has_begun() { buffer.len() } else { FIRST_READ };
                    let room = first.min(usize::try_from(most).unwrap_or(usize::MAX));
                    let room = buffer.get_mut(..room).unwrap_or_default();
                    let received = self.socket.receive(room)?;
                    let bytes = room.get(..received).unwrap_or_default();
                    let used = response.feed(bytes, sink)?;
                    if response.is_whole() {
                        return Ok(Pumped::Whole((received - used) as u64));
                    }
                    (room.len() as u64, received as u64)
                }
                (_, Some(session)) => {
                    let room = buffer.len();
                    // A limit may be smaller than a record, and so may be the receive buffer that goes with it.
                    let peeks = most == u64::MAX && session.pending() == 0;
                    let peeked = if peeks { self.socket.peek(buffer)? } else { 0 };
                    // Without anything new, the socket may have no room for the rest of the record.
                    let is_new = peeked as u64 > u64::from(self.left);
                    let (asked, received, over) = if peeks && is_new {
                        let incoming = buffer.get_mut(..peeked).unwrap_or_default();
                        let (over, rest) = decrypted(session, incoming, response, sink)?;
                        self.left = u32::try_from(rest).unwrap_or(u32::MAX);
                        self.socket.discard_all((peeked - rest) as u64)?;
                        (room, peeked, over)
                    } else {
                        self.left = 0;
                        received(&self.socket, session, buffer, most, response, sink)?
                    };
                    if let Some(over) = over {
                        return Ok(over);
                    }
                    (asked as u64, received as u64)
                }
            };
            if received == 0 {
                return Ok(Pumped::Ended);
            }
            if response.is_whole() {
                return Ok(Pumped::Whole(0));
            }
            if received < asked {
                return Ok(Pumped::Blocked);
            }
        }
        Ok(Pumped::Again)
    }

    /// Sets the low-water mark for what the response needs next.
    pub(crate) fn set_mark(&mut self, response: &Response, sink: &dyn Sink, most: u32) {
        let pending = self.tls.as_ref().map_or(0, |session| session.pending());
        let rest = match (response.want(sink), &self.tls) {
            (Want::Discard(rest), None) => rest,
            // Ciphertext is never shorter than its plain text.
            (Want::Discard(rest), Some(_)) => rest.saturating_sub(pending),
            _ => 1,
        };
        // The end of a body without a length is not known; a mark would hide it, but the connection's end does not.
        // More than what is left in the socket must arrive.
        let least = if self.left > 0 { self.left.saturating_add(1) } else { 1 };
        self.socket.set_mark(rest, most, least);
    }

    /// The kernel's facts, and the bytes received since the last call, of which `read` were read.
    pub(crate) fn account(&mut self, read: u64) -> Option<(TcpInfo, u64)> {
        let info = self.socket.info(self.reported.saturating_add(read))?;
        let received = info.received.saturating_sub(self.reported);
        self.reported = self.reported.max(info.received);
        Some((info, received))
    }
}

/// Receives ciphertext, and passes it on. Returns how many bytes were asked for, how many came, and the state if the
/// response or the stream has ended. A part of a record is kept.
fn received(
    socket: &Socket,
    session: &mut Session,
    buffer: &mut [u8],
    most: u64,
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(usize, usize, Option<Pumped>), Broken> {
    let begin = session.restore(buffer);
    let room = (buffer.len() - begin).min(usize::try_from(most).unwrap_or(usize::MAX));
    let received = match socket.receive(buffer.get_mut(begin..begin + room).unwrap_or_default()) {
        Ok(received) => received,
        Err(error) => {
            session.keep(buffer.get(..begin).unwrap_or_default());
            return Err(error.into());
        }
    };
    let incoming = buffer.get_mut(..begin + received).unwrap_or_default();
    let (over, rest) = decrypted(session, incoming, response, sink)?;
    session.keep(incoming.get(incoming.len() - rest..).unwrap_or_default());
    Ok((room, received, over))
}

/// Passes ciphertext through TLS to the response. Returns the state if the response or the stream has ended, and the
/// number of bytes at the end that are a part of a record.
fn decrypted(
    session: &mut Session,
    incoming: &mut [u8],
    response: &mut Response,
    sink: &mut dyn Sink,
) -> Result<(Option<Pumped>, usize), Broken> {
    let (mut excess, mut malformed) = (0, None);
    let mut plain = |bytes: &[u8]| match response.feed(bytes, sink) {
        Ok(used) => excess += (bytes.len() - used) as u64,
        Err(error) => malformed = Some(error),
    };
    let (_, rest) = session.take(incoming, &mut plain).map_err(Broken::Tls)?;
    if let Some(error) = malformed {
        return Err(error.into());
    }
    let over = match (response.is_whole(), session.is_ended()) {
        (true, _) => Some(Pumped::Whole(excess)),
        (_, true) => Some(Pumped::Ended),
        _ => None,
    };
    Ok((over, rest))
}

impl<O: Observer> Drop for Connection<O> {
    fn drop(&mut self) {
        self.shard.connections.update(|connections| connections.saturating_sub(1));
        if let Some((_, received)) = self.account(0)
            && received > 0
        {
            self.observer.received(received, self.is_secure);
        }
    }
}
