//! The control of faults over HTTP, on loopback only: which are on, turn one on, turn it off.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, ORIGIN};
use hyper::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_http::server::{self, Page, page};
use hls_swarm_os::output;

use crate::cli::service::{FaultAction, FaultArgs};
use crate::fault::Fault;
use crate::fault::injector::Faults;

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

const TIME: Duration = Duration::from_secs(5);

/// Does what was asked and prints the faults that are on then.
///
/// # Errors
/// Nobody answers there, or the origin refuses what was asked.
pub fn run(args: &FaultArgs) -> Result<Exit, Failure> {
    let ask = |method: &str, path: &str, body: &str| asked(&args.control, method, path, body);
    let answer = match &args.action {
        FaultAction::List => ask("GET", "/faults", "")?,
        FaultAction::Clear => ask("DELETE", "/faults", "")?,
        FaultAction::Add { faults } => {
            // All or none: a typing error must not leave half of them on.
            faults.iter().try_for_each(|fault| fault.parse::<Fault>().map(drop))?;
            faults.iter().try_fold(Value::Null, |_, fault| ask("POST", "/faults", fault))?
        }
        FaultAction::Remove { ids } => {
            ids.iter().try_fold(Value::Null, |_, id| ask("DELETE", &format!("/faults/{id}"), ""))?
        }
    };
    let mut text = String::new();
    for fault in answer.get("faults").and_then(Value::as_array).into_iter().flatten() {
        let word = |name: &str| fault.get(name).map(|value| value.to_string()).unwrap_or_default();
        let (id, spec, strikes) = (word("id"), word("fault"), word("strikes"));
        text.push_str(&format!("{id}\t{}\t{strikes} strikes\n", spec.trim_matches('"')));
    }
    if text.is_empty() {
        text.push_str("no faults are on\n");
    }
    output::print(&text).map(|()| Exit::Pass)
}

fn asked(control: &str, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(TIME))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let unreachable = |error: ureq::Error| {
        Failure::preflight(format!("no origin's control of faults answers at {control}"))
            .caused_by(error)
            .help("start hls-origin with --faults, and pass --control ADDRESS:PORT as READY says")
    };
    let url = format!("http://{control}{path}");
    let answer = match method {
        "POST" => agent.post(&url).send(body),
        "DELETE" => agent.delete(&url).call(),
        _ => agent.get(&url).call(),
    };
    let mut answer = answer.map_err(unreachable)?;
    let text = answer.body_mut().read_to_string().map_err(unreachable)?;
    let told: Value = serde_json::from_str(&text).unwrap_or_default();
    if answer.status().is_success() && told.get("faults").is_some() {
        return Ok(told);
    }
    let word = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
    let what = word("error").unwrap_or_else(|| format!("status {} at {url}", answer.status().as_u16()));
    let failure = Failure::usage(what);
    Err(match word("help") {
        Some(help) => failure.help(help),
        None => failure.help("see `hls-origin fault list`"),
    })
}
