//! The data that the socket probe writes into the shared pipe: [`Record`]s, one fixed size, integers only, and
//! between them the bodies of playlists in pieces ([`BodyChunk`]). [`Frame`] distinguishes them.
//!
//! This file is compiled twice: into the probe (`no_std`, inside FFmpeg) and into the program that
//! reads the pipe. Both ends come from one build, so the layout needs no negotiation; [`MAGIC`] and
//! [`VERSION`] only detect a pipe that another program wrote into.
//!
//! All times are `CLOCK_MONOTONIC` nanoseconds; both ends run under one kernel, so they compare.

/// First four bytes of every record.
pub const MAGIC: u32 = 0x484c_5350;
/// Layout version; changes with every change of [`Record`].
pub const VERSION: u16 = 4;
/// Bytes of one record: below `PIPE_BUF`, so that a write is whole or not at all.
pub const RECORD_BYTES: usize = core::mem::size_of::<Record>();
/// Environment variable that carries `FD:VIEWER:GENERATION` (decimal) into the child.
pub const ENVIRONMENT: &str = "HLS_SWARM_PROBE_PIPE";
/// Environment variable that carries what the probe is to change about the network, in words separated
/// by one space: `cap=BITS_PER_SECOND`, `source=ADDRESS` (one of each family at most),
/// `resolve=HOST/PORT/ADDRESS,ADDRESS…` (port 0 = any), `verify=no` (every certificate is accepted),
/// `trust=SSL_CERT_FILE` (the authorities in the file that this variable names, not the system's).
///
/// Three words forbid connections; each one has to allow a host. `hosts=HOST,HOST…` (loopback is allowed as well),
/// `origins=HOST/PORT,HOST/PORT…` (port 0 = any; loopback is not exempt), `local=only` (this machine and private
/// networks). A HOST is a name, an address, or `*.NAME` for all names below it.
pub const NETWORK_ENVIRONMENT: &str = "HLS_SWARM_NETWORK";
/// The maximum length of its value in bytes.
pub const NETWORK_BYTES: usize = 16_000;

/// `Record::error` of a HELLO: the process will not connect to anything.
pub const BAD_NETWORK: u16 = 22;
/// The prefix of the names of variables that hold a whole argument; a number follows.
pub const SECRET: &str = "HLS_SWARM_SECRET_";
/// The end of such a name in a reference to the argument: `{HLS_SWARM_SECRET_1}`.
pub const SECRET_END: &str = "}";

/// Room for the last element of a URL path.
pub const NAME_BYTES: usize = 96;
/// Room for a `Content-Type`.
pub const CONTENT_TYPE_BYTES: usize = 40;
/// Room for the name of the edge.
pub const EDGE_BYTES: usize = 40;
/// Number of first bytes of an entity that are kept, to distinguish playlists from segments by content.
pub const SNIFF_BYTES: usize = 16;
/// Room for one piece of a body; header and piece together are [`FRAME_BYTES`].
pub const BODY_BYTES: usize = FRAME_BYTES - BODY_HEADER_BYTES;
/// Most bytes of one frame: `PIPE_BUF` of Linux, so that a write is whole or not at all.
pub const FRAME_BYTES: usize = 4096;
/// Most bytes of one body that are passed on; of a longer one ([`body::CUT`]) only these.
pub const BODY_LIMIT: u64 = 1 << 20;
/// Bytes of a [`BodyChunk`] before its piece of the body.
const BODY_HEADER_BYTES: usize = 9 * 4;

