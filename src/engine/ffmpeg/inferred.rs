//! From FFmpeg's trace log to exchanges: the source of facts where the probe cannot be loaded.
//!
//! Inferred, not measured: a body counts with the length that the origin announced, and what the
//! log does not show stays absent.

use hls_swarm_http::header_policy::HeaderPolicy;
use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_model::classify::{ResponseHints, kind};
use hls_swarm_model::event::{Event, ForbiddenBy};
use hls_swarm_model::exchange::{Exchange, HttpVersion, Outcome};
use hls_swarm_model::metric::counters::Counter;
use hls_swarm_probe::record::url_hash;
use url::Url;

use super::log;

/// The viewer and process that wrote the log.
#[derive(Clone, Copy, Debug)]
pub struct Author {
    /// Viewer number.
    pub viewer: u32,
    /// Generation of the process.
    pub generation: u32,
    /// Process id.
    pub pid: u32,
}

/// The hosts that a viewer may connect to. Without the probe FFmpeg connects anywhere, and the log shows it afterwards.
#[derive(Clone, Debug, Default)]
pub struct HostLimits {
    /// The hosts that may be loaded.
    pub target_policy: TargetPolicy,
    /// The hosts that may receive secret headers.
    pub header_policy: HeaderPolicy,
}

impl HostLimits {
    /// The event if `fact` shows a connection that is not allowed.
    #[must_use]
    pub fn violated_by(&self, viewer: u32, fact: &log::Event) -> Option<Event> {
        let (host, by) = match fact {
            log::Event::Connecting { address } if !self.target_policy.allows_address(*address) => {
                (address.to_string(), ForbiddenBy::PublicAddress)
            }
            log::Event::Exchange(found) => {
                let host = found.host.as_deref()?;
                let scheme = if found.secure { "https" } else { "http" };
                let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
                let by = if self.target_policy.check_url(&url).is_err() {
                    ForbiddenBy::AllowList
                } else if self.header_policy.check_url(&url).is_err() {
                    ForbiddenBy::HeaderHosts
                } else {
                    return None;
                };
                (host.to_owned(), by)
            }
            _ => return None,
        };
        Some(Event::Forbidden { viewer, host, by })
    }
}

/// The event for a fact of the log, if the statistics use it. With a probe (`exchanges` is false) the probe reports
/// requests and connections.
#[must_use]
pub fn event(author: Author, fact: log::Event, exchanges: bool) -> Option<Event> {
    let viewer = author.viewer;
    let counted = |counter, events| Some(Event::Counted { viewer, counter, events });
    match fact {
        log::Event::WillReconnect => counted(Counter::Reconnections, 1),
        log::Event::ReloadFailed => counted(Counter::ReloadFailures, 1),
        log::Event::FellBehind { segments } => counted(Counter::SegmentsMissed, segments),
        log::Event::TlsFailed => counted(Counter::TlsErrors, 1),
        log::Event::Exchange(found) if exchanges => Some(Event::Exchange(Box::new(exchange(author, &found)))),
        log::Event::CutShort { exchange: found, arrived } if exchanges => {
            let kind = exchange(author, &found).kind;
            let counted_bytes = found.body_bytes().unwrap_or(0);
            Some(Event::CutShort { viewer, kind, counted_bytes, arrived_bytes: arrived })
        }
        log::Event::ConnectFailed { error } if exchanges => {
            let timed_out = error.contains("timed out");
            let reason = format!("connect: {error}");
            Some(Event::ConnectFailed {
                viewer,
                reason,
                timed_out,
                given_up_after_ns: None,
                handshake_left: false,
            })
        }
        log::Event::NameNotResolved { error } if exchanges => {
            let reason = format!("name lookup: {error}");
            Some(Event::ConnectFailed {
                viewer,
                reason,
                timed_out: false,
                given_up_after_ns: None,
                handshake_left: false,
            })
        }
        _ => None,
    }
}

