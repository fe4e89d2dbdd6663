//! Servers of HTTP/2 and HTTP/3 whose answers are written in the test.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A response with these fields, whose body comes in pieces, with a pause before each.
    Whole(&'static [(&'static str, &'static str)], Vec<Vec<u8>>, Duration),
    /// The same, but then the stream is reset with this error code instead of ended.
    Reset(Vec<u8>, u32),
    /// The same, but then the connection is closed.
    Close(Vec<u8>),
    /// The stream is reset with this error code instead of answered.
    Refuse(u32),
    /// A whole response, and the connection takes no further request.
    Last(Vec<u8>),
    /// Nothing.
    Silence,
}

impl Reply {
    /// A whole response at once.
    pub fn body(bytes: &[u8]) -> Self {
        Self::Whole(&[], vec![bytes.to_vec()], Duration::ZERO)
    }
}

/// What the server saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request: the number of its connection from 1, its path, and its fields.
    Request(usize, String, Vec<(String, String)>),
    /// The client has cancelled a stream, with this error code.
    Cancelled(u32),
}

/// Answers request `number` (from 1) on connection `connection` (from 1).
pub type Script = Arc<dyn Fn(usize, usize) -> Reply + Send + Sync>;

/// A server, and what it sees.
pub struct Server {
    pub address: SocketAddr,
    seen: Mutex<Receiver<Seen>>,
}

impl Server {
    /// What it has seen so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().try_iter().collect()
    }

    /// Waits for what it sees next.
    pub fn next(&self) -> Seen {
        self.seen.lock().unwrap().recv_timeout(Duration::from_secs(5)).unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }
}

/// TLS that offers these protocols.
pub fn tls(alpn: &[&[u8]]) -> rustls::ServerConfig {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// Starts a server of HTTP/2 that offers the protocols `alpn`.
pub fn http2(alpn: &[&[u8]], script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static) -> Server {
    http2_on(0, alpn, script)
}

/// The same on this port (0 = a free one).
pub fn http2_on(
    port: u16,
    alpn: &[&[u8]],
    script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static,
) -> Server {
    let config = Arc::new(tls(alpn));
    let (seen, receiver) = mpsc::channel();
    let (ready, address) = mpsc::channel();
    let script: Script = Arc::new(script);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            ready.send(listener.local_addr().unwrap()).unwrap();
            for connection in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                let acceptor = TlsAcceptor::from(Arc::clone(&config));
                let (script, seen) = (Arc::clone(&script), seen.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    serve(stream, connection, script, seen).await;
                });
            }
        });
    });
    Server { address: address.recv().unwrap(), seen: Mutex::new(receiver) }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn serve(stream: Tls, connection: usize, script: Script, seen: Sender<Seen>) {
    let Ok(mut served) = h2::server::handshake(stream).await else { return };
    let (close, mut closing) = tokio::sync::mpsc::unbounded_channel::<()>();
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            accepted = served.accept() => accepted,
            // Dropped: the socket is closed without a word.
            _ = closing.recv() => return,
        };
        let Some(Ok((request, mut respond))) = accepted else { return };
        number += 1;
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let _ = seen.send(Seen::Request(connection, request.uri().path().to_owned(), fields.collect()));
        let reply = script(connection, number);
        let head = |fields: &[(&str, &str)]| {
            let mut response = http::Response::builder();
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            response.body(()).unwrap()
        };
        match reply {
            Reply::Refuse(code) => respond.send_reset(code.into()),
            Reply::Last(body) => {
                let mut stream = respond.send_response(head(&[]), false).unwrap();
                stream.send_data(Bytes::from(body), true).unwrap();
                served.graceful_shutdown();
            }
            Reply::Whole(fields, pieces, pause) => {
                let (seen, mut stream) = (seen.clone(), respond.send_response(head(fields), false).unwrap());
                tokio::spawn(async move {
                    for piece in pieces {
                        let cancelled = std::future::poll_fn(|context| stream.poll_reset(context));
                        let Err(_) = tokio::time::timeout(pause, cancelled).await.map(|reason| {
                            let code = reason.map(u32::from).unwrap_or_default();
                            let _ = seen.send(Seen::Cancelled(code));
                        }) else {
                            return;
                        };
                        let _ = stream.send_data(Bytes::from(piece), false);
                    }
                    let _ = stream.send_data(Bytes::new(), true);
                });
            }
            Reply::Reset(body, code) => {
                let mut stream = respond.send_response(head(&[]), false).unwrap();
                stream.send_data(Bytes::from(body), false).unwrap();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    stream.send_reset(code.into());
                });
            }
            Reply::Close(body) => {
                let mut stream = respond.send_response(head(&[]), false).unwrap();
                stream.send_data(Bytes::from(body), false).unwrap();
                let close = close.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let _ = close.send(());
                    // Dropped before, it would be reset.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    drop(stream);
                });
            }
            Reply::Silence => {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    drop(respond);
                });
            }
        }
    }
}