/// `Record::kind`: the kind of event that a record reports.
pub mod kind {
    /// The probe was loaded into a process. Only the common fields and `started_ns` hold. `sequence`
    /// counts from here: a process that executes another program keeps its pid and writes another HELLO.
    /// `error` is [`super::BAD_NETWORK`] if [`super::NETWORK_ENVIRONMENT`] could not be read.
    pub const HELLO: u8 = 1;
    /// A request and its response (or the lack of it) are over. Interim (1xx) responses are skipped;
    /// a redirect is an exchange of its own.
    pub const EXCHANGE: u8 = 2;
    /// A connection could not be made: name not resolved, connection refused, timed out, or abandoned.
    /// One record per attempt: of the addresses of a name some may fail while another one works.
    /// `idle_ns` is the time until it failed.
    pub const CONNECT_FAILED: u8 = 3;
    /// A connection was closed; `received` carries what the kernel received since the record before
    /// (including bytes that the viewer requested and never read), `request` the number of requests, `end`
    /// who closed it, `flags` whether it was [`super::flag::TLS`]. TLS with `request` 0 and without
    /// [`super::flag::TLS_HANDSHAKE`] means that the handshake failed, unless [`super::flag::HIDDEN`] is
    /// there too.
    pub const CLOSED: u8 = 4;
    /// A piece of the body of a response that is (or may be, if it is content-encoded) a playlist: a
    /// [`super::BodyChunk`]. The record of its exchange follows; its `body` shows whether all pieces came.
    pub const BODY: u8 = 5;
    /// The settings forbid a connection, which was not made: for the program it was refused. `error` is one of
    /// [`super::forbidden`]. `peer` is its address, or `name` the host name that was not looked up (its end is
    /// cut if it is longer).
    pub const FORBIDDEN: u8 = 6;
}

/// `Record::error` of a FORBIDDEN: the word of the settings that does not allow the host.
pub mod forbidden {
    /// `hosts=`.
    pub const HOSTS: u16 = 1;
    /// `local=only`.
    pub const LOCAL: u16 = 2;
    /// `origins=`.
    pub const ORIGINS: u16 = 3;
}

/// `Record::body`: whether the body of the response was sent in [`BodyChunk`]s.
pub mod body {
    /// Not sent: the body is not a playlist, or the exchange ended before its response was whole.
    pub const NONE: u8 = 0;
    /// All of it was sent.
    pub const WHOLE: u8 = 1;
    /// Its first [`super::BODY_LIMIT`] bytes were sent.
    pub const CUT: u8 = 2;
    /// A piece of it is missing, because the pipe was too full for it.
    pub const LOST: u8 = 3;
}

/// `Record::encoding`: the Content-Encoding of the response.
pub mod encoding {
    /// None, or identity.
    pub const IDENTITY: u8 = 0;
    /// gzip or x-gzip.
    pub const GZIP: u8 = 1;
    /// deflate (RFC 1950, though some servers send bare RFC 1951).
    pub const DEFLATE: u8 = 2;
    /// Another one (br, zstd), or several.
    pub const OTHER: u8 = 3;
}

/// `Record::content`: the apparent content of the body, by its first bytes.
pub mod content {
    /// No byte of a body was read, or it is content-encoded.
    pub const UNKNOWN: u8 = 0;
    /// The response is whole and its body has no bytes.
    pub const EMPTY: u8 = 1;
    /// MPEG transport stream: sync bytes at each place of the first three packets that came.
    pub const MPEG_TS: u8 = 2;
    /// ISO base media file: a box that segments and initialization sections begin with.
    pub const ISO_BOX: u8 = 3;
    /// AAC with ADTS headers.
    pub const ADTS: u8 = 4;
    /// An ID3 tag, which packed audio begins with (RFC 8216, 3.4).
    pub const ID3: u8 = 5;
    /// MPEG audio (MP3).
    pub const MPEG_AUDIO: u8 = 6;
    /// AC-3 or Enhanced AC-3.
    pub const AC3: u8 = 7;
    /// WebVTT.
    pub const WEBVTT: u8 = 8;
    /// A playlist.
    pub const PLAYLIST: u8 = 9;
    /// An HTML page.
    pub const HTML: u8 = 10;
    /// XML that is not HTML.
    pub const XML: u8 = 11;
    /// JSON.
    pub const JSON: u8 = 12;
    /// Other printable text.
    pub const TEXT: u8 = 13;
    /// Anything else, such as encrypted segments and keys.
    pub const OTHER: u8 = 14;
}

