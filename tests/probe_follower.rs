//! The probe's HTTP follower against a model: whatever a connection carries and however it is cut
//! into pieces, the facts are those that were written into it.

#[allow(dead_code, unreachable_pub, reason = "the probe's own module, included as it is")]
#[path = "../probe/object/http.rs"]
mod http;
#[allow(dead_code, unreachable_pub, reason = "the probe's own module, included as it is")]
#[path = "../probe/src/record.rs"]
mod wire;

use proptest::prelude::*;

use hls_swarm::engine::probe::decode::Decoder;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::Source;
use hls_swarm_test_support::recorded::{SECOND, stats_of};

use http::{Follower, Received, Sent};
use wire::{Record, cache, end, flag};

/// One connection as the probe would follow it: finished exchanges and how they ended.
struct Connection {
    follower: Follower,
    over: Vec<(u8, Record)>,
    not_http: bool,
}

impl Connection {
    fn new() -> Self {
        let mut follower = Follower::NEW;
        follower.reset();
        Self { follower, over: Vec::new(), not_http: false }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.send(bytes);
            assert!(taken > 0 || met == Sent::Starts, "every turn gets further");
            bytes = &bytes[taken..];
            match met {
                Sent::All => assert!(bytes.is_empty()),
                Sent::Starts => {
                    if self.follower.in_flight() {
                        self.over.push((end::SUPERSEDED, self.follower.facts()));
                    }
                    self.follower.begin();
                }
                Sent::NotHttp => self.not_http = true,
            }
        }
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.receive(bytes);
            assert!(taken > 0, "every turn gets further");
            bytes = &bytes[taken..];
            if met == Received::Complete {
                self.over.push((end::COMPLETE, self.follower.facts()));
            }
        }
    }

    fn end(&mut self) {
        if let Some(how) = self.follower.end_of_stream() {
            self.over.push((how, self.follower.facts()));
        }
    }

    fn only(&self) -> &Record {
        assert_eq!(self.over.len(), 1, "{:?}", self.over);
        &self.over[0].1
    }
}

/// `bytes` in pieces: `cuts` are taken in turn as lengths, the last piece is the rest.
fn pieces<'bytes>(bytes: &'bytes [u8], cuts: &[usize]) -> Vec<&'bytes [u8]> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for &cut in cuts {
        let (piece, after) = rest.split_at(cut.min(rest.len()));
        all.push(piece);
        rest = after;
    }
    all.push(rest);
    all
}

const GET: &[u8] = b"GET /live/a.m3u8?token=1/2 HTTP/1.1\r\nHost: Origin:80\r\nRange: bytes=0-\r\n\r\n";

fn exchange(response: &[u8]) -> Connection {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.receive(response);
    connection
}

#[test]
fn a_request_gives_method_name_hash_and_size() {
    let connection = exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let record = connection.only();
    assert_eq!(record.method, b'G');
    assert_eq!(record.name(), b"a.m3u8");
    assert_eq!(record.url_hash, wire::url_hash(b"/live/a.m3u8?token=1/2", b"origin:80"));
    assert_ne!(record.url_hash, wire::url_hash(b"/live/a.m3u8?token=1/3", b"origin:80"));
}

