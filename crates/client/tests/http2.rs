//! HTTP/2 against a server of the `h2` crate: what is counted, and how connections and streams end.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::time::{Duration, Instant};

use hls_swarm_client::{End, FetchError, Http, KeepBody, Settings, Trust, Version};

use common::script::{Reply, Seen, Server, http2};
use common::{Viewer, in_runtime, settings, viewer};

fn over_http2(timeout_ms: u64) -> Settings {
    Settings { http: Http::Http2, trust: Trust::Anyone, ..settings(timeout_ms) }
}

fn of_server(server: &Server, timeout_ms: u64) -> Viewer<KeepBody> {
    let _ = server;
    viewer::<KeepBody>(over_http2(timeout_ms), None)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A viewer's requests share one connection; viewers share none.
#[test]
fn requests_share_the_connection_of_their_viewer() {
    let server = http2(&[b"h2"], |_, number| {
        Reply::Whole(&[], vec![bytes(40_000); number], Duration::from_millis(50))
    });
    in_runtime(async {
        let mut settings = over_http2(5000);
        settings.headers = vec![("X-Token".into(), "abc".into()), ("Connection".into(), "close".into())];
        let one = viewer::<KeepBody>(settings, None);
        let (first, second, third) = (server.url("/a?x=1"), server.url("/b"), server.url("/c"));
        let (a, b) = tokio::join!(one.get(&first), one.get(&second));
        assert_eq!(
            (a.unwrap().sink.body, b.unwrap().sink.body),
            (bytes(40_000), [bytes(40_000), bytes(40_000)].concat())
        );
        one.get(&third).await.unwrap();
        let other = of_server(&server, 5000);
        other.get(&first).await.unwrap();
        let transfers = one.notes.transfers.borrow();
        let facts: Vec<_> = transfers
            .iter()
            .map(|transfer| {
                let is_first = transfer.connect_ns.is_some() && transfer.tls_ns.is_some();
                (transfer.connection, transfer.streams, transfer.body_bytes, is_first, transfer.end)
            })
            .collect();
        let complete = |streams, body, is_first| (1, streams, body, is_first, End::Complete);
        assert_eq!(
            facts,
            [complete(1, 40_000, true), complete(2, 80_000, false), complete(1, 120_000, false)]
        );
        for transfer in transfers.iter() {
            assert_eq!(
                (transfer.version, transfer.tls, transfer.received_bytes),
                (Version::Http2, true, None)
            );
            assert_eq!(transfer.peer, server.address);
            // A head of one field at least, and the headers of all frames.
            let data_frames = transfer.body_bytes.div_ceil(16_384);
            assert!((10 + 9 * data_frames..200).contains(&transfer.head_bytes), "{transfer:?}");
            assert!(transfer.rtt_us.is_some() && transfer.retransmits.is_some());
        }
        assert_eq!(transfers[0].local_port, transfers[2].local_port);
        assert_ne!(transfers[0].local_port, other.notes.transfers.borrow()[0].local_port);
        let read: u64 = transfers.iter().map(|one| one.head_bytes + one.body_bytes).sum();
        assert!((read..read + 16_384).contains(&one.notes.received.get()), "{}", one.notes.received.get());
        let seen = server.seen();
        let connections: Vec<usize> = seen
            .iter()
            .map(|seen| match seen {
                Seen::Request(connection, ..) => *connection,
                Seen::Cancelled(code) => panic!("cancelled with {code}"),
            })
            .collect();
        assert_eq!(connections, [1, 1, 1, 2]);
        let Seen::Request(_, path, fields) = &seen[0] else { panic!("{seen:?}") };
        assert_eq!(path, "/a");
        let has = |name: &str, value: &str| {
            fields.iter().any(|field| *field == (name.to_owned(), value.to_owned()))
        };
        assert!(has("x-token", "abc") && has("user-agent", "test"), "{fields:?}");
        assert!(!fields.iter().any(|(name, _)| name == "connection" || name == "host"), "{fields:?}");
    });
}

/// A body that is larger than all windows arrives, and heads are read as those of HTTP/1.1.
#[test]
fn a_body_that_is_larger_than_the_windows_arrives() {
    let fields =
        &[("content-length", "33554432"), ("age", "7"), ("x-cache", "HIT"), ("content-type", "video/mp2t")];
    let server = http2(&[b"h2"], |_, _| Reply::Whole(fields, vec![vec![1; 32 << 20]], Duration::ZERO));
    in_runtime(async {
        let viewer = of_server(&server, 5000);
        let fetched = viewer.get(&server.url("/")).await.unwrap();
        assert_eq!((fetched.body_bytes, fetched.sink.is_cut), (32 << 20, true));
        let head = &fetched.head;
        assert_eq!(
            (head.status, head.announced, head.age_s, &*head.content_type),
            (200, Some(32 << 20), Some(7), "video/mp2t")
        );
        assert!(head.cache.is_some());
        assert!(fetched.started_ns < fetched.first_byte_ns && fetched.first_byte_ns < fetched.ended_ns);
    });
}

#[test]
fn a_connection_that_takes_no_further_request_is_replaced() {
    let server = http2(&[b"h2"], |connection, number| match (connection, number) {
        (1, 2) => Reply::Last(b"last".to_vec()),
        _ => Reply::body(b"body"),
    });
    in_runtime(async {
        let viewer = of_server(&server, 2000);
        for _ in 0..4 {
            viewer.get(&server.url("/")).await.unwrap();
            // GOAWAY may come after the response.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let connections: Vec<u32> =
            viewer.notes.transfers.borrow().iter().map(|one| one.connection).collect();
        assert_eq!(connections, [1, 1, 2, 2]);
        assert!(viewer.ends().iter().all(|end| *end == End::Complete));
    });
}

/// REFUSED_STREAM: the request was not processed, so it is sent again, but not forever.
#[test]
fn a_refused_request_is_sent_again() {
    let server =
        http2(&[b"h2"], |_, number| if number % 2 == 1 { Reply::Refuse(7) } else { Reply::body(b"x") });
    let refuses_all = http2(&[b"h2"], |_, _| Reply::Refuse(7));
    in_runtime(async {
        let viewer = of_server(&server, 2000);
        assert_eq!(viewer.get(&server.url("/")).await.unwrap().sink.body, b"x");
        assert_eq!(viewer.ends(), [End::Stale, End::Complete]);
        let viewer = of_server(&refuses_all, 2000);
        let error = viewer.get(&refuses_all.url("/")).await.unwrap_err();
        let FetchError::Broken(why) = &error else { panic!("{error:?}") };
        assert!(why.starts_with("the server reset the stream: "), "{why}");
        assert_eq!(viewer.ends(), [End::Stale, End::Stale, End::Stale, End::ClosedByPeer]);
    });
}

#[test]
fn a_stream_that_is_reset_is_cut_and_its_connection_goes_on() {
    let server = http2(
        &[b"h2"],
        |_, number| {
            if number == 1 { Reply::Reset(bytes(1000), 2) } else { Reply::body(b"x") }
        },
    );
    in_runtime(async {
        let viewer = of_server(&server, 2000);
        let error = viewer.get(&server.url("/")).await.unwrap_err();
        assert!(
            matches!(&error, FetchError::Cut(why) if why.starts_with("the server reset the stream: ")),
            "{error:?}"
        );
        viewer.get(&server.url("/")).await.unwrap();
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> = transfers.iter().map(|one| (one.connection, one.body_bytes, one.end)).collect();
        assert_eq!(facts, [(1, 1000, End::ClosedByPeer), (1, 1, End::Complete)]);
    });
}

/// A connection that is lost cuts what is under way; a kept one that was lost in between is replaced without an error.
#[test]
fn a_lost_connection_is_replaced() {
    let server = http2(
        &[b"h2"],
        |connection, _| {
            if connection == 1 { Reply::Close(bytes(1000)) } else { Reply::body(b"x") }
        },
    );
    in_runtime(async {
        let viewer = of_server(&server, 2000);
        let url = server.url("/");
        let (one, other) = tokio::join!(viewer.get(&url), viewer.get(&url));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert!(matches!(&error, FetchError::Cut(why) if why.contains("closed")), "{error:?}");
        }
        viewer.get(&url).await.unwrap();
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> = transfers.iter().map(|one| (one.connection, one.body_bytes, one.end)).collect();
        assert_eq!(facts[..2], [(1, 1000, End::ClosedByPeer), (1, 1000, End::ClosedByPeer)]);
        assert_eq!(facts[2], (2, 1, End::Complete));
    });
}

/// A request that is given up cancels its stream, and the others go on.
#[test]
fn a_request_that_is_given_up_cancels_its_stream() {
    let server = http2(&[b"h2"], |_, number| match number {
        1 => Reply::Whole(&[], vec![bytes(1000), bytes(1000), bytes(1000)], Duration::from_millis(150)),
        _ => Reply::body(b"x"),
    });
    in_runtime(async {
        let viewer = of_server(&server, 2000);
        let url = server.url("/");
        let given_up = tokio::time::timeout(Duration::from_millis(250), viewer.get(&url)).await;
        assert!(given_up.is_err());
        viewer.get(&url).await.unwrap();
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> = transfers.iter().map(|one| (one.connection, one.body_bytes, one.end)).collect();
        assert_eq!(facts, [(1, 1000, End::ClosedByViewer), (1, 1, End::Complete)]);
        assert!(matches!(server.next(), Seen::Request(1, ..)));
        // CANCEL (RFC 9113, 7).
        let next = [server.next(), server.next()];
        assert!(next.contains(&Seen::Cancelled(8)), "{next:?}");
    });
}

#[test]
fn silence_is_a_timeout_and_its_connection_is_not_used_again() {
    let server =
        http2(&[b"h2"], |connection, _| if connection == 1 { Reply::Silence } else { Reply::body(b"x") });
    in_runtime(async {
        let viewer = of_server(&server, 300);
        let began = Instant::now();
        assert_eq!(viewer.get(&server.url("/")).await.unwrap_err(), FetchError::TimedOut);
        assert!((300..1500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        viewer.get(&server.url("/")).await.unwrap();
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> = transfers.iter().map(|one| (one.connection, one.end)).collect();
        assert_eq!(facts, [(1, End::TimedOut), (2, End::Complete)]);
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_cut() {
    let short = http2(&[b"h2"], |_, _| {
        Reply::Whole(&[("content-length", "9")], vec![b"abc".to_vec()], Duration::ZERO)
    });
    in_runtime(async {
        let viewer = of_server(&short, 2000);
        let error = viewer.get(&short.url("/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Cut(_) | FetchError::Malformed(_)), "{error:?}");
        assert_ne!(viewer.ends(), [End::Complete]);
    });
}

/// 200 KB at 100 KB per second: what is under way is limited, too, so the server notices.
#[test]
fn a_viewer_reads_no_faster_than_its_limit() {
    let server = http2(&[b"h2"], |_, _| Reply::body(&bytes(200_000)));
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over_http2(5000), Some(800_000));
        let began = Instant::now();
        let fetched = viewer.get(&server.url("/")).await.unwrap();
        assert_eq!(fetched.body_bytes, 200_000);
        assert!((1.8..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    });
}

#[test]
fn a_server_without_http2_is_named() {
    let refuses = http2(&[b"http/1.1"], |_, _| Reply::body(b"x"));
    let ignores = http2(&[], |_, _| Reply::body(b"x"));
    in_runtime(async {
        for (server, why) in
            [(&refuses, "does not speak HTTP/2 (ALPN)"), (&ignores, "did not choose HTTP/2 (ALPN)")]
        {
            let viewer = of_server(server, 2000);
            let error = viewer.get(&server.url("/")).await.unwrap_err();
            let FetchError::NotConnected(text) = error else { panic!("{error:?}") };
            assert!(text.starts_with("TLS handshake failed: ") && text.contains(why), "{text}");
            assert_eq!(viewer.notes.failures.borrow().len(), 1);
        }
        let viewer = of_server(&refuses, 2000);
        let error = viewer.get("http://localhost:1/").await.unwrap_err();
        assert_eq!(error, FetchError::NotConnected("HTTP/2 needs https".into()));
    });
}

#[test]
fn certificates_are_verified() {
    let server = http2(&[b"h2"], |_, _| Reply::body(b"x"));
    in_runtime(async {
        let viewer = viewer::<KeepBody>(Settings { trust: Trust::Verified, ..over_http2(2000) }, None);
        let error = viewer.get(&server.url("/")).await.unwrap_err();
        assert!(matches!(&error, FetchError::NotConnected(why) if why.contains("certificate")), "{error:?}");
    });
}
