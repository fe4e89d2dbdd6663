//! Warnings about deviations in a readable playlist, and their effect on FFmpeg.

use std::fmt;

/// A deviation, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Line number, from 1.
    pub line: usize,
    /// The deviation.
    pub deviation: Deviation,
}

/// The longest address that FFmpeg requests, bytes (its MAX_URL_SIZE, less the final zero).
pub const MAX_ADDRESS_BYTES: usize = 4095;

/// A kind of deviation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// A byte order mark precedes `#EXTM3U`, which RFC 8216 forbids (section 4).
    ByteOrderMark,
    /// A blank or an empty line precedes `#EXTM3U`.
    BlankBeforeHeader,
    /// The line of `#EXTM3U` contains other text.
    HeaderNotAlone,
    /// A target duration below 0.
    NegativeTargetDuration,
    /// A tag whose value is not behind a colon (`#EXTINF 1,`): it counts as a comment, and its
    /// value is lost.
    TagWithoutColon(&'static str),
    /// None of the tags by which FFmpeg recognizes a playlist.
    Unrecognizable,
    /// The value of a tag does not begin with a number; it counts as 0.
    UnreadableNumber(&'static str),
    /// The value of a tag cannot be read; it counts as missing.
    UnreadableValue(&'static str),
    /// An address that is not a valid URL.
    UnreadableAddress,
    /// An address that no tag precedes to define its role; it counts as a comment.
    StrayAddress,
    /// A blank before a tag or an address. Players that do not trim the line recognize neither.
    LeadingBlank,
    /// Segments are encrypted with a method that FFmpeg does not know, or with a key that only a DRM system has.
    UnplayableEncryption(String),
    /// EXT-X-DEFINE: addresses have variables in them.
    Variables,
    /// A variable of this name that is not defined.
    UndefinedVariable(String),
    /// An address of this many bytes, which is more than [`MAX_ADDRESS_BYTES`].
    LongAddress(usize),
}

impl Deviation {
    /// Whether FFmpeg refuses a playlist because of it (4.4 to 9.0).
    #[must_use]
    pub const fn is_refused_by_ffmpeg(&self) -> bool {
        matches!(
            self,
            Self::ByteOrderMark
                | Self::BlankBeforeHeader
                | Self::HeaderNotAlone
                | Self::NegativeTargetDuration
        )
    }

    /// Whether FFmpeg opens the playlist, but cannot play what is in it.
    #[must_use]
    pub const fn is_unplayable_by_ffmpeg(&self) -> bool {
        matches!(self, Self::UnplayableEncryption(_) | Self::Variables | Self::LongAddress(_))
    }
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByteOrderMark => {
                f.write_str("the playlist begins with a byte order mark (EF BB BF), which players refuse")
            }
            Self::BlankBeforeHeader => {
                f.write_str("a blank or an empty line is before #EXTM3U, which FFmpeg refuses")
            }
            Self::HeaderNotAlone => {
                f.write_str("#EXTM3U is not alone on its line, which FFmpeg refuses")
            }
            Self::NegativeTargetDuration => f.write_str("EXT-X-TARGETDURATION is negative, which FFmpeg refuses"),
            Self::TagWithoutColon(tag) => write!(f, "{tag} has no colon before its value, so players ignore it"),
            Self::Unrecognizable => f.write_str(
                "without EXT-X-TARGETDURATION, EXT-X-MEDIA-SEQUENCE or EXT-X-STREAM-INF, FFmpeg recognizes no playlist",
            ),
            Self::UnreadableNumber(tag) => write!(f, "the value of {tag} is not a number"),
            Self::UnreadableValue(tag) => write!(f, "the value of {tag} cannot be read"),
            Self::UnreadableAddress => f.write_str("the address is not a valid URL"),
            Self::StrayAddress => f.write_str("no tag precedes the address, so players ignore it"),
            Self::LeadingBlank => f.write_str("the line begins with a blank"),
            Self::UnplayableEncryption(method) => {
                write!(f, "EXT-X-KEY: segments are encrypted with {method} (DRM), which FFmpeg cannot decrypt")
            }
            Self::Variables => f.write_str("EXT-X-DEFINE: FFmpeg does not replace variables in addresses"),
            Self::UndefinedVariable(name) => {
                write!(f, "no EXT-X-DEFINE has a value for the variable {name}, so players refuse the playlist")
            }
            Self::LongAddress(bytes) => write!(
                f,
                "the address has {bytes} bytes, and FFmpeg cannot request one of more than {MAX_ADDRESS_BYTES}"
            ),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the playlist: {}", self.line, self.deviation)
    }
}
