//! Compares the probe's HTTP follower with a model: whatever a connection carries, and however it is split
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
use wire::{BodyChunk, BodyPiece, Frame, Record, body, cache, content, encoding, end, flag};

/// One connection as the probe would follow it: finished exchanges and how they ended.
struct Connection {
    follower: Follower,
    over: Vec<(u8, Record)>,
    not_http: bool,
    /// The bodies that were passed on, each preceded by the requested URL.
    bodies: Vec<Vec<u8>>,
    /// Number of pieces after which the pipe is full; 0 = never.
    full: usize,
    pieces: usize,
}

impl Connection {
    fn new() -> Self {
        let mut follower = Follower::NEW;
        follower.reset();
        Self { follower, over: Vec::new(), not_http: false, bodies: Vec::new(), full: 0, pieces: 0 }
    }

    /// As the probe's socket does it.
    fn pass_piece(&mut self, whole: bool) {
        let Some(piece) = self.follower.pending_piece(whole) else { return };
        self.pieces += 1;
        let fits = self.full == 0 || !self.pieces.is_multiple_of(self.full);
        let (offset, bytes) = (piece.offset, piece.piece().to_vec());
        assert!(!bytes.is_empty());
        self.follower.piece_went(fits);
        if fits {
            if offset == 0 {
                self.bodies.push(Vec::new());
            }
            let body = self.bodies.last_mut().unwrap();
            assert_eq!(body.len(), offset as usize, "pieces follow each other");
            body.extend(bytes);
        }
    }

    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (taken, met) = self.follower.send(bytes);
            assert!(taken > 0 || met == Sent::Starts, "every iteration makes progress");
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
            assert!(taken > 0 || met == Received::Piece, "every iteration makes progress");
            bytes = &bytes[taken..];
            if met == Received::Piece {
                self.pass_piece(false);
            }
            if met == Received::Complete {
                self.pass_piece(true);
                self.over.push((end::COMPLETE, self.follower.facts()));
            }
        }
    }

    fn end(&mut self) {
        if let Some(how) = self.follower.end_of_stream() {
            if how == end::COMPLETE {
                self.pass_piece(true);
            }
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
fn a_connection_that_ends_too_soon_is_not_a_complete_response() {
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
    assert!(!record.has(flag::AGE), "an interim head does not describe the response");
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
fn a_superseded_response_is_skipped_at_any_position() {
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
fn an_end_while_skipping_does_not_attribute_the_old_head_to_the_new_request() {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.send(b"GET /b.ts HTTP/1.1\r\n\r\n");
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
    connection.end();
    let (how, record) = &connection.over[1];
    assert_eq!((*how, record.status, record.body_bytes), (end::CLOSED_BY_PEER, 0, 0));
}

#[test]
fn a_superseded_response_is_matched_with_the_method_of_its_request() {
    let mut connection = Connection::new();
    connection.send(b"HEAD /a HTTP/1.1\r\n\r\n");
    connection.send(b"GET /b HTTP/1.1\r\n\r\n");
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
    connection.receive(b"HTTP/1.1 206 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!((connection.over[1].0, connection.over[1].1.status), (end::COMPLETE, 206));
    assert_eq!(connection.over[1].1.body_bytes, 1);
}

#[test]
fn peeking_at_a_response_records_its_head_and_counts_no_bytes() {
    for (unread, status) in [
        (&b""[..], 0),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\nabc", 200),
    ] {
        let mut connection = Connection::new();
        connection.send(GET);
        assert!(connection.follower.is_unanswered());
        connection.follower.peek(unread);
        assert!(connection.follower.in_flight(), "the response was not read, so it has not ended");
        let record = connection.follower.facts();
        assert_eq!((record.status, record.head_bytes, record.body_bytes), (status, 0, 0));
    }
}

#[test]
fn data_that_is_not_http_is_ignored() {
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
fn cache_headers_of_each_vendor_are_parsed() {
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
fn heads_longer_than_the_line_buffer_are_followed() {
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
fn only_records_are_decoded_from_the_pipe() {
    let mut record = Record::EMPTY;
    record.kind = wire::kind::EXCHANGE;
    record.name[0] = b'a';
    record.received = u64::MAX;
    let bytes = record.as_bytes();
    assert_eq!(Record::from_bytes(bytes), Some(record));
    assert_eq!(Record::from_bytes(&bytes[1..]), None);
    let mut other = *bytes;
    other[4] ^= 1;
    assert_eq!(Record::from_bytes(&other), None, "another version");
}

/// How a response states its length.
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
    fn any_split_of_any_conversation_yields_the_written_facts(
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
    fn any_split_of_any_garbage_yields_the_same_facts(
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

/// A response with `body`, in chunks of 23 bytes or with its length, and more lines in its head.
fn response(status: u16, head: &str, body: &[u8], chunked: bool) -> Vec<u8> {
    if !chunked {
        let head = format!("HTTP/1.1 {status} X\r\n{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    }
    let mut text = format!("HTTP/1.1 {status} X\r\n{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(23) {
        text.extend(format!("{:x}\r\n", part.len()).bytes());
        text.extend([part, b"\r\n"].concat());
    }
    [text, b"0\r\n\r\n".to_vec()].concat()
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
fn delivery_directives_do_not_change_the_identity_of_a_playlist() {
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

/// What is found wrong with a live playlist that one viewer reloads each second: it regresses at second 10, and
/// is stale from then on.
fn regressing_playlist(target: impl Fn(u64) -> String) -> hls_swarm_model::snapshot::PlaylistFaults {
    let (mut stats, mut decoder) = (stats_of(Source::Probe, 1), Decoder::default());
    for second in 0..25_u64 {
        let sequence = if second < 10 { 1000 + second / 2 } else { 500 };
        let names: String =
            (sequence..sequence + 5).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
        let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
        let mut connection = Connection::new();
        connection.send(format!("GET {} HTTP/1.1\r\nHost: h\r\n\r\n", target(second)).as_bytes());
        connection.receive(&response(200, "", format!("{head}{names}").as_bytes(), false));
        let mut piece = BodyChunk {
            magic: wire::MAGIC,
            version: wire::VERSION,
            kind: wire::kind::BODY,
            viewer: 1,
            ..BodyChunk::EMPTY
        };
        let body = &connection.bodies[0];
        piece.length = body.len() as u32;
        piece.bytes[..body.len()].copy_from_slice(body);
        let mut record = *connection.only();
        (record.kind, record.end, record.viewer) = (wire::kind::EXCHANGE, end::COMPLETE, 1);
        record.started_ns = second * SECOND;
        for bytes in [piece.as_bytes(), record.as_bytes()] {
            let (frame, _) = hls_swarm_probe::record::Frame::first(bytes).unwrap().unwrap();
            decoder.decode(&frame, &mut |event: Event| stats.apply(event));
        }
    }
    stats.snapshot(25 * SECOND).insight.playlists.unwrap()
}

#[test]
fn regressing_and_stale_playlists_are_detected_with_delivery_directives() {
    let faults = regressing_playlist(|second| format!("/live/a.m3u8?t=1&_HLS_msn={second}&_HLS_part=0"));
    assert_eq!((faults.regressed, faults.stale), (1, 1), "{faults:?}");
    assert_eq!(faults, regressing_playlist(|_| "/live/a.m3u8?t=1".to_owned()));
}

/// The bytes that are passed on for [`GET`] before a body.
const ASKED: &[u8] = b"/live/a.m3u8?token=1/2\nOrigin:80\n";

proptest! {
    #[test]
    fn the_body_of_a_playlist_is_passed_on_byte_for_byte_however_it_is_split(
        mark in any::<bool>(),
        blanks in "[ \t\r\n]{0,40}",
        rest in prop::collection::vec(any::<u8>(), 0..9000),
        chunked in any::<bool>(),
        cuts in prop::collection::vec(1_usize..600, 0..60),
        full in 0_usize..4,
    ) {
        let mark: &[u8] = if mark { b"\xef\xbb\xbf" } else { b"" };
        let body = [mark, blanks.as_bytes(), b"#EXTM3U", &rest].concat();
        let mut connection = Connection::new();
        connection.full = full;
        // An earlier segment on the same connection has no effect.
        connection.send(GET);
        connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nG#EXTM3U\nx");
        connection.send(GET);
        pieces(&response(200, "", &body, chunked), &cuts).into_iter().for_each(|piece| connection.receive(piece));
        prop_assert_eq!(connection.over.len(), 2);
        prop_assert_eq!(connection.over[0].1.body, body::NONE);
        let record = &connection.over[1].1;
        prop_assert_eq!(record.content, content::PLAYLIST);
        let pieces = (ASKED.len() + body.len()).div_ceil(wire::BODY_BYTES);
        if full == 0 || pieces < full {
            prop_assert_eq!(record.body, body::WHOLE);
            prop_assert_eq!(&connection.bodies, &[[ASKED, &body].concat()]);
        } else {
            prop_assert_eq!(record.body, body::LOST);
            prop_assert_eq!(connection.pieces, full, "nothing is sent after a lost piece");
        }
        if !chunked {
            prop_assert_eq!(record.body_bytes, body.len() as u64, "a full pipe changes no fact");
        }
    }
}

#[test]
fn only_bodies_of_playlists_are_passed_on() {
    let gzip = "Content-Encoding: gzip\r\n";
    let typed = format!("{gzip}Content-Type: application/vnd.apple.MPEGURL\r\n");
    let part = "Content-Range: bytes 8-15/99\r\n";
    let start = "Content-Range: bytes 0-7/99\r\n";
    for (target, status, head, entity, passed) in [
        ("/a", 200, "", &b"#EXTM3U\n"[..], true),
        ("/a", 206, start, b"#EXTM3U\n", true),
        ("/a", 206, part, b"#EXTM3U\n", false),
        ("/a", 404, "", b"#EXTM3U\n", false),
        ("/a", 200, "", b"#EXTM3", false),
        ("/a.m3u8", 200, "", b"<html>\n#EXTM3U\n", false),
        ("/a.m3u8", 200, "", b"\x47#EXTM3U\n", false),
        ("/a.m3u8", 200, gzip, b"\x1f\x8b\x08", true),
        ("/a.ts", 200, gzip, b"\x1f\x8b\x08", false),
        ("/a", 200, &typed, b"\x1f\x8b\x08", true),
        ("/a.m3u8", 200, "Content-Encoding: br\r\n", b"\x0b\x02", true),
    ] {
        let mut connection = Connection::new();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        connection.receive(&response(status, head, entity, false));
        let record = connection.only();
        let expected = if passed { body::WHOLE } else { body::NONE };
        assert_eq!(record.body, expected, "{target} {status} {head} {entity:?}");
        let asked = format!("{target}\nh\n");
        let bodies = passed.then(|| [asked.as_bytes(), entity].concat());
        assert_eq!(connection.bodies, Vec::from_iter(bodies));
    }
}

#[test]
fn only_the_beginning_of_a_huge_body_is_passed_on() {
    let mut connection = Connection::new();
    connection.send(GET);
    let limit = usize::try_from(wire::BODY_LIMIT).unwrap();
    let entity = [b"#EXTM3U\n".to_vec(), vec![b'x'; limit]].concat();
    connection.receive(&response(200, "", &entity, false));
    assert_eq!(connection.only().body, body::CUT);
    assert_eq!(connection.bodies, [[ASKED, &entity[..limit]].concat()]);
    connection.send(GET);
    connection.receive(&response(200, "", &entity[..limit], false));
    assert_eq!(connection.over[1].1.body, body::WHOLE);
}

#[test]
fn a_playlist_with_a_huge_url_is_not_passed_on() {
    for (length, fate) in [(3900, body::WHOLE), (4000, body::NONE)] {
        let mut connection = Connection::new();
        let target = format!("/a.m3u8?{}", "x".repeat(length - 8));
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        connection.receive(&response(200, "", b"#EXTM3U\n", false));
        assert_eq!(connection.only().body, fate);
    }
}

#[test]
fn an_incomplete_playlist_is_not_passed_on_as_complete() {
    let mut connection = Connection::new();
    connection.send(GET);
    connection.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n#EXTM3U\n");
    // The viewer requests another object; the superseded response arrives first.
    connection.send(b"GET /b.m3u8 HTTP/1.1\r\nHost: b\r\n\r\n");
    connection.receive(&[b'x'; 91]);
    connection.receive(&response(200, "", b"#EXTM3U\nb", false));
    let fates: Vec<_> = connection.over.iter().map(|(how, record)| (*how, record.body)).collect();
    assert_eq!(fates, [(end::SUPERSEDED, body::NONE), (end::COMPLETE, body::WHOLE)]);
    assert_eq!(connection.bodies, [b"/b.m3u8\nb\n#EXTM3U\nb"]);
}

#[test]
fn a_range_without_a_length_is_complete_when_all_of_it_arrived() {
    let head = "HTTP/1.1 206 X\r\nContent-Range: bytes 10-14/99\r\nConnection: close\r\n\r\n";
    let mut connection = exchange(format!("{head}abcd").as_bytes());
    assert!(connection.over.is_empty());
    connection.receive(b"e");
    let record = *connection.only();
    assert_eq!((connection.over[0].0, record.body_bytes, record.content_length), (end::COMPLETE, 5, 5));
    connection.end();
    assert_eq!(connection.over.len(), 1, "its end is not a second exchange");
    let mut connection = exchange(format!("{head}abcd").as_bytes());
    connection.end();
    assert_eq!(connection.over[0].0, end::CLOSED_BY_PEER, "a byte is missing");
    // Chunks mark their own end, and a length takes precedence.
    let chunked = "Transfer-Encoding: chunked\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n";
    let connection =
        exchange(format!("HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/9\r\n{chunked}").as_bytes());
    assert_eq!(connection.only().sniff(), b"abcdefg");
    for unknown in ["bytes */99", "bytes 5-4/9", "bytes 0-18446744073709551615/*", "lines 1-2/3", "bytes"] {
        let text = format!("HTTP/1.1 206 X\r\nContent-Range: {unknown}\r\n\r\nab");
        let mut connection = exchange(text.as_bytes());
        connection.end();
        assert_eq!(connection.over[0].0, end::COMPLETE, "{unknown}");
    }
}

#[test]
fn the_requested_range_is_recorded() {
    for (header, start) in [
        ("Range: bytes=0-", 0),
        ("range:bytes=1000-1999", 1000),
        ("Range: bytes=-500", 0),
        ("Range: bytes=1-2,5-6", 0),
        ("X: y", 0),
    ] {
        let mut connection = Connection::new();
        connection.send(format!("GET /a HTTP/1.1\r\n{header}\r\n\r\n").as_bytes());
        connection.receive(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(connection.only().range_start, start, "{header}");
    }
}

/// Packets of `size` bytes whose sync byte is at `at`.
fn packets(size: usize, at: usize, count: usize) -> Vec<u8> {
    let packet = |_| (0..size).map(|place| if place == at { 0x47 } else { 0xff });
    (0..count).flat_map(packet).collect()
}

proptest! {
    #[test]
    fn a_body_is_classified_the_same_however_it_is_split(cuts in prop::collection::vec(1_usize..100, 0..40)) {
        let broken = [packets(188, 0, 1), vec![0; 500]].concat();
        let blank_html = [&b"\r\n \n"[..], b"<!DOCTYPE html>"].concat();
        for (entity, kind) in [
            (packets(188, 0, 4), content::MPEG_TS),
            (packets(192, 4, 4), content::MPEG_TS),
            (packets(204, 0, 4), content::MPEG_TS),
            (packets(188, 0, 4)[..200].to_vec(), content::MPEG_TS),
            (broken, content::OTHER),
            (b"\0\0\0\x18styp".to_vec(), content::ISO_BOX),
            (b"\0\0\0\x18ftypiso5".to_vec(), content::ISO_BOX),
            (b"\xff\xf1\x50\x80".to_vec(), content::ADTS),
            (b"\xff\xfb\x90\x64".to_vec(), content::MPEG_AUDIO),
            (b"\xff\xe3\x90\x64".to_vec(), content::MPEG_AUDIO),
            (b"ID3\x04\0".to_vec(), content::ID3),
            (b"\x0b\x77\x12".to_vec(), content::AC3),
            (b"\xef\xbb\xbfWEBVTT\n".to_vec(), content::WEBVTT),
            (b"\n#EXTM3U\n".to_vec(), content::PLAYLIST),
            (blank_html, content::HTML),
            (b"<HTML lang=en>".to_vec(), content::HTML),
            (b"<?xml version".to_vec(), content::XML),
            (b"{\"error\": 1}".to_vec(), content::JSON),
            (b"no such segment".to_vec(), content::TEXT),
            (b"\x9c\x01\x02\x03".to_vec(), content::OTHER),
            (Vec::new(), content::EMPTY),
        ] {
            let mut connection = Connection::new();
            connection.send(GET);
            pieces(&response(200, "", &entity, false), &cuts).into_iter().for_each(|piece| connection.receive(piece));
            prop_assert_eq!(connection.only().content, kind, "{:?}", &entity[..entity.len().min(20)]);
        }
    }
}

proptest! {
    #[test]
    fn a_body_that_ends_within_a_packet_or_box_is_cut_short(
        sizes in prop::collection::vec(0_u32..300, 1..6),
        long in any::<bool>(),
        cut in 0_usize..1000,
        cuts in prop::collection::vec(1_usize..100, 0..40),
    ) {
        let mut boxes = Vec::new();
        let mut ends = vec![];
        for (number, size) in sizes.iter().enumerate() {
            let kind = if number == 0 { b"styp" } else { b"mdat" };
            if long {
                boxes.extend([&1_u32.to_be_bytes()[..], kind, &u64::from(size + 16).to_be_bytes()].concat());
            } else {
                boxes.extend([&(size + 8).to_be_bytes()[..], kind].concat());
            }
            boxes.extend(vec![7; *size as usize]);
            ends.push(boxes.len());
        }
        let packets = packets(188, 0, 5);
        let of = |entity: &[u8]| {
            let mut connection = Connection::new();
            connection.send(GET);
            pieces(&response(200, "", entity, false), &cuts).into_iter().for_each(|piece| connection.receive(piece));
            connection.only().has(flag::CUT_SHORT)
        };
        let length = cut.clamp(8, boxes.len());
        prop_assert_eq!(of(&boxes[..length]), !ends.contains(&length), "{} of {:?}", length, ends);
        let length = cut.clamp(1, packets.len());
        prop_assert_eq!(of(&packets[..length]), length % 188 != 0);
    }
}

#[test]
fn a_last_box_without_a_size_extends_to_the_end() {
    for (entity, cut_short) in [
        (&b"\0\0\0\x08styp\0\0\0\0mdatabc"[..], false),
        (b"\0\0\0\x08styp\0\0\0\x04mdatabc", false),
        (b"\0\0\0\x08styp\0\0\0\x0cmdatabc", true),
    ] {
        assert_eq!(exchange(&response(200, "", entity, true)).only().has(flag::CUT_SHORT), cut_short);
    }
}

#[test]
fn an_encoded_body_is_not_classified_and_a_response_without_a_body_is_not_empty() {
    for (text, encoding) in [
        ("gzip", encoding::GZIP),
        ("X-GZIP", encoding::GZIP),
        ("deflate", encoding::DEFLATE),
        ("br", encoding::OTHER),
        ("identity", encoding::IDENTITY),
    ] {
        let head = format!("Content-Encoding: {text}\r\n");
        let record = *exchange(&response(200, &head, b"WEBVTT", false)).only();
        let plain = encoding == encoding::IDENTITY;
        let kind = if plain { content::WEBVTT } else { content::UNKNOWN };
        assert_eq!((record.encoding, record.content, !plain), (encoding, kind, record.has(flag::ENCODED)));
    }
    assert_eq!(exchange(b"HTTP/1.1 304 X\r\n\r\n").only().content, content::UNKNOWN);
}

#[test]
fn frames_are_read_from_the_pipe_unchanged_however_it_is_split() {
    let mut piece = BodyChunk {
        magic: wire::MAGIC,
        version: wire::VERSION,
        kind: wire::kind::BODY,
        viewer: 1,
        generation: 2,
        pid: 3,
        connection: 4,
        request: 5,
        offset: 6,
        length: 3,
        ..BodyChunk::EMPTY
    };
    piece.bytes[..3].copy_from_slice(b"abc");
    let record = Record { kind: wire::kind::EXCHANGE, received: u64::MAX, ..Record::EMPTY };
    let all = [piece.as_bytes(), record.as_bytes()].concat();
    let expected =
        BodyPiece { viewer: 1, generation: 2, pid: 3, connection: 4, request: 5, offset: 6, bytes: b"abc" };
    assert_eq!(Frame::first(&all), Ok(Some((Frame::Body(expected), 39))));
    assert_eq!(Frame::first(&all[39..]), Ok(Some((Frame::Record(record), wire::RECORD_BYTES))));
    for length in 0..39 {
        assert_eq!(Frame::first(&all[..length]), Ok(None));
    }
    piece.length = u32::MAX;
    assert!(piece.as_bytes().len() <= wire::FRAME_BYTES);
    assert!(Frame::first(&piece.as_bytes()[..100]).is_err(), "longer than any piece");
    assert!(Frame::first(&all[1..]).is_err());
}

#[test]
fn the_edge_is_named_by_the_most_specific_header() {
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
