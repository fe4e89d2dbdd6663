//! Decodes the probe's records into events: a record's flags become `Some` and `None`, and a failed connect
//! is told apart from the first of several addresses that are tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hls_swarm_model::classify::{ResponseHints, kind};
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::{Cache, Exchange, MediaPlaylist, Outcome};
use hls_swarm_probe::record::{BAD_NETWORK, Record, cache, end, flag, what};

/// `EAI_*` codes of getaddrinfo (positive, as the probe reports them) and their texts.
const NAME_ERRORS: [(u16, &str); 5] = [
    (2, "Name or service not known"),
    (3, "Temporary failure in name resolution"),
    (4, "Non-recoverable failure in name resolution"),
    (5, "No address associated with hostname"),
    (11, "System error"),
];
/// errno of a connect that ran into a time-out.
const ETIMEDOUT: u16 = 110;

/// How long after a failed attempt another address may take to answer, nanoseconds.
const NEXT_ADDRESS_NS: u64 = 2_000_000_000;

/// Decodes records in the order of the pipe.
///
/// A name may stand for several addresses; a player tries one after the other (RFC 8305), so an
/// attempt that failed is an error only if the next one does not succeed.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The last failed attempt of each process.
    failed: HashMap<u32, Record>,
}

impl Decoder {
    /// Passes the events of a record to `out`.
    pub fn decode(&mut self, record: &Record, out: &mut impl FnMut(Event)) {
        if let Some(failed) = self.failed.remove(&record.pid)
            && !is_retried_successfully(&failed, record)
        {
            out(connect_failed(&failed));
        }
        match record.what {
            what::HELLO if record.error == BAD_NETWORK => out(Event::ConnectFailed {
                viewer: record.viewer,
                reason: "the probe could not parse its network settings".into(),
                timed_out: false,
                given_up_after_ns: None,
                handshake_left: false,
            }),
            what::EXCHANGE => out(Event::Exchange(Box::new(exchange(record)))),
            what::CONNECT_FAILED => drop(self.failed.insert(record.pid, *record)),
            what::CLOSED => {
                if record.received > 0 {
                    out(Event::Received {
                        viewer: record.viewer,
                        bytes: record.received,
                        tls: record.has(flag::TLS),
                    });
                }
                if handshake_failed(record) {
                    out(Event::ConnectFailed {
                        viewer: record.viewer,
                        reason: "TLS handshake failed".into(),
                        timed_out: false,
                        given_up_after_ns: None,
                        handshake_left: matches!(record.end, end::CLOSED_BY_VIEWER | end::PROCESS_EXIT),
                    });
                }
            }
            _ => {}
        }
    }

    /// No further record will arrive: passes on what was held back.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        self.failed.drain().for_each(|(_, failed)| out(connect_failed(&failed)));
    }
}

/// Whether `next`, of the same process, is a connection to another address made right after.
fn is_retried_successfully(failed: &Record, next: &Record) -> bool {
    let connected = matches!(next.what, what::EXCHANGE | what::CLOSED) && next.has(flag::CONNECT);
    let began = next.started_ns.saturating_sub(next.connect_ns).saturating_sub(next.tls_ns);
    let same_port = next.peer_port == failed.peer_port && next.peer != failed.peer;
    connected && same_port && began.saturating_sub(failed.started_ns) < NEXT_ADDRESS_NS
}

/// A connection that saw a TLS hello and neither a handshake nor a request.
fn handshake_failed(record: &Record) -> bool {
    record.has(flag::TLS)
        && !record.has(flag::TLS_HANDSHAKE)
        && !record.has(flag::HIDDEN)
        && record.request == 0
}

fn connect_failed(record: &Record) -> Event {
    let given_up = record.error == 0 && record.end == end::NOT_CONNECTED;
    Event::ConnectFailed {
        viewer: record.viewer,
        reason: connect_failure(record),
        timed_out: record.error == ETIMEDOUT,
        given_up_after_ns: given_up.then_some(record.idle_ns),
        handshake_left: false,
    }
}

