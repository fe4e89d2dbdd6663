//! Follows HTTP/1.1 (RFC 9112) on one connection, from bytes as they come in pieces of any size.
//!
//! Pure: no clock, no socket. It holds one line of each direction at most, so that heads of any
//! size can pass; what does not fit is ignored. It does not judge: a malformed response is followed
//! as far as framing can be known, and counted.

// The paths are spelt out because tests include this file into crates of their own.
#[path = "http/body.rs"]
mod body;
#[path = "http/content.rs"]
mod content;
#[path = "http/request.rs"]
mod request;
#[path = "http/response.rs"]
mod response;
#[path = "http/text.rs"]
mod text;

use super::wire::{
    self, BodyChunk, CONTENT_TYPE_BYTES, NAME_BYTES, Record, SNIFF_BYTES, TargetHash, end, flag,
};
use body::Body;
use content::Content;
use text::Line;

/// The result of [`Follower::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All bytes were taken.
    All,
    /// The next byte begins a request: call [`Follower::begin`], then go on with the rest.
    Starts,
    /// The bytes are not an HTTP/1 request; nothing on this connection is followed from here on.
    NotHttp,
}

/// The result of [`Follower::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// All bytes were taken and the response is not over.
    All,
    /// A piece of a body that is passed on is full: see to [`Follower::pending_piece`], then go on.
    Piece,
    /// An interim (1xx) response, or one to a superseded request, is over; the awaited one is next.
    Interim,
    /// The response is whole.
    Complete,
}

/// The state of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Between requests.
    Idle,
    Method,
    Path,
    Query,
    Version,
    Header,
    /// `request_left` bytes of body to come.
    Body,
    /// A body whose end is not followed: it ends with the response.
    Unframed,
    /// Not HTTP (TLS without a known library, a tunnel, HTTP/2).
    Opaque,
}

/// The state of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Response {
    StatusLine,
    Header,
    /// `response_left` bytes of body to come.
    Length,
    /// The body ends with the connection.
    UntilClose,
    ChunkSize,
    ChunkExtension,
    /// `response_left` bytes of this chunk to come.
    ChunkData,
    ChunkEnd,
    Trailer,
    /// The framing is broken; everything to the end of the connection counts as body.
    Broken,
}

/// The state of one connection and the facts about its current exchange.
pub struct Follower {
    /// Facts about the current exchange; the follower only fills in what HTTP reveals. As long as
    /// `skip` is not 0, what is in there about a response belongs to a superseded one.
    record: Record,
    /// Method of the request whose response comes next.
    answering: u8,
    request: Request,
    target: TargetHash,
    response: Response,
    in_flight: bool,
    /// Whether a byte of the awaited response was taken.
    started: bool,
    /// Whether a request has named its host (once is enough).
    host_seen: bool,
    /// Whether the response's transfer coding ends in `chunked`.
    chunked: bool,
    /// Whether the response has a transfer coding that does not end in `chunked`.
    other_coding: bool,
    /// Size digits of the current chunk.
    digits: u8,
    /// Responses to superseded requests that come before the awaited one.
    skip: u8,
    request_left: u64,
    response_left: u64,
    request_line: Line<272>,
    response_line: Line<512>,
    /// The range of the response: first byte and length.
    range: Option<(u64, u64)>,
    content: Content,
    body: Body,
    /// Suitability of the header that the edge's name came from; 0 = there was none.
    edge_rank: u8,
}

impl Follower {
    /// A connection on which nothing was said yet. All zero bytes, so that a table of these costs
    /// no memory until it is used.
    pub const NEW: Self = Self {
        record: Record { magic: 0, version: 0, ..Record::EMPTY },
        answering: 0,
        request: Request::Idle,
        target: TargetHash::NEW,
        response: Response::StatusLine,
        in_flight: false,
        started: false,
        host_seen: false,
        chunked: false,
        other_coding: false,
        digits: 0,
        skip: 0,
        request_left: 0,
        response_left: 0,
        request_line: Line::new(),
        response_line: Line::new(),
        range: None,
        content: Content::NEW,
        body: Body::NEW,
        edge_rank: 0,
    };

    /// Back to [`Follower::NEW`], without a large copy.
    pub fn reset(&mut self) {
        self.request = Request::Idle;
        self.in_flight = false;
        self.skip = 0;
        self.record = Record::EMPTY;
        self.await_response();
    }

