//! `health` of both programs: whether the program on this machine responds.

use std::time::Duration;

use clap::Args;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_http::fetch::{self, Request};
use hls_swarm_http::header_policy::HeaderPolicy;
use hls_swarm_http::target_policy::TargetPolicy;

/// The longest time to wait for a response.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The address to request.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct HealthArgs {
    /// Address to ask; by default the program's own, at the port that the environment sets
    #[arg(value_name = "URL")]
    pub url: Option<String>,
}

/// The health endpoint of a program.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Environment variables of its port or address; the first one that is set is used.
    pub variables: &'static [&'static str],
    /// Port unless a variable is set.
    pub port: u16,
    /// Path that responds.
    pub path: &'static str,
    /// The help if nothing responds.
    pub help: &'static str,
}

/// Requests the health of the program on this machine, or at the given address.
///
/// # Errors
/// Nothing responds, or the response is an error; the exit code is 1, as health checks expect.
pub fn check(endpoint: Endpoint, args: HealthArgs) -> Result<(), Failure> {
    let set =
        endpoint.variables.iter().find_map(|name| std::env::var(name).ok().filter(|set| !set.is_empty()));
    let port = set.map_or_else(|| endpoint.port.to_string(), |set| port_of(&set).to_owned());
    let url = args.url.unwrap_or_else(|| format!("http://127.0.0.1:{port}{}", endpoint.path));
    let url = Url::parse(&url).map_err(|error| {
        Failure::usage(format!("invalid URL {url:?}"))
            .caused_by(error)
            .help("pass an http:// URL")
            .exiting(Exit::Internal)
    })?;
    let request = Request {
        url,
        headers: Vec::new(),
        user_agent: concat!("hls-swarm/", env!("CARGO_PKG_VERSION"), "/health").into(),
        timeout: TIMEOUT,
        verify_tls: true,
        resolve: Vec::new(),
        target_policy: TargetPolicy::default(),
        header_policy: HeaderPolicy::default(),
    };
    fetch::get_now(&request).map(drop).map_err(|failure| failure.help(endpoint.help).exiting(Exit::Internal))
}

/// The port of `17091`, `:17091` or `0.0.0.0:17091`.
fn port_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_what_follows_the_last_colon() {
        for (address, port) in [("17091", "17091"), (":9000", "9000"), ("[::1]:9000", "9000")] {
            assert_eq!(port_of(address), port);
        }
    }
}
