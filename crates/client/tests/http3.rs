//! HTTP/3 against a server of the `h3` and `quinn` crates, and the way to it by `Alt-Svc`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

mod common;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use hls_swarm_client::{End, FetchError, Http, KeepBody, Proxies, Settings, Trust, Version};
use hls_swarm_http::resolve::Rule;

use common::script::{Reply, Seen, http2, http2_on, http3};
use common::{Viewer, in_runtime, settings, viewer};

const H3: &[&[u8]] = &[b"h3"];
const H2: &[&[u8]] = &[b"h2", b"http/1.1"];

fn over(http: Http, timeout_ms: u64) -> Settings {
    Settings { http, trust: Trust::Anyone, ..settings(timeout_ms) }
}

fn over_http3(timeout_ms: u64) -> Viewer<KeepBody> {
    viewer::<KeepBody>(over(Http::Http3, timeout_ms), None)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Connection, body bytes, and end of each transfer.
fn facts(viewer: &Viewer<KeepBody>) -> Vec<(u32, u64, End)> {
    viewer.notes.transfers.borrow().iter().map(|one| (one.connection, one.body_bytes, one.end)).collect()
}

fn versions(viewer: &Viewer<KeepBody>) -> Vec<Version> {
    viewer.notes.transfers.borrow().iter().map(|one| one.version).collect()
}

#[test]
fn requests_share_the_connection_of_their_viewer() {
    let server = http3(0, H3, |_, number| {
        Reply::Whole(&[("age", "7")], vec![bytes(40_000); number], Duration::from_millis(50))
    });
    in_runtime(async {
        let mut settings = over(Http::Http3, 5000);
        settings.headers = vec![("X-Token".into(), "abc".into())];
        let one = viewer::<KeepBody>(settings, None);
        let (first, second, third) = (server.url("/a?x=1"), server.url("/b"), server.url("/c"));
        let (a, b) = tokio::join!(one.get(&first), one.get(&second));
        assert_eq!(a.unwrap().sink.body, bytes(40_000));
        assert_eq!(b.unwrap().head.age_s, Some(7));
        one.get(&third).await.unwrap();
        let other = over_http3(5000);
        other.get(&first).await.unwrap();
        let transfers = one.notes.transfers.borrow();
        let measured: Vec<_> = transfers
            .iter()
            .map(|transfer| {
                (
                    transfer.connection,
                    transfer.streams,
                    transfer.body_bytes,
                    transfer.quic_ns.is_some(),
                    transfer.end,
                )
            })
            .collect();
        let complete = |streams, body, is_first| (1, streams, body, is_first, End::Complete);
        assert_eq!(
            measured,
            [complete(1, 40_000, true), complete(2, 80_000, false), complete(1, 120_000, false)]
        );
        for transfer in transfers.iter() {
            assert_eq!((transfer.version, transfer.tls), (Version::Http3, true));
            assert_eq!((transfer.peer, transfer.connect_ns, transfer.tls_ns), (server.address, None, None));
            // A head of two fields, and the headers of all frames, of which each piece of a body is one.
            assert!((5..100).contains(&transfer.head_bytes), "{transfer:?}");
            assert!(
                transfer.rtt_us.is_some()
                    && transfer.lost_packets.is_some()
                    && transfer.retransmits.is_none()
            );
        }
        assert_eq!(transfers[0].local_port, transfers[2].local_port);
        assert_ne!(transfers[0].local_port, other.notes.transfers.borrow()[0].local_port);
        let read: u64 = transfers.iter().map(|one| one.head_bytes + one.body_bytes).sum();
        let received = one.notes.received.get();
        assert!((read..read + read / 10 + 16_384).contains(&received), "{received} for {read}");
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
        assert!(fields.contains(&("x-token".into(), "abc".into())), "{fields:?}");
    });
}

#[test]
fn a_body_that_is_larger_than_the_windows_arrives() {
    let fields = &[("content-length", "20971520")];
    let server = http3(0, H3, |_, _| Reply::Whole(fields, vec![vec![1; 20 << 20]], Duration::ZERO));
    in_runtime(async {
        let viewer = over_http3(5000);
        let fetched = viewer.get(&server.url("/")).await.unwrap();
        assert_eq!((fetched.body_bytes, fetched.head.announced), (20 << 20, Some(20 << 20)));
    });
}

#[test]
fn a_connection_that_takes_no_further_request_is_replaced() {
    let server = http3(0, H3, |connection, number| match (connection, number) {
        (1, 2) => Reply::Last(b"last".to_vec()),
        _ => Reply::body(b"body"),
    });
    in_runtime(async {
        let viewer = over_http3(2000);
        for _ in 0..4 {
            viewer.get(&server.url("/")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let complete: Vec<u32> = facts(&viewer)
            .into_iter()
            .filter(|(_, _, end)| *end == End::Complete)
            .map(|(connection, ..)| connection)
            .collect();
        assert_eq!(complete, [1, 1, 2, 2]);
        assert!(viewer.ends().iter().all(|end| matches!(end, End::Complete | End::Stale)));
    });
}

/// H3_REQUEST_REJECTED: the request was not processed.
#[test]
fn a_rejected_request_is_sent_again() {
    let server = http3(0, H3, |_, number| if number == 1 { Reply::Refuse(0x10B) } else { Reply::body(b"x") });
    in_runtime(async {
        let viewer = over_http3(2000);
        assert_eq!(viewer.get(&server.url("/")).await.unwrap().sink.body, b"x");
        assert_eq!(viewer.ends(), [End::Stale, End::Complete]);
    });
}

#[test]
fn a_stream_that_is_reset_is_cut_and_its_connection_goes_on() {
    let server = http3(
        0,
        H3,
        |_, number| {
            if number == 1 { Reply::Reset(bytes(1000), 0x102) } else { Reply::body(b"x") }
        },
    );
    in_runtime(async {
        let viewer = over_http3(2000);
        let error = viewer.get(&server.url("/")).await.unwrap_err();
        let is_cut =
            matches!(&error, FetchError::Cut(why) if why.starts_with("the server reset the stream: "));
        assert!(is_cut, "{error:?}");
        viewer.get(&server.url("/")).await.unwrap();
        assert_eq!(facts(&viewer), [(1, 1000, End::ClosedByPeer), (1, 1, End::Complete)]);
    });
}

#[test]
fn a_lost_connection_is_replaced() {
    let server = http3(
        0,
        H3,
        |connection, _| {
            if connection == 1 { Reply::Close(bytes(1000)) } else { Reply::body(b"x") }
        },
    );
    in_runtime(async {
        let viewer = over_http3(2000);
        let url = server.url("/");
        let (one, other) = tokio::join!(viewer.get(&url), viewer.get(&url));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            let is_cut = matches!(&error, FetchError::Cut(why) if why.starts_with("the server closed the connection: "));
            assert!(is_cut, "{error:?}");
        }
        viewer.get(&url).await.unwrap();
        let lost = (1, 1000, End::ClosedByPeer);
        assert_eq!(facts(&viewer), [lost, lost, (2, 1, End::Complete)]);
    });
}

#[test]
fn a_request_that_is_given_up_cancels_its_stream() {
    let server = http3(0, H3, |_, number| match number {
        1 => Reply::Whole(&[], vec![bytes(1000); 9], Duration::from_millis(150)),
        _ => Reply::body(b"x"),
    });
    in_runtime(async {
        let viewer = over_http3(2000);
        let url = server.url("/");
        let given_up = tokio::time::timeout(Duration::from_millis(250), viewer.get(&url)).await;
        assert!(given_up.is_err());
        viewer.get(&url).await.unwrap();
        assert_eq!(facts(&viewer), [(1, 1000, End::ClosedByViewer), (1, 1, End::Complete)]);
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(server.seen().contains(&Seen::Cancelled(0)), "the server learns of it");
    });
}

#[test]
fn silence_is_a_timeout_and_its_connection_is_not_used_again() {
    let server =
        http3(0, H3, |connection, _| if connection == 1 { Reply::Silence } else { Reply::body(b"x") });
    in_runtime(async {
        let viewer = over_http3(300);
        assert_eq!(viewer.get(&server.url("/")).await.unwrap_err(), FetchError::TimedOut);
        viewer.get(&server.url("/")).await.unwrap();
        assert_eq!(facts(&viewer), [(1, 0, End::TimedOut), (2, 1, End::Complete)]);
    });
}

#[test]
fn a_viewer_reads_no_faster_than_its_limit() {
    let server = http3(0, H3, |_, _| Reply::body(&bytes(200_000)));
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over(Http::Http3, 5000), Some(800_000));
        let began = Instant::now();
        assert_eq!(viewer.get(&server.url("/")).await.unwrap().body_bytes, 200_000);
        assert!((1.8..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    });
}

/// Why no connection could be made.
#[test]
fn a_connection_that_cannot_be_made_says_why() {
    let other = http3(0, &[b"hq-29"], |_, _| Reply::body(b"x"));
    let server = http3(0, H3, |_, _| Reply::body(b"x"));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refused = |settings: Settings, url: String| {
        in_runtime(async move {
            let viewer = viewer::<KeepBody>(settings, None);
            let error = viewer.get(&url).await.unwrap_err();
            let FetchError::NotConnected(why) = error else { panic!("{error:?}") };
            let failures = viewer.notes.failures.borrow();
            assert_eq!(failures.len(), 1, "{failures:?}");
            why
        })
    };
    let trusting = || over(Http::Http3, 1000);
    let why = refused(trusting(), other.url("/"));
    assert_eq!(why, "QUIC handshake failed: the server does not speak HTTP/3 (ALPN)");
    let why = refused(Settings { trust: Trust::Verified, ..trusting() }, server.url("/"));
    assert!(why.starts_with("QUIC handshake failed: ") && why.contains("certificate"), "{why}");
    let why = refused(trusting(), format!("https://127.0.0.1:{closed}/"));
    assert!(why.starts_with("connect: Connection refused"), "{why}");
    let port = silent.local_addr().unwrap().port();
    let why = refused(trusting(), format!("https://127.0.0.1:{port}/"));
    assert!(why.starts_with("QUIC handshake: given up without an answer"), "{why}");
    let proxies = Proxies::read(|name| (name == "https_proxy").then(|| "http://127.0.0.1:1".into())).unwrap();
    let why = refused(Settings { proxies, ..trusting() }, server.url("/"));
    assert_eq!(why, "HTTP/3 does not pass through an HTTP proxy");
    let why = refused(trusting(), "http://127.0.0.1:1/".into());
    assert_eq!(why, "HTTP/3 needs https");
}

#[test]
fn rules_of_names_hold_for_quic() {
    let server = http3(0, H3, |_, _| Reply::body(b"x"));
    in_runtime(async {
        let rule = Rule { host: "cdn.test".into(), port: None, addresses: vec![[127, 0, 0, 1].into()] };
        let viewer = viewer::<KeepBody>(Settings { resolve: vec![rule], ..over(Http::Http3, 2000) }, None);
        viewer.get(&format!("https://cdn.test:{}/", server.address.port())).await.unwrap();
    });
}

/// Two servers on the same port: HTTP/2 by TCP, HTTP/3 by UDP, which the first one announces.
fn announced(alt_svc: &'static str) -> (common::script::Server, common::script::Server) {
    let fields: &'static [(&str, &str)] = Box::leak(vec![("alt-svc", alt_svc)].into());
    let reply = move |_, _| Reply::Whole(fields, vec![b"x".to_vec()], Duration::ZERO);
    let over_tcp = http2(H2, reply);
    let over_udp = http3(over_tcp.address.port(), H3, reply);
    (over_tcp, over_udp)
}

/// The value of `Alt-Svc` with the port of the origin, which is not known before it is started.
fn same_port(ports: impl Fn(u16) -> String) -> (common::script::Server, common::script::Server) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let fields: &'static [(&str, &str)] =
        Box::leak(vec![("alt-svc", &*Box::leak(ports(port).into_boxed_str()))].into());
    let reply = move |_, _| Reply::Whole(fields, vec![b"x".to_vec()], Duration::ZERO);
    (http2_on(port, H2, reply), http3(port, H3, reply))
}

