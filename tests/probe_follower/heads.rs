//! Requests, response heads, and how exchanges end.

use super::wire::{cache, end, flag};
use super::{Connection, GET, exchange, wire};

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
