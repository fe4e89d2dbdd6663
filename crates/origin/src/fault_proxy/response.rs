//! The response to one request: forwarded unchanged, or changed by a fault.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue,
    TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode};

use hls_swarm_model::classify::{self, ResponseHints};
use hls_swarm_model::exchange::Kind;

use super::Backend;
use super::body::{Body, DelayedBody, LoggedBody, TruncatedBody, full};
use super::upstream::{UpstreamConnection, collect};
use crate::access_log::PendingEntry;
use crate::fault::active::{Decision, ResponseAction};
use crate::fault::playlist_history::FullResponse;
use crate::fault_proxy::connection::ConnectionContext;

/// nginx's status code for a connection that it closes without a response.
const CLOSED_WITHOUT_RESPONSE: u16 = 444;

/// Creates the response to a request; fails if the connection is to be closed instead.
pub(crate) async fn respond(
    context: &Arc<ConnectionContext>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let proxy = &context.proxy;
    let index = context.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let log_entry = PendingEntry::new(&request, context.peer, context.number, index);
    let path = request.uri().path();
    let decision = proxy.faults.as_ref().map_or(Decision::NONE, |faults| faults.decide(path));
    // nginx logs what it serves itself, and neither server logs the pages for monitoring.
    let is_monitoring = path == "/nginx_status" || path.starts_with("/files/json/");
    let is_embedded = matches!(proxy.backend, Backend::Embedded(_));
    let logged_here = decision.action != ResponseAction::Forward || is_embedded && !is_monitoring;
    if !decision.delay.is_zero() {
        tokio::time::sleep(decision.delay).await;
    }
    context.state.begin(decision.bits_per_second, logged_here.then_some(log_entry));

    let response = perform(decision.action, context, request).await?;
    context.state.set_status(response.status().as_u16());
    let response = response.map(|body| LoggedBody::new(body, Arc::clone(&context.state)).boxed_unsync());
    if decision.first_byte_delay.is_zero() || response.body().is_end_stream() {
        return Ok(response);
    }
    Ok(response.map(|body| DelayedBody::new(body, decision.first_byte_delay).boxed_unsync()))
}

async fn perform(
    action: ResponseAction,
    context: &Arc<ConnectionContext>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    Ok(match action {
        ResponseAction::Forward => forward(context, request).await?,
        ResponseAction::Status(code) => error_response(code),
        ResponseAction::Drop => {
            context.reset_on_close();
            context.state.set_status(CLOSED_WITHOUT_RESPONSE);
            context.state.finish_body(false);
            return Err(io::Error::other("connection dropped by a fault"));
        }
        ResponseAction::Stall(id) => stalled_playlist(context, &request, id).await?.map(full),
        ResponseAction::Regress(segments) => regressed_playlist(context, &request, segments).await?.map(full),
        ResponseAction::DeadHint => {
            let mut response = fetch(context, &request).await?.map(|body| with_dead_hint(&body));
            set_content_length(&mut response);
            response.map(full)
        }
        ResponseAction::Unblocked => fetch(context, &without_directives(request)?).await?.map(full),
        ResponseAction::Truncate(share) => {
            let mut response = fetch(context, &request).await?;
            let whole_length = response.body().len();
            let length = (whole_length as f64 * share.ratio()) as usize;
            if length >= whole_length || request.method() == Method::HEAD {
                return Ok(response.map(full));
            }
            set_content_length(&mut response);
            let state = Arc::clone(&context.state);
            response.map(|body| TruncatedBody::new(body.slice(..length), state).boxed_unsync())
        }
    })
}

/// Forwards the request unchanged. Keeps a copy of playlists, because faults may need older versions.
async fn forward(context: &Arc<ConnectionContext>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let proxy = &context.proxy;
    let path = request.uri().path().to_owned();
    let keep = proxy.faults.is_some() && request.method() == Method::GET && is_playlist(&path);
    let response = match &proxy.backend {
        Backend::Embedded(stream) => stream.respond(&request).await,
        Backend::LowLatency(edges) => edges.respond(&request).await,
        Backend::Nginx(nginx) => {
            let mut upstream = context.upstream.lock().await;
            if upstream.as_ref().is_none_or(UpstreamConnection::is_closed) {
                let closed = context.upstream_closed.clone();
                *upstream = Some(nginx.connect_for(context.peer, context.local, closed).await?);
            }
            let Some(upstream) = upstream.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
            let response = upstream.forward(request).await?;
            if !keep {
                return Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()));
            }
            collect(response).await?
        }
    };
    if keep
        && is_complete(&response)
        && let Some(faults) = &proxy.faults
    {
        faults.playlists.record(&path, &response);
    }
    Ok(response.map(full))
}