/// A viewer begins with HTTP/2, and goes on with HTTP/3 once a connection to what `Alt-Svc` announces is made.
#[test]
fn viewers_move_to_the_http3_that_is_announced() {
    let (origin, alternative) = same_port(|port| format!("h3-29=\":1\", h3=\":{port}\"; ma=60"));
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over(Http::Auto, 2000), None);
        for _ in 0..4 {
            viewer.get(&origin.url("/")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let spoken = versions(&viewer);
        // The second request goes the old way while the new one is made.
        assert_eq!(spoken, [Version::Http2, Version::Http2, Version::Http3, Version::Http3]);
        {
            let transfers = viewer.notes.transfers.borrow();
            assert_eq!(transfers[2].peer.port(), alternative.address.port());
            assert!(transfers[2].quic_ns.is_some() && transfers[3].quic_ns.is_none());
            assert_eq!(viewer.notes.alternatives.borrow().len(), 0);
        }
        // A host of another name is another origin.
        let elsewhere = format!("https://127.0.0.1:{}/", origin.address.port());
        viewer.get(&elsewhere).await.unwrap();
        assert_eq!(versions(&viewer).last(), Some(&Version::Http2));
    });
}

/// `clear`, an alternative that is too old, and one that may not be loaded are not used.
#[test]
fn alternatives_that_do_not_hold_are_not_used() {
    let unusable = ["clear", "h3=\":9\"; ma=0", "h3=\"forbidden.test:9\"", "h2=\":9\""];
    for value in unusable {
        let (origin, _) = announced(value);
        in_runtime(async {
            let viewer = viewer::<KeepBody>(over(Http::Auto, 2000), None);
            for _ in 0..3 {
                viewer.get(&origin.url("/")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(versions(&viewer), [Version::Http2; 3], "{value}");
            assert_eq!(viewer.notes.alternatives.borrow().len(), 0, "{value}");
        });
    }
}

/// An alternative that does not work is reported once, and nothing is lost.
#[test]
fn an_alternative_that_does_not_work_is_not_tried_again_soon() {
    let (origin, _) = announced("h3=\":1\"");
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over(Http::Auto, 2000), None);
        for _ in 0..5 {
            viewer.get(&origin.url("/")).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(versions(&viewer), [Version::Http2; 5]);
        let failed = viewer.notes.alternatives.borrow();
        assert!(matches!(&failed[..], [why] if why.starts_with("connect: Connection refused")), "{failed:?}");
        assert!(viewer.notes.failures.borrow().is_empty(), "no request has failed");
    });
}