/// `Record::end`: how an exchange or a connection attempt ended.
pub mod end {
    /// The response arrived whole.
    pub const COMPLETE: u8 = 1;
    /// The viewer closed the socket before it had read the whole response. If the viewer had read no
    /// part of it, but the head lay in the socket, `status` and the other facts of the head are there
    /// without [`super::flag::FIRST_BYTE`] and without counted bytes (not under TLS).
    pub const CLOSED_BY_VIEWER: u8 = 2;
    /// The peer closed (FIN) before the response was whole.
    pub const CLOSED_BY_PEER: u8 = 3;
    /// The socket failed (`error` holds the errno, for example ECONNRESET).
    pub const SOCKET_ERROR: u8 = 4;
    /// The viewer sent another request on the socket before this response was whole.
    pub const SUPERSEDED: u8 = 5;
    /// The process ended with the exchange still open.
    pub const PROCESS_EXIT: u8 = 6;
    /// The name did not resolve (`error` holds getaddrinfo's EAI code, positive).
    pub const NAME_NOT_RESOLVED: u8 = 7;
    /// The connection was refused, timed out, or abandoned (`error` holds the errno, 0 = abandoned).
    pub const NOT_CONNECTED: u8 = 8;
}

/// `Record::flags`: which of the optional facts were measured, and how.
pub mod flag {
    /// `dns_ns` was measured: this connection was the first one that a name lookup led to. Never set
    /// for an address in digits, which needs no lookup. DNS, CONNECT and TLS_HANDSHAKE are set in the
    /// first record about a connection: its first exchange, or CLOSED if there was none.
    pub const DNS: u16 = 1;
    /// `connect_ns` was measured.
    pub const CONNECT: u16 = 1 << 1;
    /// `tls_ns` was measured.
    pub const TLS_HANDSHAKE: u16 = 1 << 2;
    /// `first_byte_ns` was measured.
    pub const FIRST_BYTE: u16 = 1 << 3;
    /// The exchange ran inside TLS: kernel bytes hold ciphertext and do not compare with body bytes.
    pub const TLS: u16 = 1 << 4;
    /// `received`, `rtt_us`, `min_rtt_us` and `retransmits` come from the kernel's `tcp_info`.
    pub const TCP_INFO: u16 = 1 << 5;
    /// The response was chunked: `body_bytes` holds framing.
    pub const CHUNKED: u16 = 1 << 6;
    /// The response carried `Content-Encoding` other than identity.
    pub const ENCODED: u16 = 1 << 7;
    /// The response asked to close the connection, or was HTTP/1.0 without keep-alive.
    pub const CONNECTION_CLOSE: u16 = 1 << 8;
    /// `age_s` was present.
    pub const AGE: u16 = 1 << 9;
    /// `content_length` holds: the response announced how long its body is.
    pub const CONTENT_LENGTH: u16 = 1 << 10;
    /// `download_ns` ends at the kernel's last arrival, because the viewer read it at least 8 ms
    /// later. The kernel reports that to within its clock tick (1 to 10 ms). A `download_ns` of 0 with
    /// this flag: all was there when the viewer read the first byte.
    pub const ARRIVED_EARLIER: u16 = 1 << 11;
    /// With [`TLS`]: a TLS library that the probe does not see into (linked into the program, or not
    /// known). Such a connection has no exchanges; only CLOSED reports it.
    pub const HIDDEN: u16 = 1 << 12;
    /// The peer's FIN had come in before the request was sent into the kept connection, and no answer
    /// came: no server ever read the request. Viewers send such a one again (RFC 9112, 9.3.1).
    pub const STALE: u16 = 1 << 13;
    /// The response is whole, but its body ends in the middle of an MPEG-TS packet or of an ISO box.
    pub const CUT_SHORT: u16 = 1 << 14;
}

/// `Record::cache`: the cache result that the edge reported (X-Cache, CF-Cache-Status, Cache-Status).
pub mod cache {
    /// No such header.
    pub const UNKNOWN: u8 = 0;
    /// Served from the cache.
    pub const HIT: u8 = 1;
    /// Fetched from behind the cache.
    pub const MISS: u8 = 2;
    /// Any other result (EXPIRED, STALE, REVALIDATED, BYPASS, DYNAMIC…).
    pub const OTHER: u8 = 3;
}

