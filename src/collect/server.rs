//! The HTTP server that collects the reports of a load's shards and lets all of them start together.
//! `POST /shards/I/ready?of=N&nonce=X&variant=V&seconds=S` answers 200 once all shards may start, 202 if the shard has
//! to ask again, and 409 if another process plays it; `PUT /shards/I/report?nonce=X` takes a report as JSON. With a
//! token, both need `Authorization: Bearer TOKEN`; without one the server listens on loopback only.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_http::server::{self, Limits, Page, page};
use hls_swarm_os::shutdown::Shutdown;

use crate::collect::collection::{Collection, Ready, is_same};

/// How long one request of a shard waits for the other shards.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Longest report that is accepted, bytes. One with all histograms has a few hundred kilobytes.
const MAX_REPORT: usize = 32 << 20;
/// Connections besides those of the shards.
const OTHER_CONNECTIONS: usize = 32;

/// The state that all connections share.
struct CollectorState {
    collection: Mutex<Collection>,
    /// Something is new for the task that waits for the end.
    changed: Notify,
    /// All shards may start.
    started: CancellationToken,
    /// Reports are read one after the other, so that memory is bounded.
    uploading: tokio::sync::Mutex<()>,
    /// The token that requests must contain.
    token: Option<String>,
    began: Instant,
}

impl CollectorState {
    fn collection(&self) -> MutexGuard<'_, Collection> {
        self.collection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on `address`.
///
/// # Errors
/// A preflight failure that names the address.
pub fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    server::bind(address).map_err(|error| {
        Failure::preflight(format!("the collector's address {address} cannot be used"))
            .caused_by(error)
            .help("pass --listen ADDRESS:PORT with a free port")
    })
}

/// Collects until all shards have reported, a deadline has passed, or a signal asks the program to end; then
/// returns what it has.
///
/// # Errors
/// Not all shards were ready in time; the failure lists those that were not.
pub async fn collect(
    listener: TcpListener,
    collection: Collection,
    ready_within: Duration,
    report_within: Duration,
    token: Option<String>,
    shutdown: &Shutdown,
) -> Result<Collection, Failure> {
    let shards = collection.not_ready().len();
    let limits = Limits { connections: shards + OTHER_CONNECTIONS, ..Limits::default() };
    let state = Arc::new(CollectorState {
        collection: Mutex::new(collection),
        changed: Notify::new(),
        started: CancellationToken::new(),
        uploading: tokio::sync::Mutex::default(),
        token,
        began: Instant::now(),
    });
    let stop = CancellationToken::new();
    let handler = {
        let state = Arc::clone(&state);
        move |request| {
            let state = Arc::clone(&state);
            async move { respond(request, &state).await }
        }
    };
    let waiting = async {
        let outcome = wait(&state, ready_within, report_within, shutdown).await;
        stop.cancel();
        outcome
    };
    // The server ends only after the last shard has its answer.
    let (outcome, ()) = tokio::join!(waiting, server::serve(listener, limits, &stop, handler));
    outcome?;
    Ok(std::mem::replace(&mut *state.collection(), Collection::new(0)))
}

