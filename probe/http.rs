//! Follows HTTP/1.1 (RFC 9112) on one connection, from bytes as they come in pieces of any size.
//!
//! Pure: no clock, no socket. It holds one line of each direction at most, so that heads of any
//! size can pass; what does not fit is ignored. It does not judge: a malformed response is followed
//! as far as framing can be known, and counted.

use super::wire::{CONTENT_TYPE_BYTES, NAME_BYTES, Record, SNIFF_BYTES, cache, end, flag};

/// What [`Follower::send`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All bytes were taken.
    All,
    /// The next byte begins a request: call [`Follower::begin`], then go on with the rest.
    Starts,
    /// What began like a request is not HTTP/1; nothing on this connection is followed from here on.
    NotHttp,
}

/// What [`Follower::receive`] met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// All bytes were taken and the response is not over.
    All,
    /// An interim (1xx) response, or one to a superseded request, is over; the awaited one is next.
    Interim,
    /// The response is whole.
    Complete,
}

/// Where the request stands.
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

/// Where the response stands.
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

/// One line, its end cut if it is longer than the room.
struct Line<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Line<ROOM> {
    const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// Takes bytes up to and including a line feed; returns how many, and whether the line ended.
    fn fill(&mut self, bytes: &[u8]) -> (usize, bool) {
        let ends = bytes.iter().position(|&byte| byte == b'\n');
        let part = ends.and_then(|at| bytes.get(..at)).unwrap_or(bytes);
        for &byte in part {
            let Some(place) = self.bytes.get_mut(self.len) else { break };
            *place = byte;
            self.len = self.len.wrapping_add(1);
        }
        match ends {
            Some(at) => (at.wrapping_add(1), true),
            None => (bytes.len(), false),
        }
    }

    /// The line without its end.
    fn text(&self) -> &[u8] {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        text.strip_suffix(b"\r").unwrap_or(text)
    }
}

/// The state of one connection and the facts about its current exchange.
pub struct Follower {
    /// Facts about the current exchange; the follower fills in what HTTP tells, no more.
    pub record: Record,
    request: Request,
    response: Response,
    in_flight: bool,
    /// A byte of the awaited response was taken.
    started: bool,
    /// The request named its host (once is enough).
    host_seen: bool,
    /// The response's transfer coding ends in `chunked`.
    chunked: bool,
    /// The response has a transfer coding that does not.
    other_coding: bool,
    /// Size digits of the current chunk.
    digits: u8,
    /// Responses to superseded requests that come before the awaited one.
    skip: u8,
    request_left: u64,
    response_left: u64,
    request_line: Line<272>,
    response_line: Line<512>,
}

