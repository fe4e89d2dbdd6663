//! Pushes the metrics of a run with OTLP over HTTP: to an OpenTelemetry collector, or to Prometheus.
//!
//! What is pushed never delays a run or changes its verdict: a receiver that does not answer costs a warning.

mod message;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::without_secrets as shown;
use hls_swarm_http::fetch;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Snapshot;

pub(crate) use message::counts;

/// Time between two pushes.
const INTERVAL: Duration = Duration::from_secs(10);
/// Longest time of a push.
const TIMEOUT: Duration = Duration::from_secs(8);
/// Where a receiver takes metrics, unless its URL has a path (OTLP 1.x, "Default Port" and "Request").
const DEFAULT_PATH: &str = "/v1/metrics";

/// Where metrics are pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    url: Url,
    headers: Vec<(String, String)>,
}

impl Receiver {
    /// Reads the URL of `--otlp`, and the headers of OTEL_EXPORTER_OTLP_HEADERS: `name=value`, separated by commas, and
    /// values percent-encoded.
    ///
    /// # Errors
    /// A usage failure that names the flag or the variable.
    pub fn parse(typed: &str, headers: Option<&str>) -> Result<Self, Failure> {
        let url = Url::parse(typed).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let mut url = url.ok_or_else(|| {
            Failure::usage(format!("invalid value {:?} for --otlp", shown(typed))).help(
                "pass the URL of a receiver, for example http://localhost:4318/v1/metrics, or \
                 http://localhost:9090/api/v1/otlp/v1/metrics for Prometheus",
            )
        })?;
        if url.path() == "/" {
            url.set_path(DEFAULT_PATH);
        }
        let pairs = headers.into_iter().flat_map(|text| text.split(',')).map(str::trim);
        let headers: Option<Vec<(String, String)>> = pairs
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=')?;
                let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
                let valid = !name.trim().is_empty() && !value.contains(char::is_control);
                valid.then(|| (name.trim().to_owned(), value.into_owned()))
            })
            .collect();
        let headers = headers.ok_or_else(|| {
            Failure::usage("OTEL_EXPORTER_OTLP_HEADERS is not a list of headers")
                .help("write it like name=value,other=value")
        })?;
        Ok(Self { url, headers })
    }

    /// Sends a message. Returns why it was not taken.
    async fn send(&self, body: Vec<u8>) -> Result<(), String> {
        let mut headers = self.headers.clone();
        headers.push(("Content-Type".to_owned(), "application/x-protobuf".to_owned()));
        let answer = fetch::exchange("POST", self.url.clone(), headers, body, TIMEOUT).await;
        match answer {
            Ok((200..=299, body)) => match ExportMetricsServiceResponse::decode(&*body) {
                Ok(ExportMetricsServiceResponse { partial_success: Some(part) })
                    if part.rejected_data_points > 0 =>
                {
                    Err(format!("it refused {} values: {}", part.rejected_data_points, part.error_message))
                }
                _ => Ok(()),
            },
            Ok((status, body)) => {
                let text = String::from_utf8_lossy(&body);
                let first: String = text.lines().next().unwrap_or_default().chars().take(200).collect();
                Err(format!("it answered with status {status} {first}").trim_end().to_owned())
            }
            Err(failure) => Err(failure.chain()),
        }
    }
}

/// The pushes of a run.
#[derive(Clone, Debug)]
pub struct Push {
    receiver: Receiver,
    run: Run,
}

impl Push {
    /// Pushes of this run.
    #[must_use]
    pub const fn new(receiver: Receiver, run: Run) -> Self {
        Self { receiver, run }
    }

    /// Pushes the newest snapshot at intervals until `stop`.
    pub async fn run(self, snapshots: watch::Receiver<Arc<Snapshot>>, stop: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let snapshot = Arc::clone(&snapshots.borrow());
            match self.push(&snapshot).await {
                Err(why) if !failed => {
                    tracing::warn!("metrics were not pushed to {}: {why}", self.name());
                    failed = true;
                }
                Ok(()) if failed => {
                    tracing::info!("metrics are pushed to {} again", self.name());
                    failed = false;
                }
                _ => {}
            }
        }
    }

    /// Pushes the figures of the end.
    pub async fn last(&self, snapshot: &Snapshot) {
        if let Err(why) = self.push(snapshot).await {
            tracing::warn!("the last metrics were not pushed to {}: {why}", self.name());
        }
    }

    async fn push(&self, snapshot: &Snapshot) -> Result<(), String> {
        self.receiver.send(message::message(snapshot, &self.run, message::Clock::now()).encode_to_vec()).await
    }

    fn name(&self) -> String {
        fetch::without_secrets(&self.receiver.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_is_a_url_and_headers() {
        let parse = |url: &str, headers: Option<&str>| Receiver::parse(url, headers);
        let receiver = parse("http://localhost:4318", Some("api-key=a%20b, x=1,")).unwrap();
        assert_eq!(receiver.url.as_str(), "http://localhost:4318/v1/metrics");
        assert_eq!(receiver.headers, [("api-key".into(), "a b".into()), ("x".into(), "1".into())]);
        let prometheus = parse("https://p/api/v1/otlp/v1/metrics", None).unwrap();
        assert_eq!(prometheus.url.path(), "/api/v1/otlp/v1/metrics");
        for (url, headers, said) in [
            ("localhost:4318", None, "--otlp"),
            ("ftp://a/b", None, "--otlp"),
            ("http://a", Some("key"), "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://a", Some("key=%0d%0aHost:b"), "OTEL_EXPORTER_OTLP_HEADERS"),
        ] {
            let failure = parse(url, headers).unwrap_err();
            assert!(failure.to_string().contains(said) && failure.help_text().is_some(), "{failure}");
        }
    }
}
