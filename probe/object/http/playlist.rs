//! Reads a media playlist (RFC 8216) as it passes: a few tags and the last segment's name.

use super::super::wire::{Record, URL_HASH_START, flag, hash_byte};
use super::text::{Line, decimal};

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the end of the first line.
    First,
    /// In a playlist.
    Playlist,
    /// In something else.
    Other,
}

/// The state between two pieces of a body. Tags are short; of a longer line the end is not needed.
pub(super) struct Playlist {
    state: State,
    line: Line<48>,
    /// The line has anything in it.
    written: bool,
    /// Hash of the last path element of the line, 0 after a query began.
    name: u64,
    in_query: bool,
}

impl Playlist {
    /// See [`super::Follower::NEW`].
    pub(super) const NEW: Self =
        Self { state: State::First, line: Line::new(), written: false, name: 0, in_query: false };

    /// A body begins.
    pub(super) fn begin(&mut self) {
        self.state = State::First;
        self.begin_line();
    }

    fn begin_line(&mut self) {
        self.line.clear();
        (self.written, self.name, self.in_query) = (false, URL_HASH_START, false);
    }

    /// Takes a piece of the body.
    pub(super) fn take(&mut self, mut bytes: &[u8], record: &mut Record) {
        while !bytes.is_empty() && self.state != State::Other {
            let (taken, ended) = self.line.fill(bytes);
            let part = bytes.get(..taken).unwrap_or_default();
            bytes = bytes.get(taken..).unwrap_or_default();
            self.written |= part.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            let uri = self.line.text().first().is_some_and(|&first| first != b'#');
            if self.state == State::Playlist && uri {
                self.hash(part);
            }
            if self.state == State::First && (ended || self.line.text().len() > 16) {
                let text = self.line.text();
                let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
                self.state = if text.starts_with(b"#EXTM3U") { State::Playlist } else { State::Other };
            }
            if ended {
                self.end_line(record);
            }
        }
    }

    fn hash(&mut self, part: &[u8]) {
        for &byte in part {
            match byte {
                b'\r' | b'\n' => {}
                b'?' | b'#' => self.in_query = true,
                _ if self.in_query => {}
                b'/' => self.name = URL_HASH_START,
                _ => self.name = hash_byte(self.name, byte),
            }
        }
    }

    fn end_line(&mut self, record: &mut Record) {
        let text = self.line.text();
        let value = |tag: &[u8]| text.strip_prefix(tag).and_then(number);
        if text.first().is_some_and(|&first| first != b'#') {
            record.last_segment = self.name;
        } else if text.starts_with(b"#EXTINF:") {
            record.segments = record.segments.wrapping_add(1);
        } else if let Some(seconds) = value(b"#EXT-X-TARGETDURATION:") {
            record.target_duration_s = u32::try_from(seconds).unwrap_or(u32::MAX);
            record.flags |= flag::MEDIA_PLAYLIST;
        } else if let Some(sequence) = value(b"#EXT-X-MEDIA-SEQUENCE:") {
            record.media_sequence = sequence;
        } else if let Some(sequence) = value(b"#EXT-X-DISCONTINUITY-SEQUENCE:") {
            record.discontinuity_sequence = u32::try_from(sequence).unwrap_or(u32::MAX);
        } else if text.starts_with(b"#EXT-X-ENDLIST") {
            record.flags |= flag::END_LIST;
        }
        self.begin_line();
    }

    /// The body is whole: its last line may lack its end.
    pub(super) fn finish(&mut self, record: &mut Record) {
        if self.state == State::Playlist && self.written {
            self.end_line(record);
        }
        self.state = State::Other;
        // EXT-X-TARGETDURATION is required of a media playlist, and of no master playlist.
        if record.flags & flag::MEDIA_PLAYLIST == 0 || record.flags & flag::ENCODED != 0 {
            record.flags &= !(flag::MEDIA_PLAYLIST | flag::END_LIST);
            (record.media_sequence, record.last_segment) = (0, 0);
            (record.segments, record.target_duration_s, record.discontinuity_sequence) = (0, 0, 0);
        }
    }
}

/// The number that a value begins with: some servers write a fraction where an integer belongs.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    value.get(..digits).and_then(decimal)
}
