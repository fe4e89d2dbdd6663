//! Ways to download the same file over 8 kept connections on one thread.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::task::LocalSet;

use hls_swarm_client::head::Head;
use hls_swarm_client::{
    Client, ConnectFailure, Http, Observer, Proxies, Request, Settings, Shard, Sink, Transfer, Trust,
};
use hls_swarm_test_support::nginx::Nginx;

use crate::site::FILE_BYTES;

const CONNECTIONS: usize = 8;
/// How long one measurement takes.
const LENGTH: Duration = Duration::from_millis(1500);
const MARK: u32 = 256 << 10;

/// A way to download.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Bare,
    BareWithMark,
    Client,
    HyperTls,
    ClientTls,
}

impl Way {
    pub(crate) const PLAIN: [Self; 3] = [Self::Bare, Self::BareWithMark, Self::Client];
    pub(crate) const TLS: [Self; 2] = [Self::HyperTls, Self::ClientTls];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare loop of recv with MSG_TRUNC",
            Self::BareWithMark => "the same with SO_RCVLOWAT",
            Self::Client => "native viewers' client",
            Self::HyperTls => "hyper with tokio-rustls, TLS",
            Self::ClientTls => "native viewers' client, TLS",
        }
    }
}

/// GB per second of processor time of this thread.
pub(crate) fn measure(way: Way, nginx: &Nginx) -> f64 {
    let before = cpu();
    let bytes = match way {
        Way::Bare => bare(nginx.plain, false),
        Way::BareWithMark => bare(nginx.plain, true),
        Way::Client => client(&format!("http://127.0.0.1:{}/file.ts", nginx.plain)),
        Way::ClientTls => client(&format!("https://127.0.0.1:{}/file.ts", nginx.tls)),
        Way::HyperTls => hyper_tls(nginx.tls),
    };
    bytes as f64 / 1e9 / (cpu() - before).as_secs_f64()
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
    let sum = |time: nix::sys::time::TimeVal| {
        Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64)
    };
    sum(usage.user_time()) + sum(usage.system_time())
}

fn recv(stream: &TcpStream, most: usize) -> Option<usize> {
    // SAFETY: with MSG_TRUNC, the kernel writes nothing for a stream socket (tcp(7)).
    let received = unsafe {
        libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), most, libc::MSG_TRUNC | libc::MSG_DONTWAIT)
    };
    usize::try_from(received).ok()
}

fn set_mark(stream: &TcpStream, mark: usize) {
    let value = libc::c_int::try_from(mark).unwrap();
    // SAFETY: the pointer is valid for the length given.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            std::ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as u32,
        )
    };
}

/// The smallest client: poll, recv, and a request when a response is over.
fn bare(port: u16, with_mark: bool) -> u64 {
    const REQUEST: &[u8] = b"GET /file.ts HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut streams: Vec<(TcpStream, usize)> =
        (0..CONNECTIONS).map(|_| (TcpStream::connect(("127.0.0.1", port)).unwrap(), 0)).collect();
    let head = {
        let (stream, _) = streams.first_mut().unwrap();
        stream.write_all(REQUEST).unwrap();
        let (mut head, mut byte) = (0, [0]);
        let mut end = [0_u8; 4];
        while &end != b"\r\n\r\n" {
            stream.read_exact(&mut byte).unwrap();
            end.rotate_left(1);
            end[3] = byte[0];
            head += 1;
        }
        head
    };
    let whole = head + FILE_BYTES;
    for (number, (stream, left)) in streams.iter_mut().enumerate() {
        stream.set_nonblocking(true).unwrap();
        *left = FILE_BYTES;
        if number > 0 {
            stream.write_all(REQUEST).unwrap();
            *left = whole;
        }
    }
    let (began, mut bytes) = (Instant::now(), 0);
    while began.elapsed() < LENGTH {
        let mut polled: Vec<_> = streams
            .iter()
            .map(|(stream, _)| libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: the array outlives the call, and its length is given.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as u64, 100) };
        for ((stream, left), polled) in streams.iter_mut().zip(&polled) {
            if polled.revents == 0 {
                continue;
            }
            let received = recv(stream, *left).unwrap_or(0);
            *left -= received;
            bytes += received as u64;
            if *left == 0 {
                stream.write_all(REQUEST).unwrap();
                *left = whole;
            }
            if with_mark {
                set_mark(stream, (*left).min(MARK as usize));
            }
        }
    }
    bytes
}

struct Discard;

impl Sink for Discard {
    fn begin(&mut self, _head: &Head) {}

    fn discardable(&self) -> u64 {
        u64::MAX
    }

    fn take(&mut self, _bytes: &[u8]) {}

    fn discarded(&mut self, _bytes: u64) {}
}

struct Nothing;

impl Observer for Nothing {
    type Tag = ();
    type Sink = Discard;

    fn transfer(&self, (): &(), _sink: &Discard, _transfer: &Transfer) {}

    fn connect_failed(&self, failure: ConnectFailure) {
        eprintln!("{}", failure.reason);
    }

    fn alternative_failed(&self, _reason: &str) {}

    fn received(&self, _bytes: u64, _tls: bool) {}
}

fn in_local<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work)
}

/// The client of native viewers, with everything that it measures.
fn client(url: &str) -> u64 {
    let shard = Shard::new(Settings {
        http: Http::Http1,
        trust: Trust::Anyone,
        proxies: Proxies::default(),
        timeout: Duration::from_secs(10),
        resolve: Vec::new(),
        names_per_viewer: false,
        mark: MARK,
        most_connections: usize::MAX,
        headers: Vec::new(),
        policy: Box::new(|_| Ok(())),
    });
    in_local(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let (shard, url) = (Rc::clone(&shard), url.to_owned());
                tokio::task::spawn_local(async move {
                    let client = Client::new(shard, Rc::new(Nothing), "bench".into(), None, None, 0);
                    let (began, mut bytes) = (Instant::now(), 0);
                    while began.elapsed() < LENGTH {
                        let request = Request::get(url.parse().unwrap());
                        let fetched = client.fetch(request, (), Discard).await.unwrap();
                        bytes += fetched.body_bytes;
                    }
                    bytes
                })
            })
            .collect();
        let mut bytes = 0;
        for task in tasks {
            bytes += task.await.unwrap();
        }
        bytes
    })
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// hyper's connections over tokio-rustls, with the same settings of TLS.
fn hyper_tls(port: u16) -> u64 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    in_local(async {
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let connector = connector.clone();
                tokio::task::spawn_local(async move {
                    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
                    let stream = connector.connect(name, stream).await.unwrap();
                    let (mut sender, connection) =
                        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                    tokio::task::spawn_local(connection);
                    let (began, mut bytes) = (Instant::now(), 0);
                    while began.elapsed() < LENGTH {
                        let request = hyper::Request::get("/file.ts").header("Host", "x");
                        let request = request.body(Empty::<Bytes>::new()).unwrap();
                        let mut body = sender.send_request(request).await.unwrap().into_body();
                        while let Some(frame) = body.frame().await {
                            bytes += frame.unwrap().data_ref().map_or(0, |data| data.len() as u64);
                        }
                    }
                    bytes
                })
            })
            .collect();
        let mut bytes = 0;
        for task in tasks {
            bytes += task.await.unwrap();
        }
        bytes
    })
}
