//! The Prometheus endpoint: serves the newest snapshot, and nothing else.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_model::snapshot::Snapshot;

/// Turns a snapshot into an exposition in Prometheus' text format.
pub type Render = Arc<dyn Fn(&Snapshot) -> String + Send + Sync>;

/// Binds the endpoint's address, so that a taken port shows before the first viewer starts.
///
/// # Errors
/// A preflight failure that names the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let refused = |error: std::io::Error| {
        Failure::preflight(format!("the metrics address {address} cannot be used"))
            .caused_by(error)
            .help("pass --metrics ADDRESS:PORT with a free port (127.0.0.1:0 takes any), or --metrics off")
    };
    let listener = StdListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    TcpListener::from_std(listener).map_err(refused)
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    render: Render,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors: the next attempt must not spin.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        };
        let (snapshots, render) = (snapshots.clone(), Arc::clone(&render));
        let connection = async move {
            let service = service_fn(|request| {
                let response = answer(&request, &snapshots, &render);
                async move { Ok::<_, Infallible>(response) }
            });
            // A scraper that breaks off is not our concern.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        };
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

fn answer(
    request: &Request<Incoming>,
    snapshots: &watch::Receiver<Arc<Snapshot>>,
    render: &Render,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let text = |response: &mut Response<Full<Bytes>>, kind: &'static str, body: String| {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = Full::from(body);
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let body = render(&snapshots.borrow());
            text(&mut response, "text/plain; version=0.0.4; charset=utf-8", body);
        }
        (&Method::GET | &Method::HEAD, "/health") => text(&mut response, "text/plain", "ok\n".into()),
        (&Method::GET | &Method::HEAD, _) => {
            *response.status_mut() = StatusCode::NOT_FOUND;
            text(&mut response, "text/plain", "hls-swarm: see /metrics\n".into());
        }
        _ => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
    }
    response
}
