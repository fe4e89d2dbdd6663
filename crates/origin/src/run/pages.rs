//! A few pages over HTTP/1.1 beside the stream: metrics, the control of faults. What stands on them is
//! the caller's business; viewers are never served here.

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

/// A client that says nothing for so long is not listened to any more.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Listens on `address`, without waiting for connections yet.
pub(crate) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = StdListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// A page of `kind` with a status.
pub(crate) fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Answers every request by `answer` until `stop`.
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
            // Out of descriptors: the next attempt must not spin.
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
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            tokio::select! {
                () = stop.cancelled() => {}
                // A client that breaks off is not our concern.
                _ = server.serve_connection(TokioIo::new(stream), service) => {}
            }
        });
    }
}
