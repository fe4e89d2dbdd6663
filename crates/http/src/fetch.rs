//! A single HTTP GET with verified TLS, for checking the stream before viewers start. Measurements never use it.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, LOCATION};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use hls_swarm_base::error::Failure;
use hls_swarm_os::secrets;

use crate::header_policy::HeaderPolicy;
use crate::resolve::Rule;
use crate::site_rules;
use crate::target_policy::TargetPolicy;

/// Largest body in bytes: half a million segments with long addresses fit, so a larger one is not a playlist.
const LARGEST: u64 = 64 << 20;
/// ureq's array of addresses has this much room.
const MAX_ADDRESSES: usize = 16;
/// The maximum number of redirects.
const MAX_REDIRECTS: usize = 5;

/// Longest time of an exchange with a collector, which may delay its response.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// The parameters of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The address.
    pub url: url::Url,
    /// Extra headers.
    pub headers: Vec<(String, String)>,
    /// `User-Agent`.
    pub user_agent: String,
    /// Limit for the whole exchange.
    pub timeout: Duration,
    /// Whether the certificate is verified.
    pub verify_tls: bool,
    /// Host names with overridden addresses.
    pub resolve: Vec<Rule>,
    /// The policy that redirects have to obey.
    pub target_policy: TargetPolicy,
    /// Which of the headers a redirect to another origin receives.
    pub header_policy: HeaderPolicy,
}

/// Resolves names by the rules first, then by the resolver of this machine.
#[derive(Debug)]
struct Names {
    rules: Vec<Rule>,
    system: DefaultResolver,
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(host, port)) else {
            return self.system.resolve(uri, config, timeout);
        };
        let mut found = self.empty();
        // As many as the connector takes; it tries one after the other.
        for address in rule.addresses.iter().take(MAX_ADDRESSES) {
            found.push(SocketAddr::new(*address, port));
        }
        Ok(found)
    }
}

/// The response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its URL, after redirects.
    pub url: url::Url,
    /// The body.
    pub body: Vec<u8>,
}

/// Fetches `request.url`, following redirects.
///
/// # Errors
/// A preflight failure that names the address, what went wrong, and how to fix it.
pub async fn get(request: Request) -> Result<Response, Failure> {
    let url = without_secrets(&request.url);
    tokio::task::spawn_blocking(move || get_now(&request)).await.unwrap_or_else(|error| {
        Err(Failure::internal(format!("the fetch of {url} was interrupted")).caused_by(error))
    })
}

/// The same, blocking the calling thread.
///
/// # Errors
/// As [`get`].
pub fn get_now(request: &Request) -> Result<Response, Failure> {
    let failed = |error: ureq::Error| explain(request, error);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(!request.verify_tls)
        .build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(request.timeout))
        .user_agent(request.user_agent.as_str())
        // Redirects are followed below, because the target policy has to allow each one first.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build();
    let names = Names { rules: request.resolve.clone(), system: DefaultResolver::default() };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), names);
    let mut url = request.url.clone();
    for _ in 0..=MAX_REDIRECTS {
        site_rules::check(&request.target_policy, &url, &request.resolve)?;
        let mut get = agent.get(url.as_str());
        for (name, value) in
            request.headers.iter().filter(|(name, _)| request.header_policy.sends(name, &url))
        {
            get = get.header(name, value);
        }
        let response = get.call().map_err(failed)?;
        if response.status().is_redirection()
            && let Some(target) = response.headers().get(LOCATION)
        {
            let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
            url = url.join(&target).map_err(|error| {
                Failure::preflight(format!(
                    "{} redirects to {target:?}, which is not a valid URL",
                    without_secrets(&url)
                ))
                .caused_by(error)
                .help("look at the origin's own log")
            })?;
            continue;
        }
        let mut body = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(LARGEST + 1)
            .read_to_end(&mut body)
            .map_err(|error| failed(ureq::Error::Io(error)))?;
        if body.len() as u64 > LARGEST {
            // A truncated VOD playlist looks like a live stream, because its end tag is missing.
            return Err(Failure::preflight(format!(
                "{} is larger than {} MiB, which is too large for a playlist",
                without_secrets(&url),
                LARGEST >> 20
            ))
            .help("pass the URL of a playlist (.m3u8), not of a segment"));
        }
        return Ok(Response { url, body });
    }
    Err(failed(ureq::Error::TooManyRedirects))
}

