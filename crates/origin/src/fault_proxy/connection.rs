//! One viewer's connection, from its first byte to its last.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::response::answer;
use super::upstream::Link;
use super::{Backend, Front};
use crate::fault_proxy::metered_stream::{MeteredStream, State};

/// nginx closes an idle connection first, which the viewer is to see; this is for those it never hears of.
const LATER: Duration = Duration::from_secs(5);

/// Serves all requests on a connection.
pub(crate) async fn serve(front: &Arc<Front>, stream: TcpStream, peer: SocketAddr, number: u64) {
    let told = (stream.local_addr(), stream.as_fd().try_clone_to_owned(), stream.set_nodelay(true));
    let (Ok(local), Ok(socket), Ok(())) = told else { return };
    let state = State::new(front.journal.clone());
    let visit = Arc::new(RequestContext {
        front: Arc::clone(front),
        state: Arc::clone(&state),
        peer,
        local,
        number,
        requests: AtomicU64::new(0),
        link: Mutex::default(),
        unlinked: CancellationToken::new(),
        socket,
    });
    let service = service_fn(|request| {
        let visit = Arc::clone(&visit);
        async move {
            let traffic = &visit.front.traffic;
            traffic.requests.fetch_add(1, Ordering::Relaxed);
            traffic.answering.fetch_add(1, Ordering::Relaxed);
            let answer = answer(&visit, request).await;
            traffic.answering.fetch_sub(1, Ordering::Relaxed);
            answer
        }
    });
    let mut server = http1::Builder::new();
    let idle = match front.backend {
        Backend::Embedded(_) => front.idle,
        Backend::Nginx(_) => front.idle + LATER,
    };
    server.preserve_header_case(true).timer(TokioTimer::new()).header_read_timeout(idle);
    let connection =
        server.serve_connection(TokioIo::new(MeteredStream::new(stream, Arc::clone(&state))), service);
    tokio::pin!(connection);
    tokio::select! {
        // A viewer that breaks off is not our concern.
        _ = connection.as_mut() => {}
        // nginx has closed its side: so do we, as soon as what it sent is passed on.
        () = visit.unlinked.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.as_mut().await);
        }
    }
}

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
