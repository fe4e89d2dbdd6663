//! What the viewers of one thread share.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use hls_swarm_http::resolve::Rule;

use crate::multiplex::udp::{SharedBuffer, shared_buffer};
use crate::names::Names;
use crate::proxy::Proxies;
use crate::tls::{self, Alpn};

/// The size of the buffer that all connections of a thread receive into, bytes. Several TLS records fit.
const BUFFER_BYTES: usize = 64 << 10;

/// The certificates that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities, or of `SSL_CERT_FILE`.
    Verified,
    /// All (`--insecure`).
    Anyone,
}

/// The protocols that viewers speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 over TLS, and nothing else.
    Http2,
    /// HTTP/3, and nothing else.
    Http3,
    /// HTTP/2 or HTTP/1.1, as the server chooses, and HTTP/3 once the server announces it (`Alt-Svc`), as browsers do.
    Auto,
}

/// Decides whether a URL may be requested; the error is the reason.
pub type Policy = Box<dyn Fn(&Url) -> Result<(), String>>;

/// The settings of a thread's viewers.
pub struct Settings {
    /// The protocols that viewers speak.
    pub http: Http,
    /// The certificates that are trusted.
    pub trust: Trust,
    /// Proxies.
    pub proxies: Proxies,
    /// How long a viewer waits for a connection, and for the next byte of a response.
    pub timeout: Duration,
    /// Names with overridden addresses.
    pub resolve: Vec<Rule>,
    /// Whether each viewer looks names up itself.
    pub names_per_viewer: bool,
    /// The most bytes that a socket collects before its viewer is woken (SO_RCVLOWAT).
    pub mark: u32,
    /// Connections from which on the thread keeps only one for each viewer that is idle; the others are closed after
    /// their exchange.
    pub most_connections: usize,
    /// Header fields of all requests, name and value.
    pub headers: Vec<(String, String)>,
    /// Decides whether a URL, of a redirect for example, may be requested.
    pub policy: Policy,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("trust", &self.trust)
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

/// What the viewers of one thread share.
#[derive(Debug)]
pub struct Shard {
    pub(crate) settings: Settings,
    pub(crate) buffer: RefCell<Box<[u8]>>,
    pub(crate) names: Names,
    /// Connections of all viewers.
    pub(crate) connections: Cell<usize>,
    tls: [OnceCell<Result<Arc<ClientConfig>, String>>; Alpn::COUNT],
    quic: OnceCell<Result<Arc<ClientConfig>, String>>,
    /// The buffer that UDP sockets receive into.
    pub(crate) datagrams: SharedBuffer,
}

impl Shard {
    /// A thread without connections.
    #[must_use]
    pub fn new(settings: Settings) -> Rc<Self> {
        Rc::new(Self {
            settings,
            buffer: RefCell::new(vec![0; BUFFER_BYTES].into()),
            names: Names::default(),
            connections: Cell::new(0),
            tls: Default::default(),
            quic: OnceCell::new(),
            datagrams: shared_buffer(),
        })
    }

    /// The TLS settings, made when the first connection needs them.
    pub(crate) fn tls(&self, alpn: Alpn) -> Result<Arc<ClientConfig>, String> {
        let verified = self.settings.trust == Trust::Verified;
        let make = || tls::settings(verified, alpn).map_err(|error| error.to_string());
        self.tls.get(alpn.place()).map_or_else(make, |known| known.get_or_init(make).clone())
    }

    /// The TLS settings of QUIC, made when the first connection needs them.
    pub(crate) fn quic(&self) -> Result<Arc<ClientConfig>, String> {
        let verified = self.settings.trust == Trust::Verified;
        let make = || tls::quic_settings(verified).map_err(|error| error.to_string());
        self.quic.get_or_init(make).clone()
    }
}