    /// Whether a request was begun and its exchange is not over.
    pub const fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Whether a byte of the awaited response was taken.
    pub const fn response_started(&self) -> bool {
        self.in_flight && self.started && self.skip == 0
    }

    /// Begins a request. One that is still in flight is superseded: its response will be skipped.
    pub fn begin(&mut self) {
        if self.in_flight {
            self.skip = self.skip.saturating_add(1);
            self.record.method = 0;
            self.record.name_len = 0;
            self.record.range_start = 0;
        } else {
            self.skip = 0;
            self.answering = 0;
            self.record = Record::EMPTY;
            self.await_response();
        }
        self.record.url_hash = super::wire::URL_HASH_START;
        self.target = TargetHash::NEW;
        self.request = Request::Method;
        self.request_line.clear();
        self.request_left = 0;
        self.host_seen = false;
        self.in_flight = true;
        self.content.begin();
        self.body.begin_request();
    }

    /// The connection ended (FIN). Returns how that ends the exchange in flight, if there is one.
    pub fn end_of_stream(&mut self) -> Option<u8> {
        if !self.in_flight {
            return None;
        }
        let whole = self.response == Response::UntilClose && self.skip == 0 && self.record.status != 0;
        if whole {
            self.note_whole();
        }
        self.give_up();
        Some(if whole { end::COMPLETE } else { end::CLOSED_BY_PEER })
    }

    /// Ends the exchange in flight for another reason.
    pub fn give_up(&mut self) {
        self.in_flight = false;
    }

    /// The facts about the latest exchange.
    pub fn facts(&self) -> Record {
        if self.skip > 0 {
            return request_facts(&self.record);
        }
        let mut record = self.record;
        if record.content == wire::content::UNKNOWN && !record.has(flag::ENCODED) {
            record.content = self.content.kind();
        }
        let (first, len) = self.content.first();
        (record.sniff, record.sniff_len) = (*first, len);
        record
    }

    /// The piece of a body that has to go into the pipe now, before the follower goes on or (`whole`) the
    /// facts about a whole response are requested. Call [`Self::piece_went`] afterwards.
    pub fn pending_piece(&mut self, whole: bool) -> Option<&mut BodyChunk> {
        self.body.pending(whole)
    }

    /// The pending piece is on its way, or (`false`) it did not fit into the pipe.
    pub fn piece_went(&mut self, fitted: bool) {
        self.body.went(fitted);
        if self.record.body != wire::body::NONE {
            self.record.body = self.body.fate();
        }
    }

    /// The response in flight is whole.
    fn note_whole(&mut self) {
        self.record.body = self.body.fate();
        let bodiless = matches!(self.answering, b'H' | b'C') || matches!(self.record.status, 204 | 304);
        if self.record.body_bytes == 0 && !bodiless && !self.record.has(flag::ENCODED) {
            self.record.content = wire::content::EMPTY;
        }
        if self.content.is_cut_short() && !self.record.has(flag::ENCODED) {
            self.record.flags |= flag::CUT_SHORT;
        }
    }

    /// Whether nothing of the awaited response was taken.
    pub const fn is_unanswered(&self) -> bool {
        self.in_flight && self.skip == 0 && self.record.head_bytes == 0
    }

    /// Follows unread bytes in the socket: the facts of the head, without counting.
    pub fn peek(&mut self, mut bytes: &[u8]) {
        // Interim responses may come first; each turn takes at least one byte.
        while !bytes.is_empty() {
            let (taken, met) = self.receive(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            if met == Received::Complete || met == Received::Piece {
                break;
            }
        }
        (self.record.head_bytes, self.record.body_bytes) = (0, 0);
        (self.record.content, self.record.body) = (wire::content::UNKNOWN, wire::body::NONE);
        self.in_flight = true;
    }
}

/// A record with the facts of the request, and nothing about a response.
fn request_facts(record: &Record) -> Record {
    Record {
        method: record.method,
        name: record.name,
        name_len: record.name_len,
        url_hash: record.url_hash,
        range_start: record.range_start,
        ..Record::EMPTY
    }
}

const _: () = assert!(NAME_BYTES < 256 && CONTENT_TYPE_BYTES < 256 && SNIFF_BYTES < 256, "lengths are u8");
