//! One connection: its events, and the resulting records.
//!
//! Every method runs with the socket's table entry held, and after the real call returned, except
//! [`Socket::close`], which runs before the real one because the kernel must still know the socket,
//! and [`Socket::send_begins`].

mod records;

use core::ffi::c_int;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::http::{Follower, Received, Sent};
use crate::{lookups, pipe};
use crate::peer::Peer;
use crate::sys::{self, TcpInfo};
use crate::wire::{end, flag};

/// First byte of what a TLS client sends first (RFC 8446, 5.1). No HTTP method begins with it.
const TLS_HANDSHAKE_RECORD: u8 = 22;

/// Connections that were begun so far: each gets a number.
static CONNECTIONS: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No connection, or none any more that there is anything to say about.
    Free,
    Connecting,
    Connected,
}

pub(crate) struct Socket {
    state: State,
    /// The process that connected; in a forked child the entry is a copy, and not its business.
    pid: u32,
    connection: u32,
    requests: u32,
    peer: Peer,
    local_port: u16,
    /// DNS, CONNECT, TLS_HANDSHAKE: measured, and not yet in a record.
    unreported: u16,
    lookup_ticket: u32,
    dns_ns: u64,
    connect_started: u64,
    connect_ns: u64,
    /// Whether bytes on this socket are TLS.
    tls: bool,
    /// Whether TLS appeared without a call of a library that the probe knows.
    hidden: bool,
    tls_started: u64,
    tls_ns: u64,
    /// Whether the viewer has read up to the end of the stream.
    ended: bool,
    /// Whether a FIN has arrived, which the kernel counts as a byte.
    fin: bool,
    /// Whether the FIN arrived before the request in flight was sent.
    stale: bool,
    /// Whether the viewer has shut down its reading side: then an end of stream is not a FIN.
    reading_ended: bool,
    /// Whether the viewer has shut down its writing side: after the peer's FIN the connection no longer exists.
    writing_ended: bool,
    /// The errno that ended the connection, 0 = none.
    error: c_int,
    /// Bytes received that earlier records reported.
    reported_received: u64,
    /// Bytes that were read with the end of a response and are beyond it, until they are reported.
    excess: u32,
    /// Whether a request did not wait for the previous response, so that responses do not arrive one after the other.
    superseded: bool,
    /// Of the exchange in flight: first byte sent; first and last byte received, 0 = none.
    started: u64,
    first_byte: u64,
    last_byte: u64,
    follower: Follower,
}

impl Socket {
    /// All zero bytes: see [`Follower::NEW`].
    pub(crate) const NEW: Self = Self {
        state: State::Free,
        pid: 0,
        connection: 0,
        requests: 0,
        peer: Peer::NONE,
        local_port: 0,
        unreported: 0,
        lookup_ticket: 0,
        dns_ns: 0,
        connect_started: 0,
        connect_ns: 0,
        tls: false,
        hidden: false,
        tls_started: 0,
        tls_ns: 0,
        ended: false,
        fin: false,
        stale: false,
        reading_ended: false,
        writing_ended: false,
        error: 0,
        reported_received: 0,
        excess: 0,
        superseded: false,
        started: 0,
        first_byte: 0,
        last_byte: 0,
        follower: Follower::NEW,
    };

    /// Whether this process connected it.
    pub(crate) fn is_own(&self) -> bool {
        self.pid == sys::pid()
    }

    pub(crate) const fn is_tls(&self) -> bool {
        self.tls
    }

    /// `connect()` was called at `started` and left `error` (0 = done).
    pub(crate) fn connect(&mut self, fd: c_int, peer: Peer, started: u64, error: c_int) {
        let now = sys::now();
        if self.state == State::Connecting && self.is_own() && self.peer == peer {
            // A second call asks how the first one went.
            match error {
                0 | sys::EISCONN => return self.established(fd, Some(now)),
                sys::EALREADY | sys::EINTR => return,
                _ => {}
            }
        } else if matches!(error, sys::EISCONN | sys::EALREADY) {
            return;
        }
        self.vanished(now);
        self.state = State::Connecting;
        self.pid = sys::pid();
        self.connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.requests = 0;
        self.peer = peer;
        self.local_port = 0;
        self.unreported = 0;
        self.connect_started = started;
        (self.tls, self.hidden, self.tls_started, self.tls_ns) = (false, false, 0, 0);
        (self.ended, self.fin, self.stale) = (false, false, false);
        (self.reading_ended, self.writing_ended) = (false, false);
        (self.error, self.reported_received) = (0, 0);
        (self.excess, self.superseded) = (0, false);
        self.follower.reset();
        (self.dns_ns, self.lookup_ticket) = lookups::find(&peer).unwrap_or((0, 0));
        match error {
            0 => self.established(fd, Some(now)),
            sys::EINPROGRESS | sys::EINTR => {}
            error => self.not_connected(error, end::NOT_CONNECTED, now),
        }
    }