fn explain(request: &Request, error: ureq::Error) -> Failure {
    let url = &request.url;
    let host = url.host_str().unwrap_or("the host");
    let port = url.port_or_known_default().unwrap_or_default();
    let unknown_name = || format!("check the name {host:?} and the resolver of this machine");
    let help = match &error {
        ureq::Error::StatusCode(401 | 403) => "check tokens and headers (--header)".into(),
        ureq::Error::StatusCode(404 | 410) => {
            "check the path of the playlist; is the stream being published?".into()
        }
        ureq::Error::StatusCode(_) => "look at the origin's own log".into(),
        ureq::Error::HostNotFound => unknown_name(),
        // Errors of the C library's resolver have no kind of their own.
        ureq::Error::Io(error) if error.to_string().starts_with("failed to lookup address") => unknown_name(),
        ureq::Error::Timeout(_) => format!("check that {host} answers, or raise --timeout"),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("start the origin, or check host and port: nothing listens at {host}:{port}")
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => certificate_help(),
        ureq::Error::Io(error) if error.to_string().to_ascii_lowercase().contains("certificate") => {
            certificate_help()
        }
        _ => "fetch it with curl -v to see more".into(),
    };
    Failure::preflight(format!("cannot fetch {}", without_secrets(url))).caused_by(error).help(help)
}

/// The help for a certificate that is not trusted.
#[must_use]
pub fn certificate_help() -> String {
    "install the certificate's authority (SSL_CERT_FILE=ca.pem), or pass --dangerous --insecure".into()
}

/// A URL for messages: without its password and query, which hold secrets.
#[must_use]
pub fn without_secrets(url: &url::Url) -> String {
    let mut shown = url.clone();
    if shown.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = shown.set_password(Some("***"));
    }
    if shown.query().is_some() {
        shown.set_query(Some("***"));
    }
    secrets::redact(shown.as_str()).into_owned()
}

/// Sends `body`, with `token` as its authorization, and returns the status and the text of the response, also of an
/// error or a redirect.
///
/// # Errors
/// A preflight failure if there was no response.
pub async fn send(
    method: &'static str,
    url: url::Url,
    token: Option<String>,
    body: String,
) -> Result<(u16, String), Failure> {
    let headers = token.map(|token| (AUTHORIZATION.to_string(), format!("Bearer {token}")));
    let (status, body) =
        exchange(method, url, headers.into_iter().collect(), body.into_bytes(), EXCHANGE_TIMEOUT).await?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Sends `body` with additional headers, and returns the status and the body of the response, also of an error or a
/// redirect.
///
/// # Errors
/// A preflight failure if there was no response in time.
pub async fn exchange(
    method: &'static str,
    url: url::Url,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(u16, Vec<u8>), Failure> {
    let shown = without_secrets(&url);
    let exchange = move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .http_status_as_error(false)
            // The headers, which may hold a token, are for this server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(timeout))
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = agent.run(request.body(body).map_err(ureq::Error::Http)?)?;
        let status = answer.status().as_u16();
        Ok::<_, ureq::Error>((status, answer.into_body().read_to_vec()?))
    };
    let answer = tokio::task::spawn_blocking(exchange)
        .await
        .unwrap_or_else(|error| Err(ureq::Error::Other(Box::new(error))));
    answer.map_err(|error| {
        Failure::preflight(format!("cannot reach {shown}"))
            .caused_by(error)
            .help("check the host and port, and that the server is running")
    })
}
