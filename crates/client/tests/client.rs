//! The client against servers that behave, and servers that do not. Each server is a script: what it sends on each
//! connection, request by request.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hls_swarm_client::head::Head;
use hls_swarm_client::{End, FetchError, KeepBody, Proxies, Request, Settings, Sink, Trust};
use url::Url;

use common::{in_runtime, settings, viewer};

/// Keeps the first bytes of a body, and lets the rest be discarded.
#[derive(Debug)]
struct First(Vec<u8>, usize);

impl Sink for First {
    fn begin(&mut self, _head: &Head) {
        self.0.clear();
    }

    fn discardable(&self) -> u64 {
        if self.0.len() < self.1 { 0 } else { u64::MAX }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn discarded(&mut self, _bytes: u64) {}
}

/// A step of a scripted connection.
enum Step {
    /// Reads a request, then sends this.
    Answer(Vec<u8>),
    /// Sends this without a request.
    Send(Vec<u8>),
    Wait(u64),
    /// Closes the connection, with a reset.
    Reset,
}

fn answer(text: &str) -> Step {
    Step::Answer(text.as_bytes().to_vec())
}

/// Serves the connections in order; returns the address and the heads of the requests.
fn serve(connections: Vec<Vec<Step>>) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heads, received) = mpsc::channel();
    thread::spawn(move || {
        for steps in connections {
            let Ok((mut stream, _)) = listener.accept() else { return };
            for step in steps {
                match step {
                    Step::Answer(bytes) => {
                        let Some(head) = head(&mut stream) else { break };
                        drop(heads.send(head));
                        drop(stream.write_all(&bytes));
                    }
                    Step::Send(bytes) => drop(stream.write_all(&bytes)),
                    Step::Wait(ms) => thread::sleep(Duration::from_millis(ms)),
                    Step::Reset => {
                        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
                        // SAFETY: the pointer is valid for the length given.
                        unsafe {
                            libc::setsockopt(
                                std::os::fd::AsRawFd::as_raw_fd(&stream),
                                libc::SOL_SOCKET,
                                libc::SO_LINGER,
                                std::ptr::from_ref(&linger).cast(),
                                size_of::<libc::linger>() as u32,
                            );
                        }
                        break;
                    }
                }
            }
        }
    });
    (address, received)
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn requests_share_a_connection_and_are_counted_exactly() {
    let (address, heads) = serve(vec![vec![answer(OK), answer(OK)]]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        for path in ["a?x=1", "b"] {
            let fetched = viewer.get(&format!("http://{address}/{path}")).await.unwrap();
            assert_eq!(fetched.sink.body, b"abc");
        }
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> = transfers
            .iter()
            .map(|one| {
                (one.connection, one.head_bytes, one.body_bytes, one.received_bytes, one.connect_ns.is_some())
            })
            .collect();
        assert_eq!(facts, [(1, 38, 3, Some(41), true), (1, 38, 3, Some(41), false)]);
        assert!(transfers.iter().all(|one| one.first_byte_ns.is_some() && one.peer == address));
    });
    assert!(heads.recv().unwrap().starts_with("GET /a?x=1 HTTP/1.1\r\nHost: 127.0.0.1:"));
}

#[test]
fn a_large_body_is_discarded_and_counted() {
    let body = vec![0x47; 3_000_000];
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend(&body);
    // Slowly: the mark must not hide the end, nor the pieces before it.
    let mut steps = vec![Step::Answer(response[..1_000_000].to_vec()), Step::Wait(300)];
    steps.push(Step::Send(response[1_000_000..2_900_000].to_vec()));
    steps.extend([Step::Wait(30), Step::Send(response[2_900_000..].to_vec()), answer(OK)]);
    let (address, _heads) = serve(vec![steps]);
    in_runtime(async {
        let viewer = viewer::<First>(settings(2000), None);
        let url: Url = format!("http://{address}/").parse().unwrap();
        let fetched =
            viewer.client.fetch(Request::get(url.clone()), (), First(Vec::new(), 400)).await.unwrap();
        assert_eq!(fetched.body_bytes, 3_000_000);
        assert!(fetched.sink.0.len() >= 400 && fetched.sink.0.iter().all(|byte| *byte == 0x47));
        assert!(fetched.ended_ns - fetched.started_ns > 300_000_000);
        let again = viewer.client.fetch(Request::get(url), (), First(Vec::new(), 400)).await.unwrap();
        assert_eq!((again.sink.0.as_slice(), viewer.ends()), (&b"abc"[..], vec![End::Complete; 2]));
        let received = viewer.notes.transfers.borrow()[0].received_bytes.unwrap();
        assert_eq!(received, viewer.notes.transfers.borrow()[0].head_bytes + 3_000_000);
    });
}