/// One fact from inside one viewer. Fields that `kind` and `flags` do not mark as valid are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u16,
    /// One of [`kind`].
    pub kind: u8,
    /// One of [`end`].
    pub end: u8,
    /// Viewer number, from 1 (0 = the self-test at the start).
    pub viewer: u32,
    /// Number of the viewer's start that began this process, from 1.
    pub generation: u32,
    /// Process that wrote the record.
    pub pid: u32,
    /// Counts the records of this process from 0, lost ones included, so that gaps show.
    pub sequence: u32,
    /// Facts that this process could not record so far: records for which the pipe was full, and
    /// events on sockets the probe could not follow (file descriptor above 4095, table entry busy).
    pub lost: u32,
    /// Connection, counted within the process from 1.
    pub connection: u32,
    /// Request within the connection, counted from 1.
    pub request: u32,
    /// Set of [`flag`].
    pub flags: u16,
    /// Status code of the response, 0 = none arrived.
    pub status: u16,
    /// Time when the first byte of the request was passed to the kernel (or the connect was begun).
    pub started_ns: u64,
    /// Duration of the name lookup (`getaddrinfo()`) that led to this connection.
    pub dns_ns: u64,
    /// From `connect()` to the moment the viewer learned that the connection is established.
    pub connect_ns: u64,
    /// Duration of the TLS handshake.
    pub tls_ns: u64,
    /// From the first byte of the request to the first byte of the (final) response.
    pub first_byte_ns: u64,
    /// From the first byte of the response to the arrival of its last byte (of those that were read,
    /// if it is not whole), see [`flag::ARRIVED_EARLIER`].
    pub download_ns: u64,
    /// From the last byte read (or the begin, if none was) until the end of an exchange or of a
    /// connection attempt that did not complete.
    pub idle_ns: u64,
    /// Bytes of the response heads (interim 1xx heads included), as plain text.
    pub head_bytes: u64,
    /// Body bytes that the viewer read, chunk framing included: nginx's `$body_bytes_sent`.
    pub body_bytes: u64,
    /// `Content-Length` of the response. Of a 206 without one, the length of its `Content-Range`; such a
    /// response is whole when that many bytes of its body have come.
    pub content_length: u64,
    /// Bytes that the kernel received on this connection since the previous record about it, TLS
    /// handshake and framing included (`tcpi_bytes_received`, less the 1 that a FIN adds there).
    /// For a whole response outside TLS this equals `head_bytes` + `body_bytes`.
    pub received: u64,
    /// Smoothed round-trip time, microseconds.
    pub rtt_us: u32,
    /// Minimal round-trip time, microseconds.
    pub min_rtt_us: u32,
    /// Segments that this end sent again, whole connection.
    pub retransmits: u32,
    /// `Age` of the response, seconds.
    pub age_s: u32,
    /// FNV-1a (64 bit) of the request without delivery directives, see [`url_hash`].
    pub url_hash: u64,
    /// First byte of the requested `Range`, 0 without one.
    pub range_start: u64,
    /// Bytes that had arrived when the response was whole, and are beyond its announced end. Under TLS
    /// only those that were read with it.
    pub excess: u32,
    /// Number of valid bytes of `edge`.
    pub edge_len: u32,
    /// errno or EAI code, see `end`.
    pub error: u16,
    /// Own port.
    pub local_port: u16,
    /// Port of the peer.
    pub peer_port: u16,
    /// Address family of the peer: 4, 6, or 0 = not known.
    pub peer_family: u8,
    /// One of [`cache`].
    pub cache: u8,
    /// Address of the peer, the first 4 bytes for IPv4.
    pub peer: [u8; 16],
    /// First bytes of the entity.
    pub sniff: [u8; SNIFF_BYTES],
    /// Number of valid bytes of `sniff`.
    pub sniff_len: u8,
    /// Number of valid bytes of `name`.
    pub name_len: u8,
    /// Number of valid bytes of `content_type`.
    pub content_type_len: u8,
    /// Method: the first letter, `G` for GET.
    pub method: u8,
    /// One of [`content`].
    pub content: u8,
    /// One of [`body`].
    pub body: u8,
    /// One of [`encoding`].
    pub encoding: u8,
    /// Keeps the size a multiple of 8 without hidden padding.
    pub reserved: [u8; 1],
    /// Last element of the path, without query; its end is cut if it is longer.
    pub name: [u8; NAME_BYTES],
    /// `Content-Type`, cut if it is longer.
    pub content_type: [u8; CONTENT_TYPE_BYTES],
    /// The name of the edge (X-Served-By, X-Amz-Cf-Pop, CF-Ray's place, Via), cut if it is longer.
    pub edge: [u8; EDGE_BYTES],
}

