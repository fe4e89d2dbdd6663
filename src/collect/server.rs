//! The collector of a load's shards: an HTTP server that lets all of them start at once and takes their
//! reports. `POST /shards/I/ready?of=N&variant=V&seconds=S` answers 200 when all may start and 202 when it is to be
//! asked again; `PUT /shards/I/report` takes a report as JSON.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until, timeout};

use hls_swarm_base::error::Failure;
use hls_swarm_os::shutdown::Shutdown;

use crate::collect::collection::{Collection, Ready};

/// How long one request of a shard waits for the others.
const HELD: Duration = Duration::from_secs(20);
/// Longest report that is taken.
const LARGEST: usize = 512 << 20;

/// What the connections share; all of it lives on one thread.
struct Desk {
    collection: RefCell<Collection>,
    changed: Notify,
}

/// Listens on `address`.
///
/// # Errors
/// A preflight failure that names the address.
pub fn bind(address: std::net::SocketAddr) -> Result<TcpListener, Failure> {
    let refused = |error: std::io::Error| {
        Failure::preflight(format!("the collector's address {address} cannot be used"))
            .caused_by(error)
            .help("pass --listen ADDRESS:PORT with a free port")
    };
    let listener = StdListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    TcpListener::from_std(listener).map_err(refused)
}

/// Collects until all shards have reported, a time is over, or it is asked to end; then returns what
/// there is. Needs a `LocalSet`.
///
/// # Errors
/// Not all shards were ready in time: they are named.
pub async fn collect(
    listener: TcpListener,
    collection: Collection,
    ready_within: Duration,
    report_within: Duration,
    shutdown: &Shutdown,
) -> Result<Collection, Failure> {
    let desk = Rc::new(Desk { collection: RefCell::new(collection), changed: Notify::new() });
    let server = spawn_local(serve(listener, Rc::clone(&desk)));
    let outcome = watch(&desk, ready_within, report_within, shutdown).await;
    // The last shard has to have its answer.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.abort();
    outcome?;
    Ok(desk.collection.replace(Collection::new(0)))
}

async fn watch(
    desk: &Desk,
    ready_within: Duration,
    report_within: Duration,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut started = None;
    let mut deadline = Instant::now().checked_add(ready_within);
    loop {
        {
            let collection = desk.collection.borrow();
            if started.is_none() && collection.may_start() {
                tracing::info!("all shards are ready and start");
                started = Some(Instant::now());
                let planned = collection.planned_seconds();
                // A moment that no clock reaches is none.
                deadline = planned.and_then(|seconds| {
                    let planned = Duration::try_from_secs_f64(seconds).ok()?;
                    Instant::now().checked_add(planned)?.checked_add(report_within)
                });
            }
            if collection.is_complete() {
                return Ok(());
            }
        }
        tokio::select! {
            () = desk.changed.notified() => {}
            () = shutdown.graceful.cancelled() => return Ok(()),
            () = at(deadline) => {
                let collection = desk.collection.borrow();
                if started.is_some() {
                    tracing::warn!("these shards have not reported in time: {}", listed(&collection.not_reported()));
                    return Ok(());
                }
                let missing = listed(&collection.not_ready());
                return Err(Failure::preflight(format!("shards {missing} were not ready within {ready_within:?}"))
                    .help("look at what they said, or raise --ready-timeout"));
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

fn listed(shards: &[u32]) -> String {
    shards.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

async fn serve(listener: TcpListener, desk: Rc<Desk>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: the next attempt must not spin.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let desk = Rc::clone(&desk);
        spawn_local(async move {
            let service = service_fn(|request| {
                let desk = Rc::clone(&desk);
                async move { Ok::<_, Infallible>(answer(request, &desk).await) }
            });
            // A shard that breaks off asks again.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, desk: &Desk) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let said = match (request.method(), parts.as_slice()) {
        (&Method::GET, ["health"]) => Ok((StatusCode::OK, "ok\n".to_owned())),
        (&Method::POST, ["shards", shard, "ready"]) => ready(shard, request.uri().query(), desk).await,
        (&Method::PUT, ["shards", shard, "report"]) => report(shard, request.into_body(), desk).await,
        _ => Ok((StatusCode::NOT_FOUND, "hls-swarm collect: see --collector of hls-swarm\n".to_owned())),
    };
    let (status, text) = said.unwrap_or_else(|failure| {
        tracing::warn!("{}", failure.chain());
        (StatusCode::BAD_REQUEST, format!("{}\n", failure.chain()))
    });
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

fn number(shard: &str) -> Result<u32, Failure> {
    shard.parse().map_err(|_| Failure::usage(format!("{shard:?} is no number of a shard")))
}

async fn ready(shard: &str, query: Option<&str>, desk: &Desk) -> Result<(StatusCode, String), Failure> {
    let shard = number(shard)?;
    let told: HashMap<_, _> = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
    let of = told.get("of").and_then(|of| of.parse().ok()).unwrap_or(0);
    let planned = told.get("seconds").and_then(|seconds| seconds.parse().ok());
    let variant = told.get("variant").map(|variant| variant.clone().into_owned());
    desk.collection.borrow_mut().ready(Ready { shard, of, planned, variant })?;
    tracing::debug!(shard, "is ready");
    desk.changed.notify_waiters();
    let all = async {
        loop {
            let changed = desk.changed.notified();
            if desk.collection.borrow().may_start() {
                return;
            }
            changed.await;
        }
    };
    Ok(match timeout(HELD, all).await {
        Ok(()) => (StatusCode::OK, "start\n".to_owned()),
        Err(_) => (StatusCode::ACCEPTED, "wait\n".to_owned()),
    })
}

async fn report(shard: &str, body: Incoming, desk: &Desk) -> Result<(StatusCode, String), Failure> {
    let shard = number(shard)?;
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| {
        Failure::usage(format!("shard {shard}: its report did not arrive whole")).caused_by(error)
    })?;
    let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    desk.collection.borrow_mut().deliver(shard, &text)?;
    tracing::info!(shard, "has reported");
    desk.changed.notify_waiters();
    Ok((StatusCode::OK, "thank you\n".to_owned()))
}
