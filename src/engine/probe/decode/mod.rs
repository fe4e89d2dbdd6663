//! Decodes the probe's frames into events. A record's flags become `Some` and `None`; a failed connect counts as an
//! error only if no other address was tried with success; and a request is matched with the entry of a playlist.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hls_swarm_model::classify::{ResponseHints, kind};
use hls_swarm_model::content::Content;
use hls_swarm_model::event::{Event, ForbiddenBy};
use hls_swarm_model::exchange::{Cache, Exchange, HttpVersion, Outcome};
use hls_swarm_model::listed::{Entry, Listed};
use hls_swarm_model::metric::counters::Counter;
use hls_swarm_probe::record::{BAD_NETWORK, Frame, Record, cache, content, end, flag, forbidden, kind};

use super::bodies::Bodies;
use super::playlists::{Known, SharedPlaylists};

/// `EAI_*` codes of getaddrinfo (positive, as the probe reports them) and their texts.
const NAME_ERRORS: [(u16, &str); 5] = [
    (2, "Name or service not known"),
    (3, "Temporary failure in name resolution"),
    (4, "Non-recoverable failure in name resolution"),
    (5, "No address associated with hostname"),
    (11, "System error"),
];
/// errno of a connect that timed out.
const ETIMEDOUT: u16 = 110;

/// errno of a connect for which this machine has no local port left, or not the configured address.
const EADDRNOTAVAIL: u16 = 99;

/// How long after a failed attempt another address may take to answer, nanoseconds.
const NEXT_ADDRESS_NS: u64 = 2_000_000_000;

/// Maximum number of processes whose redirects are kept.
const REDIRECTED: usize = 10_000;

/// Decodes frames in the order of the pipe.
///
/// A name may have several addresses; a player tries one after the other (RFC 8305), so an
/// attempt that failed is an error only if the next one does not succeed.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The last failed attempt of each process.
    failed: HashMap<u32, Record>,
    bodies: Bodies,
    playlists: SharedPlaylists,
    /// By process: what was requested when the response was a redirect. The next request for an address that no playlist
    /// lists is for the same object.
    redirected: HashMap<u32, Entry>,
}

impl Decoder {
    /// A decoder that shares the playlists that it reads.
    pub(super) fn sharing(playlists: SharedPlaylists) -> Self {
        Self { playlists, ..Self::default() }
    }

    /// Passes the events of a frame to `out`.
    pub fn decode(&mut self, frame: &Frame<'_>, out: &mut impl FnMut(Event)) {
        match frame {
            Frame::Record(record) => self.record(record, out),
            Frame::Body(piece) => self.bodies.add(piece),
        }
    }