#[test]
fn bodies_without_length_end_with_the_connection() {
    let mut connection = exchange(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\nabc");
    assert!(connection.over.is_empty());
    connection.end();
    assert_eq!(connection.over[0].0, end::COMPLETE);
    let record = connection.only();
    assert_eq!((record.body_bytes, record.sniff()), (3, &b"abc"[..]));
    assert!(record.has(flag::CONNECTION_CLOSE));
    assert!(!record.has(flag::CONTENT_LENGTH));
}

#[test]
fn a_connection_that_ends_too_soon_is_no_whole_response() {
    let heads: [&[u8]; 5] = [
        b"",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n",
    ];
    for head in heads {
        let mut connection = exchange(head);
        connection.end();
        assert_eq!(connection.over[0].0, end::CLOSED_BY_PEER, "{}", String::from_utf8_lossy(head));
        connection.end();
        assert_eq!(connection.over.len(), 1, "one exchange, one record");
    }
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    for head in [
        &b"HTTP/1.1 204 No Content\r\n\r\n"[..],
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
        b"HTTP/1.1 404 Not Found\ncontent-length:0\n\n",
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(exchange(head).only().head_bytes, head.len() as u64);
    }
    let mut head = Connection::new();
    head.send(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    head.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n");
    assert_eq!((head.only().content_length, head.only().body_bytes), (77, 0));
}

#[test]
fn interim_heads_are_skipped_and_counted_as_head_bytes() {
    let all = b"HTTP/1.1 103 Early Hints\r\nAge: 7\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    let connection = exchange(all);
    let record = connection.only();
    assert_eq!((record.status, record.content_length, record.body_bytes), (200, 2, 2));
    assert_eq!(record.head_bytes, all.len() as u64 - 2);
    assert!(!record.has(flag::AGE), "what an interim head says is not about the response");
    assert_eq!(record.name(), b"a.m3u8");
}

#[test]
fn chunks_with_extensions_and_trailers_count_framing_apart() {
    let body = b"4;x=\"y;z\"\r\nabcd\r\n00A \r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
    let mut all =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 3\r\n\r\n".to_vec();
    all.extend_from_slice(body);
    let connection = exchange(&all);
    let record = connection.only();
    assert_eq!(record.body_bytes, body.len() as u64);
    assert_eq!(record.sniff(), b"abcd0123456789");
    assert!(record.has(flag::CHUNKED));
}

#[test]
fn broken_chunk_framing_is_counted_and_never_complete() {
    for size in ["", "x", "-1", "0123456789abcdef0", "4\r\nabcdX"] {
        let mut connection =
            exchange(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n").as_bytes());
        connection.receive(b"0\r\n\r\n");
        assert!(connection.over.is_empty(), "{size:?}");
        connection.end();
        assert_eq!(connection.over[0].0, end::CLOSED_BY_PEER, "{size:?}");
        assert_eq!(connection.over[0].1.body_bytes, size.len() as u64 + 7, "{size:?}");
    }
}

#[test]
fn a_superseded_response_is_skipped_wherever_it_stands() {
    let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nAge: 3\r\n\r\n0123456789";
    let second = b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx";
    for at in 0..first.len() {
        let mut connection = Connection::new();
        connection.send(GET);
        connection.receive(&first[..at]);
        connection.send(b"GET /b.ts HTTP/1.1\r\nHost: a\r\n\r\n");
        connection.receive(&first[at..]);
        connection.receive(second);
        assert_eq!(
            connection.over.iter().map(|over| over.0).collect::<Vec<_>>(),
            [end::SUPERSEDED, end::COMPLETE]
        );
        assert_eq!(connection.over[0].1.name(), b"a.m3u8");
        let record = &connection.over[1].1;
        assert_eq!((record.name(), record.status, record.body_bytes), (&b"b.ts"[..], 404, 1), "at {at}");
        assert_eq!(record.head_bytes, second.len() as u64 - 1);
        assert!(!record.has(flag::AGE));
    }
}

#[test]
fn an_end_while_skipping_does_not_lend_the_old_head_to_the_new_request() {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.send(b"GET /b.ts HTTP/1.1\r\n\r\n");
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    connection.end();
    let (how, record) = &connection.over[1];
    assert_eq!((*how, record.status, record.body_bytes), (end::CLOSED_BY_PEER, 0, 0));
}

#[test]
fn a_response_is_told_apart_by_the_method_it_answers_even_when_superseded() {
    let mut connection = Connection::new();
    connection.send(b"HEAD /a HTTP/1.1\r\n\r\n");
    connection.send(b"GET /b HTTP/1.1\r\n\r\n");
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    connection.receive(b"HTTP/1.1 206 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((connection.over[1].0, connection.over[1].1.status), (end::COMPLETE, 206));
    assert_eq!(connection.over[1].1.body_bytes, 1);
}

#[test]
fn a_look_at_an_unread_response_tells_its_head_and_counts_nothing() {
    for (unread, status) in [
        (&b""[..], 0),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nabc", 200),
    ] {
        let mut connection = Connection::new();
        connection.send(GET);
        assert!(connection.follower.is_unanswered());
        connection.follower.peek(unread);
        assert!(connection.follower.in_flight(), "it was not read, so it is not over");
        let record = connection.follower.facts();
        assert_eq!((record.status, record.head_bytes, record.body_bytes), (status, 0, 0));
    }
}

#[test]
fn what_is_not_http_is_left_alone() {
    for bytes in
        [&b"\x16\x03\x01\x02\x00"[..], b"ssh-2.0", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n\r\n"]
    {
        let mut connection = Connection::new();
        connection.send(bytes);
        connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        connection.send(GET);
        assert!(connection.over.is_empty() && !connection.follower.in_flight(), "{bytes:?}");
    }
    let mut tunnel = Connection::new();
    tunnel.send(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    tunnel.receive(b"HTTP/1.1 200 Connection established\r\n\r\n");
    tunnel.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(tunnel.only().status, 200);
}

#[test]
fn a_request_body_is_counted_and_not_taken_for_a_request() {
    let request = b"POST /a HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    let mut connection = Connection::new();
    connection.send(request);
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(connection.only().method, b'P');
}

#[test]
fn cache_headers_are_read_as_their_makers_write_them() {
    for (header, word) in [
        ("X-Cache: HIT", cache::HIT),
        ("X-Cache: Hit from cloudfront", cache::HIT),
        ("X-Cache: RefreshHit from cloudfront", cache::OTHER),
        ("X-Cache: TCP_MISS from a1-2-3-4", cache::MISS),
        ("x-cache: HIT, MISS", cache::MISS),
        ("X-Cache-Status: EXPIRED", cache::OTHER),
        ("X-Cache-Status: BYPASS", cache::OTHER),
        ("CF-Cache-Status: DYNAMIC", cache::OTHER),
        ("cf-cache-status:HIT", cache::HIT),
        ("Cache-Status: Origin; fwd=uri-miss, \"CDN\"; hit; ttl=10", cache::HIT),
        ("Cache-Status: CDN; fwd=uri-miss; stored", cache::MISS),
        ("Cache-Status: CDN; fwd=stale", cache::OTHER),
        ("X-Other: HIT", cache::UNKNOWN),
    ] {
        let connection =
            exchange(format!("HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        assert_eq!(connection.only().cache, word, "{header}");
    }
}

#[test]
fn heads_larger_than_the_room_for_a_line_pass() {
    let long = "x".repeat(10_000);
    let mut connection = Connection::new();
    connection.send(format!("GET /{long}/s.ts?{long} HTTP/1.1\r\nX: {long}\r\nHost: a\r\n\r\n").as_bytes());
    connection.receive(
        format!("HTTP/1.1 200 {long}\r\nX: {long}\r\n folded: {long}\r\nContent-Length: 1\r\n\r\n!")
            .as_bytes(),
    );
    let record = connection.only();
    assert_eq!((record.status, record.name(), record.body_bytes), (200, &b"s.ts"[..], 1));
    assert_eq!(record.url_hash, wire::url_hash(format!("/{long}/s.ts?{long}").as_bytes(), b"a"));
    let mut connection = Connection::new();
    connection.send(format!("GET /{long} HTTP/1.1\r\n\r\n").as_bytes());
    assert_eq!(connection.follower.facts().name().len(), wire::NAME_BYTES);
}

#[test]
fn a_record_survives_the_pipe_and_nothing_else_is_one() {
    let mut record = Record::EMPTY;
    record.what = wire::what::EXCHANGE;
    record.name[0] = b'a';
    record.received = u64::MAX;
    let bytes = record.as_bytes();
    assert_eq!(Record::from_bytes(bytes), Some(record));
    assert_eq!(Record::from_bytes(&bytes[1..]), None);
    let mut other = *bytes;
    other[4] ^= 1;
    assert_eq!(Record::from_bytes(&other), None, "another version");
}

/// How a response tells its length.
#[derive(Clone, Debug)]
enum Framing {
    Length,
    Chunks(Vec<usize>),
    NoBody,
}

#[derive(Clone, Debug)]
struct Exchange {
    name: String,
    query: Option<String>,
    interim: u8,
    status: u16,
    body: Vec<u8>,
    framing: Framing,
    age: Option<u32>,
    line_end: &'static str,
    gzip: bool,
}

impl Exchange {
    fn target(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("/dir/{}{query}", self.name)
    }

    fn request(&self) -> Vec<u8> {
        format!("GET {} HTTP/1.1\r\nUser-Agent: x: y\r\nhost:  h \r\n\r\n", self.target()).into_bytes()
    }

    /// Head and body.
    fn response(&self) -> (Vec<u8>, Vec<u8>) {
        let end = self.line_end;
        let mut head =
            format!("HTTP/1.1 100 Continue{end}Content-Length: 5{end}{end}").repeat(self.interim.into());
        let status = if matches!(self.framing, Framing::NoBody) { 304 } else { self.status };
        head += &format!("HTTP/1.1 {status} Some Words{end}Server: x{end}");
        if let Some(age) = self.age {
            head += &format!("AGE: {age}{end}");
        }
        if self.gzip {
            head += &format!("Content-Encoding: gzip{end}");
        }
        let body = match &self.framing {
            Framing::NoBody => Vec::new(),
            Framing::Length => {
                head += &format!("content-LENGTH:{}{end}", self.body.len());
                self.body.clone()
            }
            Framing::Chunks(cuts) => {
                head += &format!("Transfer-Encoding: chunked{end}");
                let mut body = Vec::new();
                for chunk in pieces(&self.body, cuts).into_iter().filter(|chunk| !chunk.is_empty()) {
                    body.extend_from_slice(format!("{:X}{end}", chunk.len()).as_bytes());
                    body.extend_from_slice(chunk);
                    body.extend_from_slice(end.as_bytes());
                }
                body.extend_from_slice(format!("0{end}{end}").as_bytes());
                body
            }
        };
        head += end;
        (head.into_bytes(), body)
    }
}

prop_compose! {
    fn exchanges()(
        name in "[a-z]{0,12}[.]ts",
        query in proptest::option::of(prop_oneof!["[a-z/?=]{0,12}", "((_HLS_|_H|)[a-c]?(=[0-9])?&?){0,5}"]),
        interim in 0_u8..3,
        status in prop_oneof![Just(200_u16), Just(206), Just(302), Just(404), Just(503)],
        body in proptest::collection::vec(any::<u8>(), 0..200),
        framing in prop_oneof![
            Just(Framing::Length),
            Just(Framing::NoBody),
            proptest::collection::vec(0_usize..40, 0..8).prop_map(Framing::Chunks),
        ],
        age in proptest::option::of(any::<u32>()),
        line_end in prop_oneof![Just("\r\n"), Just("\n")],
        gzip in any::<bool>(),
    ) -> Exchange {
        Exchange { name, query, interim, status, body, framing, age, line_end, gzip }
    }
}

proptest! {
    #[test]
    fn any_cut_of_any_conversation_gives_the_facts_that_were_written(
        conversation in proptest::collection::vec(exchanges(), 1..5),
        cuts in proptest::collection::vec(0_usize..60, 0..60),
    ) {
        let mut connection = Connection::new();
        for exchange in &conversation {
            for piece in pieces(&exchange.request(), &cuts) {
                connection.send(piece);
            }
            let (head, body) = exchange.response();
            let all = [head.as_slice(), &body].concat();
            for piece in pieces(&all, &cuts) {
                connection.receive(piece);
            }
        }
        prop_assert_eq!(connection.over.len(), conversation.len());
        for (exchange, (how, record)) in conversation.iter().zip(&connection.over) {
            let (head, body) = exchange.response();
            let no_body = matches!(exchange.framing, Framing::NoBody);
            let entity = if no_body { &[][..] } else { &exchange.body };
            prop_assert_eq!(*how, end::COMPLETE);
            prop_assert_eq!(record.name(), exchange.name.as_bytes());
            prop_assert_eq!(record.url_hash, hash_without_directives(&exchange.target(), "h"));
            prop_assert_eq!(record.status, if no_body { 304 } else { exchange.status });
            prop_assert_eq!(record.head_bytes, head.len() as u64);
            prop_assert_eq!(record.body_bytes, body.len() as u64);
            prop_assert_eq!(record.sniff(), &entity[..entity.len().min(wire::SNIFF_BYTES)]);
            prop_assert_eq!(record.has(flag::AGE), exchange.age.is_some());
            prop_assert_eq!(record.age_s, exchange.age.unwrap_or(0));
            prop_assert_eq!(record.has(flag::ENCODED), exchange.gzip);
            prop_assert_eq!(record.has(flag::CHUNKED), matches!(exchange.framing, Framing::Chunks(_)));
        }
    }

    #[test]
    fn any_cut_of_any_garbage_gives_the_same_facts(
        sent in "(GET|HEAD|POST|[A-Z\n]{0,3}) /[a-z/? ]{0,9}( HTTP/1.1|)\r?\n(Host: [a-z]|Content-Length: [0-9]{1,20}|[ -~]{0,9}|\r?\n){0,5}",
        received in "(HTTP/1.[01]|[A-Z]{1,4}) [0-9]{1,4} (\r?\n(Content-Length: [0-9]{1,21}|Transfer-Encoding: [a-z,]{0,9}(chunked|)|[ -~]{0,9})){0,4}(\r?\n[0-9a-f; ]{0,3}){0,6}",
        junk in proptest::collection::vec(any::<u8>(), 0..50),
        cuts in proptest::collection::vec(0_usize..30, 0..40),
    ) {
        let run = |cuts: &[usize]| {
            let mut connection = Connection::new();
            for bytes in [sent.as_bytes(), &junk, GET] {
                pieces(bytes, cuts).into_iter().for_each(|piece| connection.send(piece));
            }
            for bytes in [received.as_bytes(), &junk, received.as_bytes()] {
                pieces(bytes, cuts).into_iter().for_each(|piece| connection.receive(piece));
            }
            connection.end();
            (connection.over, connection.not_http, connection.follower.in_flight())
        };
        prop_assert_eq!(run(&cuts), run(&[]));
    }
}

/// FNV-1a of a request without the query parameters that are delivery directives.
fn hash_without_directives(target: &str, host: &str) -> u64 {
    let mut kept = target.to_owned();
    if let Some((path, query)) = target.split_once('?') {
        let parameters: Vec<_> = query.split('&').filter(|name| !name.starts_with("_HLS_")).collect();
        let query = (!parameters.is_empty()).then(|| format!("?{}", parameters.join("&")));
        kept = path.to_owned() + &query.unwrap_or_default();
    }
    kept.bytes().chain([0]).chain(host.bytes()).fold(wire::URL_HASH_START, wire::hash_byte)
}

#[test]
fn a_playlist_is_the_same_whatever_delivery_directives_its_reloads_carry() {
    let hash = |target: &str| wire::url_hash(target.as_bytes(), b"h");
    for (target, same) in [
        ("/a.m3u8?_HLS_msn=7&_HLS_part=2", "/a.m3u8"),
        ("/a.m3u8?token=1&_HLS_msn=7&_HLS_skip=YES", "/a.m3u8?token=1"),
        ("/a.m3u8?_HLS_msn=7&token=1", "/a.m3u8?token=1"),
        ("/a.m3u8?a=1&_HLS_push=0&b=2", "/a.m3u8?a=1&b=2"),
    ] {
        assert_eq!(hash(target), hash(same), "{target}");
    }
    for (target, other) in [
        ("/a.m3u8?_HLS=7", "/a.m3u8"),
        ("/a.m3u8?x_HLS_msn=7", "/a.m3u8?x_HLS_msn=8"),
        ("/_HLS_a", "/_HLS_b"),
    ] {
        assert_ne!(hash(target), hash(other), "{target}");
    }
}

/// What is found wrong with a live playlist that one viewer reloads each second: it goes back at second 10, and
/// stands still from there on.
fn playlist_that_goes_back(target: impl Fn(u64) -> String) -> hls_swarm_model::snapshot::PlaylistFaults {
    let (mut stats, mut reader) = (stats_of(Source::Probe, 1), Decoder::default());
    for second in 0..25_u64 {
        let sequence = if second < 10 { 1000 + second / 2 } else { 500 };
        let names: Vec<String> = (sequence..sequence + 5).map(|number| format!("{number}.ts")).collect();
        let (body, _) = media_playlist(sequence, &names, false, "\n");
        let mut connection = Connection::new();
        connection.send(format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target(second)).as_bytes());
        connection.receive(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        connection.receive(&body);
        let mut record = *connection.only();
        (record.what, record.end, record.viewer) = (wire::what::EXCHANGE, end::COMPLETE, 1);
        record.started_ns = second * SECOND;
        let record = hls_swarm_probe::record::Record::from_bytes(record.as_bytes()).unwrap();
        reader.decode(&record, &mut |event: Event| stats.apply(event));
    }
    stats.snapshot(25 * SECOND).insight.playlists.unwrap()
}

#[test]
fn a_playlist_that_goes_back_and_stands_still_is_noticed_under_delivery_directives() {
    let faults = playlist_that_goes_back(|second| format!("/live/a.m3u8?t=1&_HLS_msn={second}&_HLS_part=0"));
    assert_eq!((faults.regressed, faults.stale), (1, 1), "{faults:?}");
    assert_eq!(faults, playlist_that_goes_back(|_| "/live/a.m3u8?t=1".to_owned()));
}

/// A live playlist, and what it says.
fn media_playlist(sequence: u64, names: &[String], ended: bool, end: &str) -> (Vec<u8>, u64) {
    let mut text = format!("#EXTM3U{end}#EXT-X-TARGETDURATION:6{end}#EXT-X-MEDIA-SEQUENCE:{sequence}{end}");
    text.push_str(&format!("#EXT-X-DISCONTINUITY-SEQUENCE:3{end}"));
    for name in names {
        text.push_str(&format!("#EXTINF:5.96,#EXT-X-ENDLIST{end}{end}https://h/a/b/{name}?t=x/y{end}"));
    }
    if ended {
        // The last line may lack its end.
        text.push_str("#EXT-X-ENDLIST");
    }
    let hash = |name: &String| name.bytes().fold(wire::URL_HASH_START, wire::hash_byte);
    (text.into_bytes(), names.last().map_or(0, hash))
}

proptest! {
    #[test]
    fn a_playlist_says_the_same_however_it_is_cut(
        sequence in any::<u64>(),
        names in prop::collection::vec("[a-z0-9]{1,80}\\.ts", 0..6),
        ended in any::<bool>(),
        crlf in any::<bool>(),
        chunked in any::<bool>(),
        cuts in prop::collection::vec(1_usize..40, 0..60),
    ) {
        let (body, last) = media_playlist(sequence, &names, ended, if crlf { "\r\n" } else { "\n" });
        let response = if chunked {
            let mut text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for part in body.chunks(23) {
                text.extend(format!("{:x}\r\n", part.len()).bytes());
                text.extend([part, b"\r\n"].concat());
            }
            [text, b"0\r\n\r\n".to_vec()].concat()
        } else {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            [head.into_bytes(), body.clone()].concat()
        };
        let mut connection = Connection::new();
        // A segment before on the same connection leaves nothing behind.
        connection.send(GET);
        connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nG#EXTM3U\n#EXT-X-ENDLIST\nnothing");
        connection.send(GET);
        pieces(&response, &cuts).into_iter().for_each(|piece| connection.receive(piece));
        prop_assert_eq!(connection.over.len(), 2);
        prop_assert!(!connection.over[0].1.has(flag::MEDIA_PLAYLIST));
        let record = &connection.over[1].1;
        prop_assert!(record.has(flag::MEDIA_PLAYLIST));
        prop_assert_eq!(record.has(flag::END_LIST), ended);
        prop_assert_eq!((record.media_sequence, record.segments as usize), (sequence, names.len()));
        prop_assert_eq!((record.last_segment, record.target_duration_s), (last, 6));
        prop_assert_eq!(record.discontinuity_sequence, 3);
    }
}

#[test]
fn what_is_no_media_playlist_says_nothing_of_one() {
    let bodies: [&[u8]; 3] = [
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n",
        b"<html>\n#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:7\n",
        b"\x47#EXTM3U\n#EXT-X-TARGETDURATION:6\n",
    ];
    for body in bodies {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let record = *exchange(&[head.as_bytes(), body].concat()).only();
        assert!(!record.has(flag::MEDIA_PLAYLIST));
        assert_eq!((record.media_sequence, record.segments, record.last_segment), (0, 0, 0));
    }
}

#[test]
fn the_edge_is_named_by_the_header_that_tells_best() {
    for (head, edge) in [
        ("Via: 1.1 varnish, 1.1 edge-7", "1.1 edge-7"),
        ("Via: 1.1 x\r\nX-Served-By: cache-lhr1, cache-fra2", "cache-fra2"),
        ("X-Served-By: cache-fra2\r\nVia: 1.1 x", "cache-fra2"),
        ("CF-Ray: 8f1e2d-FRA", "FRA"),
        ("X-Amz-Cf-Pop: FRA56-P1\r\nVia: 1.1 abc.cloudfront.net (CloudFront)", "FRA56-P1"),
        ("Server: nginx", ""),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(exchange(response.as_bytes()).only().edge(), edge.as_bytes(), "{head}");
    }
}
