//! Where results go, from what was typed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_model::report::Format;

use super::{Environment, yes};
use crate::cli::run::SwarmArgs;

/// Default port of the Prometheus endpoint.
pub const METRICS_PORT: u16 = 17_091;

/// Where results go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// Address of the Prometheus endpoint; `None` = off.
    pub metrics: Option<SocketAddr>,
    /// Whether series per viewer are exported.
    pub per_viewer_metrics: bool,
    /// Whether there is to be a live dashboard, if the terminal is fit for one.
    pub dashboard: bool,
    /// The reports to write.
    pub reports: Vec<(Format, PathBuf)>,
    /// The log of exchanges.
    pub exchange_log: Option<PathBuf>,
    /// Who starts the shards together and takes their reports.
    pub collector: Option<Url>,
}

/// Resolves what was typed about results.
pub(crate) fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<Results, Failure> {
    Ok(Results {
        metrics: metrics(args.metrics.as_deref(), environment.metrics_port.as_deref())?,
        per_viewer_metrics: yes(args.prom_client_metrics),
        dashboard: args.tui.unwrap_or(true),
        reports: Format::of_all(&args.reports)?,
        exchange_log: args.exchange_log.clone(),
        collector: args.collector.as_deref().map(collector).transpose()?,
    })
}

fn collector(typed: &str) -> Result<Url, Failure> {
    let url = Url::parse(typed).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::usage(format!("--collector {typed:?} is no address"))
            .help("pass the URL of `hls-swarm collect`, for example http://collector:17092")
    })
}

fn metrics(typed: Option<&str>, port: Option<&str>) -> Result<Option<SocketAddr>, Failure> {
    let everywhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let number = |name: &str, text: &str| {
        text.parse::<u16>().map_err(|_| {
            Failure::usage(format!("{name} {text:?} is no port")).help("pass a number from 0 to 65535")
        })
    };
    match (typed, port) {
        (Some("off"), _) => Ok(None),
        (None, None | Some("")) => Ok(Some(everywhere(METRICS_PORT))),
        (None, Some(port)) => Ok(Some(everywhere(number("METRICS_PORT", port)?))),
        // Go listens on ":17091"; a bare number is the same.
        (Some(text), _) => match text.strip_prefix(':').unwrap_or(text) {
            digits if digits.chars().all(|c| c.is_ascii_digit()) => {
                Ok(Some(everywhere(number("--metrics", digits)?)))
            }
            address => address.parse().map(Some).map_err(|_| {
                Failure::usage(format!("--metrics {text:?} is no address"))
                    .help("pass ADDRESS:PORT, for example 127.0.0.1:17091, or off")
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_endpoint_in_every_notation() {
        for (typed, port, expected) in [
            (Some("off"), None, None),
            (Some(":9000"), None, Some("0.0.0.0:9000")),
            (Some("9000"), Some("1"), Some("0.0.0.0:9000")),
            (Some("127.0.0.1:0"), None, Some("127.0.0.1:0")),
            (Some("[::1]:9000"), None, Some("[::1]:9000")),
            (None, Some("9001"), Some("0.0.0.0:9001")),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(metrics(typed, port).unwrap(), expected, "{typed:?} {port:?}");
        }
    }
}
