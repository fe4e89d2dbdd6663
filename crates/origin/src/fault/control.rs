//! The HTTP API for faults, on loopback only, and `hls-origin fault`, the command that calls it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HOST, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_http::server::{self, Limits, Page, page};
use hls_swarm_os::output;

use crate::cli::service::{FaultAction, FaultArgs};
use crate::fault::Fault;
use crate::fault::injector::FaultInjector;

const MAX_SPEC_BYTES: usize = 4 << 10;

/// The endpoint that lists, adds and removes faults.
#[derive(Debug)]
pub(crate) struct Control {
    listener: TcpListener,
    faults: Arc<FaultInjector>,
}

impl Control {
    /// Listens on `port` on loopback; 0 chooses a free port.
    pub(crate) fn bind(port: u16, faults: &Arc<FaultInjector>) -> Result<Self, Failure> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = server::bind(address).map_err(|error| {
            Failure::preflight(format!("cannot listen on {address} for fault control"))
                .caused_by(error)
                .help("pass --control-port with a free port, or with 0 to choose one")
        })?;
        Ok(Self { listener, faults: Arc::clone(faults) })
    }

    /// The address of the endpoint.
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
        server::serve(listener, Limits::default(), stop, answer).await;
    }
}

async fn answer(faults: &Arc<FaultInjector>, request: Request<Incoming>) -> Page {
    // A web page must not be able to reach this API through the browser of a user on this machine.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["127.0.0.1", "localhost", "[::1]"].contains(&name) || request.headers().contains_key(ORIGIN) {
        return refused(StatusCode::FORBIDDEN, "only programs on this machine may control faults", None);
    }
    let path = request.uri().path().to_owned();
    let id = path.strip_prefix("/faults/").map(str::parse::<u64>);
    match (request.method().clone(), path.as_str(), id) {
        (Method::GET, "/faults", _) => list(faults, StatusCode::OK),
        (Method::POST, "/faults", _) => add(faults, request).await,
        (Method::DELETE, "/faults", _) => {
            faults.clear();
            tracing::info!("all faults removed");
            list(faults, StatusCode::OK)
        }
        (Method::DELETE, _, Some(Ok(id))) if faults.remove(id) => {
            tracing::info!(id, "fault removed");
            list(faults, StatusCode::OK)
        }
        (Method::DELETE, _, Some(_)) => {
            refused(StatusCode::NOT_FOUND, "there is no active fault with this number", None)
        }
        _ => refused(StatusCode::NOT_FOUND, "see GET /faults, POST /faults, DELETE /faults/ID", None),
    }
}

async fn add(faults: &Arc<FaultInjector>, request: Request<Incoming>) -> Page {
    let body = match server::body(request, MAX_SPEC_BYTES).await {
        Ok(body) => body,
        Err((status, why)) => return refused(status, why.trim(), None),
    };
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    match text.parse::<Fault>().and_then(|fault| faults.add(fault)) {
        Ok(id) => {
            tracing::info!(id, fault = text, "fault added");
            list(faults, StatusCode::CREATED)
        }
        Err(failure) => refused(StatusCode::BAD_REQUEST, &failure.chain(), failure.help_text()),
    }
}

fn list(faults: &FaultInjector, status: StatusCode) -> Page {
    let list: Vec<_> = faults
        .list()
        .into_iter()
        .map(|fault| json!({ "id": fault.id, "fault": fault.spec, "injected": fault.injected }))
        .collect();
    let text = json!({ "seed": faults.seed(), "faults": list });
    page(status, "application/json", format!("{text}\n"))
}

fn refused(status: StatusCode, what: &str, help: Option<&str>) -> Page {
    page(status, "application/json", format!("{}\n", json!({ "error": what, "help": help })))
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs `hls-origin fault` and prints the faults that are active afterwards.
///
/// # Errors
/// No origin answers at the address, or it rejects the request.
pub(crate) fn run(args: &FaultArgs) -> Result<Exit, Failure> {
    let send = |method: &str, path: &str, body: &str| send(&args.control, method, path, body);
    let answer = match &args.action {
        FaultAction::List => send("GET", "/faults", "")?,
        FaultAction::Clear => send("DELETE", "/faults", "")?,
        FaultAction::Add { faults } => {
            // All or none: a typo must not leave only some of them active.
            faults.iter().try_for_each(|fault| fault.parse::<Fault>().map(drop))?;
            faults.iter().try_fold(Value::Null, |_, fault| send("POST", "/faults", fault))?
        }
        FaultAction::Remove { ids } => {
            ids.iter().try_fold(Value::Null, |_, id| send("DELETE", &format!("/faults/{id}"), ""))?
        }
    };
    let mut text = String::new();
    for fault in answer.get("faults").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| fault.get(name).map(|value| value.to_string()).unwrap_or_default();
        let (id, spec, injected) = (field("id"), field("fault"), field("injected"));
        text.push_str(&format!("{id}\t{}\tinjected {injected} times\n", spec.trim_matches('"')));
    }
    if text.is_empty() {
        text.push_str("no active faults\n");
    }
    output::print(&text).map(|()| Exit::Pass)
}

fn send(control: &str, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(REQUEST_TIMEOUT))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let unreachable = |error: ureq::Error| {
        Failure::preflight(format!("cannot reach the fault control of an origin at {control}"))
            .caused_by(error)
            .help("start hls-origin with --faults, and pass the address `control` of its READY message as --control")
    };
    let url = format!("http://{control}{path}");
    let answer = match method {
        "POST" => agent.post(&url).send(body),
        "DELETE" => agent.delete(&url).call(),
        _ => agent.get(&url).call(),
    };
    let mut answer = answer.map_err(unreachable)?;
    let text = answer.body_mut().read_to_string().map_err(unreachable)?;
    let reply: Value = serde_json::from_str(&text).unwrap_or_default();
    if answer.status().is_success() && reply.get("faults").is_some() {
        return Ok(reply);
    }
    let field = |name: &str| reply.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = field("error").unwrap_or_else(|| format!("status {} at {url}", answer.status().as_u16()));
    let failure = Failure::usage(what);
    Err(match field("help") {
        Some(help) => failure.help(help),
        None => failure.help("see `hls-origin fault list`"),
    })
}
