//! What the viewers of one thread share.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use url::Url;

use hls_swarm_http::resolve::Rule;

use crate::names::Names;
use crate::proxy::Proxies;
use crate::tls;

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

/// Decides whether a URL may be requested; the error is the reason.
pub type Policy = Box<dyn Fn(&Url) -> Result<(), String>>;

/// The settings of a thread's viewers.
pub struct Settings {
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
    tls: OnceCell<Result<Arc<ClientConfig>, String>>,
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
            tls: OnceCell::new(),
        })
    }

    /// The TLS settings, made when the first connection needs them.
    pub(crate) fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let make =
            || tls::settings(self.settings.trust == Trust::Verified).map_err(|error| error.to_string());
        self.tls.get_or_init(make).clone()
    }
}