    /// The file descriptor was taken for a new connection without a `close()` that was seen.
    fn vanished(&mut self, now: u64) {
        if self.is_own() {
            match self.state {
                State::Free => {}
                State::Connecting => self.not_connected(0, end::NOT_CONNECTED, now),
                State::Connected => {
                    self.exchange_ends(None, end::CLOSED_BY_VIEWER, 0, now);
                    self.closed(None, end::CLOSED_BY_VIEWER, now);
                }
            }
        }
        self.state = State::Free;
    }

    /// Records that the viewer requested SO_ERROR and got `error`.
    pub(crate) fn asked_for_error(&mut self, fd: c_int, error: c_int) {
        match self.state {
            State::Free => {}
            State::Connecting if error != 0 => self.not_connected(error, end::NOT_CONNECTED, sys::now()),
            State::Connecting => {
                let now = sys::now();
                if TcpInfo::of(fd).is_none_or(|info| !info.is_connecting()) {
                    self.established(fd, Some(now));
                }
            }
            State::Connected if error != 0 => self.broken(fd, error, sys::now()),
            State::Connected => {}
        }
    }

    /// `learned`: when the viewer learned it by a call that is meant for it.
    fn established(&mut self, fd: c_int, learned: Option<u64>) {
        self.state = State::Connected;
        self.local_port = sys::local_port(fd);
        if let Some(learned) = learned {
            self.connect_ns = learned.saturating_sub(self.connect_started);
            self.unreported |= flag::CONNECT;
        }
        if lookups::take(self.lookup_ticket) {
            self.unreported |= flag::DNS;
        }
    }

    /// Handles transferred bytes, which prove that the socket is connected even if the viewer never checked.
    fn passed(&mut self, fd: c_int) {
        if self.state == State::Connecting {
            self.established(fd, None);
        }
    }

    /// Bytes passed inside a TLS call, or on a socket known as TLS.
    pub(crate) fn passed_tls(&mut self, fd: c_int) {
        self.passed(fd);
        self.tls = true;
    }

    /// A call of the TLS library that began at `started` did a step of the handshake.
    pub(crate) fn tls_handshake(&mut self, started: u64, done: bool) {
        self.tls = true;
        if self.tls_started == 0 {
            self.tls_started = started;
        }
        if done && self.tls_ns == 0 {
            self.tls_ns = sys::now().saturating_sub(self.tls_started).max(1);
            self.unreported |= flag::TLS_HANDSHAKE;
        }
    }

    /// Bytes are about to be sent. Afterwards it is too late to ask: they bring a RST about, which
    /// hides what was before.
    pub(crate) fn send_begins(&mut self, fd: c_int) {
        if self.state == State::Connected && self.requests > 0 && !self.follower.in_flight() {
            self.stale = TcpInfo::of(fd).is_some_and(|info| info.has_fin());
        }
    }

