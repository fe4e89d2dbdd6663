//! A segment whose body a viewer has read. Most viewers discard theirs unseen.

use std::net::IpAddr;
use std::sync::Arc;

use hls_swarm_media::{Times, Unread};

use crate::listed::VariantLabel;

/// A whole segment that a viewer has read, and what its playlist lists about it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRead {
    /// Its identity: the hash of its URL without the query, which may hold a token of the viewer, and of its byte range.
    pub url: u64,
    /// That of the segment before it in the playlist; `None` if there is none, or a discontinuity is between them.
    pub before: Option<u64>,
    /// Last element of its path.
    pub name: Box<str>,
    /// The variant or rendition that it belongs to.
    pub variant: Option<Arc<VariantLabel>>,
    /// Its media sequence number.
    pub sequence: u64,
    /// EXTINF, microseconds.
    pub announced_us: u64,
    /// Whether EXTINF has to be rounded to seconds: the playlist's version is below 3.
    pub whole_seconds: bool,
    /// EXT-X-TARGETDURATION, microseconds.
    pub target_us: u64,
    /// Bytes of the body, without the framing of chunks.
    pub bytes: u64,
    /// The first eight bytes of its SHA-256; `None` if it was sent with a content coding, which may differ.
    pub hash: Option<u64>,
    /// The server that sent it.
    pub edge: Option<IpAddr>,
    /// The times of its media.
    pub times: Result<Times, Unread>,
}
