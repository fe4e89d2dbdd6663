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
use super::wire::State;

/// What belongs to one connection.
pub(super) struct Visit {
    pub(super) front: Arc<Front>,
    pub(super) state: Arc<State>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// Number of the connection.
    pub(super) number: u64,
    /// Requests so far.
    pub(super) requests: AtomicU64,
    /// The connection to nginx, as soon as there is one.
    pub(super) link: Mutex<Option<Link>>,
    /// Cancelled when nginx has closed it.
    pub(super) unlinked: CancellationToken,
    /// The same socket once more, to be reset by.
    pub(super) socket: OwnedFd,
}

impl Visit {
    /// From now on, closing the connection resets it (RST).
    pub(super) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        if let Err(error) = setsockopt(&self.socket, sockopt::Linger, &linger) {
            tracing::warn!(%error, "cannot reset a connection");
        }
    }
}