    /// Plain text was sent; the call began at `started`.
    pub(crate) fn sent(&mut self, fd: c_int, mut bytes: &[u8], started: u64) {
        self.passed(fd);
        if self.state != State::Connected {
            return;
        }
        if !self.tls && self.requests == 0 && bytes.first() == Some(&TLS_HANDSHAKE_RECORD) {
            (self.tls, self.hidden) = (true, true);
            return;
        }
        while !bytes.is_empty() {
            let (taken, met) = self.follower.send(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            match met {
                Sent::All => {}
                Sent::Starts => {
                    if self.follower.in_flight() {
                        self.superseded = true;
                        self.exchange_ends(TcpInfo::of(fd), end::SUPERSEDED, 0, started);
                    }
                    self.follower.begin();
                    self.requests = self.requests.wrapping_add(1);
                    self.started = started;
                    (self.first_byte, self.last_byte) = (0, 0);
                }
                Sent::NotHttp => self.requests = self.requests.wrapping_sub(1),
            }
        }
    }

    /// Plain text was received.
    pub(crate) fn received(&mut self, fd: c_int, mut bytes: &[u8], now: u64) {
        self.passed(fd);
        while !bytes.is_empty() && self.follower.in_flight() {
            let (taken, met) = self.follower.receive(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if met == Received::Piece {
                self.pass_piece(false);
                continue;
            }
            if met == Received::Interim {
                (self.first_byte, self.last_byte) = (0, 0);
                continue;
            }
            if met == Received::Complete || self.follower.response_started() {
                if self.first_byte == 0 {
                    self.first_byte = now;
                }
                self.last_byte = now;
            }
            if met == Received::Complete {
                self.excess = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.report_exchange(TcpInfo::of(fd), end::COMPLETE, 0, now);
            }
        }
    }

    /// Sends on what is pending of the body in flight.
    fn pass_piece(&mut self, whole: bool) {
        let (connection, request) = (self.connection, self.requests);
        if let Some(piece) = self.follower.pending_piece(whole) {
            (piece.connection, piece.request) = (connection, request);
            let fitted = pipe::write_piece(piece);
            self.follower.piece_went(fitted);
        }
    }

    /// The peer ended the stream, on the socket itself or (TLS) inside it.
    pub(crate) fn stream_ended(&mut self, fd: c_int, now: u64) {
        if let Some(how) = self.follower.end_of_stream() {
            self.report_exchange(TcpInfo::of(fd), how, 0, now);
        }
    }

    /// A receive call returned 0. After an error or a shutdown that needs no FIN.
    pub(crate) fn read_to_end(&mut self) {
        self.ended = true;
        if self.error == 0 && !self.reading_ended {
            self.fin = true;
        }
    }

    /// Notes an error of the socket; under TLS its exchange ends when the TLS call has returned.
    pub(crate) fn note_error(&mut self, error: c_int) {
        if self.error == 0 {
            self.error = error;
        }
    }

    /// A call on the socket failed.
    pub(crate) fn broken(&mut self, fd: c_int, error: c_int, now: u64) {
        if self.state == State::Connecting {
            return self.not_connected(error, end::NOT_CONNECTED, now);
        }
        self.note_error(error);
        if !self.tls {
            self.exchange_ends(TcpInfo::of(fd), end::SOCKET_ERROR, error, now);
        }
    }

    /// A read call of the TLS library returned without plain text, and not to be called again;
    /// `ended`: it saw the end of the TLS stream.
    pub(crate) fn tls_read_ended(&mut self, fd: c_int, ended: bool, now: u64) {
        if self.error != 0 {
            self.exchange_ends(TcpInfo::of(fd), end::SOCKET_ERROR, self.error, now);
        } else if self.ended || ended {
            self.stream_ended(fd, now);
        }
    }

    /// The viewer shuts down its reading or its writing side, or both.
    pub(crate) fn shut_down(&mut self, fd: c_int, reading: bool, writing: bool, now: u64) {
        self.writing_ended |= writing;
        if reading {
            self.reading_ended = true;
            self.peek(fd);
            self.exchange_ends(TcpInfo::of(fd), end::CLOSED_BY_VIEWER, 0, now);
        }
    }

    /// The viewer closes the socket, or (`how`) its process ends.
    pub(crate) fn close(&mut self, fd: c_int, how: u8, now: u64) {
        let info = TcpInfo::of(fd);
        if self.state == State::Connecting {
            let (connecting, dead) =
                info.map_or((true, false), |info| (info.is_connecting(), info.state == TcpInfo::CLOSE));
            if connecting || dead {
                let given_up = if how == end::CLOSED_BY_VIEWER { end::NOT_CONNECTED } else { how };
                let error =
                    if dead { sys::option(fd, sys::SOL_SOCKET, sys::SO_ERROR).unwrap_or(0) } else { 0 };
                return self.not_connected(error, given_up, now);
            }
            self.established(fd, None);
        }
        if self.state == State::Connected {
            self.peek(fd);
            if self.error != 0 {
                self.exchange_ends(info, end::SOCKET_ERROR, self.error, now);
            }
            self.exchange_ends(info, how, 0, now);
            let who = match (how, self.error, self.fin) {
                (end::PROCESS_EXIT, _, _) => how,
                (_, 1.., _) => end::SOCKET_ERROR,
                (_, _, true) => end::CLOSED_BY_PEER,
                _ => how,
            };
            self.closed(info, who, now);
        }
        self.state = State::Free;
    }

    /// If the viewer leaves without having read any of the response, reads the facts of its head.
    fn peek(&mut self, fd: c_int) {
        if self.tls || !self.follower.is_unanswered() {
            return;
        }
        let mut bytes = [0_u8; 1024];
        // SAFETY: the pointer is valid for the length given; the call takes nothing off the socket
        // and does not wait.
        let count = unsafe {
            sys::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), sys::MSG_PEEK | sys::MSG_DONTWAIT)
        };
        let count = usize::try_from(count).unwrap_or(0);
        self.follower.peek(bytes.get(..count).unwrap_or_default());
    }

    /// Ends the exchange in flight, if there is one, short of its whole response.
    fn exchange_ends(&mut self, info: Option<TcpInfo>, how: u8, error: c_int, now: u64) {
        if self.follower.in_flight() {
            if how != end::SUPERSEDED {
                self.follower.give_up();
            }
            self.report_exchange(info, how, error, now);
        }
    }
}