/// Starts a server of HTTP/3 on this UDP port (0 = a free one).
pub fn http3(
    port: u16,
    alpn: &[&[u8]],
    script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static,
) -> Server {
    let mut config = tls(alpn);
    config.max_early_data_size = 0;
    let config = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(config));
    let (seen, receiver) = mpsc::channel();
    let (ready, address) = mpsc::channel();
    let script: Script = Arc::new(script);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let endpoint = quinn::Endpoint::server(config, ([127, 0, 0, 1], port).into()).unwrap();
            ready.send(endpoint.local_addr().unwrap()).unwrap();
            let mut number = 0;
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else { continue };
                number += 1;
                tokio::spawn(serve3(connection, number, Arc::clone(&script), seen.clone()));
            }
        });
    });
    Server { address: address.recv().unwrap(), seen: Mutex::new(receiver) }
}

async fn serve3(quic: quinn::Connection, connection: usize, script: Script, seen: Sender<Seen>) {
    let built = h3::server::builder().build(h3_quinn::Connection::new(quic.clone())).await;
    let Ok(mut served) = built else { return };
    let mut number = 0;
    while let Ok(Some(resolver)) = served.accept().await {
        let Ok((request, mut stream)) = resolver.resolve_request().await else { continue };
        number += 1;
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let _ = seen.send(Seen::Request(connection, request.uri().path().to_owned(), fields.collect()));
        let reply = script(connection, number);
        if let Reply::Last(_) = reply {
            served.shutdown(0).await.unwrap();
        }
        let (quic, seen) = (quic.clone(), seen.clone());
        tokio::spawn(async move {
            let head = |fields: &[(&str, &str)]| {
                let mut response = http::Response::builder();
                for (name, value) in fields {
                    response = response.header(*name, *value);
                }
                response.body(()).unwrap()
            };
            match reply {
                Reply::Refuse(code) => stream.stop_stream(u64::from(code).into()),
                Reply::Whole(fields, pieces, pause) => {
                    stream.send_response(head(fields)).await.unwrap();
                    for piece in pieces {
                        tokio::time::sleep(pause).await;
                        if stream.send_data(Bytes::from(piece)).await.is_err() {
                            let _ = seen.send(Seen::Cancelled(0));
                            return;
                        }
                    }
                    let _ = stream.finish().await;
                }
                Reply::Last(body) => {
                    stream.send_response(head(&[])).await.unwrap();
                    stream.send_data(Bytes::from(body)).await.unwrap();
                    stream.finish().await.unwrap();
                }
                Reply::Reset(body, code) => {
                    stream.send_response(head(&[])).await.unwrap();
                    stream.send_data(Bytes::from(body)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    stream.stop_stream(u64::from(code).into());
                }
                Reply::Close(body) => {
                    stream.send_response(head(&[])).await.unwrap();
                    stream.send_data(Bytes::from(body)).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    quic.close(0x102_u32.into(), b"");
                }
                Reply::Silence => tokio::time::sleep(Duration::from_secs(60)).await,
            }
        });
    }
}
