//! Requests, and how they are written.

use std::fmt::Write as _;
use std::ops::Range;
use std::rc::Rc;

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
    let raw = request.address.as_deref().filter(|_| *url == request.url);
    let target = raw.and_then(|address| raw_target(address, fields.proxy.is_some())).unwrap_or(normalized);
    let mut text = String::with_capacity(512);
    let _ = write!(text, "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {}\r\n", fields.user_agent);
    let is_set = |name: &str| fields.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if !is_set("Accept") {
        text.push_str("Accept: */*\r\n");
    }
    if request.compressed && !is_set("Accept-Encoding") {
        text.push_str("Accept-Encoding: gzip, deflate\r\n");
    }
    if let Some(Range { start, end }) = &request.range {
        // The last byte is named, not the one behind it.
        match end.checked_sub(1).filter(|_| *end != u64::MAX) {
            Some(last) => drop(write!(text, "Range: bytes={start}-{last}\r\n")),
            None => drop(write!(text, "Range: bytes={start}-\r\n")),
        }
    }
    if let Some(Some(credentials)) = &fields.proxy {
        let _ = write!(text, "Proxy-Authorization: {credentials}\r\n");
    }
    if let Some(cookie) = fields.cookie.as_ref().filter(|_| !is_set("Cookie")) {
        let _ = write!(text, "Cookie: {cookie}\r\n");
    }
    for (name, value) in fields.headers {
        let credential = ["Authorization", "Cookie"].iter().any(|known| known.eq_ignore_ascii_case(name));
        if !(credential && fields.without_credentials) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
    for (name, value) in &request.fields {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text
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
}
