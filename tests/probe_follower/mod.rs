//! Compares the probe's HTTP follower with a model: whatever a connection carries, and however it is split
//! into pieces, the facts are those that were written into it.

#[allow(dead_code, unreachable_pub, reason = "the probe's own module, included as it is")]
#[path = "../../probe/object/http.rs"]
mod http;
#[allow(dead_code, unreachable_pub, reason = "the probe's own module, included as it is")]
#[path = "../../probe/src/record.rs"]
mod wire;

mod conversations;
mod frames;
mod heads;
mod media;
mod playlists;

use http::{Follower, Received, Sent};
use wire::{Record, end};

/// One connection as the probe would follow it: finished exchanges and how they ended.
struct Connection {
    follower: Follower,
    over: Vec<(u8, Record)>,
    not_http: bool,
    /// The bodies that were passed on, each preceded by the requested URL.
    bodies: Vec<Vec<u8>>,
    /// Number of pieces after which the pipe is full; 0 = never.
    full: usize,
    pieces: usize,
}

impl Connection {
    fn new() -> Self {
        let mut follower = Follower::NEW;
        follower.reset();
        Self { follower, over: Vec::new(), not_http: false, bodies: Vec::new(), full: 0, pieces: 0 }
    }

    /// As the probe's socket does it.
    fn pass_piece(&mut self, whole: bool) {
        let Some(piece) = self.follower.pending_piece(whole) else { return };
        self.pieces += 1;
        let fits = self.full == 0 || !self.pieces.is_multiple_of(self.full);
        let (offset, bytes) = (piece.offset, piece.piece().to_vec());
        assert!(!bytes.is_empty());
        self.follower.piece_went(fits);
        if fits {
            if offset == 0 {
                self.bodies.push(Vec::new());
            }
            let body = self.bodies.last_mut().unwrap();
            assert_eq!(body.len(), offset as usize, "pieces follow each other");
            body.extend(bytes);
        }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.send(bytes);
            assert!(taken > 0 || met == Sent::Starts, "every iteration makes progress");
            bytes = &bytes[taken..];
            match met {
                Sent::All => assert!(bytes.is_empty()),
                Sent::Starts => {
                    if self.follower.in_flight() {
                        self.over.push((end::SUPERSEDED, self.follower.facts()));
                    }
                    self.follower.begin();
                }
                Sent::NotHttp => self.not_http = true,
            }
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.receive(bytes);
            assert!(taken > 0 || met == Received::Piece, "every iteration makes progress");
            bytes = &bytes[taken..];
            if met == Received::Piece {
                self.pass_piece(false);
            }
            if met == Received::Complete {
                self.pass_piece(true);
                self.over.push((end::COMPLETE, self.follower.facts()));
            }
        }
    }

    fn end(&mut self) {
        if let Some(how) = self.follower.end_of_stream() {
            if how == end::COMPLETE {
                self.pass_piece(true);
            }
            self.over.push((how, self.follower.facts()));
        }
    }

    fn only(&self) -> &Record {
        assert_eq!(self.over.len(), 1, "{:?}", self.over);
        &self.over[0].1
    }
}

/// `bytes` in pieces: `cuts` are taken in turn as lengths, the last piece is the rest.
fn pieces<'bytes>(bytes: &'bytes [u8], cuts: &[usize]) -> Vec<&'bytes [u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for &cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all.push(rest);
    all
}

const GET: &[u8] = b"GET /live/a.m3u8?token=1/2 HTTP/1.1\r\nHost: Origin:80\r\nRange: bytes=0-\r\n\r\n";

fn exchange(response: &[u8]) -> Connection {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.receive(response);
    connection
}

/// A response with `body`, in chunks of 23 bytes or with its length, and more lines in its head.
fn response(status: u16, head: &str, body: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        let head = format!("HTTP/1.1 {status} X\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let mut text = format!("HTTP/1.1 {status} X\r\n{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(23) {
        text.extend(format!("{:x}\r\n", part.len()).bytes());
        text.extend([part, b"\r\n"].concat());
    }
    [text, b"0\r\n\r\n".to_vec()].concat()
}

/// FNV-1a of a request without the query parameters that are delivery directives.
fn hash_without_directives(target: &str, host: &str) -> u64 {
    let mut kept = target.to_owned();
    if let Some((path, query)) = target.split_once('?') {
        let parameters: Vec<_> = query.split('&').filter(|name| !name.starts_with("_HLS_")).collect();
        let query = (!parameters.is_empty()).then(|| format!("?{}", parameters.join("&")));
        kept = path.to_owned() + &query.unwrap_or_default();
    }
    kept.bytes().chain([0]).chain(host.bytes()).fold(wire::URL_HASH_START, wire::hash_byte)
}
