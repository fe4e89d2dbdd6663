//! The name of a cached loop: the same settings and the same FFmpeg give the same key, and its contents the
//! rest, so that a loop that a disk has damaged is known as such.

use std::ffi::OsStr;

/// What the name of the loop begins with that `argv` makes with the FFmpeg that calls itself `version`. The
/// target must not be among `argv`.
#[must_use]
pub fn key<'a>(argv: impl IntoIterator<Item = &'a OsStr>, version: &str) -> String {
    let mut hash = Fnv::new();
    for word in argv {
        hash.take(word.as_encoded_bytes());
    }
    hash.take(version.trim().as_bytes());
    format!("loop-{:016x}", hash.0)
}

/// File name of the loop with this key and these contents.
#[must_use]
pub fn file_name(key: &str, contents: &Sum) -> String {
    format!("{key}-{:016x}.nut", contents.0.0)
}

/// A sum over the contents of a loop.
#[derive(Debug)]
pub struct Sum(Fnv);

impl Default for Sum {
    fn default() -> Self {
        Self(Fnv::new())
    }
}

impl Sum {
    /// Adds the next piece.
    pub fn add(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0.byte(*byte));
    }
}

/// FNV-1a, 64 bits: a hash whose values never change, unlike the standard library's.
#[derive(Debug)]
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes a word and its end, so that `ab c` and `a bc` differ.
    fn take(&mut self, word: &[u8]) {
        for byte in word.iter().copied().chain([0]) {
            self.byte(byte);
        }
    }

    const fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(argv: &[&str], version: &str) -> String {
        key(argv.iter().map(OsStr::new), version)
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv::new();
        hash.take(b"");
        // One zero byte: offset basis times prime.
        assert_eq!(hash.0, 0xaf63_bd4c_8601_b7df);
    }

    #[test]
    fn every_setting_and_the_version_count() {
        let base = name(&["-g", "60"], "ffmpeg version 5.1");
        assert_eq!(base, name(&["-g", "60"], "ffmpeg version 5.1\n"));
        assert_ne!(base, name(&["-g", "50"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g6", "0"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g", "60"], "ffmpeg version 7.1"));
    }
}
