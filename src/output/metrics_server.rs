//! The Prometheus endpoint, which serves the newest snapshot, and the live page on the same port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::channel::Channel;
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, RETRY_AFTER,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Client, Limits, Page, page};
use hls_swarm_model::snapshot::Snapshot;

use super::html::live::EVENTS;
use super::live_page::{LivePage, Refusal};

/// Turns a snapshot into an exposition in Prometheus' text format.
pub type Render = Arc<dyn Fn(&Snapshot) -> String + Send + Sync>;

/// A response that is in memory, or a stream of events.
type Answer = Response<Either<Full<Bytes>, Channel<Bytes, Infallible>>>;

const HTML: &str = "text/html; charset=utf-8";

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
    live: LivePage,
    stop: CancellationToken,
) {
    tokio::spawn(live.clone().render());
    let handler = move |request: Request<Incoming>| {
        let response = respond(&request, &snapshots, &render, &live);
        async move { response }
    };
    server::serve(listener, Limits::default(), &stop, handler).await;
}

fn respond(
    request: &Request<Incoming>,
    snapshots: &watch::Receiver<Arc<Snapshot>>,
    render: &Render,
    live: &LivePage,
) -> Answer {
    let in_memory = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let text = render(&snapshots.borrow());
            page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
        }
        (&Method::GET | &Method::HEAD, "/health") => page(StatusCode::OK, "text/plain", "ok\n"),
        (&Method::GET, EVENTS) => match events(request, live) {
            Ok(events) => return events,
            Err(refusal) => refused(refusal),
        },
        (&Method::GET | &Method::HEAD, "/") => match checked(request, live) {
            Ok(()) => guarded(page(StatusCode::OK, HTML, live.page())),
            Err(refusal) => refused(refusal),
        },
        (&Method::GET | &Method::HEAD, _) => {
            page(StatusCode::NOT_FOUND, "text/plain", "hls-swarm: see /metrics, or / for the live page\n")
        }
        _ => {
            let mut refusal = page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "hls-swarm: GET /metrics\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refusal
        }
    };
    in_memory.map(Either::Left)
}

fn checked(request: &Request<Incoming>, live: &LivePage) -> Result<(), Refusal> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    live.check(request.extensions().get::<Client>(), host)
}

fn events(request: &Request<Incoming>, live: &LivePage) -> Result<Answer, Refusal> {
    checked(request, live)?;
    let client = request.extensions().get::<Client>().ok_or(Refusal::Peer)?;
    let body = live.stream(client)?;
    let head = guarded(page(StatusCode::OK, "text/event-stream", ""));
    Ok(head.map(|_| Either::Right(body)))
}

/// The same response with the headers that keep other pages away from this one.
fn guarded(mut response: Page) -> Page {
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&LivePage::policy()) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn refused(refusal: Refusal) -> Page {
    let text = |status, text: &'static str| page(status, "text/plain", text);
    match refusal {
        Refusal::Off => text(StatusCode::NOT_FOUND, "hls-swarm: see /metrics (--live-page is off)\n"),
        Refusal::Peer => text(
            StatusCode::FORBIDDEN,
            "hls-swarm: the live page is for the host of the run; --live-page=ADDRESS admits others\n",
        ),
        Refusal::Name => text(
            StatusCode::MISDIRECTED_REQUEST,
            "hls-swarm: open the live page by its address, not by a name\n",
        ),
        Refusal::Full => {
            let mut full =
                text(StatusCode::SERVICE_UNAVAILABLE, "hls-swarm: the live page has too many readers\n");
            full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            full
        }
    }
}
