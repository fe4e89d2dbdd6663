//! Which hosts may receive the secret headers of a stream: the origins (RFC 6454) of the addresses that they were
//! given for, and those that `--header-hosts` adds.

use url::{Origin, Url};

use hls_swarm_base::error::Failure;

use crate::target_policy::Pattern;

/// The secret headers of a run, and the origins that may receive them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderPolicy {
    /// Names, in lower case.
    secret: Vec<String>,
    origins: Vec<Origin>,
    hosts: Vec<Pattern>,
    /// Whether viewers send all headers with each request, so that they must not connect to other hosts at all.
    all_or_nothing: bool,
}

impl HeaderPolicy {
    /// The policy for streams at `urls` whose headers `secret` are secret. `hosts` are the values of
    /// `--header-hosts`. `all_or_nothing`: viewers cannot leave a header out of a request.
    ///
    /// # Errors
    /// A usage failure if a host is invalid.
    pub fn new<'a>(
        secret: &[String],
        urls: impl IntoIterator<Item = &'a Url>,
        hosts: &[String],
        all_or_nothing: bool,
    ) -> Result<Self, Failure> {
        let mut origins: Vec<Origin> = Vec::new();
        for url in urls {
            let origin = url.origin();
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(Self {
            secret: secret.iter().map(|name| name.to_ascii_lowercase()).collect(),
            origins,
            hosts: Pattern::read_all("--header-hosts", hosts)?,
            all_or_nothing,
        })
    }

    /// Whether a request for `url` may carry the header `name`.
    #[must_use]
    pub fn sends(&self, name: &str, url: &Url) -> bool {
        !self.secret.iter().any(|secret| secret.eq_ignore_ascii_case(name)) || self.trusts(url)
    }

    /// Whether `url` may receive secrets.
    #[must_use]
    pub fn trusts(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        self.origins.contains(&url.origin()) || self.hosts.iter().any(|pattern| pattern.holds(host))
    }

    /// Checks whether viewers may request `url`.
    ///
    /// # Errors
    /// A preflight failure: they would send secret headers to a host that these were not given for.
    pub fn check_url(&self, url: &Url) -> Result<(), Failure> {
        if !self.limits_viewers() || self.trusts(url) {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let given: Vec<String> = self.origins.iter().map(Origin::ascii_serialization).collect();
        Err(Failure::preflight(format!(
            "the stream leads to {}, and the secret header {} was given for {}",
            url.origin().ascii_serialization(),
            self.secret.join(", "),
            given.join(", ")
        ))
        .help(format!(
            "viewers send all headers with each request: add --header-hosts {host} if that host may receive them, \
             or play without them"
        )))
    }

    /// Whether viewers may connect to origins that are trusted with the headers only.
    #[must_use]
    pub const fn limits_viewers(&self) -> bool {
        self.all_or_nothing && !self.secret.is_empty()
    }

    /// The limit in the syntax of the probe's settings; `None` = there is none.
    #[must_use]
    pub fn probe_setting(&self) -> Option<String> {
        if !self.limits_viewers() {
            return None;
        }
        let origins = self.origins.iter().filter_map(|origin| match origin {
            Origin::Tuple(_, host, port) => {
                Some(format!("{}/{port}", host.to_string().trim_matches(['[', ']'])))
            }
            Origin::Opaque(_) => None,
        });
        let hosts = self.hosts.iter().map(|pattern| format!("{}/0", pattern.probe_setting()));
        let all: Vec<String> = origins.chain(hosts).collect();
        Some(format!("origins={}", all.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn policy(hosts: &[&str], all_or_nothing: bool) -> Result<HeaderPolicy, Failure> {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let urls = [url("https://cdn.example/a/live.m3u8"), url("http://[::1]:8080/b.m3u8")];
        HeaderPolicy::new(&["Authorization".to_owned()], &urls, &hosts, all_or_nothing)
    }

    #[test]
    fn secrets_go_to_the_origin_they_were_given_for() {
        let policy = policy(&["*.edge.example"], false).unwrap();
        let sends = |text: &str| policy.sends("authorization", &url(text));
        assert!(sends("https://cdn.example/other.ts") && sends("https://CDN.example:443/x"));
        assert!(sends("http://a.edge.example:81/x") && sends("http://[::1]:8080/"));
        for other in [
            "http://cdn.example/x",
            "https://cdn.example:444/x",
            "https://edge.example/",
            "https://cdn.example.evil/",
            "http://[::1]/",
        ] {
            assert!(!sends(other), "{other}");
            assert!(policy.sends("X-Trace", &url(other)));
        }
        assert_eq!(policy.probe_setting(), None);
        assert!(policy.check_url(&url("http://other.example/")).is_ok());
    }

    #[test]
    fn viewers_that_send_every_header_do_not_go_elsewhere() {
        let policy = policy(&["*.edge.example", "192.0.2.1"], true).unwrap();
        assert_eq!(
            policy.probe_setting().as_deref(),
            Some("origins=cdn.example/443,::1/8080,*.edge.example/0,192.0.2.1/0")
        );
        let failure = policy.check_url(&url("http://other.example/x")).unwrap_err();
        assert!(failure.to_string().contains("http://other.example"), "{failure}");
        assert!(failure.help_text().unwrap().contains("--header-hosts other.example"));
        let none = HeaderPolicy::new(&[], [&url("http://a/")], &[], true).unwrap();
        assert!(none.check_url(&url("http://other.example/")).is_ok() && none.probe_setting().is_none());
    }

    #[test]
    fn an_invalid_host_is_named() {
        assert!(policy(&["a b"], true).unwrap_err().to_string().contains("\"a b\" in --header-hosts"));
    }
}
