//! The HTTP server that collects the reports of a load's shards and lets all of them start together.
//! `POST /shards/I/ready?of=N&variant=V&seconds=S` answers 200 once all shards may start, and 202 if the
//! shard has to ask again; `PUT /shards/I/report` takes a report as JSON.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server::{self, Page, page};
use hls_swarm_os::shutdown::Shutdown;

use crate::collect::collection::{Collection, Ready};

/// How long one request of a shard waits for the other shards.
const LONG_POLL: Duration = Duration::from_secs(20);
/// Longest report that is accepted, bytes.
const MAX_REPORT: usize = 512 << 20;

/// The state that all connections share.
struct CollectorState {
    collection: Mutex<Collection>,
    changed: Notify,
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
    shutdown: &Shutdown,
) -> Result<Collection, Failure> {
    let state = Arc::new(CollectorState { collection: Mutex::new(collection), changed: Notify::new() });
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
    let (outcome, ()) = tokio::join!(waiting, server::serve(listener, &stop, handler));
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
                // There is no deadline if the clock cannot express it.
                deadline = collection.planned_seconds().and_then(|seconds| {
                    let planned = Duration::try_from_secs_f64(seconds).ok()?;
                    Instant::now().checked_add(planned)?.checked_add(report_within)
                });
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

async fn respond(request: Request<Incoming>, state: &CollectorState) -> Page {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let response = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["health"]) => Ok((StatusCode::OK, "ok\n".to_owned())),
        (&Method::POST, ["shards", shard, "ready"]) => ready(shard, request.uri().query(), state).await,
        (&Method::PUT, ["shards", shard, "report"]) => report(shard, request.into_body(), state).await,
        _ => Ok((StatusCode::NOT_FOUND, "hls-swarm collect: see --collector of hls-swarm\n".to_owned())),
    };
    let (status, text) = response.unwrap_or_else(|failure| {
        tracing::warn!("{}", failure.chain());
        (StatusCode::BAD_REQUEST, format!("{}\n", failure.chain()))
    });
    page(status, "text/plain", text)
}

fn number(shard: &str) -> Result<u32, Failure> {
    shard.parse().map_err(|_| Failure::usage(format!("invalid shard number {shard:?}")))
}

async fn ready(
    shard: &str,
    query: Option<&str>,
    state: &CollectorState,
) -> Result<(StatusCode, String), Failure> {
    let shard = number(shard)?;
    let query: HashMap<_, _> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
    let of = query.get("of").and_then(|of| of.parse().ok()).unwrap_or(0);
    let planned = query.get("seconds").and_then(|seconds| seconds.parse().ok());
    let variant = query.get("variant").map(|variant| variant.clone().into_owned());
    state.collection().ready(Ready { shard, of, planned, variant })?;
    tracing::debug!(shard, "is ready");
    state.changed.notify_waiters();
    let all_ready = async {
        loop {
            let changed = state.changed.notified();
            if state.collection().may_start() {
                return;
            }
            changed.await;
        }
    };
    Ok(match timeout(LONG_POLL, all_ready).await {
        Ok(()) => (StatusCode::OK, "start\n".to_owned()),
        Err(_) => (StatusCode::ACCEPTED, "wait\n".to_owned()),
    })
}

async fn report(
    shard: &str,
    body: Incoming,
    state: &CollectorState,
) -> Result<(StatusCode, String), Failure> {
    let shard = number(shard)?;
    let body = Limited::new(body, MAX_REPORT).collect().await.map_err(|error| {
        Failure::usage(format!("the report of shard {shard} did not arrive completely")).caused_by(error)
    })?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    state.collection().deliver(shard, &text)?;
    tracing::info!(shard, "has reported");
    state.changed.notify_waiters();
    Ok((StatusCode::OK, "ok\n".to_owned()))
}
