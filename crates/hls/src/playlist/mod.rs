//! Media and multivariant playlists: model, reader and writer.
//!
//! It is not a validator: it reads what players read, and reports deviations ([`warning`]) and the reason why a
//! text cannot be played at all ([`InvalidPlaylist`]).

mod attributes;
mod label;
pub mod low_latency;
pub mod media;
pub mod multivariant;
pub mod pathway;
mod reader;
pub mod variables;
pub mod warning;
mod writer;

use std::fmt;

use url::Url;

use warning::Warning;

pub use media::Media;
pub use multivariant::{Multivariant, RenditionKind, Variant};
pub use reader::{Reading, read, read_with};

/// A playlist. Its text is what [`fmt::Display`] writes.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// A list of variants.
    Multivariant(Multivariant),
    /// A list of segments.
    Media(Media),
}

/// The reason why a text is not a playlist that can be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidPlaylist {
    /// It is empty.
    Empty,
    /// It looks like HTML.
    Html,
    /// The first line is not `#EXTM3U`; holds its beginning.
    NoHeader(String),
    /// It lists neither variants nor segments.
    NothingListed,
    /// It has something that FFmpeg refuses.
    Refused(Warning),
}

impl fmt::Display for InvalidPlaylist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the response is empty"),
            Self::Html => f.write_str("the response is an HTML page, not a playlist"),
            Self::NoHeader(start) => write!(f, "the response begins with {start:?} instead of #EXTM3U"),
            Self::NothingListed => f.write_str("the playlist lists neither variants nor segments"),
            Self::Refused(warning) => warning.fmt(f),
        }
    }
}

impl std::error::Error for InvalidPlaylist {}

/// Reads the playlist in `text`, which was found at `base`, as something that FFmpeg is to play.
///
/// # Errors
/// [`InvalidPlaylist`] if it is not a playlist, lists nothing, or has what FFmpeg refuses.
pub fn parse(text: &str, base: &Url) -> Result<Playlist, InvalidPlaylist> {
    let reading = read(text, base)?;
    match refusal(&reading) {
        Some(refused) => Err(refused),
        None => Ok(reading.playlist),
    }
}

/// Returns why FFmpeg cannot play a playlist that can be read; `None` if it can.
#[must_use]
pub fn refusal(reading: &Reading) -> Option<InvalidPlaylist> {
    let refused = reading.warnings.iter().find(|warning| warning.deviation.is_refused_by_ffmpeg());
    match &reading.playlist {
        _ if refused.is_some() => refused.cloned().map(InvalidPlaylist::Refused),
        Playlist::Media(media) if media.segments.is_empty() => Some(InvalidPlaylist::NothingListed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
