//! Passes the bodies of playlists on, in pieces that fit into the pipe.
//!
//! The room for a piece holds the target and host of the request until the body begins, because both go the
//! same way: relative addresses in a playlist mean nothing without the playlist's own address.

use super::super::wire::{BODY_BYTES, BODY_LIMIT, BodyChunk, SNIFF_BYTES, body};

/// Bytes of a body within which a playlist must be recognized: RFC 8216 requires `#EXTM3U` first, but
/// scripts write blank lines before it.
const BLANKS: usize = 64;
/// Maximum length of target and host in bytes; the first piece has room for the beginning of the body, too.
const MAX_ADDRESS: usize = BODY_BYTES - BLANKS - SNIFF_BYTES;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A request is being followed: its target is expected.
    Target,
    /// Its host has arrived, too.
    Host,
    /// The body began, and may be a playlist.
    Undecided,
    /// The body is being passed on.
    Passing,
    /// The body was passed on up to the limit.
    Cut,
    /// A piece did not fit into the pipe.
    Lost,
    /// It is not a playlist, or its address is too long.
    Off,
}

/// The state between two pieces.
pub(super) struct Body {
    state: State,
    /// Bytes of the room that are address.
    address: usize,
    /// Bytes of the body so far.
    taken: u64,
    chunk: BodyChunk,
}

impl Body {
    /// See [`super::Follower::NEW`].
    pub(super) const NEW: Self = Self { state: State::Target, address: 0, taken: 0, chunk: BodyChunk::EMPTY };

    /// A request begins.
    pub(super) fn begin_request(&mut self) {
        self.state = State::Target;
        (self.address, self.taken) = (0, 0);
        (self.chunk.offset, self.chunk.length) = (0, 0);
    }

    /// One more byte of the request's target.
    pub(super) fn target(&mut self, byte: u8) {
        if self.state == State::Target && !self.push(byte, MAX_ADDRESS) {
            self.state = State::Off;
        }
    }

    /// The request named its host.
    pub(super) fn host(&mut self, host: &[u8]) {
        if self.state == State::Target {
            self.state = State::Host;
            let fits = self.push(b'\n', MAX_ADDRESS)
                && host.iter().all(|&byte| self.push(byte, MAX_ADDRESS))
                && self.push(b'\n', MAX_ADDRESS);
            if !fits {
                self.state = State::Off;
            }
        }
    }

    /// Begins a body: `may` it be a playlist, and `must` it be one regardless of its first bytes?
    pub(super) fn begin_body(&mut self, may: bool, must: bool) {
        self.host(b"");
        self.address = self.chunk.length as usize;
        if self.state == State::Host {
            self.state = match (must, may) {
                (true, _) => State::Passing,
                (_, true) => State::Undecided,
                _ => State::Off,
            };
        }
    }

    /// The maximum number of bytes for [`Self::take`]; 0 = a piece is full, and has to be sent first.
    pub(super) fn room(&self) -> usize {
        match self.state {
            State::Undecided => BLANKS,
            State::Passing => BODY_BYTES.saturating_sub(self.chunk.length as usize),
            _ => usize::MAX,
        }
    }

    /// Takes a piece of the body, of [`Self::room`] bytes at most.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Undecided | State::Passing) {
            return;
        }
        for &byte in bytes {
            if self.taken >= BODY_LIMIT {
                self.state = State::Cut;
                return;
            }
            if !self.push(byte, BODY_BYTES) {
                return;
            }
            self.taken = self.taken.wrapping_add(1);
            if self.state == State::Undecided {
                self.decide();
                if self.state == State::Off {
                    return;
                }
            }
        }
    }

    fn decide(&mut self) {
        const WORD: &[u8] = b"#EXTM3U";
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let mut text = self.chunk.piece().get(self.address..).unwrap_or_default();
        let whole = text.len();
        if text.len() < MARK.len() && MARK.starts_with(text) {
            return;
        }
        text = text.strip_prefix(MARK).unwrap_or(text);
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = text {
            text = rest;
        }
        if text.starts_with(WORD) {
            self.state = State::Passing;
        } else if !WORD.starts_with(text) || whole >= BLANKS {
            self.state = State::Off;
        }
    }

    fn push(&mut self, byte: u8, most: usize) -> bool {
        let at = self.chunk.length as usize;
        match self.chunk.bytes.get_mut(at) {
            Some(place) if at < most => {
                *place = byte;
                self.chunk.length = self.chunk.length.wrapping_add(1);
                true
            }
            _ => false,
        }
    }

    /// The piece that has to go now; `whole`: the response is, and its last piece goes too.
    pub(super) fn pending(&mut self, whole: bool) -> Option<&mut BodyChunk> {
        let due = match self.state {
            State::Passing => whole || self.room() == 0,
            State::Cut => whole,
            _ => false,
        };
        (due && self.chunk.length > 0).then_some(&mut self.chunk)
    }

    /// The pending piece is on its way, or (`false`) did not fit.
    pub(super) fn went(&mut self, fitted: bool) {
        self.chunk.offset = self.chunk.offset.wrapping_add(self.chunk.length);
        self.chunk.length = 0;
        if !fitted {
            self.state = State::Lost;
        }
    }

    /// One of [`body`], if the response is whole.
    pub(super) fn fate(&self) -> u8 {
        match self.state {
            State::Passing => body::WHOLE,
            State::Cut => body::CUT,
            State::Lost => body::LOST,
            _ => body::NONE,
        }
    }
}
