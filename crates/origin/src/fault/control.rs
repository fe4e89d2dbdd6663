//! The control of faults over HTTP, on loopback only: which are on, turn one on, turn it off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Page, page};

use crate::fault::Fault;
use crate::fault::switch::Faults;

const SPEC_BYTES: usize = 4 << 10;

/// The endpoint.
#[derive(Debug)]
pub(crate) struct Control {
    listener: TcpListener,
    faults: Arc<Faults>,
}

impl Control {
    /// Takes the port; 0 is a free one.
    pub(crate) fn bind(port: u16, faults: &Arc<Faults>) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = server::bind(address).map_err(|error| {
            Failure::preflight(format!("the faults' control address {address} cannot be used"))
                .caused_by(error)
                .help("pass --control-port with a free port; 0 takes any")
        })?;
        Ok(Self { listener, faults: Arc::clone(faults) })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Serves until `stop`.
    pub(crate) async fn serve(self, stop: &CancellationToken) {
        let Self { listener, faults } = self;
        let answer = move |request| {
            let faults = Arc::clone(&faults);
            async move { answer(&faults, request).await }
        };
        server::serve(listener, stop, answer).await;
    }
}

async fn answer(faults: &Arc<Faults>, request: Request<Incoming>) -> Page {
    // A page in somebody's browser must not be able to reach this through their machine.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["127.0.0.1", "localhost", "[::1]"].contains(&name) || request.headers().contains_key(ORIGIN) {
        return refused(StatusCode::FORBIDDEN, "only programs on this machine may control faults", None);
    }
    let path = request.uri().path().to_owned();
    let id = path.strip_prefix("/faults/").map(str::parse::<u64>);
    match (request.method().clone(), path.as_str(), id) {
        (Method::GET, "/faults", _) => shown(faults, StatusCode::OK),
        (Method::POST, "/faults", _) => add(faults, request).await,
        (Method::DELETE, "/faults", _) => {
            faults.clear();
            tracing::info!("all faults are off");
            shown(faults, StatusCode::OK)
        }
        (Method::DELETE, _, Some(Ok(id))) if faults.remove(id) => {
            tracing::info!(id, "a fault is off");
            shown(faults, StatusCode::OK)
        }
        (Method::DELETE, _, Some(_)) => refused(StatusCode::NOT_FOUND, "no such fault is on", None),
        _ => refused(StatusCode::NOT_FOUND, "see GET /faults, POST /faults, DELETE /faults/ID", None),
    }
}

async fn add(faults: &Arc<Faults>, request: Request<Incoming>) -> Page {
    let Ok(body) = Limited::new(request.into_body(), SPEC_BYTES).collect().await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "a fault is one line of text", None);
    };
    let text = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
    match text.parse::<Fault>().and_then(|fault| faults.add(fault)) {
        Ok(id) => {
            tracing::info!(id, fault = text, "a fault is on");
            shown(faults, StatusCode::CREATED)
        }
        Err(failure) => refused(StatusCode::BAD_REQUEST, &failure.chain(), failure.help_text()),
    }
}

fn shown(faults: &Faults, status: StatusCode) -> Page {
    let list: Vec<_> = faults
        .list()
        .into_iter()
        .map(|fault| json!({ "id": fault.id, "fault": fault.spec, "strikes": fault.strikes }))
        .collect();
    let text = json!({ "seed": faults.seed(), "faults": list });
    page(status, "application/json", format!("{text}\n"))
}

fn refused(status: StatusCode, what: &str, help: Option<&str>) -> Page {
    page(status, "application/json", format!("{}\n", json!({ "error": what, "help": help })))
}
