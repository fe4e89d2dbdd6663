//! The origin's own HTTP server: serves the embedded stream, and makes faults in front of nginx.
//!
//! nginx is behind it only when faults were enabled at the start; else viewers talk to nginx itself.
//! What is passed on is passed on as it is, on one connection to nginx per viewer's connection.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod metered_stream;
pub(crate) mod request;
pub(crate) mod sent;
pub mod start;
pub mod traffic;
pub(crate) mod upstream;

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server;

use crate::embedded::server::Memory;
use crate::fault::switch::Faults;
use crate::fault_proxy::traffic::Traffic;

pub(crate) use self::upstream::Upstream;
pub(crate) use crate::access_log::writer::AccessLog;

/// Who answers what is not made wrong on purpose.
#[derive(Debug)]
pub(crate) enum Backend {
    /// nginx, on a port of its own.
    Nginx(Upstream),
    /// The synthetic stream.
    Embedded(Arc<Memory>),
}

/// The server.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) backend: Backend,
    pub(crate) faults: Option<Arc<Faults>>,
    pub(crate) journal: AccessLog,
    pub(crate) traffic: Arc<Traffic>,
    /// How long a connection may be idle.
    pub(crate) idle: Duration,
}

impl Front {
    /// Serves until `stop`; connections that are open then are closed.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: StdListener,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let refused = |error| Failure::internal("the operating system refuses the socket").caused_by(error);
        socket.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(socket).map_err(refused)?;
        let connections = server::accept(listener, usize::MAX, stop, |stream, peer| {
            let number = self.traffic.accepted.fetch_add(1, Ordering::Relaxed) + 1;
            let front = Arc::clone(&self);
            async move {
                front.traffic.active.fetch_add(1, Ordering::Relaxed);
                connection::serve(&front, stream, peer, number).await;
                front.traffic.active.fetch_sub(1, Ordering::Relaxed);
            }
        });
        drop(connections.await);
        Ok(())
    }
}
