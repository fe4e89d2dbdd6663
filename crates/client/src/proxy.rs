//! Proxies, by the variables that curl reads: `http_proxy`, `https_proxy`, `no_proxy`, in either case. One rule for
//! everything that requests streams. FFmpeg knows less (it reads `http_proxy` for both schemes, in lower case
//! alone), so its viewers get variables that have the same meaning to it ([`Proxies::for_ffmpeg`]).

use std::fmt;

use url::Url;

/// The proxies of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Url>,
    https: Option<Url>,
    /// Hosts that are connected to directly, in lower case; `*` = all.
    direct: Vec<String>,
}

/// The error for a variable that does not name a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidProxy {
    variable: &'static str,
    why: String,
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not name an HTTP proxy: {}", self.variable, self.why)
    }
}

impl std::error::Error for InvalidProxy {}

impl Proxies {
    /// Reads the variables; `variable` gives the value of one.
    ///
    /// # Errors
    /// [`InvalidProxy`]: a variable is not the URL of an HTTP proxy.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidProxy> {
        let proxy = |lower: &'static str, upper: Option<&str>| {
            let value = variable(lower).or_else(|| variable(upper?)).filter(|value| !value.is_empty());
            value.map(|value| address(lower, &value)).transpose()
        };
        let direct = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        let direct = direct.split([',', ' ']).map(|host| {
            let host = host.strip_prefix("*.").unwrap_or(host);
            host.trim().trim_start_matches('.').to_ascii_lowercase()
        });
        // In a CGI environment, a client of the web server sets HTTP_PROXY.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        Ok(Self {
            http: proxy("http_proxy", Some("HTTP_PROXY").filter(|_| !is_cgi))?,
            https: proxy("https_proxy", Some("HTTPS_PROXY"))?,
            direct: direct.filter(|host| !host.is_empty()).collect(),
        })
    }

    /// The proxy for requests to `url`.
    #[must_use]
    pub fn of(&self, url: &Url) -> Option<&Url> {
        let proxy = if url.scheme() == "https" { self.https.as_ref()? } else { self.http.as_ref()? };
        let host = url.host_str()?.trim_matches(['[', ']']);
        let matches = |direct: &String| {
            direct == "*"
                || host.eq_ignore_ascii_case(direct)
                || host
                    .to_ascii_lowercase()
                    .strip_suffix(direct.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        };
        (!self.direct.iter().any(matches)).then_some(proxy)
    }

    /// The variables with which FFmpeg takes the same way to `url`, and to what a playlist at `url` lists. FFmpeg
    /// has one proxy for both schemes: where a stream has addresses of the other scheme, it uses that of `url`.
    #[must_use]
    pub fn for_ffmpeg(&self, url: &Url) -> Vec<(&'static str, String)> {
        let proxy = if url.scheme() == "https" { &self.https } else { &self.http };
        let proxy = proxy.as_ref().map_or_else(String::new, Url::to_string);
        vec![("http_proxy", proxy), ("no_proxy", self.direct.join(","))]
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }
}

fn address(variable: &'static str, value: &str) -> Result<Url, InvalidProxy> {
    let value = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let wrong = |why: String| InvalidProxy { variable, why };
    let url = Url::parse(&value).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" if url.host().is_some() => Ok(url),
        scheme => Err(wrong(format!("{scheme}:// is not supported"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Result<Proxies, InvalidProxy> {
        let find =
            |name: &str| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned());
        Proxies::read(find)
    }

    #[test]
    fn the_scheme_of_the_target_selects_the_proxy() {
        let proxies = proxies(&[
            ("http_proxy", "proxy.test:3128"),
            ("HTTPS_PROXY", "http://secure.test:8080"),
            ("no_proxy", "localhost, .direct.test"),
        ])
        .unwrap();
        let of = |url: &str| proxies.of(&url.parse().unwrap()).map(Url::to_string);
        assert_eq!(of("http://a.test/").as_deref(), Some("http://proxy.test:3128/"));
        assert_eq!(of("https://a.test/").as_deref(), Some("http://secure.test:8080/"));
        for direct in ["http://localhost:1/", "http://direct.test/", "https://a.DIRECT.test/"] {
            assert_eq!(of(direct), None, "{direct}");
        }
        assert!(of("http://indirect.test/").is_some());
    }

    #[test]
    fn ffmpeg_gets_the_proxy_of_the_streams_scheme() {
        let variables =
            [("https_proxy", "p.test:1"), ("NO_PROXY", "a.test *.b.test"), ("HTTP_PROXY", "p.test:2")];
        let url = |text: &str| text.parse::<Url>().unwrap();
        let found = proxies(&variables).unwrap();
        let no_proxy = ("no_proxy", "a.test,b.test".to_owned());
        let expected = [("http_proxy", "http://p.test:1/".to_owned()), no_proxy.clone()];
        assert_eq!(found.for_ffmpeg(&url("https://h/")), expected);
        assert_eq!(found.of(&url("http://x.b.test/")), None);
        let cgi = proxies(&[&variables[..], &[("REQUEST_METHOD", "GET")]].concat()).unwrap();
        assert_eq!(cgi.for_ffmpeg(&url("http://h/")), [("http_proxy", String::new()), no_proxy]);
    }

    #[test]
    fn other_proxies_are_refused() {
        let error = proxies(&[("http_proxy", "socks5://h:1")]).unwrap_err();
        assert_eq!(error.to_string(), "http_proxy does not name an HTTP proxy: socks5:// is not supported");
        assert_eq!(proxies(&[("http_proxy", "")]).unwrap(), Proxies::default());
    }
}
