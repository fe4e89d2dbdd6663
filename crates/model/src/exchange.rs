//! One HTTP exchange as a viewer saw it, whichever source reported it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::listed::{SegmentId, VariantLabel};

/// The kind of a requested object, in the terms of RFC 8216.
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
    /// A steering manifest (EXT-X-CONTENT-STEERING).
    Steering,
    /// Anything else.
    Other,
}

impl Kind {
    /// All kinds, in the order of every table.
    pub const ALL: [Self; 6] =
        [Self::Playlist, Self::Segment, Self::Init, Self::Key, Self::Steering, Self::Other];

    /// The name in reports and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Playlist => "manifest",
            Self::Segment => "segment",
            Self::Init => "init",
            Self::Key => "key",
            Self::Steering => "steering",
            Self::Other => "other",
        }
    }
}

/// The end of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The response arrived whole.
    Complete,
    /// The viewer closed the connection first.
    ClosedByViewer,
    /// The viewer gave a segment up for one of a lower variant, and closed the connection.
    Abandoned,
    /// The peer closed the connection first.
    ClosedByPeer,
    /// The connection failed with this errno.
    SocketError(u16),
    /// The viewer sent another request on the connection.
    Superseded,
    /// The viewer's process ended.
    ProcessExit,
    /// The peer had closed the kept connection before the request was sent into it: no server ever
    /// saw the request, and the viewer sends it again on another connection (RFC 9112, 9.3.1).
    Stale,
}

/// A cache result that an edge reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// Served from the cache.
    Hit,
    /// Fetched from the server behind it.
    Miss,
    /// Another result: expired, stale, bypass…
    Other,
}

/// The content of a media playlist (RFC 8216, 4.3.3), as one viewer read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPlaylist {
    /// EXT-X-MEDIA-SEQUENCE.
    pub sequence: u64,
    /// The number of segments that it lists.
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
    /// The sockets of native viewers: measured.
    Native,
}

impl Source {
    /// The name in reports and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Log => "log",
            Self::Native => "native",
        }
    }
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HttpVersion {
    /// HTTP/1.1 (RFC 9112), or HTTP/1.0.
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    /// HTTP/2 (RFC 9113).
    #[serde(rename = "2")]
    Http2,
    /// HTTP/3 (RFC 9114).
    #[serde(rename = "3")]
    Http3,
}

impl HttpVersion {
    /// All versions, in the order of every table.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Http3];

    /// The name in reports and metric labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "1.1",
            Self::Http2 => "2",
            Self::Http3 => "3",
        }
    }
}

/// One request and its outcome. Times are `CLOCK_MONOTONIC` nanoseconds; a value that was not measured
/// is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// Viewer number, from 1.
    pub viewer: u32,
    /// Number of the viewer's start, from 1.
    pub generation: u32,
    /// Process of the viewer.
    pub pid: u32,
    /// The version of HTTP.
    pub http: HttpVersion,
    /// Connection within the process, from 1; 0 = not known.
    pub connection: u32,
    /// Requests under way on the connection when this one was sent, with it.
    pub streams: u32,
    /// The kind of the requested object.
    pub kind: Kind,
    /// Last element of the URL's path.
    pub name: Box<str>,
    /// Hash of the URL without delivery directives (`_HLS_…`), which differ from one reload to the next.
    pub url_hash: u64,
    /// Status code, `None` if no response arrived.
    pub status: Option<u16>,
    /// The end of the exchange.
    pub outcome: Outcome,
    /// Time when the request was sent.
    pub started_ns: u64,
    /// Name lookup, on the first exchange after one.
    pub dns_ns: Option<u64>,
    /// TCP connect, on the first exchange of a connection.
    pub connect_ns: Option<u64>,
    /// TLS handshake, on the first exchange of a connection.
    pub tls_ns: Option<u64>,
    /// QUIC handshake, on the first exchange of a connection.
    pub quic_ns: Option<u64>,
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
    /// Whether the response had a body of which not even the length is known; then `body_bytes` is 0.
    pub unknown_body: bool,
    /// The apparent content of the body, if any of it was read and it was not content-encoded.
    pub content: Option<Content>,
    /// Whether the body is whole, but ends in the middle of an MPEG-TS packet or of an ISO box.
    pub cut_short: bool,
    /// The announced length of the body, if there is one. A complete body has this length.
    pub announced_bytes: Option<u64>,
    /// Bytes beyond the announced end of the response: the announced length was too small.
    pub excess_bytes: u64,
    /// The requested segment, if a playlist that this or another viewer read lists it.
    pub segment: Option<SegmentId>,
    /// Whether a playlist announces that the requested segment is missing (EXT-X-GAP).
    pub gap: bool,
    /// The variant or rendition that the object belongs to: the media playlist, or what that lists, except keys.
    pub variant: Option<Arc<VariantLabel>>,
    /// Whether the request allowed the server to delay the response until the playlist has new content (LL-HLS):
    /// then the time to the first byte does not measure the server.
    pub blocking_reload: bool,
    /// Bytes that the kernel received on the connection for this exchange, FIN not counted.
    pub received_bytes: Option<u64>,
    /// Whether the exchange ran inside TLS.
    pub tls: bool,
    /// Retransmits of the connection so far.
    pub retransmits: Option<u32>,
    /// Packets of the QUIC connection that the viewer sent and that were lost, so far.
    pub lost_packets: Option<u32>,
    /// Round-trip time of the connection, smoothed by the kernel (of QUIC, by the viewer), microseconds.
    pub rtt_us: Option<u32>,
    /// The smallest round-trip time of the connection in the last minutes, microseconds.
    pub min_rtt_us: Option<u32>,
    /// A cache result that an edge reported.
    pub cache: Option<Cache>,
    /// `Age` of the response, seconds.
    pub age_s: Option<u32>,
    /// The name that the edge gives itself (X-Served-By, X-Amz-Cf-Pop, CF-Ray's place, Via).
    pub edge: Option<Box<str>>,
    /// The content of the media playlist, if the body was one and arrived whole.
    pub playlist: Option<MediaPlaylist>,
    /// The peer.
    pub peer: Option<(IpAddr, u16)>,
    /// Local port: with the peer's address it identifies the connection in a server's log.
    pub local_port: Option<u16>,
}