impl Record {
    /// A record without any valid field.
    pub const EMPTY: Self = Self {
        magic: MAGIC,
        version: VERSION,
        kind: 0,
        end: 0,
        viewer: 0,
        generation: 0,
        pid: 0,
        sequence: 0,
        lost: 0,
        connection: 0,
        request: 0,
        flags: 0,
        status: 0,
        started_ns: 0,
        dns_ns: 0,
        connect_ns: 0,
        tls_ns: 0,
        first_byte_ns: 0,
        download_ns: 0,
        idle_ns: 0,
        head_bytes: 0,
        body_bytes: 0,
        content_length: 0,
        received: 0,
        rtt_us: 0,
        min_rtt_us: 0,
        retransmits: 0,
        age_s: 0,
        url_hash: 0,
        range_start: 0,
        excess: 0,
        edge_len: 0,
        error: 0,
        local_port: 0,
        peer_port: 0,
        peer_family: 0,
        cache: cache::UNKNOWN,
        peer: [0; 16],
        sniff: [0; SNIFF_BYTES],
        sniff_len: 0,
        name_len: 0,
        content_type_len: 0,
        method: 0,
        content: content::UNKNOWN,
        body: body::NONE,
        encoding: encoding::IDENTITY,
        reserved: [0; 1],
        name: [0; NAME_BYTES],
        content_type: [0; CONTENT_TYPE_BYTES],
        edge: [0; EDGE_BYTES],
    };

    /// The record as it goes through the pipe.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; RECORD_BYTES] {
        // SAFETY: a record is `repr(C)`, holds integers only and has no padding (asserted below), so
        // all its bytes are initialised, and a byte array needs no alignment.
        unsafe { &*core::ptr::from_ref(self).cast::<[u8; RECORD_BYTES]>() }
    }

    /// The record in `bytes`; `None` if there are not [`RECORD_BYTES`] of them, or if they do not
    /// begin with [`MAGIC`] and [`VERSION`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_BYTES] = bytes.try_into().ok()?;
        // SAFETY: every bit pattern is a valid record (integers only), the size is that of a record,
        // and the read does not need alignment.
        let record = unsafe { core::ptr::read_unaligned(bytes.as_ptr().cast::<Self>()) };
        (record.magic == MAGIC && record.version == VERSION).then_some(record)
    }

    /// The valid part of `name`.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.name_len)).unwrap_or(&self.name)
    }

    /// The valid part of `content_type`.
    #[must_use]
    pub fn content_type(&self) -> &[u8] {
        self.content_type.get(..usize::from(self.content_type_len)).unwrap_or(&self.content_type)
    }

    /// The valid part of `sniff`.
    #[must_use]
    pub fn sniff(&self) -> &[u8] {
        self.sniff.get(..usize::from(self.sniff_len)).unwrap_or(&self.sniff)
    }

    /// The valid part of `edge`.
    #[must_use]
    pub fn edge(&self) -> &[u8] {
        self.edge.get(..self.edge_len as usize).unwrap_or(&self.edge)
    }

    /// Whether every flag in `mask` is set.
    #[must_use]
    pub const fn has(&self, mask: u16) -> bool {
        self.flags & mask == mask
    }
}

/// A piece of a body, as it goes through the pipe: this header and the first `length` of its `bytes`.
///
/// Before the body, the pieces of one request carry the request itself: its target, a line
/// feed, its `Host`, a line feed. `offset` counts both.
#[repr(C)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyChunk {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u16,
    /// [`kind::BODY`].
    pub kind: u8,
    /// Keeps the header free of padding.
    pub reserved: u8,
    /// As in [`Record`].
    pub viewer: u32,
    /// As in [`Record`].
    pub generation: u32,
    /// As in [`Record`].
    pub pid: u32,
    /// As in [`Record`].
    pub connection: u32,
    /// As in [`Record`].
    pub request: u32,
    /// Offset of `bytes`.
    pub offset: u32,
    /// Number of valid bytes of `bytes`.
    pub length: u32,
    /// The piece.
    pub bytes: [u8; BODY_BYTES],
}

