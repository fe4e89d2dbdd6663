//! The origin's own HTTP server: serves the embedded stream, and makes faults in front of nginx.
//!
//! nginx is behind it only when faults were enabled at the start; else viewers talk to nginx itself.
//! What is passed on is passed on as it is, on one connection to nginx per viewer's connection.

mod answer;
mod body;
mod connection;
mod journal;
mod sent;
mod upstream;
mod visit;
mod wire;

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(super) use self::journal::Journal;
pub(super) use self::upstream::Upstream;
use super::faults::Faults;
use super::memory::Memory;
use super::traffic::Traffic;
use crate::words::failure::Failure;

/// Who answers what is not made wrong on purpose.
#[derive(Debug)]
pub(super) enum Backend {
    /// nginx, on a port of its own.
    Nginx(Upstream),
    /// The synthetic stream.
    Embedded(Arc<Memory>),
}

/// The server.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) backend: Backend,
    pub(super) faults: Option<Arc<Faults>>,
    pub(super) journal: Journal,
    pub(super) traffic: Arc<Traffic>,
    /// How long a connection may be idle.
    pub(super) idle: Duration,
}

impl Front {
    /// Serves until `stop`; connections that are open then are closed.
    pub(super) async fn serve(
        self: Arc<Self>,
        socket: StdListener,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let refused = |error| Failure::internal("the operating system refuses the socket").because(error);
        socket.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(socket).map_err(refused)?;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                // Out of descriptors: the next attempt must not spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let number = self.traffic.accepted.fetch_add(1, Ordering::Relaxed) + 1;
            let (front, stop) = (Arc::clone(&self), stop.clone());
            tokio::spawn(async move {
                front.traffic.active.fetch_add(1, Ordering::Relaxed);
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = connection::serve(&front, stream, peer, number) => {}
                }
                front.traffic.active.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}
