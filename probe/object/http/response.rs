//! The receiving direction: status line, head, framing and body.

use super::super::wire::{CONTENT_TYPE_BYTES, EDGE_BYTES, cache, encoding, flag};
use super::text::{
    cache_word, coding, content_range, decimal, edge_name, header, hexadecimal, is_of_playlist, last_of_list,
    trim,
};
use super::{Follower, Received, Request, Response, request_facts};

impl Follower {
    /// Follows bytes that were received; returns how many were taken. Bytes without a request
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
            if self.body.room() == 0 {
                return (used, Received::Piece);
            }
            let (taken, over) = match self.response {
                Response::StatusLine | Response::Header => {
                    let (taken, ended) = self.response_line.fill(rest);
                    self.record.head_bytes = self.record.head_bytes.wrapping_add(taken as u64);
                    (taken, if ended { self.response_line_ended() } else { None })
                }
                Response::Length | Response::ChunkData => self.sized_body(rest),
                Response::UntilClose | Response::Broken => (self.entity(rest), None),
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
                        self.response_line.clear();
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
        let most = rest.len().min(usize::try_from(self.response_left).unwrap_or(usize::MAX));
        let take = self.entity(rest.get(..most).unwrap_or_default());
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

    /// Takes bytes of a body: as many as there is room for, if it is passed on.
    fn entity(&mut self, bytes: &[u8]) -> usize {
        let bytes = if self.skip == 0 { bytes.get(..self.body.room()).unwrap_or(bytes) } else { bytes };
        let count = bytes.len() as u64;
        self.record.body_bytes = self.record.body_bytes.wrapping_add(count);
        if self.skip == 0 {
            self.content.take(bytes);
            self.body.take(bytes);
        }
        bytes.len()
    }

    fn chunk_byte(&mut self, byte: u8) {
        match (self.response, byte) {
            (Response::ChunkEnd, b'\n') => self.await_chunk(),
            (_, b'\r') => {}
            (Response::ChunkSize, b';' | b' ' | b'\t') => self.response = Response::ChunkExtension,
            (Response::ChunkSize | Response::ChunkExtension, b'\n') => {
                self.response_line.clear();
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
    pub(super) fn await_response(&mut self) {
        self.response = Response::StatusLine;
        self.response_line.clear();
        self.response_left = 0;
        self.digits = 0;
        self.chunked = false;
        self.other_coding = false;
        self.started = false;
        self.edge_rank = 0;
        self.range = None;
    }

    /// Clears the facts of a response, and keeps those of the request.
    fn forget_response(&mut self) {
        self.record = request_facts(&self.record);
    }

    fn response_line_ended(&mut self) -> Option<Received> {
        if self.response == Response::StatusLine {
            self.status_line();
        } else if self.response_line.text().is_empty() {
            self.response_line.clear();
            return self.head_ended();
        } else {
            self.response_header();
        }
        self.response_line.clear();
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
            record.encoding = coding(value);
            if record.encoding != encoding::IDENTITY {
                record.flags |= flag::ENCODED;
            }
        } else if is(b"content-range") {
            self.range = content_range(value);
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
        } else if let Some((rank, edge)) = edge_name(name, value)
            && rank > self.edge_rank
        {
            self.edge_rank = rank;
            record.edge = [0; EDGE_BYTES];
            record.edge_len = 0;
            for (place, &byte) in record.edge.iter_mut().zip(edge) {
                *place = byte;
                record.edge_len = record.edge_len.wrapping_add(1);
            }
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
        let tunnel = status == 101 || (self.answering == b'C' && (200..300).contains(&status));
        if tunnel {
            let over = self.complete();
            self.request = Request::Opaque;
            return Some(over);
        }
        if self.skip == 0 {
            self.content.begin();
            let (start, _) = self.range.unwrap_or((0, 0));
            let served = status == 200 || (status == 206 && start == 0);
            let record = &self.record;
            let encoded = record.flags & flag::ENCODED != 0;
            let named = is_of_playlist(record.name(), record.content_type());
            self.body.begin_body(served && !encoded, served && encoded && named);
        }
        if self.answering == b'H' || status == 204 || status == 304 {
            return Some(self.complete());
        }
        if self.chunked {
            self.record.flags |= flag::CHUNKED;
            self.await_chunk();
        } else if let (206, false, false, Some((_, length))) =
            (status, self.other_coding, self.record.flags & flag::CONTENT_LENGTH != 0, self.range)
        {
            // Viewers know from it when they have all, and do not wait for the connection to end.
            self.record.content_length = length;
            self.record.flags |= flag::CONTENT_LENGTH;
            self.response_left = length;
            self.response = Response::Length;
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
            self.answering = self.record.method;
            self.forget_response();
            return Received::Interim;
        }
        self.note_whole();
        self.in_flight = false;
        if self.request == Request::Unframed {
            self.request = Request::Idle;
        }
        Received::Complete
    }
}