    fn record(&mut self, record: &Record, out: &mut impl FnMut(Event)) {
        if let Some(failed) = self.failed.remove(&record.pid)
            && !is_retried_successfully(&failed, record)
        {
            report_failure(&failed, out);
        }
        if record.kind == kind::HELLO {
            self.bodies.begin(record.viewer, record.generation);
        }
        match record.kind {
            kind::HELLO if record.error == BAD_NETWORK => out(Event::ConnectFailed {
                viewer: record.viewer,
                reason: "the probe could not parse its network settings".into(),
                timed_out: false,
                given_up_after_ns: None,
                handshake_left: false,
            }),
            kind::EXCHANGE => self.exchange(record, out),
            kind::FORBIDDEN => out(forbidden_connection(record)),
            kind::CONNECT_FAILED => drop(self.failed.insert(record.pid, *record)),
            kind::CLOSED => {
                self.bodies.forget(record.viewer, record.pid, record.connection);
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

    fn exchange(&mut self, record: &Record, out: &mut impl FnMut(Event)) {
        let whole = record.end == end::COMPLETE && is_served(record);
        let body = self.bodies.take(record).filter(|_| whole);
        let blocking_reload = body.as_ref().is_some_and(|body| body.request.is_blocking_reload());
        let tls = record.has(flag::TLS);
        let listed = self.listed(record);
        let read = body.and_then(|body| {
            self.playlists.lock().take(record.url_hash, listed.as_ref(), &body, record.encoding, tls)
        });
        // A playlist that no other lists, such as the one that the viewer opened first.
        let listed = listed.or_else(|| {
            let rendition = read.as_ref()?.rendition;
            Some(Entry { listed: Listed::Playlist(rendition), variant: None })
        });
        let found = Exchange { blocking_reload, ..exchange(record, listed, read.as_ref()) };
        if let Some(Known { rendition, said, .. }) = read.filter(|read| !read.is_cut) {
            let took = found.first_byte_ns.unwrap_or(0).saturating_add(found.download_ns.unwrap_or(0));
            out(Event::Playlist {
                viewer: record.viewer,
                generation: record.generation,
                playlist: record.url_hash,
                rendition,
                said,
                at_ns: record.started_ns.saturating_add(took),
            });
        }
        out(Event::Exchange(Box::new(found)));
    }

    /// The entry of a playlist that the request was for, with redirects followed.
    fn listed(&mut self, record: &Record) -> Option<Entry> {
        let own = self.playlists.lock().urls.find(record.url_hash, record.range_start);
        let listed = own.or_else(|| self.redirected.remove(&record.pid));
        if let (301 | 302 | 303 | 307 | 308, Some(listed)) = (record.status, &listed) {
            if self.redirected.len() >= REDIRECTED {
                self.redirected.clear();
            }
            self.redirected.insert(record.pid, listed.clone());
        }
        listed
    }

    /// Passes on the failed attempts that no other address can follow any more at `now_ns`. The process of many has
    /// ended: nothing else would come from it.
    pub fn release(&mut self, now_ns: u64, out: &mut impl FnMut(Event)) {
        let overdue = |_: &u32, failed: &mut Record| {
            now_ns.saturating_sub(failed.started_ns.saturating_add(failed.idle_ns)) > NEXT_ADDRESS_NS
        };
        self.failed.extract_if(overdue).for_each(|(_, failed)| report_failure(&failed, out));
    }

    /// Ends decoding: passes on the events that were held back.
    pub fn finish(&mut self, out: &mut impl FnMut(Event)) {
        self.failed.drain().for_each(|(_, failed)| report_failure(&failed, out));
    }
}

/// Whether `next`, of the same process, is a connection to another address made right after.
fn is_retried_successfully(failed: &Record, next: &Record) -> bool {
    let connected = matches!(next.kind, kind::EXCHANGE | kind::CLOSED) && next.has(flag::CONNECT);
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

fn report_failure(record: &Record, out: &mut impl FnMut(Event)) {
    if record.error == EADDRNOTAVAIL && record.end == end::NOT_CONNECTED {
        out(Event::Counted { viewer: record.viewer, counter: Counter::Exhausted, events: 1 });
    }
    out(connect_failed(record));
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

fn forbidden_connection(record: &Record) -> Event {
    let name = || text(&record.name, record.name_len);
    Event::Forbidden {
        viewer: record.viewer,
        host: peer(record).map_or_else(name, |(address, port)| SocketAddr::new(address, port).to_string()),
        by: match record.error {
            forbidden::LOCAL => ForbiddenBy::PublicAddress,
            forbidden::ORIGINS => ForbiddenBy::HeaderHosts,
            _ => ForbiddenBy::AllowList,
        },
    }
}

/// Whether the body can be what was requested; the body of an error response cannot.
const fn is_served(record: &Record) -> bool {
    matches!(record.status, 200 | 206)
}

fn exchange(record: &Record, entry: Option<Entry>, read: Option<&Known>) -> Exchange {
    let listed = entry.as_ref().map(|entry| entry.listed);
    let when = |mask: u16, value: u64| record.has(mask).then_some(value);
    let complete = record.end == end::COMPLETE;
    let name = text(&record.name, record.name_len);
    let served = is_served(record);
    let plain = served && !record.has(flag::ENCODED);
    let announced = when(flag::CONTENT_LENGTH, record.content_length).filter(|_| !record.has(flag::CHUNKED));
    let hints = ResponseHints {
        listed: listed.map(|listed| listed.kind()),
        name: &name,
        content_type: if served { &text(&record.content_type, record.content_type_len) } else { "" },
        sniff: if plain { bytes(&record.sniff, record.sniff_len) } else { &[] },
        length: when(flag::CONTENT_LENGTH, record.content_length).filter(|_| plain),
    };
    Exchange {
        viewer: record.viewer,
        generation: record.generation,
        pid: record.pid,
        http: HttpVersion::Http1,
        connection: record.connection,
        streams: 1,
        kind: kind(hints),
        url_hash: record.url_hash,
        status: Some(record.status).filter(|status| *status != 0),
        outcome: outcome(record),
        started_ns: record.started_ns,
        dns_ns: when(flag::DNS, record.dns_ns),
        connect_ns: when(flag::CONNECT, record.connect_ns),
        tls_ns: when(flag::TLS_HANDSHAKE, record.tls_ns),
        quic_ns: None,
        first_byte_ns: when(flag::FIRST_BYTE, record.first_byte_ns),
        download_ns: when(flag::FIRST_BYTE, record.download_ns).filter(|_| complete),
        idle_ns: (!complete).then_some(record.idle_ns),
        head_bytes: record.head_bytes,
        body_bytes: record.body_bytes,
        content: if read.is_some() { Some(Content::Playlist) } else { looks_like(record) },
        cut_short: record.has(flag::CUT_SHORT),
        announced_bytes: announced,
        unknown_body: false,
        excess_bytes: u64::from(record.excess),
        segment: listed.and_then(|listed| listed.segment()),
        gap: matches!(listed, Some(Listed::Gap)),
        variant: entry.and_then(|entry| entry.variant),
        blocking_reload: false,
        received_bytes: when(flag::TCP_INFO, record.received),
        tls: record.has(flag::TLS),
        retransmits: record.has(flag::TCP_INFO).then_some(record.retransmits),
        lost_packets: None,
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
        playlist: read.and_then(|read| read.state),
        peer: peer(record),
        local_port: Some(record.local_port).filter(|port| *port != 0),
        name: name.into_boxed_str(),
    }
}

const fn looks_like(record: &Record) -> Option<Content> {
    content_of(record.content)
}

/// The content of this code; `None` = not known.
pub(crate) const fn content_of(code: u8) -> Option<Content> {
    Some(match code {
        content::EMPTY => Content::Empty,
        content::MPEG_TS => Content::MpegTs,
        content::ISO_BOX => Content::IsoBox,
        content::ADTS => Content::Adts,
        content::ID3 => Content::Id3,
        content::MPEG_AUDIO => Content::MpegAudio,
        content::AC3 => Content::Ac3,
        content::WEBVTT => Content::WebVtt,
        content::PLAYLIST => Content::Playlist,
        content::HTML => Content::Html,
        content::XML => Content::Xml,
        content::JSON => Content::Json,
        content::TEXT => Content::Text,
        content::OTHER => Content::Other,
        _ => return None,
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
        return format!("name lookup: {}", known.map_or("failed", |(_, text)| text));
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
mod tests;
