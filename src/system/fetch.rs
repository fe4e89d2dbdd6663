//! One HTTP GET with verified TLS, for looking at the stream before viewers do. Not a viewer: what
//! is measured never passes through here.

use std::io::Read;
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig};

use crate::words::failure::Failure;

/// A playlist is text; what is larger than this is something else.
const LARGEST: u64 = 8 << 20;

/// How to ask.
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
    /// Whether the certificate has to be good.
    pub verify_tls: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// Where it came from, redirects followed.
    pub url: url::Url,
    /// The body, cut at 8 MiB.
    pub body: Vec<u8>,
}

/// Fetches `request.url`, following redirects.
///
/// # Errors
/// A preflight failure that names the address, what went wrong, and the cure.
pub async fn get(request: Request) -> Result<Response, Failure> {
    let url = without_secrets(&request.url);
    tokio::task::spawn_blocking(move || blocking(&request)).await.unwrap_or_else(|error| {
        Err(Failure::internal(format!("the fetch of {url} broke off")).because(error))
    })
}

fn blocking(request: &Request) -> Result<Response, Failure> {
    let failed = |error: ureq::Error| explain(request, error);
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(!request.verify_tls)
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(request.timeout))
        .user_agent(request.user_agent.as_str())
        .max_redirects(5)
        .save_redirect_history(true)
        .build()
        .into();
    let mut get = agent.get(request.url.as_str());
    for (name, value) in &request.headers {
        get = get.header(name, value);
    }
    let response = get.call().map_err(failed)?;
    let url = {
        use ureq::ResponseExt;
        url::Url::parse(&response.get_uri().to_string()).unwrap_or_else(|_| request.url.clone())
    };
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(LARGEST)
        .read_to_end(&mut body)
        .map_err(|error| failed(ureq::Error::Io(error)))?;
    Ok(Response { url, body })
}

fn explain(request: &Request, error: ureq::Error) -> Failure {
    let url = &request.url;
    let host = url.host_str().unwrap_or("the host");
    let port = url.port_or_known_default().unwrap_or_default();
    let unknown_name = || format!("check the name {host:?} and the resolver of this machine");
    let cure = match &error {
        ureq::Error::StatusCode(401 | 403) => "check tokens and headers (--header)".into(),
        ureq::Error::StatusCode(404 | 410) => {
            "check the path of the playlist; is the stream being published?".into()
        }
        ureq::Error::StatusCode(_) => "look at the origin's own log".into(),
        ureq::Error::HostNotFound => unknown_name(),
        // What the resolver of the C library says has no kind of its own.
        ureq::Error::Io(error) if error.to_string().starts_with("failed to lookup address") => unknown_name(),
        ureq::Error::Timeout(_) => format!("check that {host} answers, or raise --timeout"),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("start the origin, or check host and port: nothing listens at {host}:{port}")
        }
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => certificate_cure(),
        ureq::Error::Io(error) if error.to_string().to_ascii_lowercase().contains("certificate") => {
            certificate_cure()
        }
        _ => "fetch it with curl -v to see more".into(),
    };
    Failure::preflight(format!("cannot fetch {}", without_secrets(url))).because(error).cure(cure)
}

fn certificate_cure() -> String {
    "install the certificate's authority (SSL_CERT_FILE=ca.pem), or pass --dangerous --insecure".into()
}

/// An address as it may stand in messages: without password and query, which hold secrets.
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
    shown.to_string()
}