impl BodyChunk {
    /// All zero bytes: no piece, and not yet one that can be sent.
    pub const EMPTY: Self = Self {
        magic: 0,
        version: 0,
        kind: 0,
        reserved: 0,
        viewer: 0,
        generation: 0,
        pid: 0,
        connection: 0,
        request: 0,
        offset: 0,
        length: 0,
        bytes: [0; BODY_BYTES],
    };

    /// The piece, as it goes through the pipe.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: as for a record: `repr(C)`, integers only, no padding (asserted below).
        let all = unsafe { &*core::ptr::from_ref(self).cast::<[u8; FRAME_BYTES]>() };
        all.get(..BODY_HEADER_BYTES.wrapping_add(self.length as usize)).unwrap_or(all)
    }

    /// The valid part of `bytes`.
    #[must_use]
    pub fn piece(&self) -> &[u8] {
        self.bytes.get(..self.length as usize).unwrap_or(&self.bytes)
    }
}

/// A [`BodyChunk`] in the bytes that were read from the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyPiece<'a> {
    /// As in [`Record`].
    pub viewer: u32,
    /// As in [`Record`].
    pub generation: u32,
    /// As in [`Record`].
    pub pid: u32,
    /// As in [`Record`].
    pub connection: u32,
    /// As in [`Record`].
    pub request: u32,
    /// Offset of `bytes`.
    pub offset: u32,
    /// The piece.
    pub bytes: &'a [u8],
}

/// One frame in the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "frames are taken from the pipe one at a time, and nothing allocates"
)]
pub enum Frame<'a> {
    /// A fact.
    Record(Record),
    /// A piece of a body.
    Body(BodyPiece<'a>),
}

impl<'a> Frame<'a> {
    /// The frame that `bytes` begin with, and how long it is; `None` if it is not there as a whole.
    ///
    /// # Errors
    /// The bytes begin with no frame of this version.
    pub fn first(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, NotAFrame> {
        let Some(&[m0, m1, m2, m3, v0, v1, kind, _]) = bytes.first_chunk() else { return Ok(None) };
        if u32::from_ne_bytes([m0, m1, m2, m3]) != MAGIC || u16::from_ne_bytes([v0, v1]) != VERSION {
            return Err(NotAFrame);
        }
        if kind != kind::BODY {
            let Some(bytes) = bytes.get(..RECORD_BYTES) else { return Ok(None) };
            let record = Record::from_bytes(bytes).ok_or(NotAFrame)?;
            return Ok(Some((Self::Record(record), RECORD_BYTES)));
        }
        let Some(header) = bytes.get(..BODY_HEADER_BYTES) else { return Ok(None) };
        let word = |index: usize| {
            let bytes = header.get(index.wrapping_mul(4)..).and_then(<[u8]>::first_chunk::<4>);
            bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
        };
        let length = word(8) as usize;
        if length > BODY_BYTES {
            return Err(NotAFrame);
        }
        let size = BODY_HEADER_BYTES.wrapping_add(length);
        let Some(bytes) = bytes.get(BODY_HEADER_BYTES..size) else { return Ok(None) };
        let piece = BodyPiece {
            viewer: word(2),
            generation: word(3),
            pid: word(4),
            connection: word(5),
            request: word(6),
            offset: word(7),
            bytes,
        };
        Ok(Some((Self::Body(piece), size)))
    }
}

/// Bytes in the pipe that the probe of this build did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFrame;

impl core::fmt::Display for NotAFrame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the probe's pipe holds something that the probe did not write")
    }
}

impl core::error::Error for NotAFrame {}

/// FNV-1a of nothing.
pub const URL_HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// One more byte for an FNV-1a hash.
#[must_use]
pub const fn hash_byte(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x100_0000_01b3)
}

/// The host for an FNV-1a hash: a zero byte, then the `Host` header in lower case.
#[must_use]
pub fn hash_host(hash: u64, host: &[u8]) -> u64 {
    host.iter().fold(hash_byte(hash, 0), |hash, byte| hash_byte(hash, byte.to_ascii_lowercase()))
}

