//! A small HTTP/1.1 server for the metrics and the fault control API. Viewers never connect to it.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A page, ready to be sent.
pub(crate) type Page = Response<Full<Bytes>>;

/// A client that sends no complete request head within this time is disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts to listen on `address`; [`serve`] accepts the connections.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A page with a content type and a status.
pub(crate) fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Page {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Answers every request with the page that `answer` returns, until `stop`.
pub(crate) async fn serve<F>(
    listener: TcpListener,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Page> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Probably out of file descriptors: do not retry in a busy loop.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (answer, stop) = (answer.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let page = answer(request);
                async move { Ok::<_, Infallible>(page.await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            tokio::select! {
                () = stop.cancelled() => {}
                // A client may close its connection at any time.
                _ = server.serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}
