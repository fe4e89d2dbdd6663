//! Why a playlist could not be fetched, and what to do about it.

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_client::FetchError;
use hls_swarm_client::head::Head;
use hls_swarm_http::fetch::{certificate_help, without_secrets};

/// The length of what is quoted of a body, characters.
const QUOTED: usize = 60;

fn cannot_fetch(url: &Url) -> String {
    format!("cannot fetch {}", without_secrets(url))
}

/// The failure if there was no whole response. `proxy`: the proxy of the request.
pub(super) fn unfetched(url: &Url, error: &FetchError, proxy: Option<&str>) -> Failure {
    let host = url.host_str().unwrap_or("the host");
    let port = url.port_or_known_default().unwrap_or_default();
    let text = error.to_string();
    let is_of_proxy = matches!(error, FetchError::NotConnected(_)) && !text.starts_with("TLS");
    let help = match (error, proxy) {
        (FetchError::Forbidden(_), _) => "add the host to --allow-host, or to the list that lacks it".into(),
        (_, Some(proxy)) if is_of_proxy => format!(
            "check the proxy {proxy} (http_proxy, https_proxy), or name {host} in no_proxy to go without it"
        ),
        (FetchError::NotConnected(_), _) if text.starts_with("name lookup") => {
            format!("check the name {host:?} and the resolver of this machine")
        }
        (FetchError::NotConnected(_), _) if text.contains("refused") => {
            format!("start the origin, or check host and port: nothing listens at {host}:{port}")
        }
        (FetchError::NotConnected(_), _) if text.starts_with("TLS") => certificate_help(),
        (FetchError::TimedOut | FetchError::NotConnected(_), _) => {
            format!("check that {host} answers, or raise --timeout")
        }
        (FetchError::Redirect(_), _) => "look at the origin's own log".into(),
        _ => "fetch it with curl -v to see more".into(),
    };
    Failure::preflight(cannot_fetch(url)).caused_by(text).help(help)
}

/// The failure for a response whose status is an error.
pub(super) fn refused(url: &Url, head: &Head, body: &[u8]) -> Failure {
    let help = match head.status {
        401 if url.password().is_some() => "check the user and the password in the URL",
        401 | 403 => "check tokens and headers (--header)",
        404 | 410 => "check the path of the playlist; is the stream being published?",
        407 => "write the proxy's user and password into http_proxy: http://USER:PASSWORD@HOST:PORT",
        _ => "look at the origin's own log",
    };
    let said = quoted(&head.content_type, body);
    Failure::preflight(cannot_fetch(url)).caused_by(format!("http status: {}{said}", head.status)).help(help)
}

/// The failure for a body that is too large to be a playlist.
pub(super) fn too_large(url: &Url, limit: usize) -> Failure {
    Failure::preflight(format!(
        "{} is larger than {} MiB, which is too large for a playlist",
        without_secrets(url),
        limit >> 20
    ))
    .help("pass the URL of a playlist (.m3u8), not of a segment")
}

/// The failure for a content coding that FFmpeg does not know.
pub(super) fn encoded(url: &Url, encoding: &str) -> Failure {
    Failure::preflight(format!(
        "{} comes with \"Content-Encoding: {encoding}\", although it was not asked for, and FFmpeg cannot decode \
         {encoding}",
        without_secrets(url)
    ))
    .help("let the server send playlists plain, or in gzip")
}

/// The failure for a body that does not decode.
pub(super) fn undecodable(url: &Url, encoding: &str, error: std::io::Error) -> Failure {
    Failure::preflight(format!(
        "{} comes with \"Content-Encoding: {encoding}\", and its body cannot be decoded",
        without_secrets(url)
    ))
    .caused_by(error)
    .help("let the server send playlists plain, or in gzip")
}

/// What came instead of a playlist: its content type and its beginning.
pub(crate) fn quoted(content_type: &str, body: &[u8]) -> String {
    let start = String::from_utf8_lossy(body.get(..4 * QUOTED).unwrap_or(body));
    let start: String = start.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTED).collect();
    match (content_type.is_empty(), start.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(" ({content_type}, empty)"),
        (true, false) => format!(" ({start:?})"),
        (false, false) => format!(" ({content_type}: {start:?})"),
    }
}
