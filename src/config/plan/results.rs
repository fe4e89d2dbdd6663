//! The outputs of a run.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::without_secrets;
use hls_swarm_model::report::Format;

use hls_swarm_model::run::Setup;

use super::{Environment, setup};
use crate::cli::run::RunArgs;
use crate::output::live_page::Audience;
use crate::output::otlp::Receiver;

/// The outputs of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// Address of the Prometheus endpoint; `None` = off.
    pub metrics: Option<SocketAddr>,
    /// Who may open the live page.
    pub live_page: Audience,
    /// How the run was set up, for its reports.
    pub setup: Setup,
    /// Whether series per viewer are exported.
    pub per_viewer_metrics: bool,
    /// Whether to show a live dashboard, if the terminal supports it.
    pub dashboard: bool,
    /// The reports to write.
    pub reports: Vec<(Format, PathBuf)>,
    /// Whether the summary ends with the next step.
    pub next_step: bool,
    /// Where metrics are pushed to.
    pub otlp: Option<Receiver>,
    /// The file of the final metrics.
    pub openmetrics: Option<PathBuf>,
    /// The exchange log.
    pub exchange_log: Option<PathBuf>,
    /// The collector, which starts the shards together and takes their reports.
    pub collector: Option<Url>,
    /// The token that the collector wants.
    pub collector_token: Option<String>,
}

/// Resolves the flags of results.
pub(crate) fn resolve(args: &RunArgs, environment: &Environment) -> Result<Results, Failure> {
    Ok(Results {
        metrics: metrics(&args.results.metrics)?,
        live_page: Audience::of(&args.results.live_page)?,
        setup: setup::of(args, &environment.command_line),
        per_viewer_metrics: args.results.prom_client_metrics,
        dashboard: args.results.tui,
        reports: Format::of_all(&args.results.reports)?,
        next_step: true,
        otlp: match &args.results.otlp {
            Some(typed) => Some(Receiver::parse(typed, environment.otlp_headers.as_deref())?),
            None => None,
        },
        openmetrics: args.results.openmetrics.clone(),
        exchange_log: args.results.exchange_log.clone(),
        collector: args.results.collector.as_deref().map(collector).transpose()?,
        collector_token: environment.collector_token.clone(),
    })
}

fn collector(typed: &str) -> Result<Url, Failure> {
    let url = Url::parse(typed).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::usage(format!("invalid value {:?} for --collector", without_secrets(typed)))
            .help("pass the URL of `hls-swarm collect`, for example http://collector:17092")
    })
}

fn metrics(text: &str) -> Result<Option<SocketAddr>, Failure> {
    if text == "off" {
        return Ok(None);
    }
    // A bare number means the same as ":17091", which Go programs accept.
    let digits = text.strip_prefix(':').unwrap_or(text);
    let parsed = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
    } else {
        text.parse().ok()
    };
    parsed.map(Some).ok_or_else(|| {
        Failure::usage(format!("invalid value {text:?} for --metrics"))
            .help("pass ADDRESS:PORT, for example 127.0.0.1:17091, a port from 0 to 65535, or off")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_the_metrics_address_is_parsed() {
        for (text, expected) in [
            ("off", None),
            (":9000", Some("0.0.0.0:9000")),
            ("9000", Some("0.0.0.0:9000")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("[::1]:9000", Some("[::1]:9000")),
        ] {
            assert_eq!(metrics(text).unwrap(), expected.map(|text| text.parse().unwrap()), "{text:?}");
        }
        for wrong in ["", "localhost", "99999", "::1"] {
            assert!(metrics(wrong).is_err(), "{wrong}");
        }
    }
}