impl Follower {
    /// A connection on which nothing was said yet. All zero bytes, so that a table of these costs
    /// no memory until it is used.
    pub const NEW: Self = Self {
        record: Record { magic: 0, version: 0, ..Record::EMPTY },
        request: Request::Idle,
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
        } else {
            self.skip = 0;
            self.await_response();
        }
        self.record = Record::EMPTY;
        self.record.url_hash = super::wire::URL_HASH_START;
        self.request = Request::Method;
        self.request_line.len = 0;
        self.request_left = 0;
        self.host_seen = false;
        self.in_flight = true;
    }

    /// The connection ended (FIN). Returns how that ends the exchange in flight, if there is one.
    pub fn end_of_stream(&mut self) -> Option<u8> {
        if !self.in_flight {
            return None;
        }
        let whole = self.response == Response::UntilClose && self.skip == 0 && self.record.status != 0;
        self.give_up();
        Some(if whole { end::COMPLETE } else { end::CLOSED_BY_PEER })
    }

    /// The exchange in flight ends otherwise.
    pub fn give_up(&mut self) {
        if self.skip != 0 {
            // What was parsed belongs to a response nobody waits for.
            self.forget_response();
        }
        self.in_flight = false;
    }

    /// Takes back that a response was whole: it was only looked at, not read.
    pub fn resume(&mut self) {
        self.in_flight = true;
    }

    /// Follows bytes that were sent; returns how many were taken.
    pub fn send(&mut self, bytes: &[u8]) -> (usize, Sent) {
        let mut used = 0_usize;
        while let Some(&byte) = bytes.get(used) {
            match self.request {
                Request::Opaque => return (bytes.len(), Sent::All),
                Request::Idle => match byte {
                    b'\r' | b'\n' => used = used.wrapping_add(1),
                    b'A'..=b'Z' => return (used, Sent::Starts),
                    _ => self.request = Request::Opaque,
                },
                Request::Body | Request::Unframed => {
                    let rest = bytes.len().saturating_sub(used);
                    let take = if self.request == Request::Body {
                        rest.min(usize::try_from(self.request_left).unwrap_or(usize::MAX))
                    } else {
                        rest
                    };
                    used = used.wrapping_add(take);
                    self.record.request_bytes = self.record.request_bytes.wrapping_add(take as u64);
                    if self.request == Request::Body {
                        self.request_left = self.request_left.saturating_sub(take as u64);
                        if self.request_left == 0 {
                            self.request = Request::Idle;
                        }
                    }
                }
                Request::Version | Request::Header => {
                    let (taken, ended) = self.request_line.fill(bytes.get(used..).unwrap_or_default());
                    used = used.wrapping_add(taken);
                    self.record.request_bytes = self.record.request_bytes.wrapping_add(taken as u64);
                    if ended && !self.request_line_ended() {
                        self.request = Request::Opaque;
                        self.in_flight = false;
                        return (bytes.len(), Sent::NotHttp);
                    }
                }
                Request::Method | Request::Path | Request::Query => {
                    used = used.wrapping_add(1);
                    self.record.request_bytes = self.record.request_bytes.wrapping_add(1);
                    self.request_byte(byte);
                }
            }
        }
        (used, Sent::All)
    }

    fn request_byte(&mut self, byte: u8) {
        match (self.request, byte) {
            (_, b'\n') => {
                // HTTP/0.9: no version, which `request_line_ended` would refuse; say so there.
                self.request = Request::Version;
            }
            (Request::Method, b' ') => self.request = Request::Path,
            (Request::Method, _) => {
                if self.record.method == 0 {
                    self.record.method = byte;
                }
            }
            (_, b' ') => {
                self.request = Request::Version;
                self.request_line.len = 0;
            }
            _ => {
                self.record.url_hash = super::wire::hash_byte(self.record.url_hash, byte);
                match (self.request, byte) {
                    (Request::Path, b'?') => self.request = Request::Query,
                    (Request::Path, b'/') => self.record.name_len = 0,
                    (Request::Path, _) => {
                        if let Some(place) = self.record.name.get_mut(usize::from(self.record.name_len)) {
                            *place = byte;
                            self.record.name_len = self.record.name_len.wrapping_add(1);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// A line of the request's head ended; `false` if this is not HTTP/1.
    fn request_line_ended(&mut self) -> bool {
        if self.request == Request::Version {
            if !self.request_line.text().starts_with(b"HTTP/1.") {
                return false;
            }
            // Names that were reset by a later `/` leave bytes behind.
            if let Some(rest) = self.record.name.get_mut(usize::from(self.record.name_len)..) {
                rest.fill(0);
            }
            self.request = Request::Header;
        } else {
            let text = self.request_line.text();
            if text.is_empty() {
                if self.request != Request::Unframed {
                    self.request = if self.chunked_request() {
                        Request::Unframed
                    } else if self.request_left > 0 {
                        Request::Body
                    } else {
                        Request::Idle
                    };
                }
            } else if let Some((name, value)) = header(text) {
                if name.eq_ignore_ascii_case(b"host") && !self.host_seen {
                    self.host_seen = true;
                    self.record.url_hash = super::wire::hash_host(self.record.url_hash, value);
                } else if name.eq_ignore_ascii_case(b"content-length") {
                    self.request_left = decimal(value).unwrap_or(0);
                } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                    self.request_left = u64::MAX;
                }
            }
        }
        self.request_line.len = 0;
        true
    }

    /// A request body in chunks is marked by an impossible length.
    const fn chunked_request(&self) -> bool {
        self.request_left == u64::MAX
    }

    /// Follows bytes that were received; returns how many were taken. Bytes that nobody asked for
    /// are taken and ignored.
    pub fn receive(&mut self, bytes: &[u8]) -> (usize, Received) {
        if !self.in_flight {
            return (bytes.len(), Received::All);
        }
        let mut used = 0_usize;
        while let Some(rest) = bytes.get(used..)
            && let Some(&byte) = rest.first()
        {
            self.started = true;
            let (taken, over) = match self.response {
                Response::StatusLine | Response::Header => {
                    let (taken, ended) = self.response_line.fill(rest);
                    self.record.head_bytes = self.record.head_bytes.wrapping_add(taken as u64);
                    (taken, if ended { self.response_line_ended() } else { None })
                }
                Response::Length | Response::ChunkData => self.sized_body(rest),
                Response::UntilClose | Response::Broken => {
                    self.entity(rest);
                    (rest.len(), None)
                }
                Response::ChunkSize | Response::ChunkExtension | Response::ChunkEnd => {
                    self.record.body_bytes = self.record.body_bytes.wrapping_add(1);
                    self.chunk_byte(byte);
                    (1, None)
                }
                Response::Trailer => {
                    let (taken, ended) = self.response_line.fill(rest);
                    self.record.body_bytes = self.record.body_bytes.wrapping_add(taken as u64);
                    let blank = ended && self.response_line.text().is_empty();
                    if ended {
                        self.response_line.len = 0;
                    }
                    (taken, if blank { Some(self.complete()) } else { None })
                }
            };
            used = used.wrapping_add(taken);
            if let Some(over) = over {
                return (used, over);
            }
        }
        (used, Received::All)
    }

    fn sized_body(&mut self, rest: &[u8]) -> (usize, Option<Received>) {
        let take = rest.len().min(usize::try_from(self.response_left).unwrap_or(usize::MAX));
        self.entity(rest.get(..take).unwrap_or_default());
        self.response_left = self.response_left.saturating_sub(take as u64);
        if self.response_left > 0 {
            return (take, None);
        }
        if self.response == Response::ChunkData {
            self.response = Response::ChunkEnd;
            return (take, None);
        }
        (take, Some(self.complete()))
    }

    fn entity(&mut self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.record.body_bytes = self.record.body_bytes.wrapping_add(count);
        self.record.entity_bytes = self.record.entity_bytes.wrapping_add(count);
        if usize::from(self.record.sniff_len) < SNIFF_BYTES {
            for &byte in bytes.iter().take(SNIFF_BYTES) {
                let Some(place) = self.record.sniff.get_mut(usize::from(self.record.sniff_len)) else {
                    break;
                };
                *place = byte;
                self.record.sniff_len = self.record.sniff_len.wrapping_add(1);
            }
        }
    }

    fn chunk_byte(&mut self, byte: u8) {
        match (self.response, byte) {
            (Response::ChunkEnd, b'\n') => self.await_chunk(),
            (_, b'\r') => {}
            (Response::ChunkSize, b';' | b' ' | b'\t') => self.response = Response::ChunkExtension,
            (Response::ChunkSize | Response::ChunkExtension, b'\n') => {
                self.response_line.len = 0;
                self.response = match (self.digits, self.response_left) {
                    (0, _) => Response::Broken,
                    (_, 0) => Response::Trailer,
                    _ => Response::ChunkData,
                };
            }
            (Response::ChunkExtension, _) => {}
            (Response::ChunkSize, _) => match hexadecimal(byte) {
                Some(digit) if self.digits < 15 => {
                    self.digits = self.digits.wrapping_add(1);
                    self.response_left = self.response_left.wrapping_mul(16).wrapping_add(digit);
                }
                _ => self.response = Response::Broken,
            },
            _ => self.response = Response::Broken,
        }
    }

    fn await_chunk(&mut self) {
        self.digits = 0;
        self.response_left = 0;
        self.response = Response::ChunkSize;
    }

    /// Ready for the first line of a response.
    fn await_response(&mut self) {
        self.response = Response::StatusLine;
        self.response_line.len = 0;
        self.response_left = 0;
        self.digits = 0;
        self.chunked = false;
        self.other_coding = false;
        self.started = false;
    }

    /// Clears what a response told, and keeps what the request told.
    fn forget_response(&mut self) {
        let request = self.record;
        self.record = Record {
            method: request.method,
            name: request.name,
            name_len: request.name_len,
            url_hash: request.url_hash,
            request_bytes: request.request_bytes,
            ..Record::EMPTY
        };
    }

    fn response_line_ended(&mut self) -> Option<Received> {
        if self.response == Response::StatusLine {
            self.status_line();
        } else if self.response_line.text().is_empty() {
            self.response_line.len = 0;
            return self.head_ended();
        } else {
            self.response_header();
        }
        self.response_line.len = 0;
        None
    }

    fn status_line(&mut self) {
        let text = self.response_line.text();
        if text.is_empty() {
            // An empty line before the head is tolerated, as FFmpeg and curl do.
            return;
        }
        let mut words = text.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(decimal).and_then(|status| u16::try_from(status).ok());
        match status {
            Some(status @ 100..=999) if version.starts_with(b"HTTP/") || version == b"ICY" => {
                self.record.status = status;
                if version != b"HTTP/1.1" {
                    self.record.flags |= flag::CONNECTION_CLOSE;
                }
                self.response = Response::Header;
            }
            _ => self.response = Response::Broken,
        }
    }

    fn response_header(&mut self) {
        let record = &mut self.record;
        let Some((name, value)) = header(self.response_line.text()) else { return };
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        if is(b"content-length") {
            if let Some(length) = decimal(value) {
                record.content_length = length;
                record.flags |= flag::CONTENT_LENGTH;
            }
        } else if is(b"transfer-encoding") {
            self.chunked = last_of_list(value).eq_ignore_ascii_case(b"chunked");
            self.other_coding = !self.chunked;
        } else if is(b"connection") {
            for token in value.split(|&byte| byte == b',').map(trim) {
                if token.eq_ignore_ascii_case(b"close") {
                    record.flags |= flag::CONNECTION_CLOSE;
                } else if token.eq_ignore_ascii_case(b"keep-alive") {
                    record.flags &= !flag::CONNECTION_CLOSE;
                }
            }
        } else if is(b"content-encoding") {
            if !value.eq_ignore_ascii_case(b"identity") {
                record.flags |= flag::ENCODED;
            }
        } else if is(b"content-type") {
            record.content_type = [0; CONTENT_TYPE_BYTES];
            record.content_type_len = 0;
            for (place, &byte) in record.content_type.iter_mut().zip(value) {
                *place = byte;
                record.content_type_len = record.content_type_len.wrapping_add(1);
            }
        } else if is(b"age") {
            if let Some(age) = decimal(value) {
                record.age_s = u32::try_from(age).unwrap_or(u32::MAX);
                record.flags |= flag::AGE;
            }
        } else if (is(b"x-cache") || is(b"x-cache-status") || is(b"cf-cache-status") || is(b"cache-status"))
            && matches!(record.cache, cache::UNKNOWN | cache::OTHER)
        {
            record.cache = cache_word(last_of_list(value));
        }
    }

    /// The blank line after a head: how long is the body (RFC 9112, 6.3)?
    fn head_ended(&mut self) -> Option<Received> {
        let status = self.record.status;
        if (100..200).contains(&status) && status != 101 {
            let head_bytes = self.record.head_bytes;
            self.forget_response();
            self.record.head_bytes = head_bytes;
            self.await_response();
            return Some(Received::Interim);
        }
        let tunnel = status == 101 || (self.record.method == b'C' && (200..300).contains(&status));
        if tunnel {
            let over = self.complete();
            self.request = Request::Opaque;
            return Some(over);
        }
        if self.record.method == b'H' || status == 204 || status == 304 {
            return Some(self.complete());
        }
        if self.chunked {
            self.record.flags |= flag::CHUNKED;
            self.await_chunk();
        } else if self.other_coding || self.record.flags & flag::CONTENT_LENGTH == 0 {
            self.response = Response::UntilClose;
        } else if self.record.content_length == 0 {
            return Some(self.complete());
        } else {
            self.response_left = self.record.content_length;
            self.response = Response::Length;
        }
        None
    }

    fn complete(&mut self) -> Received {
        self.await_response();
        if self.skip > 0 {
            self.skip = self.skip.wrapping_sub(1);
            self.forget_response();
            return Received::Interim;
        }
        self.in_flight = false;
        if self.request == Request::Unframed {
            self.request = Request::Idle;
        }
        Received::Complete
    }
}

/// Name and value of a header line; `None` for a continuation line or one without a colon.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon.wrapping_add(1)..)?);
    if name.first().is_none_or(|first| matches!(first, b' ' | b'\t')) {
        return None;
    }
    Some((trim(name), trim(value)))
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn last_of_list(value: &[u8]) -> &[u8] {
    trim(value.rsplit(|&byte| byte == b',').next().unwrap_or(value))
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, &byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0'))),
        _ => None,
    })
}

fn hexadecimal(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte.wrapping_sub(b'0'))),
        b'a'..=b'f' => Some(u64::from(byte.wrapping_sub(b'a')).wrapping_add(10)),
        b'A'..=b'F' => Some(u64::from(byte.wrapping_sub(b'A')).wrapping_add(10)),
        _ => None,
    }
}

/// What the cache nearest to the viewer said (the last member of the list). Words as of nginx,
/// Varnish, CloudFront, Fastly, Akamai, Cloudflare, and RFC 9211 (`hit`, `fwd=miss`).
fn cache_word(member: &[u8]) -> u8 {
    if contains(member, b"refresh") || contains(member, b"pass") || contains(member, b"hit=?0") {
        cache::OTHER
    } else if contains(member, b"hit") {
        cache::HIT
    } else if contains(member, b"miss") {
        cache::MISS
    } else {
        cache::OTHER
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|window| window.eq_ignore_ascii_case(word))
}

const _: () = assert!(NAME_BYTES < 256 && CONTENT_TYPE_BYTES < 256 && SNIFF_BYTES < 256, "lengths are u8");
