//! Tests of responses: examples, and all the ways in which bytes can be divided.

use proptest::prelude::*;

use super::*;

/// Keeps what is marked as needed: the first `wanted` bytes.
#[derive(Default)]
struct Beginning {
    wanted: u64,
    kept: Vec<u8>,
    seen: u64,
}

impl Sink for Beginning {
    fn begin(&mut self, _head: &Head) {}

    fn discardable(&self) -> u64 {
        if self.seen < self.wanted { 0 } else { u64::MAX }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.seen += bytes.len() as u64;
        self.kept.extend_from_slice(bytes);
    }

    fn discarded(&mut self, bytes: u64) {
        self.seen += bytes;
    }
}

/// Feeds `bytes` in pieces; returns the response, its entity, and how many bytes it took.
fn read(bytes: &[u8], pieces: &[usize]) -> Result<(Response, Vec<u8>, usize), Malformed> {
    let (mut response, mut sink) = (Response::default(), KeepBody::new(1 << 20));
    let (mut at, mut turn) = (0, 0);
    while at < bytes.len() && !response.is_whole() {
        let size = pieces.get(turn % pieces.len().max(1)).copied().unwrap_or(bytes.len()).max(1);
        let piece = &bytes[at..bytes.len().min(at + size)];
        let used = response.feed(piece, &mut sink)?;
        assert!(used == piece.len() || response.is_whole());
        (at, turn) = (at + used, turn + 1);
    }
    Ok((response, sink.body, at))
}

#[test]
fn a_body_with_a_length_ends_before_what_follows() {
    let (response, body, used) =
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1", &[]).unwrap();
    assert_eq!((body.as_slice(), used), (&b"abc"[..], 41));
    assert_eq!((response.head_bytes(), response.body_bytes()), (38, 3));
}

#[test]
fn chunks_count_with_their_framing() {
    let framed = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
    let text = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(), framed, b"!"].concat();
    let (response, body, used) = read(&text, &[]).unwrap();
    assert_eq!((body.as_slice(), used), (&b"abc0123456789"[..], text.len() - 1));
    assert_eq!(response.body_bytes(), framed.len() as u64);
}

#[test]
fn a_body_until_the_end_is_whole_then() {
    let (mut response, body, _) = read(b"HTTP/1.1 200 OK\r\n\r\nabc", &[]).unwrap();
    assert_eq!((body.as_slice(), response.is_whole()), (&b"abc"[..], false));
    assert!(response.end_of_stream());
    let (mut cut, _, _) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", &[]).unwrap();
    assert!(!cut.end_of_stream());
}

#[test]
fn interim_responses_count_as_head() {
    let (response, _, _) =
        read(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[]).unwrap();
    assert!(response.is_whole());
    assert_eq!(response.head_bytes(), 60);
}

#[test]
fn only_what_the_sink_does_not_need_is_discarded() {
    let (mut response, mut sink) = (Response::default(), Beginning { wanted: 4, ..Beginning::default() });
    response.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab", &mut sink).unwrap();
    assert_eq!(response.want(&sink), Want::Bytes);
    response.feed(b"cd", &mut sink).unwrap();
    assert_eq!(response.want(&sink), Want::Discard(6));
    response.discarded(6, &mut sink);
    assert_eq!((response.want(&sink), response.body_bytes()), (Want::Nothing, 10));
    assert_eq!(sink.kept, b"abcd");
}

#[test]
fn a_body_beyond_the_limit_is_cut_and_counted() {
    let (mut response, mut sink) = (Response::default(), KeepBody::new(4));
    response.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdef", &mut sink).unwrap();
    assert_eq!((sink.body.as_slice(), sink.is_cut), (&b"abcd"[..], true));
    assert_eq!(response.want(&sink), Want::Discard(4));
}

#[test]
fn invalid_chunks_are_malformed() {
    for framed in ["\r\n", "xyz\r\n", "1\r\nab\r\n", "fffffffffffffffff\r\n", "-1\r\n"] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{framed}");
        assert!(read(text.as_bytes(), &[]).is_err(), "{framed:?}");
    }
    let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}", "x".repeat(20_000));
    assert!(read(endless.as_bytes(), &[]).is_err());
}

/// A response with a body in one of the framings, and what follows it.
fn responses() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, Vec<u8>)> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    let after = prop::collection::vec(any::<u8>(), 0..40);
    (body, after, any::<bool>(), 1_usize..80, any::<bool>()).prop_map(
        |(body, after, chunked, chunk, interim)| {
            let mut text = Vec::new();
            if interim {
                text.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            text.extend_from_slice(b"HTTP/1.1 200 OK\r\nServer: x\r\n");
            if chunked {
                text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for part in body.chunks(chunk) {
                    text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    text.extend_from_slice(part);
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"0\r\n\r\n");
            } else {
                text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                text.extend_from_slice(&body);
            }
            (text, body, after)
        },
    )
}

proptest! {
    #[test]
    fn every_division_of_a_response_gives_the_same(
        (text, body, after) in responses(),
        pieces in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let all = [text.clone(), after].concat();
        let (response, read_body, used) = read(&all, &pieces).unwrap();
        prop_assert!(response.is_whole());
        prop_assert_eq!(used, text.len(), "it took bytes that are not its own");
        prop_assert_eq!(read_body, body);
        prop_assert_eq!(response.head_bytes() + response.body_bytes(), text.len() as u64);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_all_taken(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        pieces in prop::collection::vec(1_usize..50, 1..8),
    ) {
        drop(read(&bytes, &pieces));
    }

    #[test]
    fn a_damaged_response_never_panics_and_never_takes_what_is_not_there(
        (mut text, _, after) in responses(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        pieces in prop::collection::vec(1_usize..50, 1..8),
    ) {
        let at = at.index(text.len());
        text[at] = byte;
        let all = [text, after].concat();
        if let Ok((response, _, used)) = read(&all, &pieces) {
            prop_assert!(used <= all.len());
            prop_assert_eq!(response.head_bytes() + response.body_bytes(), used as u64);
        }
    }
}
