//! Keys from the bytes that a terminal sends (ECMA-48 and what xterm, tmux and the Linux console
//! make of it). A sequence may come in pieces; one that nobody knows is skipped whole.

use crate::tui::key::Key;

/// The parser. It keeps no bytes, only where it is in a sequence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys {
    at: At,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC [ or ESC O; the number so far.
    Sequence(u16),
}

impl Keys {
    /// Takes bytes and tells the keys in them.
    pub fn feed(&mut self, bytes: &[u8], hear: &mut dyn FnMut(Key)) {
        for byte in bytes {
            let (at, key) = step(self.at, *byte);
            self.at = at;
            if let Some(key) = key {
                hear(key);
            }
        }
        // A terminal sends a sequence in one go; an ESC that nothing follows is the key itself.
        if matches!(self.at, At::Escape) {
            self.at = At::Ground;
            hear(Key::Escape);
        }
    }
}

const fn step(at: At, byte: u8) -> (At, Option<Key>) {
    match (at, byte) {
        (_, 0x1b) => (At::Escape, None),
        (At::Ground, b'\t') => (At::Ground, Some(Key::Tab)),
        (At::Ground, b' '..=b'~') => (At::Ground, Some(Key::Char(byte as char))),
        (At::Ground, _) => (At::Ground, None),
        (At::Escape, b'[' | b'O') => (At::Sequence(0), None),
        // Alt and a key: not ours.
        (At::Escape, _) => (At::Ground, None),
        (At::Sequence(number), b'0'..=b'9') => {
            (At::Sequence(number.saturating_mul(10).saturating_add((byte - b'0') as u16)), None)
        }
        // What stands after a semicolon are modifiers: the key is the same.
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
        let (mut keys, mut heard) = (Keys::default(), Vec::new());
        for piece in pieces {
            keys.feed(piece, &mut |key| heard.push(key));
        }
        heard
    }

    #[test]
    fn what_terminals_send_is_understood() {
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
    fn what_is_unknown_is_skipped_whole() {
        assert_eq!(keys(&[b"\x1b[200~\x1b[15~\x1b[<0;3;4Mx"]), [Key::Char('x')]);
        assert_eq!(keys(&["ä\u{1f600}\r\0".as_bytes()]), []);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_yields_more_than_two_keys(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keys(&[&bytes]).len() <= bytes.len() + 1);
        }
    }
}
