//! From the probe's raw records to events: where a record's flags become `Some` and `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::kind::{Clues, kind};
use crate::words::event::Event;
use crate::words::exchange::{Cache, Exchange, Outcome};
use crate::words::wire::{Record, cache, end, flag, what};

/// `EAI_*` codes of getaddrinfo (positive, as the probe reports them) in words.
const NAME_ERRORS: [(u16, &str); 5] = [
    (2, "Name or service not known"),
    (3, "Temporary failure in name resolution"),
    (4, "Non-recoverable failure in name resolution"),
    (5, "No address associated with hostname"),
    (11, "System error"),
];
/// errno of a connect that ran into a time-out.
const ETIMEDOUT: u16 = 110;

/// The event that a record tells of; `None` for a greeting or a record of no interest.
#[must_use]
pub fn event(record: &Record) -> Option<Event> {
    match record.what {
        what::EXCHANGE => Some(Event::Exchange(Box::new(exchange(record)))),
        what::CONNECT_FAILED => Some(Event::ConnectFailed {
            viewer: record.viewer,
            reason: connect_failure(record),
            timed_out: record.error == ETIMEDOUT || (record.error == 0 && record.end == end::NOT_CONNECTED),
        }),
        what::CLOSED if record.received > 0 => Some(Event::Received {
            viewer: record.viewer,
            bytes: record.received,
            tls: record.has(flag::TLS),
        }),
        _ => None,
    }
}

fn exchange(record: &Record) -> Exchange {
    let when = |mask: u16, value: u64| record.has(mask).then_some(value);
    let complete = record.end == end::COMPLETE;
    let name = text(&record.name, record.name_len);
    // The body of a failed response says nothing about what was asked for.
    let served = matches!(record.status, 200 | 206);
    let plain = served && !record.has(flag::ENCODED);
    let clues = Clues {
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
        kind: kind(clues),
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
        cache: match record.cache {
            cache::HIT => Some(Cache::Hit),
            cache::MISS => Some(Cache::Miss),
            cache::OTHER => Some(Cache::Other),
            _ => None,
        },
        age_s: record.has(flag::AGE).then_some(record.age_s),
        peer: peer(record),
        local_port: Some(record.local_port).filter(|port| *port != 0),
        name: name.into_boxed_str(),
    }
}

const fn outcome(record: &Record) -> Outcome {
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
        return format!("name look-up: {}", known.map_or("failed", |(_, words)| words));
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
    use super::*;
    use crate::words::exchange::Kind;

    fn record() -> Record {
        let mut record = Record { what: what::EXCHANGE, end: end::COMPLETE, ..Record::EMPTY };
        record.name[..6].copy_from_slice(b"seg.ts");
        record.name_len = 6;
        record.status = 200;
        record
    }

    fn read(record: &Record) -> Exchange {
        match event(record) {
            Some(Event::Exchange(exchange)) => *exchange,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_no_flag_vouches_for_is_absent() {
        let exchange = read(&record());
        assert_eq!(exchange.connect_ns, None);
        assert_eq!(exchange.first_byte_ns, None);
        assert_eq!(exchange.received_bytes, None);
        assert_eq!(exchange.peer, None);
        assert_eq!(exchange.cache, None);
    }

    #[test]
    fn an_error_page_does_not_turn_a_segment_into_something_else() {
        let mut record = record();
        record.status = 404;
        record.content_type[..9].copy_from_slice(b"text/html");
        record.content_type_len = 9;
        record.sniff[..7].copy_from_slice(b"#EXTM3U");
        record.sniff_len = 7;
        assert_eq!(read(&record).kind, Kind::Segment);
    }

    #[test]
    fn lengths_that_lie_do_not_panic() {
        let mut record = record();
        (record.name_len, record.sniff_len, record.content_type_len) = (255, 255, 255);
        read(&record);
    }

    #[test]
    fn greetings_are_no_events() {
        assert!(event(&Record { what: what::HELLO, ..Record::EMPTY }).is_none());
        assert!(event(&Record { what: what::CLOSED, ..Record::EMPTY }).is_none());
    }
}
