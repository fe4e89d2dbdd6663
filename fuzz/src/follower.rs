//! The probe's follower of HTTP/1.1, which runs inside each viewer.

#[allow(dead_code, unreachable_pub, missing_docs, reason = "the probe's own module, included as it is")]
#[path = "../../probe/object/http.rs"]
mod http;
#[allow(dead_code, unreachable_pub, missing_docs, reason = "the probe's own module, included as it is")]
#[path = "../../probe/src/record.rs"]
mod wire;

use http::{Follower, Received, Sent};
use wire::{Record, end};

use crate::{cuts_and_input, pieces, planted};

/// One connection as the probe would follow it.
struct Connection {
    follower: Follower,
    over: Vec<(u8, Vec<u8>)>,
    bodies: Vec<u8>,
}

impl Connection {
    fn new() -> Self {
        let mut follower = Follower::NEW;
        follower.reset();
        Self { follower, over: Vec::new(), bodies: Vec::new() }
    }

    fn over(&mut self, how: u8) {
        let facts: Record = self.follower.facts();
        self.over.push((how, facts.as_bytes().to_vec()));
    }

    fn pass_piece(&mut self, whole: bool) {
        let Some(piece) = self.follower.pending_piece(whole) else { return };
        assert!(!piece.piece().is_empty());
        self.bodies.extend(piece.piece());
        self.follower.piece_went(true);
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.send(bytes);
            assert!(taken > 0 || met == Sent::Starts, "every iteration makes progress");
            bytes = &bytes[taken..];
            if met == Sent::Starts {
                if self.follower.in_flight() {
                    self.over(end::SUPERSEDED);
                }
                self.follower.begin();
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
                self.over(end::COMPLETE);
            }
        }
    }
}

/// Requests and responses, divided at bytes 0xff in turns, whole and in pieces.
///
/// # Panics
/// The facts or the bodies of the two differ, or the follower makes no progress.
pub fn probe_follower(data: &[u8]) {
    let (cuts, input) = cuts_and_input(data);
    let run = |cuts: &[u8]| {
        let mut connection = Connection::new();
        for (turn, part) in input.split(|&byte| byte == 0xff).enumerate() {
            for piece in pieces(part, cuts) {
                if turn % 2 == 0 { connection.send(piece) } else { connection.receive(piece) }
            }
        }
        if let Some(how) = connection.follower.end_of_stream() {
            connection.over(how);
        }
        connection
    };
    let (whole, divided) = (run(&[]), run(cuts));
    assert_eq!(whole.over, divided.over);
    assert_eq!(whole.bodies, divided.bodies);
    let ends = |how: u8| whole.over.iter().filter(|(over, _)| *over == how).count();
    planted(ends(end::COMPLETE) > 1 && ends(end::SUPERSEDED) > 1);
}