fn exchange(record: &Record) -> Exchange {
    let when = |mask: u16, value: u64| record.has(mask).then_some(value);
    let complete = record.end == end::COMPLETE;
    let name = text(&record.name, record.name_len);
    // The body of an error response says nothing about the kind of the requested resource.
    let served = matches!(record.status, 200 | 206);
    let plain = served && !record.has(flag::ENCODED);
    let hints = ResponseHints {
        name: &name,
        content_type: if served { &text(&record.content_type, record.content_type_len) } else { "" },
        sniff: if plain { bytes(&record.sniff, record.sniff_len) } else { &[] },
        length: when(flag::CONTENT_LENGTH, record.content_length).filter(|_| plain),
    };
    Exchange {
        viewer: record.viewer,
        generation: record.generation,
        pid: record.pid,
        connection: record.connection,
        kind: kind(hints),
        url_hash: record.url_hash,
        status: Some(record.status).filter(|status| *status != 0),
        outcome: outcome(record),
        started_ns: record.started_ns,
        dns_ns: when(flag::DNS, record.dns_ns),
        connect_ns: when(flag::CONNECT, record.connect_ns),
        tls_ns: when(flag::TLS_HANDSHAKE, record.tls_ns),
        first_byte_ns: when(flag::FIRST_BYTE, record.first_byte_ns),
        download_ns: when(flag::FIRST_BYTE, record.download_ns).filter(|_| complete),
        idle_ns: (!complete).then_some(record.idle_ns),
        head_bytes: record.head_bytes,
        body_bytes: record.body_bytes,
        received_bytes: when(flag::TCP_INFO, record.received),
        tls: record.has(flag::TLS),
        retransmits: record.has(flag::TCP_INFO).then_some(record.retransmits),
        rtt_us: record.has(flag::TCP_INFO).then_some(record.rtt_us),
        min_rtt_us: record.has(flag::TCP_INFO).then_some(record.min_rtt_us),
        cache: match record.cache {
            cache::HIT => Some(Cache::Hit),
            cache::MISS => Some(Cache::Miss),
            cache::OTHER => Some(Cache::Other),
            _ => None,
        },
        age_s: record.has(flag::AGE).then_some(record.age_s),
        edge: (record.edge_len > 0).then(|| String::from_utf8_lossy(record.edge()).into()),
        playlist: playlist(record).filter(|_| complete && served),
        peer: peer(record),
        local_port: Some(record.local_port).filter(|port| *port != 0),
        name: name.into_boxed_str(),
    }
}

fn playlist(record: &Record) -> Option<MediaPlaylist> {
    record.has(flag::MEDIA_PLAYLIST).then_some(MediaPlaylist {
        sequence: record.media_sequence,
        segments: record.segments,
        last_segment: record.last_segment,
        discontinuity_sequence: record.discontinuity_sequence,
        target_seconds: record.target_duration_s,
        ended: record.has(flag::END_LIST),
    })
}

const fn outcome(record: &Record) -> Outcome {
    if record.has(flag::STALE) {
        return Outcome::Stale;
    }
    match record.end {
        end::COMPLETE => Outcome::Complete,
        end::CLOSED_BY_VIEWER => Outcome::ClosedByViewer,
        end::CLOSED_BY_PEER => Outcome::ClosedByPeer,
        end::SUPERSEDED => Outcome::Superseded,
        end::PROCESS_EXIT => Outcome::ProcessExit,
        _ => Outcome::SocketError(record.error),
    }
}

