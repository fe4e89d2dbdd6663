//! The Prometheus endpoint: serves the newest snapshot, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Limits, Page, page};
use hls_swarm_model::snapshot::Snapshot;

/// Turns a snapshot into an exposition in Prometheus' text format.
pub type Render = Arc<dyn Fn(&Snapshot) -> String + Send + Sync>;

/// Takes the endpoint's address, so that a port in use shows before the first viewer starts.
///
/// # Errors
/// A preflight failure that names the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    server::bind(address).map_err(|error| {
        Failure::preflight(format!("the metrics address {address} cannot be used"))
            .caused_by(error)
            .help("pass --metrics ADDRESS:PORT with a free port (127.0.0.1:0 takes any), or --metrics off")
    })
}

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    render: Render,
    stop: CancellationToken,
) {
    let handler = move |request: Request<Incoming>| {
        let response = respond(&request, &snapshots, &render);
        async move { response }
    };
    server::serve(listener, Limits::default(), &stop, handler).await;
}

fn respond(request: &Request<Incoming>, snapshots: &watch::Receiver<Arc<Snapshot>>, render: &Render) -> Page {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let text = render(&snapshots.borrow());
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        }
        (&Method::GET | &Method::HEAD, "/health") => page(StatusCode::OK, "text/plain", "ok\n"),
        (&Method::GET | &Method::HEAD, _) => {
            page(StatusCode::NOT_FOUND, "text/plain", "hls-swarm: see /metrics\n")
        }
        _ => {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "hls-swarm: GET /metrics\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        }
    }
}
