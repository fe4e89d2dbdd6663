//! The request target and host that a player sends for an address in a playlist, byte for byte.
//!
//! Not a [`url::Url`], because that type normalizes (it escapes quotes and drops the default port, for
//! example), and FFmpeg does not.

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    /// Path and query, or (to a proxy) the whole address.
    pub target: String,
    /// The `Host`.
    pub host: String,
}

impl RequestTarget {
    /// The target of a player's request for `uri` in the playlist of this request (RFC 3986, 5.2).
    /// `None` if it cannot be requested over HTTP (`data:`, for example).
    #[must_use]
    pub fn resolve(&self, uri: &str) -> Option<Self> {
        let uri = uri.split('#').next().unwrap_or(uri);
        let (scheme, base) = match Absolute::of(&self.target) {
            Some(Absolute { scheme, target, .. }) => (Some(scheme), target),
            None => (None, self.target.as_str()),
        };
        let (scheme, host, target) = if let Some(absolute) = Absolute::of(uri) {
            (scheme.map(|_| absolute.scheme), absolute.host, absolute.target.to_owned())
        } else if has_scheme(uri) {
            return None;
        } else if let Some(rest) = uri.strip_prefix("//") {
            let (host, target) = authority(rest);
            (scheme, host, target.to_owned())
        } else {
            let path = base.split('?').next().unwrap_or(base);
            let target = if uri.is_empty() {
                base.to_owned()
            } else if uri.starts_with('/') {
                uri.to_owned()
            } else if uri.starts_with('?') {
                format!("{path}{uri}")
            } else {
                let folder = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
                format!("{folder}{uri}")
            };
            (scheme, self.host.as_str(), target)
        };
        let target = without_dots(&if target.starts_with('/') { target } else { format!("/{target}") });
        let target = scheme.map_or_else(|| target.clone(), |scheme| format!("{scheme}://{host}{target}"));
        Some(Self { target, host: host.to_owned() })
    }

    /// Whether the server may delay the response until the playlist has new content (`_HLS_msn`).
    #[must_use]
    pub fn is_blocking_reload(&self) -> bool {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|one| one.starts_with("_HLS_msn="))
    }

    /// The address as a URL. `tls`: whether the request went over TLS. `None` if that is not a valid URL.
    #[must_use]
    pub fn url(&self, tls: bool) -> Option<url::Url> {
        if Absolute::of(&self.target).is_some() {
            return self.target.parse().ok();
        }
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host, self.target).parse().ok()
    }
}

impl From<&url::Url> for RequestTarget {
    /// The target for a player that normalizes addresses.
    fn from(url: &url::Url) -> Self {
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        Self { target: target.to_owned(), host: host.to_owned() }
    }
}

/// An address that begins with `http://` or `https://`, in its parts.
struct Absolute<'a> {
    scheme: &'a str,
    host: &'a str,
    target: &'a str,
}

impl<'a> Absolute<'a> {
    fn of(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        let (host, target) = authority(rest);
        http.then_some(Self { scheme, host, target })
    }
}

/// Host, without user and password, and the rest of the address.
fn authority(rest: &str) -> (&str, &str) {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    (host.rsplit('@').next().unwrap_or(host), target)
}

fn has_scheme(uri: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(name)
    })
}

/// Removes `.` and `..` from the path (RFC 3986, 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.find('?').map_or((target, ""), |at| target.split_at(at));
    if !path.contains("/.") {
        return target.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut names = path.split('/').skip(1).peekable();
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        match name {
            "." | ".." => {
                if name == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            name => kept.push(name),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(target: &str) -> RequestTarget {
        RequestTarget { target: target.to_owned(), host: "Origin:80".to_owned() }
    }

    #[test]
    fn addresses_are_resolved_without_normalization() {
        for (uri, host, target) in [
            ("a.ts", "Origin:80", "/live/a.ts"),
            ("a b'c.ts?x=|^{}#t=1", "Origin:80", "/live/a b'c.ts?x=|^{}"),
            ("?seg=1", "Origin:80", "/live/get.php?seg=1"),
            ("/a.ts", "Origin:80", "/a.ts"),
            ("../a/./b/../c.ts?x=/../y", "Origin:80", "/a/c.ts?x=/../y"),
            ("../../../a.ts", "Origin:80", "/a.ts"),
            ("./..", "Origin:80", "/"),
            (".hidden/a.ts", "Origin:80", "/live/.hidden/a.ts"),
            ("//cdn/a.ts", "cdn", "/a.ts"),
            ("https://u:p@CDN:443/a.ts", "CDN:443", "/a.ts"),
            ("http://cdn?x", "cdn", "/?x"),
            ("http://cdn", "cdn", "/"),
            ("", "Origin:80", "/live/get.php?list=1"),
            ("x:y/z", "", ""),
            ("data:video/mp4;base64,AAAA", "", ""),
        ] {
            let resolved = base("/live/get.php?list=1").resolve(uri);
            let expected =
                (!target.is_empty()).then(|| RequestTarget { target: target.into(), host: host.into() });
            assert_eq!(resolved, expected, "{uri}");
        }
    }

    #[test]
    fn a_proxy_receives_whole_addresses() {
        let base = base("http://Origin:80/live/a.m3u8?x");
        let target = |uri: &str| base.resolve(uri).unwrap().target;
        assert_eq!(target("a.ts"), "http://Origin:80/live/a.ts");
        assert_eq!(target("?y"), "http://Origin:80/live/a.m3u8?y");
        assert_eq!(target("https://cdn/a.ts"), "https://cdn/a.ts");
        assert_eq!(base.url(false).unwrap().as_str(), "http://origin/live/a.m3u8?x");
    }

    #[test]
    fn a_blocking_reload_is_recognized_by_its_directive() {
        for (target, blocking) in [
            ("/a.m3u8?_HLS_msn=7&_HLS_part=2", true),
            ("/a.m3u8?t=1&_HLS_skip=YES&u=2", false),
            ("/a.m3u8?t=_HLS_msn=7", false),
            ("/a.m3u8", false),
        ] {
            assert_eq!(base(target).is_blocking_reload(), blocking, "{target}");
        }
    }
}
