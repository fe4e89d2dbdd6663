//! What is fuzzed: one function per parser of data that other programs or people wrote.
//!
//! Each function takes any bytes. It panics if the code under test does, or if a property does not hold: most parsers
//! must see the same however their input is divided, and what a writer writes must be read as the same again.
//!
//! With the feature `planted`, each function makes one false claim about its result. `scripts/fuzz planted` shows that the
//! fuzzer refutes each of them within a minute.

mod follower;
mod media;
mod player;
mod streams;
mod texts;

pub use follower::probe_follower;
pub use media::segments;
pub use player::player;
pub use streams::{ffmpeg_log, http_response, probe_records, progress};
pub use texts::{exposition, nginx_conf, playlists, profiles, reports};

/// Makes the false claim that `condition` never holds, if bugs are planted.
fn planted(condition: bool) {
    assert!(!(cfg!(feature = "planted") && condition), "the planted bug");
}

/// Splits `data` at the first zero byte: the bytes before it are cuts, the others are the input.
fn cuts_and_input(data: &[u8]) -> (&[u8], &[u8]) {
    let at = data.iter().position(|&byte| byte == 0);
    at.map_or((&[], data), |at| (&data[..at], &data[at + 1..]))
}

/// `bytes` in pieces whose lengths are the cuts in turn; the last piece is the rest.
fn pieces<'bytes>(bytes: &'bytes [u8], cuts: &[u8]) -> Vec<&'bytes [u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for &cut in cuts {
        let (piece, after) = rest.split_at(usize::from(cut).min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all.push(rest);
    all
}