#[test]
fn a_request_on_a_closed_connection_is_sent_again() {
    let (address, _heads) = serve(vec![vec![answer(OK)], vec![answer(OK)]]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let url = format!("http://{address}/");
        viewer.get(&url).await.unwrap();
        // The server has closed it meanwhile, which the client sees before it sends.
        tokio::time::sleep(Duration::from_millis(50)).await;
        viewer.get(&url).await.unwrap();
        assert_eq!(viewer.ends(), [End::Complete; 2]);
        assert_eq!(viewer.notes.transfers.borrow()[1].connection, 2);
    });
}

/// Answers every request on every connection, and reports each connection that is closed.
fn serve_many() -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closed, received) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, closed) = (stream.unwrap(), closed.clone());
            thread::spawn(move || {
                while head(&mut stream).is_some() {
                    drop(stream.write_all(OK.as_bytes()));
                }
                let _ = closed.send(());
            });
        }
    });
    (address, received)
}

#[test]
fn the_connection_that_was_used_last_is_used_again() {
    let (address, closed) = serve_many();
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let url = format!("http://{address}/a");
        let (one, other) = tokio::join!(viewer.get(&url), viewer.get(&url));
        assert!(one.is_ok() && other.is_ok());
        for _ in 0..3 {
            viewer.get(&url).await.unwrap();
        }
        let transfers = viewer.notes.transfers.borrow();
        let connections: Vec<u32> = transfers.iter().map(|transfer| transfer.connection).collect();
        assert_ne!(connections[0], connections[1]);
        assert!(connections[1..].iter().all(|connection| *connection == connections[1]), "{connections:?}");
        assert!(closed.recv_timeout(Duration::from_millis(200)).is_err(), "both are kept");
    });
}

#[test]
fn a_viewer_keeps_one_connection_when_its_thread_has_many() {
    let (address, closed) = serve_many();
    in_runtime(async {
        let viewer = viewer::<KeepBody>(Settings { most_connections: 1, ..settings(2000) }, None);
        let url = format!("http://{address}/a");
        let (one, other) = tokio::join!(viewer.get(&url), viewer.get(&url));
        assert!(one.is_ok() && other.is_ok());
        closed.recv_timeout(Duration::from_secs(2)).unwrap();
        viewer.get(&url).await.unwrap();
        let transfers = viewer.notes.transfers.borrow();
        assert_eq!(transfers[2].connection, transfers[0].connection);
    });
}

#[test]
fn a_reset_instead_of_a_response_is_stale_on_a_kept_connection_only() {
    let reset = || vec![Step::Wait(100), Step::Reset];
    let (address, _heads) =
        serve(vec![[vec![answer(OK)], reset()].concat_steps(), vec![answer(OK)], reset()]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let url = format!("http://{address}/");
        viewer.get(&url).await.unwrap();
        viewer.get(&url).await.unwrap();
        assert_eq!(viewer.ends(), [End::Complete, End::Stale, End::Complete]);
        let other = self::viewer::<KeepBody>(settings(2000), None);
        assert!(matches!(other.get(&url).await, Err(FetchError::Broken(_))));
        assert_eq!(other.ends(), [End::SocketError(104)]);
    });
}

trait ConcatSteps {
    fn concat_steps(self) -> Vec<Step>;
}

impl ConcatSteps for [Vec<Step>; 2] {
    fn concat_steps(self) -> Vec<Step> {
        self.into_iter().flatten().collect()
    }
}

