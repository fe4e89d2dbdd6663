//! The scrapes of the origin's exporters.

use std::time::Duration;

use url::{Host, Url};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::without_secrets;

use crate::cli::run::RunArgs;

/// Port of `hls-origin`, for the list of segment sizes.
const ORIGIN_PORT: u16 = 17_080;
/// Shortest interval between scrapes.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// Longest window of percentiles.
const MAX_WINDOW: Duration = Duration::from_secs(300);

/// The exporters that are scraped, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginMetrics {
    /// Node exporter of the origin.
    pub node: Option<Url>,
    /// Nginx exporter of the origin.
    pub nginx: Option<Url>,
    /// Time between two scrapes.
    pub interval: Duration,
    /// The time that percentiles cover.
    pub window: Duration,
    /// The list of segment sizes.
    pub sizes: Option<Sizes>,
    /// Number of segments whose size is remembered.
    pub segments_kept: usize,
}

/// Where segment sizes are published, and how often they are fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// The list.
    pub url: Url,
    /// Time between two fetches.
    pub interval: Duration,
    /// Maximum random delay that is added to each.
    pub jitter: Duration,
    /// Whether the stream's own server serves the list, and so counts these requests, too.
    pub beside_stream: bool,
}

impl OriginMetrics {
    /// Whether the list of segment sizes is among the requests that the stream's own server counts.
    #[must_use]
    pub fn sizes_counted(&self) -> bool {
        self.sizes.as_ref().is_some_and(|sizes| sizes.beside_stream)
    }

    /// Whether anything is scraped.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.node.is_some() || self.nginx.is_some() || self.sizes.is_some()
    }
}

/// Resolves the flags of the origin. `stream` is what viewers play.
pub(crate) fn resolve(args: &RunArgs, stream: &Url) -> Result<OriginMetrics, Failure> {
    let host = args.origin.origin_metrics_host.as_deref();
    let on_host = |port: u16, path: &str| -> Result<Option<Url>, Failure> {
        host.map(|host| at_host(host, port, path)).transpose()
    };
    let given = |flag: &str, named: &Option<String>, otherwise: Result<Option<Url>, Failure>| match named {
        Some(text) if text == "off" => Ok(None),
        Some(text) => address(flag, text).map(Some),
        None => otherwise,
    };
    let node_port = args.origin.origin_metrics_node_port;
    let nginx_port = args.origin.origin_metrics_nginx_port;
    let same_host = host.is_some() && stream.host_str() == host;
    let files_port = if same_host { stream.port_or_known_default() } else { None }.unwrap_or(ORIGIN_PORT);
    let interval = time("--origin-metrics-interval", args.origin.origin_metrics_interval)?;
    let window = args.origin.origin_metrics_window.0;
    if window < interval || window > MAX_WINDOW {
        return Err(Failure::usage(format!(
            "invalid value \"{window:?}\" for --origin-metrics-window: it is out of range"
        ))
        .help(format!("pass a duration from the interval ({interval:?}) to {MAX_WINDOW:?}")));
    }
    let sizes =
        given("--segment-sizes-url", &args.origin.segment_sizes_url, on_host(files_port, "/files/json/"))?;
    let sizes_interval = time("--segment-sizes-interval", args.origin.segment_sizes_interval)?;
    let segments_kept = args.origin.segment_cache_window;
    if segments_kept == 0 {
        return Err(Failure::usage(
            "invalid value \"0\" for --segment-cache-window: no size could be remembered",
        )
        .help("pass a number of segments, or --segment-sizes-url off"));
    }
    Ok(OriginMetrics {
        node: given("--origin-metrics", &args.origin.origin_metrics, on_host(node_port, "/metrics"))?,
        nginx: given("--nginx-metrics", &args.origin.nginx_metrics, on_host(nginx_port, "/metrics"))?,
        interval,
        window,
        sizes: sizes.map(|url| Sizes {
            beside_stream: (url.host(), url.port_or_known_default())
                == (stream.host(), stream.port_or_known_default()),
            url,
            interval: sizes_interval,
            jitter: args.origin.segment_sizes_jitter.0,
        }),
        segments_kept: segments_kept as usize,
    })
}

