//! The sending direction: request line, head and body.

use super::super::wire::hash_host;
use super::text::{decimal, header, range_start};
use super::{Follower, Request, Sent};

impl Follower {
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
                    if ended && !self.request_line_ended() {
                        self.request = Request::Opaque;
                        self.in_flight = false;
                        return (bytes.len(), Sent::NotHttp);
                    }
                }
                Request::Method | Request::Path | Request::Query => {
                    used = used.wrapping_add(1);
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
                self.record.url_hash = self.target.end(self.record.url_hash);
                self.request = Request::Version;
            }
            (Request::Method, b' ') => self.request = Request::Path,
            (Request::Method, _) => {
                if self.record.method == 0 {
                    self.record.method = byte;
                    if self.skip == 0 {
                        self.answering = byte;
                    }
                }
            }
            (_, b' ') => {
                self.record.url_hash = self.target.end(self.record.url_hash);
                self.request = Request::Version;
                self.request_line.clear();
            }
            _ => {
                self.record.url_hash = self.target.byte(self.record.url_hash, byte);
                self.body.target(byte);
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
                    self.record.url_hash = hash_host(self.record.url_hash, value);
                    self.body.host(value);
                } else if name.eq_ignore_ascii_case(b"range") {
                    self.record.range_start = range_start(value).unwrap_or(0);
                } else if name.eq_ignore_ascii_case(b"content-length") {
                    self.request_left = decimal(value).unwrap_or(0);
                } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                    self.request_left = u64::MAX;
                }
            }
        }
        self.request_line.clear();
        true
    }

    /// A request body in chunks is marked by an impossible length.
    const fn chunked_request(&self) -> bool {
        self.request_left == u64::MAX
    }
}