/// Fetches the response without a fault, for a fault to change it.
async fn fetch(context: &Arc<ConnectionContext>, request: &Request<Incoming>) -> io::Result<FullResponse> {
    match &context.proxy.backend {
        Backend::Embedded(stream) => Ok(stream.respond(request).await),
        Backend::LowLatency(edges) => Ok(edges.respond(request).await),
        Backend::Nginx(nginx) => nginx.fetch(request).await,
    }
}

/// The playlist as it was when the fault was first applied.
async fn stalled_playlist(
    context: &Arc<ConnectionContext>,
    request: &Request<Incoming>,
    fault: u64,
) -> io::Result<FullResponse> {
    let path = request.uri().path();
    let Some(faults) = &context.proxy.faults else { return fetch(context, request).await };
    if let Some(frozen) = faults.playlists.frozen(fault, path) {
        return Ok(frozen);
    }
    let current = fetch(context, request).await?;
    if is_complete(&current) {
        faults.playlists.freeze(fault, path, &current);
    }
    Ok(current)
}

/// An earlier version of the playlist, or the current one if no earlier one was served.
async fn regressed_playlist(
    context: &Arc<ConnectionContext>,
    request: &Request<Incoming>,
    segments: u32,
) -> io::Result<FullResponse> {
    let path = request.uri().path();
    let current = fetch(context, request).await?;
    let Some(faults) = &context.proxy.faults else { return Ok(current) };
    if is_complete(&current) {
        faults.playlists.record(path, &current);
    }
    Ok(faults.playlists.earlier(path, segments).unwrap_or(current))
}

/// The playlist with the name of a part that never comes in EXT-X-PRELOAD-HINT.
fn with_dead_hint(body: &Bytes) -> Bytes {
    let text = String::from_utf8_lossy(body);
    let announced = "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"";
    text.replace(announced, &format!("{announced}never-")).into()
}

/// The request without what it waits for.
fn without_directives(mut request: Request<Incoming>) -> io::Result<Request<Incoming>> {
    let uri = request.uri();
    let waits =
        |parameter: &&str| !parameter.starts_with("_HLS_msn=") && !parameter.starts_with("_HLS_part=");
    let query: Vec<&str> = uri.query().unwrap_or_default().split('&').filter(waits).collect();
    *request.uri_mut() = format!("{}?{}", uri.path(), query.join("&")).parse().map_err(io::Error::other)?;
    Ok(request)
}

fn error_response(code: u16) -> Response<Body> {
    let mut response = Response::new(full(format!("{code}: injected by a fault\n")));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        (CONTENT_TYPE, "text/plain"),
        (CACHE_CONTROL, "no-store"),
        // Without it, a player in a browser would see a CORS error instead of this status.
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_playlist(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    classify::kind(ResponseHints { name, ..ResponseHints::default() }) == Kind::Playlist
}

/// Whether a response holds the whole resource. FFmpeg requests the range from 0, so 206 can be complete, too.
fn is_complete(response: &FullResponse) -> bool {
    let length = response.body().len();
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let from_start = format!("bytes 0-{}/{length}", length.saturating_sub(1));
    match response.status() {
        StatusCode::OK => true,
        StatusCode::PARTIAL_CONTENT => range == Some(from_start.as_str()),
        _ => false,
    }
}

/// Announces the length of the whole body; nginx may have sent it in chunks.
fn set_content_length(response: &mut Response<Bytes>) {
    let length = response.body().len().into();
    response.headers_mut().remove(TRANSFER_ENCODING);
    response.headers_mut().insert(CONTENT_LENGTH, length);
}
