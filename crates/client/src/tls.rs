//! TLS inside a connection, by rustls's unbuffered interface: ciphertext is decrypted in a buffer that all
//! connections of a thread share, so an idle connection holds nothing but its keys.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// The protocols that a connection may speak, which its handshake decides (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alpn {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2, or else HTTP/1.1.
    Either,
}

/// The name of HTTP/2 in ALPN.
pub(crate) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

impl Alpn {
    /// All, in the order of [`Self::place`].
    pub(crate) const COUNT: usize = 3;

    /// The index among all.
    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    fn names(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[HTTP1],
            Self::Http2 => &[H2],
            Self::Either => &[H2, HTTP1],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Either => "HTTP/2 or HTTP/1.1",
        })
    }
}

/// The settings of TLS connections of a run. `verified`: whether certificates are checked, against the
/// system's authorities or those of `SSL_CERT_FILE`.
///
/// Sessions are not resumed: the viewers of a run are different people, and FFmpeg does not resume either.
///
/// # Errors
/// There are no authorities.
pub(crate) fn settings(verified: bool, alpn: Alpn) -> Result<Arc<ClientConfig>, Error> {
    with_protocols(verified, alpn.names())
}

/// The same for QUIC connections, which speak HTTP/3.
///
/// # Errors
/// There are no authorities.
pub(crate) fn quic_settings(verified: bool) -> Result<Arc<ClientConfig>, Error> {
    with_protocols(verified, vec![b"h3".to_vec()])
}

fn with_protocols(verified: bool, alpn: Vec<Vec<u8>>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier: Arc<dyn ServerCertVerifier> =
        if verified { Arc::new(Verifier::new(provider)?) } else { Arc::new(Unverified(provider)) };
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn;
    Ok(Arc::new(config))
}

/// Accepts every certificate (`--insecure`); signatures are checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The TLS state of one connection.
pub(crate) struct Session {
    connection: UnbufferedClientConnection,
    /// Ciphertext whose record has not arrived whole, if it could not stay in the socket.
    incoming: Vec<u8>,
    /// Ciphertext to be sent.
    outgoing: Vec<u8>,
    /// Whether the peer has ended the session.
    is_ended: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("is_ended", &self.is_ended).finish_non_exhaustive()
    }
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// The peer's turn.
    Waiting,
    /// Done.
    Done,
}

impl Session {
    /// A session with the host of this name, before its handshake.
    pub(crate) fn new(config: Arc<ClientConfig>, host: &str) -> io::Result<Self> {
        let host = host.trim_matches(['[', ']']);
        let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
        let connection = UnbufferedClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self { connection, incoming: Vec::new(), outgoing: Vec::new(), is_ended: false })
    }

    /// Whether the handshake has decided that the connection speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.connection.alpn_protocol() == Some(H2)
    }

    /// Bytes of ciphertext that are kept as a part of a record.
    pub(crate) fn pending(&self) -> u64 {
        self.incoming.len() as u64
    }

    /// Whether the peer ended the session.
    pub(crate) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Ciphertext to be sent, drained.
    pub(crate) fn take_outgoing(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.outgoing)
    }

    /// Puts the part of a record that arrived before to the beginning of `buffer`; returns its length.
    pub(crate) fn restore(&mut self, buffer: &mut [u8]) -> usize {
        let pending = std::mem::take(&mut self.incoming);
        match buffer.get_mut(..pending.len()) {
            Some(room) => room.copy_from_slice(&pending),
            // A record has 16 KiB and a little, and the buffer has 64.
            None => return 0,
        }
        pending.len()
    }

    /// Keeps a part of a record until the rest of it arrives.
    pub(crate) fn keep(&mut self, pending: &[u8]) {
        if !pending.is_empty() {
            self.incoming = pending.to_vec();
        }
    }

    /// Takes ciphertext, and passes on the plain text in it. Returns the number of bytes at its end that are a part of a
    /// record; they were not taken.
    ///
    /// # Errors
    /// The handshake failed, or what arrived is not TLS.
    pub(crate) fn take(
        &mut self,
        incoming: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<(Handshake, usize), Error> {
        let mut at = 0;
        let state = loop {
            let UnbufferedStatus { mut discard, state, .. } =
                self.connection.process_tls_records(incoming.get_mut(at..).unwrap_or_default());
            let mut turn = None;
            match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut self.outgoing, |room| {
                    data.encode(room).map_err(|error| match error {
                        EncodeError::InsufficientSize(size) => Some(size.required_size),
                        EncodeError::AlreadyEncoded => None,
                    })
                }),
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => turn = Some(Handshake::Waiting),
                ConnectionState::WriteTraffic(_) => turn = Some(Handshake::Done),
                ConnectionState::PeerClosed => self.is_ended = true,
                ConnectionState::Closed => {
                    self.is_ended = true;
                    turn = Some(Handshake::Done);
                }
                _ => turn = Some(Handshake::Waiting),
            }
            at += discard;
            if let Some(turn) = turn {
                break turn;
            }
        };
        Ok((state, incoming.len().saturating_sub(at)))
    }

    /// Takes ciphertext, and keeps the part of a record at its end.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(crate) fn take_and_keep(
        &mut self,
        incoming: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
    ) -> Result<Handshake, Error> {
        let (state, rest) = self.take(incoming, plain)?;
        self.keep(incoming.get(incoming.len() - rest..).unwrap_or_default());
        Ok(state)
    }

    /// Encrypts plain text for the peer; the handshake is done.
    ///
    /// # Errors
    /// The session cannot send.
    pub(crate) fn encrypt(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut outgoing = self.take_outgoing();
        match self.connection.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => encode(&mut outgoing, |room| {
                traffic.encrypt(plain, room).map_err(|error| match error {
                    EncryptError::InsufficientSize(size) => Some(size.required_size),
                    EncryptError::EncryptExhausted => None,
                })
            }),
            Ok(_) => return Err(io::ErrorKind::NotConnected.into()),
            Err(error) => return Err(io::Error::other(error)),
        }
        Ok(outgoing)
    }
}

/// Appends what `write` writes into a room of the size that it asks for.
fn encode(outgoing: &mut Vec<u8>, mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) {
    let before = outgoing.len();
    let mut room = 1024;
    loop {
        outgoing.resize(before + room, 0);
        match write(outgoing.get_mut(before..).unwrap_or_default()) {
            Ok(written) => return outgoing.truncate(before + written),
            Err(Some(required)) if required > room => room = required,
            Err(_) => return outgoing.truncate(before),
        }
    }
}