fn peer(record: &Record) -> Option<(IpAddr, u16)> {
    let address = match record.peer_family {
        4 => {
            let [a, b, c, d, ..] = record.peer;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        6 => IpAddr::V6(Ipv6Addr::from(record.peer)),
        _ => return None,
    };
    Some((address, record.peer_port))
}

fn connect_failure(record: &Record) -> String {
    if record.end == end::NAME_NOT_RESOLVED {
        let known = NAME_ERRORS.iter().find(|(code, _)| *code == record.error);
        return format!("name look-up: {}", known.map_or("failed", |(_, text)| text));
    }
    match record.error {
        0 => "connect: given up without an answer".into(),
        code => format!("connect: {}", std::io::Error::from_raw_os_error(i32::from(code))),
    }
}

fn bytes(field: &[u8], length: u8) -> &[u8] {
    field.get(..usize::from(length)).unwrap_or(field)
}

fn text(field: &[u8], length: u8) -> String {
    String::from_utf8_lossy(bytes(field, length)).into_owned()
}

#[cfg(test)]
mod tests {
    use hls_swarm_model::exchange::Kind;

    use super::*;

    fn record() -> Record {
        let mut record = Record { what: what::EXCHANGE, end: end::COMPLETE, ..Record::EMPTY };
        record.name[..6].copy_from_slice(b"seg.ts");
        record.name_len = 6;
        record.status = 200;
        record
    }

    fn events(records: &[Record]) -> Vec<Event> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        records.iter().for_each(|record| decoder.decode(record, &mut |event| events.push(event)));
        decoder.finish(&mut |event| events.push(event));
        events
    }

    fn read(record: &Record) -> Exchange {
        match events(&[*record]).pop() {
            Some(Event::Exchange(exchange)) => *exchange,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_without_their_flag_are_absent() {
        let exchange = read(&record());
        assert_eq!(exchange.connect_ns, None);
        assert_eq!(exchange.first_byte_ns, None);
        assert_eq!(exchange.received_bytes, None);
        assert_eq!(exchange.peer, None);
        assert_eq!(exchange.cache, None);
    }

    #[test]
    fn a_request_on_a_closed_connection_is_stale_however_it_ended() {
        let mut record = record();
        (record.flags, record.status) = (flag::STALE, 0);
        for end in [end::CLOSED_BY_PEER, end::SOCKET_ERROR, end::CLOSED_BY_VIEWER] {
            record.end = end;
            assert_eq!(read(&record).outcome, Outcome::Stale);
        }
    }

    #[test]
    fn an_error_page_does_not_change_the_kind_of_a_segment() {
        let mut record = record();
        record.status = 404;
        record.content_type[..9].copy_from_slice(b"text/html");
        record.content_type_len = 9;
        record.sniff[..7].copy_from_slice(b"#EXTM3U");
        record.sniff_len = 7;
        assert_eq!(read(&record).kind, Kind::Segment);
    }

    #[test]
    fn wrong_lengths_do_not_panic() {
        let mut record = record();
        (record.name_len, record.sniff_len, record.content_type_len) = (255, 255, 255);
        read(&record);
    }

    #[test]
    fn hello_and_empty_connections_yield_no_events() {
        assert!(events(&[Record { what: what::HELLO, ..Record::EMPTY }]).is_empty());
        assert!(events(&[Record { what: what::CLOSED, ..Record::EMPTY }]).is_empty());
    }

    #[test]
    fn a_refusal_before_another_address_accepts_is_not_an_error() {
        let refused = Record {
            what: what::CONNECT_FAILED,
            end: end::NOT_CONNECTED,
            error: 111,
            peer_port: 80,
            peer_family: 6,
            started_ns: 1000,
            ..Record::EMPTY
        };
        let mut peer = [0; 16];
        peer[..4].copy_from_slice(&[127, 0, 0, 1]);
        let served = Record {
            flags: flag::CONNECT,
            peer_port: 80,
            peer_family: 4,
            peer,
            started_ns: 90_000,
            ..record()
        };
        assert!(matches!(events(&[refused, served])[..], [Event::Exchange(_)]));
        assert!(matches!(
            events(&[refused, refused])[..],
            [Event::ConnectFailed { .. }, Event::ConnectFailed { .. }]
        ));
        // A response on an older connection says nothing about the new one.
        let kept = Record { flags: 0, ..served };
        assert!(matches!(events(&[refused, kept])[..], [Event::ConnectFailed { .. }, Event::Exchange(_)]));
    }

    #[test]
    fn an_unfinished_handshake_is_an_error() {
        let closed = Record { what: what::CLOSED, flags: flag::TLS, ..Record::EMPTY };
        let left = |record| match events(&[record])[..] {
            [Event::ConnectFailed { handshake_left, .. }] => Some(handshake_left),
            _ => None,
        };
        assert_eq!(left(closed), Some(false));
        assert_eq!(left(Record { end: end::CLOSED_BY_VIEWER, ..closed }), Some(true));
        let hidden = Record { flags: flag::TLS | flag::HIDDEN, ..closed };
        assert!(events(&[hidden]).is_empty());
    }
}
