//! Proxies, by the variables that curl and FFmpeg read: `http_proxy`, `https_proxy`, `no_proxy`.

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
        let direct = direct.split(',').map(|host| host.trim().trim_start_matches('.').to_ascii_lowercase());
        Ok(Self {
            // HTTP_PROXY is not read: in a CGI environment, a client sets it.
            http: proxy("http_proxy", None)?,
            https: proxy("https_proxy", Some("HTTPS_PROXY"))?,
            direct: direct.filter(|host| !host.is_empty()).collect(),
        })
    }

    /// The proxy for requests to `url`.
    pub(crate) fn of(&self, url: &Url) -> Option<&Url> {
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
    fn other_proxies_are_refused() {
        let error = proxies(&[("http_proxy", "socks5://h:1")]).unwrap_err();
        assert_eq!(error.to_string(), "http_proxy does not name an HTTP proxy: socks5:// is not supported");
        assert_eq!(proxies(&[("http_proxy", "")]).unwrap(), Proxies::default());
    }
}
