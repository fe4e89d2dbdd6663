//! One client connection of the fault proxy.

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

use super::response::respond;
use super::upstream::UpstreamConnection;
use super::{Backend, ProxyServer};
use crate::fault_proxy::metered_stream::{MeteredStream, ResponseState};

/// The additional time for which the proxy keeps an idle connection, compared with nginx. nginx closes it
/// first, so that the client sees nginx's behavior; this timeout is for connections on which no request ever
/// reached nginx.
const IDLE_GRACE: Duration = Duration::from_secs(5);

/// Serves all requests of one connection.
pub(crate) async fn serve(proxy: &Arc<ProxyServer>, stream: TcpStream, peer: SocketAddr, number: u64) {
    let prepared = (stream.local_addr(), stream.as_fd().try_clone_to_owned(), stream.set_nodelay(true));
    let (Ok(local), Ok(socket), Ok(())) = prepared else { return };
    let state = ResponseState::new(proxy.access_log.clone());
    let context = Arc::new(ConnectionContext {
        proxy: Arc::clone(proxy),
        state: Arc::clone(&state),
        peer,
        local,
        number,
        requests: AtomicU64::new(0),
        upstream: Mutex::default(),
        upstream_closed: CancellationToken::new(),
        socket,
    });
    let service = service_fn(|request| {
        let context = Arc::clone(&context);
        async move {
            let counters = &context.proxy.counters;
            counters.requests.fetch_add(1, Ordering::Relaxed);
            counters.answering.fetch_add(1, Ordering::Relaxed);
            let response = respond(&context, request).await;
            counters.answering.fetch_sub(1, Ordering::Relaxed);
            response
        }
    });
    let mut server = http1::Builder::new();
    let idle_timeout = match proxy.backend {
        Backend::Embedded(_) => proxy.idle_timeout,
        Backend::Nginx(_) | Backend::LowLatency(_) => proxy.idle_timeout + IDLE_GRACE,
    };
    server.preserve_header_case(true).timer(TokioTimer::new()).header_read_timeout(idle_timeout);
    let connection =
        server.serve_connection(TokioIo::new(MeteredStream::new(stream, Arc::clone(&state))), service);
    tokio::pin!(connection);
    tokio::select! {
        // A client may close its connection at any time; that is not an error of the proxy.
        _ = connection.as_mut() => {}
        // nginx has closed its side: close ours as soon as the response is sent.
        () = context.upstream_closed.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.as_mut().await);
        }
    }
}

/// The state that the requests of one connection share.
pub(crate) struct ConnectionContext {
    pub(crate) proxy: Arc<ProxyServer>,
    pub(crate) state: Arc<ResponseState>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Serial number of the connection, from 1.
    pub(crate) number: u64,
    /// Number of requests so far.
    pub(crate) requests: AtomicU64,
    /// The connection to nginx, which is opened by the first request.
    pub(crate) upstream: Mutex<Option<UpstreamConnection>>,
    /// Cancelled when nginx closes its connection.
    pub(crate) upstream_closed: CancellationToken,
    /// A duplicate of the client's socket, for resetting the connection.
    pub(crate) socket: OwnedFd,
}

impl ConnectionContext {
    /// Makes closing the connection send RST instead of FIN.
    pub(crate) fn reset_on_close(&self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        if let Err(error) = setsockopt(&self.socket, sockopt::Linger, &linger) {
            tracing::warn!(%error, "cannot reset a connection");
        }
    }
}