/// The prefix of the names of delivery directives (`_HLS_msn`, `_HLS_part`, `_HLS_skip`, `_HLS_push`): query
/// parameters that a player of low-latency HLS adds when it reloads a playlist. No other parameter may be
/// named so.
const DIRECTIVE: &[u8] = b"_HLS_";

/// The state of a [`TargetHash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the query.
    Path,
    /// In the name of a parameter that may be a directive: its bytes are held back.
    Name,
    /// In a parameter that goes into the hash.
    Parameter,
    /// In a directive.
    Directive,
}

/// Hashes the target of a request byte by byte, without delivery directives: they differ from one reload to the
/// next, and the playlist is the same. A target without directives is hashed as it is.
#[derive(Clone, Copy, Debug)]
pub struct TargetHash {
    place: Place,
    /// Bytes of [`DIRECTIVE`] that are held back, besides the `?` or `&` before them.
    held: u8,
    /// Whether a parameter was hashed: the next one follows a `&`, even if a directive came first.
    parameters: bool,
}

impl TargetHash {
    /// Nothing was hashed yet. All zero bytes.
    pub const NEW: Self = Self { place: Place::Path, held: 0, parameters: false };

    /// `hash` with one more byte of the target.
    #[must_use]
    pub fn byte(&mut self, hash: u64, byte: u8) -> u64 {
        match (self.place, byte) {
            (Place::Path, b'?') | (Place::Parameter | Place::Directive, b'&') => {
                (self.place, self.held) = (Place::Name, 0);
                hash
            }
            (Place::Directive, _) => hash,
            (Place::Name, _) if DIRECTIVE.get(usize::from(self.held)) == Some(&byte) => {
                self.held = self.held.wrapping_add(1);
                if usize::from(self.held) == DIRECTIVE.len() {
                    self.place = Place::Directive;
                }
                hash
            }
            (Place::Name, _) => {
                let hash = self.end(hash);
                self.byte(hash, byte)
            }
            (Place::Path | Place::Parameter, _) => hash_byte(hash, byte),
        }
    }

    /// `hash` with what was held back: the target has ended, or the parameter is not a directive.
    #[must_use]
    pub fn end(&mut self, hash: u64) -> u64 {
        if self.place != Place::Name {
            return hash;
        }
        self.place = Place::Parameter;
        let first = !core::mem::replace(&mut self.parameters, true);
        let held = DIRECTIVE.get(..usize::from(self.held)).unwrap_or_default();
        let hash = hash_byte(hash, if first { b'?' } else { b'&' });
        held.iter().fold(hash, |hash, &byte| hash_byte(hash, byte))
    }
}

/// [`Record::url_hash`] of a request: `target` is path and query as sent, of which delivery directives
/// (`_HLS_…`) are left out, `host` the `Host` header (with the port, where the viewer sends one).
#[must_use]
pub fn url_hash(target: &[u8], host: &[u8]) -> u64 {
    let mut filter = TargetHash::NEW;
    let hash = target.iter().fold(URL_HASH_START, |hash, &byte| filter.byte(hash, byte));
    hash_host(filter.end(hash), host)
}

const _: () = assert!(
    // 9 words of 32 bits and 2 of 16 up to `flags` and `status`, and so on: no hidden padding.
    RECORD_BYTES
        == 9 * 4
            + 2 * 2
            + 11 * 8
            + 4 * 4
            + 2 * 8
            + 2 * 4
            + 3 * 2
            + 2
            + 16
            + SNIFF_BYTES
            + 4
            + 3
            + 1
            + NAME_BYTES
            + CONTENT_TYPE_BYTES
            + EDGE_BYTES,
    "a record must have no hidden padding"
);
const _: () = assert!(RECORD_BYTES <= 512, "a record must stay far below PIPE_BUF (4096)");
const _: () = assert!(RECORD_BYTES.is_multiple_of(8), "no hidden padding at the end");
const _: () = assert!(
    core::mem::size_of::<BodyChunk>() == FRAME_BYTES
        && BODY_HEADER_BYTES == core::mem::offset_of!(BodyChunk, bytes),
    "a piece must have no hidden padding, and fit into PIPE_BUF"
);