async fn wait(
    state: &CollectorState,
    ready_within: Duration,
    report_within: Duration,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut started = None;
    let mut deadline = Instant::now().checked_add(ready_within);
    loop {
        let changed = state.changed.notified();
        {
            let collection = state.collection();
            if started.is_none() && collection.may_start() {
                tracing::info!("all shards are ready and start");
                started = Some(Instant::now());
                state.started.cancel();
                let planned = Duration::try_from_secs_f64(collection.planned_seconds()).unwrap_or_default();
                deadline = Instant::now().checked_add(planned).and_then(|end| end.checked_add(report_within));
            }
            if collection.is_complete() {
                return Ok(());
            }
        }
        tokio::select! {
            () = changed => {}
            () = shutdown.graceful.cancelled() => return Ok(()),
            () = at(deadline) => {
                let collection = state.collection();
                if started.is_some() {
                    let missing = list(&collection.not_reported());
                    tracing::warn!("these shards have not reported in time: {missing}");
                    return Ok(());
                }
                let missing = list(&collection.not_ready());
                return Err(Failure::preflight(format!("shards {missing} were not ready within {ready_within:?}"))
                    .help("read the messages of these shards, or raise --ready-timeout"));
            }
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn list(shards: &[u32]) -> String {
    shards.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether a request may change anything.
fn is_authorized(request: &Request<Incoming>, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    is_same(given, format!("Bearer {token}").as_bytes())
}

async fn respond(request: Request<Incoming>, state: &CollectorState) -> Page {
    if request.uri().path() != "/health" && !is_authorized(&request, state.token.as_deref()) {
        let mut refusal =
            page(StatusCode::UNAUTHORIZED, "text/plain", "the collector's token is missing or wrong\n");
        refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return refusal;
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let response = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["health"]) => Ok((StatusCode::OK, "ok\n".to_owned())),
        (&Method::POST, ["shards", shard, "ready"]) => ready(shard, request.uri().query(), state).await,
        (&Method::PUT, ["shards", shard, "report"]) => match report(shard, request, state).await {
            Ok(answer) => answer,
            Err((status, why)) => return page(status, "text/plain", why),
        },
        _ => Ok((StatusCode::NOT_FOUND, "hls-swarm collect: see --collector of hls-swarm\n".to_owned())),
    };
    let (status, text) = response.unwrap_or_else(|failure| {
        tracing::warn!("{}", failure.chain());
        // A shard whose earlier process may still be about to vanish asks again.
        let again = failure.exit() == Exit::Preflight;
        let status = if again { StatusCode::CONFLICT } else { StatusCode::BAD_REQUEST };
        // The help of the collector is for the user who started the shard.
        let help = failure.help_text().map(|help| format!("; {help}")).unwrap_or_default();
        (status, format!("{}{help}\n", failure.chain()))
    });
    page(status, "text/plain", text)
}

fn number(shard: &str) -> Result<u32, Failure> {
    shard.parse().map_err(|_| Failure::usage(format!("invalid shard number {shard:?}")))
}

/// The parameters of a query.
fn parameters(query: Option<&str>) -> HashMap<String, String> {
    url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}

async fn ready(
    shard: &str,
    query: Option<&str>,
    state: &CollectorState,
) -> Result<(StatusCode, String), Failure> {
    let shard = number(shard)?;
    let query = parameters(query);
    let of = query.get("of").and_then(|of| of.parse().ok()).unwrap_or(0);
    let invalid = |what: &str| Failure::usage(format!("shard {shard}/{of}: its {what} is not valid"));
    let planned =
        query.get("seconds").map(|seconds| seconds.parse().map_err(|_| invalid("length"))).transpose()?;
    let variant =
        query.get("variant").map(|name| name.parse().map_err(|_| invalid("variant"))).transpose()?;
    let nonce = query.get("nonce").cloned().unwrap_or_default();
    let at = state.began.elapsed().as_secs_f64();
    state.collection().ready(Ready { nonce, at, shard, of, planned, variant })?;
    tracing::debug!(shard, "is ready");
    state.changed.notify_one();
    Ok(match timeout(LONG_POLL, state.started.cancelled()).await {
        Ok(()) => (StatusCode::OK, "start\n".to_owned()),
        Err(_) => (StatusCode::ACCEPTED, "wait\n".to_owned()),
    })
}

/// Takes a report; an error is the response to a body that did not arrive.
async fn report(
    shard: &str,
    request: Request<Incoming>,
    state: &CollectorState,
) -> Result<Result<(StatusCode, String), Failure>, (StatusCode, String)> {
    let nonce = parameters(request.uri().query()).remove("nonce").unwrap_or_default();
    let _alone = state.uploading.lock().await;
    let body = server::body(request, MAX_REPORT).await?;
    Ok(number(shard).and_then(|shard| {
        let text = std::str::from_utf8(&body).map_err(|error| {
            Failure::usage(format!("the report of shard {shard} is not text")).caused_by(error)
        })?;
        state.collection().deliver(shard, &nonce, text)?;
        tracing::info!(shard, "has reported");
        state.changed.notify_one();
        Ok((StatusCode::OK, "ok\n".to_owned()))
    }))
}
