//! Keyboard input: keys from the bytes that a terminal sends (ECMA-48 as xterm, tmux and the Linux console
//! use it). A sequence may arrive in pieces; an unknown one is skipped as a whole.
//!
//! crossterm has such a parser, but only behind its own reader of the terminal; [`hls_swarm_os::terminal`] explains
//! why that reader does not fit.

/// A key of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A printable ASCII character.
    Char(char),
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Escape.
    Escape,
}

/// An incremental parser of the bytes that a terminal sends. It keeps no bytes, only its position in an escape
/// sequence.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyParser {
    state: ParserState,
}

#[derive(Clone, Copy, Debug, Default)]
enum ParserState {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After `ESC [` or `ESC O`; contains the number so far.
    Sequence(u16),
}

impl KeyParser {
    /// Parses bytes and calls `on_key` for each key in them.
    pub fn feed(&mut self, bytes: &[u8], on_key: &mut dyn FnMut(Key)) {
        for byte in bytes {
            let (state, key) = step(self.state, *byte);
            self.state = state;
            if let Some(key) = key {
                on_key(key);
            }
        }
        // A terminal sends a sequence in one write, so an ESC at the end is the key itself.
        if matches!(self.state, ParserState::Escape) {
            self.state = ParserState::Ground;
            on_key(Key::Escape);
        }
    }
}

const fn step(state: ParserState, byte: u8) -> (ParserState, Option<Key>) {
    use ParserState as At;
    match (state, byte) {
        (_, 0x1b) => (At::Escape, None),
        (At::Ground, b'\t') => (At::Ground, Some(Key::Tab)),
        (At::Ground, b' '..=b'~') => (At::Ground, Some(Key::Char(byte as char))),
        (At::Ground, _) => (At::Ground, None),
        (At::Escape, b'[' | b'O') => (At::Sequence(0), None),
        // Alt with a key has no meaning here.
        (At::Escape, _) => (At::Ground, None),
        (At::Sequence(number), b'0'..=b'9') => {
            (At::Sequence(number.saturating_mul(10).saturating_add((byte - b'0') as u16)), None)
        }
        // The number after a semicolon is a modifier, which does not change the key.
        (At::Sequence(number), b';') => (At::Sequence(number.saturating_mul(100)), None),
        (At::Sequence(number), b'~') => (At::Ground, numbered(number)),
        (At::Sequence(_), 0x40..=0x7e) => (At::Ground, lettered(byte)),
        (At::Sequence(number), _) => (At::Sequence(number), None),
    }
}

const fn numbered(number: u16) -> Option<Key> {
    match number {
        1 | 7 => Some(Key::Home),
        4 | 8 => Some(Key::End),
        5 => Some(Key::PageUp),
        6 => Some(Key::PageDown),
        _ => None,
    }
}

const fn lettered(byte: u8) -> Option<Key> {
    match byte {
        b'A' => Some(Key::Up),
        b'B' => Some(Key::Down),
        b'C' => Some(Key::Right),
        b'D' => Some(Key::Left),
        b'F' => Some(Key::End),
        b'H' => Some(Key::Home),
        b'Z' => Some(Key::BackTab),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(pieces: &[&[u8]]) -> Vec<Key> {
        let (mut parser, mut keys) = (KeyParser::default(), Vec::new());
        for piece in pieces {
            parser.feed(piece, &mut |key| keys.push(key));
        }
        keys
    }

    #[test]
    fn sequences_of_common_terminals_are_parsed() {
        assert_eq!(keys(&[b"q?1 "]), [Key::Char('q'), Key::Char('?'), Key::Char('1'), Key::Char(' ')]);
        assert_eq!(keys(&[b"\t\x1b[Z"]), [Key::Tab, Key::BackTab]);
        assert_eq!(keys(&[b"\x1b[A\x1bOB\x1b[1;5C"]), [Key::Up, Key::Down, Key::Right]);
        assert_eq!(
            keys(&[b"\x1b[5~\x1b[6~\x1b[1~\x1b[F"]),
            [Key::PageUp, Key::PageDown, Key::Home, Key::End]
        );
    }

    #[test]
    fn a_sequence_in_pieces_is_one_key_and_a_lone_escape_is_escape() {
        assert_eq!(keys(&[b"\x1b[", b"A"]), [Key::Up]);
        assert_eq!(keys(&[b"\x1b", b"j"]), [Key::Escape, Key::Char('j')]);
    }

    #[test]
    fn an_unknown_sequence_is_skipped_as_a_whole() {
        assert_eq!(keys(&[b"\x1b[200~\x1b[15~\x1b[<0;3;4Mx"]), [Key::Char('x')]);
        assert_eq!(keys(&["ä\u{1f600}\r\0".as_bytes()]), []);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_each_yields_at_most_one_key_and_a_final_escape(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keys(&[&bytes]).len() <= bytes.len() + 1);
        }
    }
}