#[test]
fn bodies_that_end_early_and_late_differ() {
    let (address, _heads) = serve(vec![
        vec![answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
        vec![answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"), Step::Wait(500)],
        vec![answer("HTTP/1.1 200 OK\r\n\r\nuntil the end")],
        vec![answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")],
        vec![answer("HTTP/1.1 2oo OK\r\n\r\n")],
    ]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let url = format!("http://{address}/");
        assert!(matches!(viewer.get(&url).await, Err(FetchError::Cut(_))));
        assert_eq!(viewer.get(&url).await.unwrap().sink.body, b"abc");
        assert_eq!(viewer.get(&url).await.unwrap().sink.body, b"until the end");
        assert!(matches!(viewer.get(&url).await, Err(FetchError::Cut(_))));
        assert!(matches!(viewer.get(&url).await, Err(FetchError::Malformed(_))));
        let expected = [End::ClosedByPeer, End::Complete, End::Complete, End::ClosedByPeer, End::Malformed];
        assert_eq!(viewer.ends(), expected);
        let excess: Vec<u64> = viewer.notes.transfers.borrow().iter().map(|one| one.excess_bytes).collect();
        assert_eq!(excess, [0, 3, 0, 0, 0]);
    });
}

#[test]
fn a_viewer_waits_no_longer_than_its_timeout() {
    let (address, _heads) =
        serve(vec![vec![answer(""), Step::Wait(3000)], vec![answer("HTTP/1.1 200"), Step::Wait(3000)]]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(200), None);
        let url = format!("http://{address}/");
        assert_eq!(viewer.get(&url).await.unwrap_err(), FetchError::TimedOut);
        assert_eq!(viewer.ends(), [End::TimedOut]);
        assert!(viewer.notes.transfers.borrow()[0].idle_ns >= 200_000_000);
    });
}

#[test]
fn an_exchange_that_is_given_up_is_reported_with_what_arrived() {
    let (address, _heads) =
        serve(vec![vec![answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), Step::Wait(2000)]]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let url = format!("http://{address}/");
        let fetch = viewer.get(&url);
        assert!(tokio::time::timeout(Duration::from_millis(200), fetch).await.is_err());
        let transfers = viewer.notes.transfers.borrow();
        assert_eq!((transfers[0].end, transfers[0].body_bytes), (End::ClosedByViewer, 3));
    });
}

#[test]
fn redirects_are_followed_with_cookies_and_under_the_policy() {
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: t=1; Path=/\r\nContent-Length: 2\r\n\r\nno";
    let forbidden = "HTTP/1.1 302 Found\r\nLocation: http://forbidden.test/\r\nContent-Length: 0\r\n\r\n";
    let (address, heads) = serve(vec![vec![answer(redirect), answer(OK), answer(forbidden)]]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let fetched = viewer.get(&format!("http://{address}/a")).await.unwrap();
        assert_eq!((fetched.url.path(), fetched.sink.body.as_slice()), ("/b", &b"abc"[..]));
        let error = viewer.get(&format!("http://{address}/c")).await.unwrap_err();
        assert_eq!(error, FetchError::Forbidden("forbidden.test is not allowed".into()));
        assert_eq!(viewer.ends(), [End::Complete; 3]);
    });
    let heads: Vec<String> = heads.iter().collect();
    assert!(!heads[0].contains("Cookie") && heads[1].contains("\r\nCookie: t=1\r\n"), "{heads:?}");
}

#[test]
fn endless_redirects_end() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    let (address, _heads) = serve(vec![(0..40).map(|_| answer(redirect)).collect()]);
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let error = viewer.get(&format!("http://{address}/")).await.unwrap_err();
        assert_eq!(error, FetchError::Redirect("too many redirects".into()));
    });
}

#[test]
fn a_refused_connection_is_a_failure_with_the_systems_words() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    in_runtime(async {
        let viewer = viewer::<KeepBody>(settings(2000), None);
        let error = viewer.get(&format!("http://{address}/")).await.unwrap_err();
        assert_eq!(error, FetchError::NotConnected("connect: Connection refused (os error 111)".into()));
        assert_eq!(viewer.notes.failures.borrow().len(), 1);
    });
}

