//! From a transfer that the client of this program measured to an exchange of the statistics.

use hls_swarm_client::head::CacheResult;
use hls_swarm_client::{ConnectFailure, End, Transfer, Version};
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Cache, Exchange, HttpVersion, Kind, Outcome};
use hls_swarm_model::metric::counters::Counter;

use super::Session;

/// errno of what is not HTTP.
const EPROTO: u16 = 71;

/// The exchange of a transfer, with what the transfer itself shows. The caller adds the content, and how a playlist lists
/// the object.
pub(crate) fn exchange(
    session: Session,
    pid: u32,
    kind: Kind,
    url_hash: u64,
    transfer: &Transfer,
) -> Exchange {
    let head = transfer.head.as_deref();
    let is_complete = transfer.end == End::Complete;
    let name = transfer.url.path().rsplit('/').next().unwrap_or_default();
    Exchange {
        viewer: session.viewer,
        generation: session.generation,
        pid,
        http: version(transfer.version),
        connection: transfer.connection,
        streams: transfer.streams,
        kind,
        name: name.into(),
        url_hash,
        status: head.map(|head| head.status),
        outcome: outcome(transfer.end),
        started_ns: transfer.started_ns,
        dns_ns: transfer.dns_ns,
        connect_ns: transfer.connect_ns,
        tls_ns: transfer.tls_ns,
        quic_ns: transfer.quic_ns,
        first_byte_ns: transfer.first_byte_ns,
        download_ns: transfer
            .last_byte_ns
            .zip(transfer.first_byte_ns)
            .filter(|_| is_complete)
            .map(|(last, first)| last.saturating_sub(first)),
        idle_ns: (!is_complete).then_some(transfer.idle_ns),
        head_bytes: transfer.head_bytes,
        body_bytes: transfer.body_bytes,
        unknown_body: false,
        content: None,
        cut_short: false,
        announced_bytes: head.and_then(|head| head.announced),
        excess_bytes: transfer.excess_bytes,
        segment: None,
        gap: false,
        variant: None,
        blocking_reload: false,
        received_bytes: transfer.received_bytes,
        tls: transfer.tls,
        retransmits: transfer.retransmits,
        lost_packets: transfer.lost_packets,
        rtt_us: transfer.rtt_us,
        min_rtt_us: transfer.min_rtt_us,
        cache: head.and_then(|head| head.cache).map(|cache| match cache {
            CacheResult::Hit => Cache::Hit,
            CacheResult::Miss => Cache::Miss,
            CacheResult::Other => Cache::Other,
        }),
        age_s: head.and_then(|head| head.age_s),
        edge: head.and_then(|head| head.edge.clone()),
        playlist: None,
        peer: Some((transfer.peer.ip(), transfer.peer.port())),
        local_port: transfer.local_port,
    }
}

/// The events of a connection that could not be made. A limit of this machine makes the run invalid.
pub(crate) fn connect_failure(viewer: u32, failure: ConnectFailure) -> [Option<Event>; 3] {
    let ConnectFailure { reason, timed_out, given_up_after_ns, handshake_left, exhausted, lookup_ns } =
        failure;
    let refused = Event::Counted { viewer, counter: Counter::Exhausted, events: 1 };
    let failed = Event::ConnectFailed { viewer, reason, timed_out, given_up_after_ns, handshake_left };
    let lookup = lookup_ns.map(|took_ns| Event::LookupFailed { viewer, took_ns });
    [exhausted.then_some(refused), lookup, Some(failed)]
}

const fn version(version: Version) -> HttpVersion {
    match version {
        Version::Http1 => HttpVersion::Http1,
        Version::Http2 => HttpVersion::Http2,
        Version::Http3 => HttpVersion::Http3,
    }
}

const fn outcome(end: End) -> Outcome {
    match end {
        End::Complete => Outcome::Complete,
        // A viewer that waited for as long as it does counts as timed out by its idle time.
        End::ClosedByViewer | End::TimedOut => Outcome::ClosedByViewer,
        End::ClosedByPeer => Outcome::ClosedByPeer,
        End::SocketError(errno) => Outcome::SocketError(errno),
        End::Malformed => Outcome::SocketError(EPROTO),
        End::Stale => Outcome::Stale,
    }
}
