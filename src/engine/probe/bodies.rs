//! Reassembles the bodies of playlists, which the probes send in pieces.

use std::collections::HashMap;

use hls_swarm_hls::request_target::RequestTarget;
use hls_swarm_probe::record::{BodyPiece, Record, body};

/// Maximum size of all unfinished bodies, bytes. A body is unfinished until its response is complete.
const MAX_BYTES: usize = 64 << 20;

/// A body as a viewer read it, with its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The request.
    pub request: RequestTarget,
    /// The body, still content-encoded.
    pub bytes: Vec<u8>,
    /// Whether the body is longer than the part that is passed on.
    pub is_cut: bool,
}

/// Unfinished bodies.
#[derive(Debug, Default)]
pub struct Bodies {
    /// By viewer.
    under_way: HashMap<u32, Vec<UnderWay>>,
    bytes: usize,
}

#[derive(Debug)]
struct UnderWay {
    generation: u32,
    pid: u32,
    connection: u32,
    request: u32,
    bytes: Vec<u8>,
}

impl Bodies {
    /// Takes a piece.
    pub fn add(&mut self, piece: &BodyPiece<'_>) {
        let bytes = piece.bytes;
        if piece.offset == 0 {
            self.forget(piece.viewer, piece.pid, piece.connection);
            if self.bytes.saturating_add(bytes.len()) <= MAX_BYTES {
                self.bytes += bytes.len();
                self.under_way.entry(piece.viewer).or_default().push(UnderWay {
                    generation: piece.generation,
                    pid: piece.pid,
                    connection: piece.connection,
                    request: piece.request,
                    bytes: bytes.to_vec(),
                });
            }
            return;
        }
        let room = self.bytes.saturating_add(bytes.len()) <= MAX_BYTES;
        let Some(body) = self.under_way.get_mut(&piece.viewer).and_then(|bodies| {
            bodies.iter_mut().find(|body| (body.pid, body.connection) == (piece.pid, piece.connection))
        }) else {
            return;
        };
        // A piece that does not follow the previous one shows that a piece was lost.
        if room && body.request == piece.request && body.bytes.len() == piece.offset as usize {
            self.bytes += bytes.len();
            body.bytes.extend_from_slice(bytes);
        } else {
            self.forget(piece.viewer, piece.pid, piece.connection);
        }
    }

    /// Returns the body of a finished exchange, if it has arrived.
    pub fn take(&mut self, exchange: &Record) -> Option<Body> {
        let body = self.remove(exchange.viewer, exchange.pid, exchange.connection)?;
        let is_cut = exchange.body == body::CUT;
        if body.request != exchange.request || !(is_cut || exchange.body == body::WHOLE) {
            return None;
        }
        let mut bytes = body.bytes;
        let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let (target, host) = (text(parts.next()?), text(parts.next()?));
        let head = bytes.len() - parts.next()?.len();
        drop(bytes.drain(..head));
        Some(Body { request: RequestTarget { target, host }, bytes, is_cut })
    }

    /// Discards the unfinished bodies of a connection that was closed.
    pub fn forget(&mut self, viewer: u32, pid: u32, connection: u32) {
        self.remove(viewer, pid, connection);
    }

    /// Discards the unfinished bodies of older generations, because a process of this generation has started.
    pub fn begin(&mut self, viewer: u32, generation: u32) {
        if let Some(bodies) = self.under_way.get_mut(&viewer) {
            let all = |bodies: &[UnderWay]| bodies.iter().map(|body| body.bytes.len()).sum::<usize>();
            let before = all(bodies);
            bodies.retain(|body| body.generation >= generation);
            self.bytes -= before - all(bodies);
        }
    }

    fn remove(&mut self, viewer: u32, pid: u32, connection: u32) -> Option<UnderWay> {
        let bodies = self.under_way.get_mut(&viewer)?;
        let at = bodies.iter().position(|body| (body.pid, body.connection) == (pid, connection))?;
        let body = bodies.swap_remove(at);
        self.bytes -= body.bytes.len();
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(request: u32, offset: u32, text: &str) -> BodyPiece<'_> {
        BodyPiece { viewer: 1, generation: 1, pid: 9, connection: 4, request, offset, bytes: text.as_bytes() }
    }

    fn exchange(request: u32, fate: u8) -> Record {
        Record { viewer: 1, generation: 1, pid: 9, connection: 4, request, body: fate, ..Record::EMPTY }
    }

    fn taken(pieces: &[BodyPiece<'_>], exchange: &Record) -> Option<Body> {
        let mut bodies = Bodies::default();
        pieces.iter().for_each(|piece| bodies.add(piece));
        let taken = bodies.take(exchange);
        assert_eq!(bodies.take(exchange), None);
        taken
    }

    #[test]
    fn consecutive_pieces_are_a_body() {
        let pieces = [piece(1, 0, "/a?b\nho"), piece(1, 7, "st\n#EXT"), piece(1, 14, "M3U\n\n")];
        let body = taken(&pieces, &exchange(1, body::WHOLE)).unwrap();
        assert_eq!((body.request.target.as_str(), body.request.host.as_str()), ("/a?b", "host"));
        assert_eq!((body.bytes.as_slice(), body.is_cut), (&b"#EXTM3U\n\n"[..], false));
        assert!(taken(&pieces, &exchange(1, body::CUT)).unwrap().is_cut);
    }

    #[test]
    fn incomplete_bodies_are_discarded() {
        let pieces = [piece(1, 0, "/a\nh\n#EXT"), piece(1, 12, "M3U\n")];
        assert_eq!(taken(&pieces, &exchange(1, body::WHOLE)), None, "a piece is missing");
        assert_eq!(taken(&pieces[1..], &exchange(1, body::WHOLE)), None, "the first one is missing");
        for fate in [body::LOST, body::NONE] {
            assert_eq!(taken(&pieces[..1], &exchange(1, fate)), None);
        }
        assert_eq!(taken(&pieces[..1], &exchange(2, body::WHOLE)), None, "of another request");
        assert_eq!(taken(&[piece(1, 0, "/a")], &exchange(1, body::WHOLE)), None);
    }

    #[test]
    fn finished_bodies_take_no_memory() {
        let mut bodies = Bodies::default();
        bodies.add(&piece(1, 0, "/a\nh\n#EXT"));
        bodies.add(&piece(2, 0, "/a\nh\n#EXT"));
        bodies.add(&BodyPiece { connection: 5, ..piece(1, 0, "/a\nh\n#EXT") });
        bodies.add(&BodyPiece { connection: 5, ..piece(1, 100, "x") });
        assert_eq!(bodies.bytes, 9, "a request takes the place of the one before it");
        bodies.begin(1, 2);
        assert_eq!((bodies.bytes, bodies.take(&exchange(2, body::WHOLE))), (0, None));
    }
}