fn exchange(author: Author, found: &log::Exchange) -> Exchange {
    let path = found.path.split(['?', '#']).next().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let served = matches!(found.status, Some(200 | 206));
    let content_type = found.content_type.as_deref().filter(|_| served).unwrap_or_default();
    let length = found.content_length.filter(|_| served);
    let outcome = match found.ending {
        log::ExchangeEnd::Answered => Outcome::Complete,
        log::ExchangeEnd::Unanswered => Outcome::ClosedByPeer,
        log::ExchangeEnd::Stale => Outcome::Stale,
        log::ExchangeEnd::InFlight | log::ExchangeEnd::Untraced => Outcome::ProcessExit,
    };
    Exchange {
        viewer: author.viewer,
        generation: author.generation,
        pid: author.pid,
        http: HttpVersion::Http1,
        connection: 0,
        streams: 1,
        kind: kind(ResponseHints { name, content_type, length, ..ResponseHints::default() }),
        name: name.into(),
        url_hash: url_hash(found.path.as_bytes(), found.host.as_deref().unwrap_or_default().as_bytes()),
        status: found.status,
        outcome,
        started_ns: found.started_ns,
        dns_ns: None,
        connect_ns: None,
        tls_ns: None,
        quic_ns: None,
        first_byte_ns: found.first_byte_ns,
        // The log does not show when a body ended, except for chunked bodies.
        download_ns: found
            .chunks
            .filter(|chunks| chunks.whole)
            .and_then(|chunks| chunks.last_ns.checked_sub(found.first_byte_ns?)),
        idle_ns: None,
        head_bytes: 0,
        body_bytes: found.body_bytes().unwrap_or(0),
        unknown_body: served && found.body_bytes().is_none(),
        content: None,
        cut_short: false,
        announced_bytes: length,
        excess_bytes: 0,
        segment: None,
        gap: false,
        variant: None,
        blocking_reload: false,
        received_bytes: None,
        tls: found.secure,
        retransmits: None,
        lost_packets: None,
        rtt_us: None,
        min_rtt_us: None,
        cache: None,
        age_s: None,
        edge: None,
        playlist: None,
        peer: None,
        local_port: None,
    }
}

#[cfg(test)]
mod tests {
    use hls_swarm_model::exchange::Kind;

    use super::*;

    const AUTHOR: Author = Author { viewer: 3, generation: 1, pid: 9 };

    fn found() -> log::Exchange {
        log::Exchange {
            path: "/live/seg_7.ts?token=a/b".into(),
            status: Some(200),
            content_length: Some(1000),
            content_type: Some("video/mp2t".into()),
            first_byte_ns: Some(5),
            ..log::Exchange::default()
        }
    }

    #[test]
    fn the_name_has_no_query_and_unknown_values_are_absent() {
        let Some(Event::Exchange(exchange)) = event(AUTHOR, log::Event::Exchange(found()), true) else {
            panic!("no exchange")
        };
        assert_eq!((exchange.kind, &*exchange.name), (Kind::Segment, "seg_7.ts"));
        assert_eq!((exchange.body_bytes, exchange.received_bytes, exchange.download_ns), (1000, None, None));
    }

    #[test]
    fn a_body_without_a_length_is_not_counted_as_empty() {
        let unknown = |status, content_length| {
            let found = log::Exchange { status: Some(status), content_length, ..found() };
            exchange(AUTHOR, &found).unknown_body
        };
        assert!(unknown(200, None));
        assert!(!unknown(200, Some(0)) && !unknown(304, None) && !unknown(404, None));
    }

    #[test]
    fn hosts_that_are_not_allowed_are_found_in_the_log() {
        let allowed = ["cdn.example".to_owned()];
        let secret = ["cookie".to_owned()];
        let url = Url::parse("http://cdn.example/").unwrap();
        let limits = HostLimits {
            target_policy: TargetPolicy::new(&allowed, &[], 1, 1, false).unwrap(),
            header_policy: HeaderPolicy::new(&secret, [&url], &[], true).unwrap(),
        };
        let violated = |host: &str| {
            let fact = log::Event::Exchange(log::Exchange { host: Some(host.into()), ..found() });
            match limits.violated_by(3, &fact) {
                Some(Event::Forbidden { viewer: 3, host: found, by }) => {
                    assert_eq!(found, host);
                    Some(by)
                }
                None => None,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(violated("cdn.example"), None);
        assert_eq!(violated("cdn.example:8080"), Some(ForbiddenBy::HeaderHosts));
        assert_eq!(violated("other.example"), Some(ForbiddenBy::AllowList));
        let many = HostLimits {
            target_policy: TargetPolicy::new(&[], &[], 101, 101, false).unwrap(),
            ..HostLimits::default()
        };
        let at = |address: &str| {
            many.violated_by(1, &log::Event::Connecting { address: address.parse().unwrap() })
        };
        assert!(at("203.0.113.5").is_some() && at("10.1.2.3").is_none());
    }

    #[test]
    fn with_a_probe_the_log_is_not_a_source_of_requests() {
        assert!(event(AUTHOR, log::Event::Exchange(found()), false).is_none());
        assert!(event(AUTHOR, log::Event::WillReconnect, false).is_some());
    }
}