#[test]
fn an_address_that_refuses_is_followed_by_the_next_one() {
    let (address, _heads) = serve(vec![vec![answer(OK)]]);
    let addresses = ["127.0.0.9", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec();
    let rule = hls_swarm_http::resolve::Rule { host: "cdn.test".into(), port: None, addresses };
    in_runtime(async {
        let viewer = viewer::<KeepBody>(Settings { resolve: vec![rule], ..settings(2000) }, None);
        viewer.get(&format!("http://cdn.test:{}/", address.port())).await.unwrap();
        assert!(viewer.notes.failures.borrow().is_empty());
    });
}

#[test]
fn a_cap_limits_the_rate_of_a_viewer() {
    let body = vec![b'x'; 300_000];
    let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend(&body);
    let (address, _heads) = serve(vec![vec![Step::Answer(response)]]);
    in_runtime(async {
        // 300 kB at 4.8 Mb/s take half a second.
        let viewer = viewer::<First>(settings(2000), Some(4_800_000));
        let request = Request::get(format!("http://{address}/").parse().unwrap());
        let fetched = viewer.client.fetch(request, (), First(Vec::new(), 10)).await.unwrap();
        let seconds = (fetched.ended_ns - fetched.started_ns) as f64 / 1e9;
        assert!((0.42..0.8).contains(&seconds), "{seconds}");
    });
}

#[test]
fn a_plain_proxy_gets_the_whole_address_and_a_tunnel_is_asked_for() {
    let (address, heads) =
        serve(vec![vec![answer(OK)], vec![answer("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")]]);
    let proxy = format!("http://me:pw@{address}");
    let proxies =
        Proxies::read(|name| matches!(name, "http_proxy" | "https_proxy").then(|| proxy.clone())).unwrap();
    in_runtime(async {
        let viewer = viewer::<KeepBody>(Settings { proxies, ..settings(2000) }, None);
        viewer.get("http://cdn.test/a").await.unwrap();
        let error = viewer.get("https://cdn.test/a").await.unwrap_err();
        assert_eq!(error, FetchError::NotConnected("proxy: it answered 407 to CONNECT".into()));
    });
    let heads: Vec<String> = heads.iter().collect();
    assert!(heads[0].starts_with("GET http://cdn.test/a HTTP/1.1\r\nHost: cdn.test\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("CONNECT cdn.test:443 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads.iter().all(|head| head.contains("Proxy-Authorization: Basic bWU6cHc=\r\n")));
}

/// Serves one response of `bytes` bytes to each request of one TLS connection.
fn serve_tls(bytes: usize) -> SocketAddr {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut head = Vec::new();
            let mut byte = [0];
            while stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
                    drop(stream.write_all(&[text.into_bytes(), vec![b'x'; bytes]].concat()));
                }
            }
        }
    });
    address
}

#[test]
fn tls_is_verified_unless_that_is_turned_off() {
    let address = serve_tls(1_000_000);
    let url = format!("https://localhost:{}/", address.port());
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let rule = hls_swarm_http::resolve::Rule { host: "localhost".into(), port: None, addresses };
    in_runtime(async {
        let verified = viewer::<KeepBody>(Settings { resolve: vec![rule.clone()], ..settings(2000) }, None);
        let error = verified.get(&url).await.unwrap_err();
        assert!(
            matches!(&error, FetchError::NotConnected(why) if why.starts_with("TLS handshake failed")),
            "{error}"
        );
        let trusting = Settings { trust: Trust::Anyone, resolve: vec![rule], ..settings(2000) };
        let viewer = viewer::<KeepBody>(trusting, None);
        for _ in 0..3 {
            let fetched = viewer.get(&url).await.unwrap();
            assert_eq!((fetched.sink.body.len(), fetched.body_bytes), (1_000_000, 1_000_000));
        }
        let transfers = viewer.notes.transfers.borrow();
        let facts: Vec<_> =
            transfers.iter().map(|one| (one.connection, one.tls, one.tls_ns.is_some())).collect();
        assert_eq!(facts, [(1, true, true), (1, true, false), (1, true, false)]);
        assert!(transfers.iter().all(|one| one.received_bytes > Some(1_000_000)));
    });
}
