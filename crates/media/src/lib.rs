//! The times of media in segments: fragmented MP4 (ISO/IEC 14496-12) and MPEG-TS (ISO/IEC 13818-1). Nothing is decoded, and
//! nothing in this crate does I/O.

mod fragments;
mod packets;
mod times;

use fragments::Fragments;
use packets::Packets;

pub use fragments::{Track, Tracks};
pub use times::{Times, Unread};

/// Reads the times of a segment, or the tracks of an initialization section, whose bytes arrive in any pieces.
#[derive(Clone, Debug, Default)]
pub struct Reader(Format);

/// What is read, by the first byte.
#[derive(Clone, Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Packets(Box<Packets>),
    Fragments(Box<Fragments>),
}

impl Reader {
    /// A body of which nothing has arrived.
    #[must_use]
    pub const fn new() -> Self {
        Self(Format::Unknown)
    }

    /// Takes bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        let Some(first) = bytes.first() else { return };
        if matches!(self.0, Format::Unknown) {
            // As the length of a box, the byte would mean more than a gigabyte.
            self.0 = match *first {
                packets::SYNC => Format::Packets(Box::default()),
                _ => Format::Fragments(Box::default()),
            };
        }
        match &mut self.0 {
            Format::Packets(packets) => packets.take(bytes),
            Format::Fragments(fragments) => fragments.take(bytes),
            Format::Unknown => {}
        }
    }

    /// The times of the segment, which is whole. `tracks` are those of its initialization section.
    ///
    /// # Errors
    /// Its times cannot be read.
    pub fn times(&self, tracks: Option<&Tracks>) -> Result<Times, Unread> {
        match &self.0 {
            Format::Unknown => Err(Unread::Format),
            Format::Packets(packets) => packets.times(),
            Format::Fragments(fragments) => fragments.times(tracks),
        }
    }

    /// The tracks, if the body is an initialization section.
    #[must_use]
    pub fn tracks(&self) -> Option<&Tracks> {
        match &self.0 {
            Format::Fragments(fragments) => fragments.tracks(),
            Format::Unknown | Format::Packets(_) => None,
        }
    }
}
