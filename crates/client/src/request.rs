//! Requests, and how they are written.

use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

use http::{HeaderName, HeaderValue};
use url::{Position, Url};

use crate::transfer::Progress;

/// A GET request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The address.
    pub url: Url,
    /// The same as text, where the target must not be normalized as a [`Url`] is.
    pub address: Option<String>,
    /// The bytes that are asked for; `None` = all. An end of `u64::MAX` leaves the end open.
    pub range: Option<Range<u64>>,
    /// Whether the response may be compressed.
    pub compressed: bool,
    /// Where the bytes that have arrived are shown while the response is under way.
    pub progress: Option<Rc<Progress>>,
    /// Fields of this request alone, name and value.
    pub fields: Vec<(&'static str, String)>,
}

impl Request {
    /// A request for the whole of `url`.
    #[must_use]
    pub const fn get(url: Url) -> Self {
        Self { url, address: None, range: None, compressed: false, progress: None, fields: Vec::new() }
    }
}

/// What is written into every request of a viewer.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) user_agent: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) cookie: Option<String>,
    /// Whether credentials must be left out, because the request goes to another host than the user named.
    pub(crate) without_credentials: bool,
    /// `Proxy-Authorization`, where the request goes to a proxy; and with it, the target is the whole address.
    pub(crate) proxy: Option<Option<String>>,
}

/// The target of a request, and the value of `Host`.
pub(crate) fn target(url: &Url, through_proxy: bool) -> (&str, &str) {
    let target = if through_proxy {
        &url[..Position::AfterQuery]
    } else {
        &url[Position::BeforePath..Position::AfterQuery]
    };
    (target, &url[Position::BeforeHost..Position::AfterPort])
}

/// The target in `address` as it was written; `None` = a request cannot contain it.
fn raw_target(address: &str, through_proxy: bool) -> Option<&str> {
    let address = address.split('#').next()?;
    let after_scheme = address.find("://")? + 3;
    let path = after_scheme + address.get(after_scheme..)?.find('/')?;
    let target = address.get(if through_proxy { 0 } else { path }..)?;
    // User and password are not part of a target.
    let has_user = through_proxy && address.get(after_scheme..path)?.contains('@');
    (!has_user && target.bytes().all(|byte| byte > b' ' && byte != 0x7F)).then_some(target)
}

/// Writes the head of `request` for `url`, which may be the target of a redirect.
pub(crate) fn write(request: &Request, url: &Url, fields: &Fields<'_>) -> String {
    let (normalized, host) = target(url, fields.proxy.is_some());
    let target = raw(request, url, fields.proxy.is_some()).unwrap_or(normalized);
    let mut text = String::with_capacity(512);
    let _ = write!(text, "GET {target} HTTP/1.1\r\nHost: {host}\r\n");
    each_field(request, fields, &mut |name, value| {
        let _ = write!(text, "{name}: {value}\r\n");
    });
    text.push_str("\r\n");
    text
}

/// The target of `request` as its address was written; `None` = that of the URL.
fn raw<'a>(request: &'a Request, url: &Url, through_proxy: bool) -> Option<&'a str> {
    let address = request.address.as_deref().filter(|_| *url == request.url)?;
    raw_target(address, through_proxy)
}

/// Fields about a connection, which has no place in a request on a stream (RFC 9113, 8.2.2), and `Host`, whose place is
/// taken by `:authority`.
const OF_CONNECTION: [&str; 6] =
    ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// The head of `request` for `url` on a stream of HTTP/2 or HTTP/3.
///
/// # Errors
/// A field cannot be sent so.
pub(crate) fn of_stream(
    request: &Request,
    url: &Url,
    fields: &Fields<'_>,
) -> Result<http::Request<()>, String> {
    let (normalized, host) = target(url, false);
    let uri =
        |target: &str| http::Uri::builder().scheme("https").authority(host).path_and_query(target).build();
    let written = raw(request, url, false).and_then(|target| uri(target).ok());
    let uri = written.map_or_else(|| uri(normalized), Ok);
    let uri = uri.map_err(|error| format!("{host} cannot be requested: {error}"))?;
    let mut built = http::Request::new(());
    *built.uri_mut() = uri;
    *built.version_mut() = http::Version::HTTP_2;
    let mut failure = None;
    each_field(request, fields, &mut |name, value| {
        if OF_CONNECTION.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return;
        }
        let text = value.to_string();
        let parsed = (HeaderName::from_bytes(name.as_bytes()).ok()).zip(HeaderValue::from_str(&text).ok());
        match parsed {
            Some((name, value)) => drop(built.headers_mut().append(name, value)),
            None => failure = Some(format!("the header {name} cannot be sent")),
        }
    });
    failure.map_or(Ok(built), Err)
}

