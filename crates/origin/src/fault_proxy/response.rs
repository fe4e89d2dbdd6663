//! The answer to one request: served as it is, or made wrong as the faults say.

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
use super::body::{Body, Cut, Late, Told, whole};
use super::upstream::collected;
use crate::access_log::Line;
use crate::fault::active::{Answer, Decision};
use crate::fault::playlist_history::Whole;
use crate::fault_proxy::connection::RequestContext;

/// nginx's own status for a connection that it closes without an answer.
const NO_ANSWER: u16 = 444;

/// Answers, or fails to when the connection is to be closed instead.
pub(crate) async fn answer(
    visit: &Arc<RequestContext>,
    request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    let front = &visit.front;
    let place = visit.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let line = Line::new(&request, visit.peer, visit.number, place);
    let decision = front.faults.as_ref().map_or(Decision::NONE, |faults| faults.decide(request.uri().path()));
    let Decision { delay, first_byte, bits_per_second, answer } = decision;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let watched =
        matches!(request.uri().path(), "/nginx_status") || request.uri().path().starts_with("/files/json/");
    let embedded = matches!(front.backend, Backend::Embedded(_));
    let ours = answer != Answer::Pass || embedded && !watched;
    visit.state.begin(bits_per_second, ours.then_some(line));

    let response = match answer {
        Answer::Pass => pass(visit, request).await?,
        Answer::Status(code) => failure(code),
        Answer::Drop => {
            visit.reset_on_close();
            visit.state.status(NO_ANSWER);
            visit.state.over(false);
            return Err(io::Error::other("dropped on purpose"));
        }
        Answer::Stalled(id) => stalled(visit, &request, id).await?.map(whole),
        Answer::Regressed(segments) => regressed(visit, &request, segments).await?.map(whole),
        Answer::Truncated(share) => {
            let mut response = fetch(visit, &request).await?;
            let full = response.body().len();
            let length = (full as f64 * share.ratio()) as usize;
            if length < full && request.method() != Method::HEAD {
                fix_length(&mut response);
                response.map(|body| Cut::new(body.slice(..length), Arc::clone(&visit.state)).boxed_unsync())
            } else {
                response.map(whole)
            }
        }
    };
    visit.state.status(response.status().as_u16());
    let response = response.map(|body| Told::new(body, Arc::clone(&visit.state)).boxed_unsync());
    if first_byte.is_zero() || response.body().is_end_stream() {
        return Ok(response);
    }
    Ok(response.map(|body| Late::new(body, first_byte).boxed_unsync()))
}

/// Serves as it is. Playlists are remembered on their way where faults may need them.
async fn pass(visit: &Arc<RequestContext>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let front = &visit.front;
    let path = request.uri().path().to_owned();
    let keep = front.faults.is_some() && request.method() == Method::GET && is_playlist(&path);
    let response = match &front.backend {
        Backend::Embedded(memory) => memory.answer(&request),
        Backend::Nginx(upstream) => {
            let mut link = visit.link.lock().await;
            if link.as_ref().is_none_or(super::upstream::Link::is_closed) {
                let closed = visit.unlinked.clone();
                *link = Some(upstream.link(visit.peer, visit.local, closed).await?);
            }
            let Some(link) = link.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
            let response = link.pass(request).await?;
            if !keep {
                return Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()));
            }
            collected(response).await?
        }
    };
    if keep
        && is_whole(&response)
        && let Some(faults) = &front.faults
    {
        faults.playlists.remember(&path, &response);
    }
    Ok(response.map(whole))
}

/// The same as it would be served, for the origin itself.
async fn fetch(visit: &Arc<RequestContext>, request: &Request<Incoming>) -> io::Result<Whole> {
    match &visit.front.backend {
        Backend::Embedded(memory) => Ok(memory.answer(request)),
        Backend::Nginx(upstream) => upstream.fetch(request).await,
    }
}

/// The playlist as it was when the fault struck first.
async fn stalled(visit: &Arc<RequestContext>, request: &Request<Incoming>, id: u64) -> io::Result<Whole> {
    let path = request.uri().path();
    let Some(faults) = &visit.front.faults else { return fetch(visit, request).await };
    if let Some(frozen) = faults.playlists.frozen(id, path) {
        return Ok(frozen);
    }
    let now = fetch(visit, request).await?;
    if is_whole(&now) {
        faults.playlists.freeze(id, path, &now);
    }
    Ok(now)
}

/// An earlier playlist; the present one while none was seen.
async fn regressed(visit: &Arc<RequestContext>, request: &Request<Incoming>, back: u32) -> io::Result<Whole> {
    let path = request.uri().path();
    let now = fetch(visit, request).await?;
    let Some(faults) = &visit.front.faults else { return Ok(now) };
    if is_whole(&now) {
        faults.playlists.remember(path, &now);
    }
    Ok(faults.playlists.earlier(path, back).unwrap_or(now))
}

fn failure(code: u16) -> Response<Body> {
    let mut response = Response::new(whole(format!("{code}: a fault that was asked for\n")));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        (CONTENT_TYPE, "text/plain"),
        (CACHE_CONTROL, "no-store"),
        // Else a player in a browser would see a CORS fault instead of this one.
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

/// Whether a response holds all of what was asked for; FFmpeg asks for the range from 0 on.
fn is_whole(response: &Whole) -> bool {
    let length = response.body().len();
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let from_start = format!("bytes 0-{}/{length}", length.saturating_sub(1));
    match response.status() {
        StatusCode::OK => true,
        StatusCode::PARTIAL_CONTENT => range == Some(from_start.as_str()),
        _ => false,
    }
}

/// States the whole length; nginx may have sent it in chunks.
fn fix_length(response: &mut Response<Bytes>) {
    let length = response.body().len().into();
    response.headers_mut().remove(TRANSFER_ENCODING);
    response.headers_mut().insert(CONTENT_LENGTH, length);
}
