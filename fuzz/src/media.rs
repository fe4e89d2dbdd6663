//! The media of segments.

use hls_swarm_media::Reader;

use crate::{cuts_and_input, pieces, planted};

fn read(pieces: &[&[u8]]) -> Reader {
    let mut reader = Reader::new();
    pieces.iter().for_each(|piece| reader.take(piece));
    reader
}

/// Reads a segment, and the same bytes as its initialization section.
///
/// # Panics
/// The times or the tracks depend on how the bytes are divided.
pub fn segments(data: &[u8]) {
    let (cuts, bytes) = cuts_and_input(data);
    let (whole, divided) = (read(&[bytes]), read(&pieces(bytes, cuts)));
    assert_eq!(whole.tracks(), divided.tracks());
    let times = whole.times(whole.tracks());
    assert_eq!(times, divided.times(divided.tracks()));
    if let Ok(times) = times {
        assert_eq!(times.gap_us(0, &times), 0);
        planted(times.start_us > 0);
    }
}