/// Visits the fields of a request but `Host`.
fn each_field(request: &Request, fields: &Fields<'_>, visit: &mut dyn FnMut(&str, &dyn std::fmt::Display)) {
    visit("User-Agent", &fields.user_agent);
    let is_set = |name: &str| fields.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !is_set("Accept") {
        visit("Accept", &"*/*");
    }
    if request.compressed && !is_set("Accept-Encoding") {
        visit("Accept-Encoding", &"gzip, deflate");
    }
    if let Some(Range { start, end }) = &request.range {
        // The last byte is named, not the one behind it.
        match end.checked_sub(1).filter(|_| *end != u64::MAX) {
            Some(last) => visit("Range", &format_args!("bytes={start}-{last}")),
            None => visit("Range", &format_args!("bytes={start}-")),
        }
    }
    if let Some(Some(credentials)) = &fields.proxy {
        visit("Proxy-Authorization", credentials);
    }
    if let Some(cookie) = fields.cookie.as_ref().filter(|_| !is_set("Cookie")) {
        visit("Cookie", cookie);
    }
    for (name, value) in fields.headers {
        let credential = ["Authorization", "Cookie"].iter().any(|known| known.eq_ignore_ascii_case(name));
        if !(credential && fields.without_credentials) {
            visit(name, value);
        }
    }
    for (name, value) in &request.fields {
        visit(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_fields_of_its_viewer() {
        let request =
            Request { range: Some(10..20), ..Request::get("http://h.test:81/a?b#c".parse().unwrap()) };
        let headers = [("Authorization".to_owned(), "x".to_owned()), ("X-A".to_owned(), "y".to_owned())];
        let fields = Fields {
            user_agent: "me",
            headers: &headers,
            cookie: Some("t=1".into()),
            without_credentials: true,
            proxy: None,
        };
        assert_eq!(
            write(&request, &request.url, &fields),
            "GET /a?b HTTP/1.1\r\nHost: h.test:81\r\nUser-Agent: me\r\nAccept: */*\r\nRange: bytes=10-19\r\n\
             Cookie: t=1\r\nX-A: y\r\n\r\n"
        );
        let address = Some("http://h.test:81/a?b='#c".to_owned());
        let raw = Request { address, ..Request::get("http://h.test:81/a?b='#c".parse().unwrap()) };
        assert!(write(&raw, &raw.url, &fields).starts_with("GET /a?b=' HTTP/1.1\r\n"));
        let proxied = Fields { proxy: Some(None), ..fields };
        assert!(write(&request, &request.url, &proxied).starts_with("GET http://h.test:81/a?b HTTP/1.1\r\n"));
    }
    #[test]
    fn a_request_on_a_stream_has_the_same_fields() {
        let url: Url = "https://user:secret@h.test:81/a?b='#c".parse().unwrap();
        let address = Some("https://user:secret@h.test:81/a?b='#c".to_owned());
        let request = Request { range: Some(10..u64::MAX), address, ..Request::get(url) };
        let headers = [("X-A".to_owned(), "y".to_owned()), ("Connection".to_owned(), "close".to_owned())];
        let fields = Fields {
            user_agent: "me",
            headers: &headers,
            cookie: Some("t=1".into()),
            without_credentials: false,
            proxy: None,
        };
        let built = of_stream(&request, &request.url, &fields).unwrap();
        assert_eq!(built.uri(), "https://h.test:81/a?b='");
        let pairs: Vec<_> =
            built.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let expected = [
            ("user-agent", "me"),
            ("accept", "*/*"),
            ("range", "bytes=10-"),
            ("cookie", "t=1"),
            ("x-a", "y"),
        ];
        assert_eq!(pairs, expected);
        let headers = [("X-A".to_owned(), "\u{7}".to_owned())];
        let error = of_stream(&request, &request.url, &Fields { headers: &headers, ..fields }).unwrap_err();
        assert_eq!(error, "the header X-A cannot be sent");
    }
}