fn time(flag: &str, GoDuration(time): GoDuration) -> Result<Duration, Failure> {
    if time < MIN_INTERVAL {
        return Err(Failure::usage(format!(
            "invalid value \"{time:?}\" for {flag}: such frequent requests would add to the load"
        ))
        .help(format!("pass at least {MIN_INTERVAL:?}")));
    }
    Ok(time)
}

fn at_host(host: &str, port: u16, path: &str) -> Result<Url, Failure> {
    let wrong = || {
        Failure::usage(format!("invalid value {host:?} for --origin-metrics-host"))
            .help("pass only a name or an address, for example 10.177.0.10; ports have their own flags")
    };
    // An IPv6 address needs its brackets in a URL.
    let bracketed =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.into() };
    Host::parse(&bracketed).map_err(|_| wrong())?;
    Url::parse(&format!("http://{bracketed}:{port}{path}")).map_err(|_| wrong())
}

fn address(flag: &str, text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| {
        Failure::usage(format!("invalid value {:?} for {flag}", without_secrets(text)))
            .help("pass an http:// or https:// URL, for example http://10.177.0.10:9100/metrics, or off")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(change: impl FnOnce(&mut RunArgs)) -> Result<OriginMetrics, Failure> {
        let mut args = RunArgs::default();
        change(&mut args);
        resolve(&args, &Url::parse("http://origin.test:8080/live/a.m3u8").unwrap())
    }

    fn urls(watch: &OriginMetrics) -> [Option<&str>; 3] {
        let sizes = watch.sizes.as_ref().map(|sizes| &sizes.url);
        [watch.node.as_ref(), watch.nginx.as_ref(), sizes].map(|url| url.map(Url::as_str))
    }

    #[test]
    fn no_exporter_is_scraped_by_default() {
        let watch = watch(|_| {}).unwrap();
        assert!(!watch.is_on());
        assert_eq!((watch.interval, watch.window), (Duration::from_secs(2), Duration::from_secs(30)));
    }

    #[test]
    fn a_host_sets_all_three_addresses_and_each_can_be_overridden() {
        let same = watch(|a| a.origin.origin_metrics_host = Some("origin.test".into())).unwrap();
        assert_eq!(
            urls(&same),
            [
                Some("http://origin.test:9100/metrics"),
                Some("http://origin.test:9113/metrics"),
                Some("http://origin.test:8080/files/json/")
            ]
        );
        let other = watch(|a| {
            a.origin.origin_metrics_host = Some("::1".into());
            a.origin.origin_metrics_node_port = 17_100;
            a.origin.nginx_metrics = Some("off".into());
        });
        assert_eq!(
            urls(&other.unwrap()),
            [Some("http://[::1]:17100/metrics"), None, Some("http://[::1]:17080/files/json/")]
        );
    }

    #[test]
    fn an_invalid_value_is_named_with_help() {
        type Change = fn(&mut RunArgs);
        let cases: [(Change, &str); 6] = [
            (|a| a.origin.origin_metrics_host = Some("http://a".into()), "--origin-metrics-host"),
            (
                |a| a.origin.origin_metrics = Some("localhost:9100".into()),
                "\"localhost:9100\" for --origin-metrics",
            ),
            (|a| a.origin.nginx_metrics = Some("ftp://a/".into()), "--nginx-metrics"),
            (
                |a| a.origin.origin_metrics_window = GoDuration(Duration::from_secs(301)),
                "--origin-metrics-window",
            ),
            (|a| a.origin.segment_sizes_interval = GoDuration(Duration::ZERO), "--segment-sizes-interval"),
            (|a| a.origin.segment_cache_window = 0, "--segment-cache-window"),
        ];
        for (change, said) in cases {
            let failure = watch(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().is_some(), "{failure}");
        }
    }
}
