//! One HTTP exchange as a viewer saw it, whichever source reported it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::listed::SegmentId;

/// What was asked for, in the terms of RFC 8216.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A playlist, multivariant or media.
    #[serde(rename = "manifest")]
    Playlist,
    /// A media segment.
    Segment,
    /// A media initialization section (EXT-X-MAP).
    Init,
    /// A decryption key (EXT-X-KEY).
    Key,
    /// Anything else.
    Other,
}

impl Kind {
    /// All kinds, in the order of every table.
    pub const ALL: [Self; 5] = [Self::Playlist, Self::Segment, Self::Init, Self::Key, Self::Other];

    /// The name in reports and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Playlist => "manifest",
            Self::Segment => "segment",
            Self::Init => "init",
            Self::Key => "key",
            Self::Other => "other",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The response arrived whole.
    Complete,
    /// The viewer closed the connection first.
    ClosedByViewer,
    /// The peer closed the connection first.
    ClosedByPeer,
    /// The connection failed with this errno.
    SocketError(u16),
    /// The viewer went on with another request.
    Superseded,
    /// The viewer's process ended.
    ProcessExit,
    /// The peer had closed the kept connection before the request was sent into it: no server ever
    /// saw the request, and the viewer sends it again on another connection (RFC 9112, 9.3.1).
    Stale,
}

/// The cache result that the edge reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// Served from the cache.
    Hit,
    /// Fetched from behind it.
    Miss,
    /// Another result: expired, stale, bypass…
    Other,
}

/// What a media playlist contained (RFC 8216, 4.3.3), as one viewer read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-MEDIA-SEQUENCE.
    pub sequence: u64,
    /// How many segments it lists.
    pub segments: u32,
    /// Hash of the last segment's name; 0 = no segment.
    pub last_segment: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u32,
    /// EXT-X-TARGETDURATION, seconds.
    pub target_seconds: u32,
    /// Whether it has an EXT-X-ENDLIST.
    pub ended: bool,
}

impl MediaPlaylist {
    /// The media sequence number that the segment after the last one will have.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.sequence.saturating_add(self.segments as u64)
    }
}

/// The source of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The socket probe inside the viewer: measured.
    Probe,
    /// FFmpeg's log: inferred.
    Log,
}

/// One request and what came of it. Times are `CLOCK_MONOTONIC` nanoseconds; what was not measured
/// is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Viewer number, from 1.
    pub viewer: u32,
    /// How often the viewer had been started, from 1.
    pub generation: u32,
    /// Process of the viewer.
    pub pid: u32,
    /// Connection within the process, from 1; 0 = not known.
    pub connection: u32,
    /// What was asked for.
    pub kind: Kind,
    /// Last element of the URL's path.
    pub name: Box<str>,
    /// Hash of the URL without delivery directives (`_HLS_…`), which differ from one reload to the next.
    pub url_hash: u64,
    /// Status code, `None` if no response arrived.
    pub status: Option<u16>,
    /// How it ended.
    pub outcome: Outcome,
    /// When the request was sent.
    pub started_ns: u64,
    /// Name look-up, on the first exchange after one.
    pub dns_ns: Option<u64>,
    /// TCP connect, on the first exchange of a connection.
    pub connect_ns: Option<u64>,
    /// TLS handshake, on the first exchange of a connection.
    pub tls_ns: Option<u64>,
    /// From the request to the first byte of the response.
    pub first_byte_ns: Option<u64>,
    /// From the first to the last byte's arrival, for complete responses.
    pub download_ns: Option<u64>,
    /// From the last byte read to the end, for exchanges that did not complete.
    pub idle_ns: Option<u64>,
    /// Bytes of the response head.
    pub head_bytes: u64,
    /// Body bytes that the viewer read, chunk framing included (nginx's `$body_bytes_sent`).
    pub body_bytes: u64,
    /// What the body looks like, if any of it was read and was not content-encoded.
    pub content: Option<Content>,
    /// Whether the body is whole, but ends in the middle of an MPEG-TS packet or of an ISO box.
    pub cut_short: bool,
    /// How many bytes of body the response announced, if it did. A complete one has as many.
    pub announced_bytes: Option<u64>,
    /// Bytes that came behind the end of the response as it was announced: the length was too small.
    pub excess_bytes: u64,
    /// The segment that was asked for, if a playlist that this or another viewer read lists it.
    pub segment: Option<SegmentId>,
    /// Whether the request let the server hold the answer back until the playlist has something new (LL-HLS):
    /// then the time to the first byte does not measure the server.
    pub blocking_reload: bool,
    /// Bytes that the kernel received on the connection for this exchange, FIN not counted.
    pub received_bytes: Option<u64>,
    /// Whether the exchange ran inside TLS.
    pub tls: bool,
    /// Retransmits of the connection so far.
    pub retransmits: Option<u32>,
    /// Round-trip time of the connection, smoothed by the kernel, microseconds.
    pub rtt_us: Option<u32>,
    /// The smallest round-trip time of the connection in the last minutes, microseconds.
    pub min_rtt_us: Option<u32>,
    /// The cache result that the edge reported.
    pub cache: Option<Cache>,
    /// `Age` of the response, seconds.
    pub age_s: Option<u32>,
    /// What the edge calls itself (X-Served-By, X-Amz-Cf-Pop, CF-Ray's place, Via).
    pub edge: Option<Box<str>>,
    /// What the media playlist contained, if the body was one and arrived whole.
    pub playlist: Option<MediaPlaylist>,
    /// The peer.
    pub peer: Option<(IpAddr, u16)>,
    /// Own port: with the peer it names the connection in a server's log.
    pub local_port: Option<u16>,
}