/// A connection of HTTP/3 that is lost is followed by the protocol of TCP, and again by HTTP/3.
#[test]
fn a_lost_http3_connection_is_followed_by_http2() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let value: &'static str = Box::leak(format!("h3=\":{port}\"").into_boxed_str());
    let fields: &'static [(&str, &str)] = Box::leak(vec![("alt-svc", value)].into());
    let whole = move || Reply::Whole(fields, vec![b"x".to_vec()], Duration::ZERO);
    let origin = http2_on(port, H2, move |_, _| whole());
    let _alternative = http3(
        port,
        H3,
        move |connection, _| if connection == 1 { Reply::Close(b"cut".to_vec()) } else { whole() },
    );
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over(Http::Auto, 2000), None);
        for attempt in 0..5 {
            let result = viewer.get(&origin.url("/")).await;
            assert_eq!(result.is_err(), attempt == 2, "{result:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (two, three) = (Version::Http2, Version::Http3);
        assert_eq!(versions(&viewer), [two, two, three, two, three]);
    });
}

/// A server without HTTP/2 is spoken to by HTTP/1.1, on kept connections, and plain addresses are, too.
#[test]
fn servers_without_http2_are_spoken_to_by_http1() {
    use std::io::{Read as _, Write as _};
    let config = std::sync::Arc::new(common::script::tls(&[b"http/1.1"]));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let config = std::sync::Arc::clone(&config);
            std::thread::spawn(move || {
                let connection = rustls::ServerConnection::new(config).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
                let mut head = Vec::new();
                let mut byte = [0];
                while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        head.clear();
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap();
                    }
                }
            });
        }
    });
    in_runtime(async {
        let viewer = viewer::<KeepBody>(over(Http::Auto, 2000), None);
        let url = format!("https://localhost:{port}/");
        for _ in 0..3 {
            viewer.get(&url).await.unwrap();
        }
        assert_eq!(versions(&viewer), [Version::Http1; 3]);
        assert_eq!(facts(&viewer), [(1, 3, End::Complete); 3]);
        let transfers = viewer.notes.transfers.borrow();
        let first: Vec<bool> = transfers.iter().map(|one| one.tls_ns.is_some()).collect();
        assert_eq!(first, [true, false, false]);
    });
}
