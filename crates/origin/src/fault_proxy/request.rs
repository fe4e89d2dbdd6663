//! What belongs to one viewer's connection.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Front;
use super::upstream::Link;
use crate::fault_proxy::metered_stream::State;

/// What belongs to one connection.
pub(crate) struct RequestContext {
    pub(crate) front: Arc<Front>,
    pub(crate) state: Arc<State>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Number of the connection.
    pub(crate) number: u64,
    /// Requests so far.
    pub(crate) requests: AtomicU64,
    /// The connection to nginx, as soon as there is one.
    pub(crate) link: Mutex<Option<Link>>,
    /// Cancelled when nginx has closed it.
    pub(crate) unlinked: CancellationToken,
    /// The same socket once more, to be reset by.
    pub(crate) socket: OwnedFd,
}

impl RequestContext {
    /// From now on, closing the connection resets it (RST).
    pub(crate) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        if let Err(error) = setsockopt(&self.socket, sockopt::Linger, &linger) {
            tracing::warn!(%error, "cannot reset a connection");
        }
    }
}
