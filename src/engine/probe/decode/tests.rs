//! Tests of the decoder of the probe's records.

use hls_swarm_hls::playlist::Playlist;
use hls_swarm_model::exchange::Kind;
use hls_swarm_model::listed::Rendition;
use hls_swarm_probe::record::{BodyPiece, body, encoding, url_hash};

use super::*;

fn record() -> Record {
    let mut record = Record { kind: kind::EXCHANGE, end: end::COMPLETE, ..Record::EMPTY };
    record.name[..6].copy_from_slice(b"seg.ts");
    record.name_len = 6;
    record.status = 200;
    record
}

fn events(records: &[Record]) -> Vec<Event> {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    records
        .iter()
        .for_each(|record| decoder.decode(&Frame::Record(*record), &mut |event| events.push(event)));
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
fn a_request_on_a_closed_connection_is_stale() {
    let mut record = record();
    (record.flags, record.status) = (flag::STALE, 0);
    for end in [end::CLOSED_BY_PEER, end::SOCKET_ERROR, end::CLOSED_BY_VIEWER] {
        record.end = end;
        assert_eq!(read(&record).outcome, Outcome::Stale);
    }
}

#[test]
fn the_failed_attempt_of_a_dead_process_is_released_in_time() {
    let mut decoder = Decoder::default();
    for pid in 0..1000 {
        let failed = Record {
            kind: kind::CONNECT_FAILED,
            error: 111,
            pid,
            started_ns: 5,
            idle_ns: 7,
            ..Record::EMPTY
        };
        decoder.decode(&Frame::Record(failed), &mut |event| panic!("{event:?}"));
    }
    let mut released = 0;
    decoder.release(12 + NEXT_ADDRESS_NS, &mut |event| panic!("too early: {event:?}"));
    decoder.release(13 + NEXT_ADDRESS_NS, &mut |_| released += 1);
    assert_eq!((released, decoder.failed.len()), (1000, 0));
}

#[test]
fn forbidden_connections_name_their_host() {
    let mut by_name = Record { kind: kind::FORBIDDEN, error: forbidden::HOSTS, ..Record::EMPTY };
    by_name.name[..3].copy_from_slice(b"cdn");
    by_name.name_len = 3;
    let mut by_address = Record { kind: kind::FORBIDDEN, error: forbidden::LOCAL, ..Record::EMPTY };
    (by_address.peer_family, by_address.peer_port) = (4, 80);
    by_address.peer[..4].copy_from_slice(&[203, 0, 113, 5]);
    let found: Vec<_> = events(&[by_name, by_address])
        .into_iter()
        .map(|event| match event {
            Event::Forbidden { host, by, .. } => (host, by),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        found,
        [
            ("cdn".to_owned(), ForbiddenBy::AllowList),
            ("203.0.113.5:80".to_owned(), ForbiddenBy::PublicAddress)
        ]
    );
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
    assert!(events(&[Record { kind: kind::HELLO, ..Record::EMPTY }]).is_empty());
    assert!(events(&[Record { kind: kind::CLOSED, ..Record::EMPTY }]).is_empty());
}

#[test]
fn a_refusal_is_not_an_error_if_another_address_accepts() {
    let refused = Record {
        kind: kind::CONNECT_FAILED,
        end: end::NOT_CONNECTED,
        error: 111,
        peer_port: 80,
        peer_family: 6,
        started_ns: 1000,
        ..Record::EMPTY
    };
    let mut peer = [0; 16];
    peer[..4].copy_from_slice(&[127, 0, 0, 1]);
    let served =
        Record { flags: flag::CONNECT, peer_port: 80, peer_family: 4, peer, started_ns: 90_000, ..record() };
    assert!(matches!(events(&[refused, served])[..], [Event::Exchange(_)]));
    assert!(matches!(
        events(&[refused, refused])[..],
        [Event::ConnectFailed { .. }, Event::ConnectFailed { .. }]
    ));
    // A response on an older connection does not show whether the new one was established.
    let kept = Record { flags: 0, ..served };
    assert!(matches!(events(&[refused, kept])[..], [Event::ConnectFailed { .. }, Event::Exchange(_)]));
}

#[test]
fn an_unfinished_handshake_is_an_error() {
    let closed = Record { kind: kind::CLOSED, flags: flag::TLS, ..Record::EMPTY };
    let left = |record| match events(&[record])[..] {
        [Event::ConnectFailed { handshake_left, .. }] => Some(handshake_left),
        _ => None,
    };
    assert_eq!(left(closed), Some(false));
    assert_eq!(left(Record { end: end::CLOSED_BY_VIEWER, ..closed }), Some(true));
    let hidden = Record { flags: flag::TLS | flag::HIDDEN, ..closed };
    assert!(events(&[hidden]).is_empty());
}

/// The requests and responses of one viewer.
struct Viewer {
    decoder: Decoder,
    viewer: u32,
    request: u32,
}

const HOST: &str = "cdn:8080";

impl Viewer {
    fn new() -> Self {
        Self { decoder: Decoder::default(), viewer: 1, request: 0 }
    }

    fn record(&mut self, target: &str) -> Record {
        self.request += 1;
        Record {
            kind: kind::EXCHANGE,
            end: end::COMPLETE,
            viewer: self.viewer,
            generation: 1,
            pid: 100 + self.viewer,
            connection: 1,
            request: self.request,
            status: 200,
            url_hash: url_hash(target.as_bytes(), HOST.as_bytes()),
            ..Record::EMPTY
        }
    }

    fn tell(&mut self, record: &Record) -> Vec<Event> {
        let mut events = Vec::new();
        self.decoder.decode(&Frame::Record(*record), &mut |event| events.push(event));
        events
    }

    /// An exchange whose `body` arrives in pieces of 10 bytes.
    fn playlist_as(&mut self, target: &str, body: &[u8], change: impl Fn(&mut Record)) -> Vec<Event> {
        let mut record = self.record(target);
        (record.body, record.content) = (body::WHOLE, content::PLAYLIST);
        change(&mut record);
        let all = [target.as_bytes(), b"\n", HOST.as_bytes(), b"\n", body].concat();
        for (number, bytes) in (0..).zip(all.chunks(10)) {
            let Record { viewer, generation, pid, connection, request, .. } = record;
            let piece =
                BodyPiece { viewer, generation, pid, connection, request, offset: number * 10, bytes };
            self.decoder.decode(&Frame::Body(piece), &mut |event| panic!("{event:?}"));
        }
        self.tell(&record)
    }

    fn playlist(&mut self, target: &str, text: &str) -> Exchange {
        only(&self.playlist_as(target, text.as_bytes(), |_| {}))
    }

    /// An exchange of an object that is not recognizable by itself.
    fn other(&mut self, target: &str, change: impl Fn(&mut Record)) -> Exchange {
        let mut record = self.record(target);
        record.content = content::OTHER;
        change(&mut record);
        only(&self.tell(&record))
    }

    fn get(&mut self, target: &str) -> Exchange {
        self.other(target, |_| {})
    }
}

fn only(events: &[Event]) -> Exchange {
    let exchange = |event: &Event| match event {
        Event::Exchange(exchange) => Some((**exchange).clone()),
        _ => None,
    };
    let exchanges: Vec<_> = events.iter().filter_map(exchange).collect();
    assert_eq!(exchanges.len(), 1, "{events:?}");
    exchanges[0].clone()
}

const LIVE: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
    #EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXT-X-MAP:URI=\"head\"\n\
    #EXT-X-KEY:METHOD=AES-128,URI=\"/license?id=7\"\n#EXTINF:2,\npart/7\n#EXTINF:1.5,\npart/8?t=/x\n";

#[test]
fn a_playlist_determines_the_kind_of_what_it_lists() {
    let mut viewer = Viewer::new();
    assert_eq!(viewer.get("/live/part/7").kind, Kind::Other, "not listed yet");
    assert_eq!(viewer.playlist("/live/index?x", LIVE).kind, Kind::Playlist);
    let segment = viewer.get("/live/part/8?t=/x");
    let id = segment.segment.unwrap();
    assert_eq!((segment.kind, id.sequence, id.duration_us), (Kind::Segment, 8, 1_500_000));
    assert_eq!(id.playlist, url_hash(b"/live/index?x", HOST.as_bytes()));
    assert_eq!((id.rendition, id.encrypted, id.from_start), (Rendition::Main, true, true));
    assert_eq!(viewer.get("/live/head").kind, Kind::Init);
    assert_eq!(viewer.get("/license?id=7").kind, Kind::Key);
    // An HTML page in place of a segment or a playlist counts as what was requested.
    let page = viewer.other("/live/part/7", |record| record.content = content::HTML);
    assert_eq!((page.kind, page.content), (Kind::Segment, Some(Content::Html)));
    let missing = viewer.other("/live/part/7", |record| record.status = 404);
    assert_eq!((missing.kind, missing.segment.map(|id| id.sequence)), (Kind::Segment, Some(7)));
    let page = viewer.other("/live/index?x", |record| record.content = content::HTML);
    assert_eq!((page.kind, page.content, page.playlist), (Kind::Playlist, Some(Content::Html), None));
    // It applies to other viewers, too.
    viewer.viewer = 2;
    assert_eq!(viewer.get("/live/part/7").kind, Kind::Segment);
}

#[test]
fn the_state_of_a_playlist_is_parsed() {
    let mut viewer = Viewer::new();
    let state = viewer.playlist("/live/index?x", LIVE).playlist.unwrap();
    assert_eq!((state.sequence, state.segments, state.next_sequence()), (7, 2, 9));
    assert_eq!((state.discontinuity_sequence, state.target_seconds, state.ended), (3, 2, false));
    assert_eq!(
        state.last_segment,
        b"8".iter().fold(hls_swarm_probe::record::URL_HASH_START, |hash, byte| {
            hls_swarm_probe::record::hash_byte(hash, *byte)
        })
    );
    let ended = viewer.playlist("/live/index?x", &format!("{LIVE}#EXT-X-ENDLIST")).playlist.unwrap();
    assert!(ended.ended);
    // A delta update omits segments, but they are counted.
    let skip = LIVE.replace("#EXT-X-MAP", "#EXT-X-SKIP:SKIPPED-SEGMENTS=5\n#EXT-X-MAP");
    assert_eq!(viewer.playlist("/a", &skip).playlist.unwrap().next_sequence(), 14);
    assert_eq!(viewer.get("/part/7").segment.unwrap().sequence, 12);
    assert_eq!(viewer.playlist("/b", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n").playlist, None);
}

#[test]
fn blocking_reloads_belong_to_one_playlist_and_are_marked() {
    let mut viewer = Viewer::new();
    let plain = viewer.playlist("/a.m3u8?t=1", LIVE);
    let blocked = viewer.playlist("/a.m3u8?t=1&_HLS_msn=9&_HLS_part=0", LIVE);
    assert_eq!((plain.playlist, plain.url_hash), (blocked.playlist, blocked.url_hash));
    assert_eq!((plain.blocking_reload, blocked.blocking_reload), (false, true));
}

#[test]
fn viewers_with_the_same_playlist_share_one_parsed_copy() {
    let mut viewer = Viewer::new();
    let said = |viewer: &mut Viewer| match &viewer.playlist_as("/a", LIVE.as_bytes(), |record| {
        (record.started_ns, record.first_byte_ns, record.download_ns) = (1000, 20, 3);
        record.flags = flag::FIRST_BYTE;
    })[..]
    {
        [Event::Playlist { viewer, said, at_ns: 1023, .. }, Event::Exchange(_)] => (*viewer, said.clone()),
        other => panic!("{other:?}"),
    };
    let first = said(&mut viewer);
    viewer.viewer = 2;
    let second = said(&mut viewer);
    assert_eq!((first.0, second.0), (1, 2));
    assert!(std::sync::Arc::ptr_eq(&first.1, &second.1));
    assert!(matches!(&*first.1, Playlist::Media(media) if media.segments.len() == 2));
}

#[test]
fn renditions_are_taken_from_the_multivariant_playlist() {
    let mut viewer = Viewer::new();
    let text = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",URI=\"audio\"\n\
        #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",URI=\"subs\"\n\
        #EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nlow\n";
    assert_eq!(viewer.playlist("/", text).kind, Kind::Playlist);
    for (name, rendition) in
        [("audio", Rendition::Audio), ("subs", Rendition::Subtitles), ("low", Rendition::Main)]
    {
        assert_eq!(viewer.get(&format!("/{name}")).kind, Kind::Playlist, "it never contained a playlist");
        let text = format!("#EXTM3U\n#EXTINF:1,\n{name}-1\n");
        viewer.playlist(&format!("/{name}"), &text);
        let segment = viewer.get(&format!("/{name}-1"));
        assert_eq!((segment.kind, segment.segment.unwrap().rendition), (Kind::Segment, rendition));
    }
}

#[test]
fn requests_to_the_steering_server_are_a_kind_of_their_own() {
    let mut viewer = Viewer::new();
    assert_eq!(viewer.get("/steer?s=1").kind, Kind::Other, "nothing is known of it");
    let text =
        "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/steer?s=1\"\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow\n";
    viewer.playlist("/", text);
    for target in ["/steer?s=1", "/steer?s=1&_HLS_pathway=a&_HLS_throughput=5000"] {
        assert_eq!(viewer.get(target).kind, Kind::Steering, "{target}");
    }
}

#[test]
fn encoded_bodies_are_decoded() {
    use std::io::Write;

    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(LIVE.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(LIVE.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let bare = zlib[2..zlib.len() - 4].to_vec();
    for (coding, bytes, readable) in [
        (encoding::GZIP, &gzip[..], true),
        (encoding::DEFLATE, &zlib, true),
        (encoding::DEFLATE, &bare, true),
        (encoding::GZIP, &gzip[..gzip.len() / 2], false),
        (encoding::GZIP, b"<html>", false),
        (encoding::OTHER, b"\x0b\x01", false),
    ] {
        let mut viewer = Viewer::new();
        let exchange = only(&viewer.playlist_as("/a.m3u8", bytes, |record| {
            (record.encoding, record.flags, record.content) = (coding, flag::ENCODED, content::UNKNOWN);
        }));
        assert_eq!(exchange.playlist.is_some(), readable, "{coding} {bytes:?}");
        assert_eq!(exchange.content, readable.then_some(Content::Playlist));
        let expected = if readable { Kind::Segment } else { Kind::Other };
        assert_eq!(viewer.get("/part/7").kind, expected, "{coding} {bytes:?}");
    }
}

#[test]
fn an_incomplete_playlist_is_ignored() {
    let changes: [fn(&mut Record); 3] = [
        |record| record.body = body::LOST,
        |record| record.end = end::CLOSED_BY_PEER,
        |record| record.status = 404,
    ];
    for change in changes {
        let mut viewer = Viewer::new();
        let events = viewer.playlist_as("/a", LIVE.as_bytes(), change);
        assert_eq!(only(&events).playlist, None);
        assert_eq!((events.len(), viewer.get("/part/7").kind), (1, Kind::Other));
    }
    // Of a playlist that is too long, only the entries at its beginning are known.
    let mut viewer = Viewer::new();
    let events = viewer.playlist_as("/a", LIVE.as_bytes(), |record| record.body = body::CUT);
    assert_eq!((events.len(), only(&events).playlist), (1, None));
    assert_eq!((viewer.get("/part/7").kind, viewer.get("/part/8?t=/x").kind), (Kind::Segment, Kind::Segment));
}

#[test]
fn the_target_of_a_redirect_counts_as_what_was_requested() {
    let mut viewer = Viewer::new();
    viewer.playlist("/a", LIVE);
    let redirect = viewer.other("/part/7", |record| record.status = 302);
    assert_eq!(redirect.kind, Kind::Segment);
    let again = viewer.other("/edge/7", |record| record.status = 307);
    assert_eq!((again.kind, again.segment), (Kind::Segment, redirect.segment));
    assert_eq!(viewer.get("/part/8?t=/x").segment.unwrap().sequence, 8, "a listed address takes precedence");
    assert_eq!(viewer.get("/edge/b/7").segment, redirect.segment);
    assert_eq!(viewer.get("/edge/c/7").kind, Kind::Other, "once");
}

#[test]
fn announced_lengths_are_compared() {
    let mut record = record();
    (record.content_length, record.body_bytes, record.excess) = (100, 100, 7);
    record.flags = flag::CONTENT_LENGTH;
    let exchange = read(&record);
    assert_eq!((exchange.announced_bytes, exchange.excess_bytes), (Some(100), 7));
    record.flags |= flag::CHUNKED;
    assert_eq!(read(&record).announced_bytes, None, "chunked encoding takes precedence (RFC 9112, 6.3)");
}

#[test]
fn addresses_are_recognized_as_players_write_them() {
    let mut viewer = Viewer::new();
    let text = "#EXTM3U\n#EXTINF:1,\n../it's.ts\n#EXTINF:1,\nhttp://cdn:8080/b c.ts#t=1\n";
    viewer.playlist("/live/x/index.m3u8", text);
    for target in ["/live/it's.ts", "/b c.ts", "/b%20c.ts"] {
        assert!(viewer.get(target).segment.is_some(), "{target}");
    }
}
