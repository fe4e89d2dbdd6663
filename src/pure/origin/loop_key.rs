//! The name of a cached loop: the same settings and the same FFmpeg give the same name.

use std::ffi::OsStr;

/// File name of the loop that `argv` makes with the FFmpeg that calls itself `version`. The target
/// must not be among `argv`.
#[must_use]
pub fn file_name<'a>(argv: impl IntoIterator<Item = &'a OsStr>, version: &str) -> String {
    let mut hash = Fnv::new();
    for word in argv {
        hash.take(word.as_encoded_bytes());
    }
    hash.take(version.trim().as_bytes());
    format!("loop-{:016x}.nut", hash.0)
}

/// FNV-1a, 64 bits: a hash whose values never change, unlike the standard library's.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes a word and its end, so that `ab c` and `a bc` differ.
    fn take(&mut self, word: &[u8]) {
        for byte in word.iter().copied().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(argv: &[&str], version: &str) -> String {
        file_name(argv.iter().map(OsStr::new), version)
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
