//! What is asked of the origin's exporters, from what was typed.

use std::time::Duration;

use url::{Host, Url};

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;

use crate::cli::run::SwarmArgs;

/// Port of a node exporter.
const NODE_PORT: u16 = 9100;
/// Port of an nginx exporter.
const NGINX_PORT: u16 = 9113;
/// Port of `hls-origin`, for the list of segment sizes.
const ORIGIN_PORT: u16 = 17_080;
/// Exporters are not asked more often than this.
const SHORTEST: Duration = Duration::from_millis(100);
/// Longest window of percentiles.
const LONGEST: Duration = Duration::from_secs(300);

/// What is asked, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct OriginMetrics {
    /// Node exporter of the origin.
    pub node: Option<Url>,
    /// Nginx exporter of the origin.
    pub nginx: Option<Url>,
    /// Time between two looks.
    pub interval: Duration,
    /// What percentiles cover.
    pub window: Duration,
    /// The list of segment sizes.
    pub sizes: Option<Sizes>,
    /// Segments whose size is remembered.
    pub segments_kept: usize,
}

/// Where segment sizes are published, and how often they are fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// The list.
    pub url: Url,
    /// Time between two fetches.
    pub interval: Duration,
    /// Random time that is added to each.
    pub jitter: Duration,
    /// Whether the stream's own server answers them, and so counts them among its requests.
    pub beside_stream: bool,
}

impl OriginMetrics {
    /// Whether the list of segment sizes is among the requests that the stream's own server counts.
    #[must_use]
    pub fn sizes_counted(&self) -> bool {
        self.sizes.as_ref().is_some_and(|sizes| sizes.beside_stream)
    }

    /// Whether anybody is asked at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.node.is_some() || self.nginx.is_some() || self.sizes.is_some()
    }
}

/// Resolves what was typed about the origin. `stream` is what viewers play.
pub(crate) fn resolve(args: &SwarmArgs, stream: &Url) -> Result<OriginMetrics, Failure> {
    let host = args.origin_metrics_host.as_deref();
    let on_host = |port: u16, path: &str| -> Result<Option<Url>, Failure> {
        host.map(|host| at_host(host, port, path)).transpose()
    };
    let given = |flag: &str, typed: &Option<String>, otherwise: Result<Option<Url>, Failure>| match typed {
        Some(text) if text == "off" => Ok(None),
        Some(text) => address(flag, text).map(Some),
        None => otherwise,
    };
    let node_port = args.origin_metrics_node_port.unwrap_or(NODE_PORT);
    let nginx_port = args.origin_metrics_nginx_port.unwrap_or(NGINX_PORT);
    let same_host = host.is_some() && stream.host_str() == host;
    let files_port = if same_host { stream.port_or_known_default() } else { None }.unwrap_or(ORIGIN_PORT);
    let interval = time("--origin-metrics-interval", args.origin_metrics_interval, Duration::from_secs(2))?;
    let window = args.origin_metrics_window.map_or(Duration::from_secs(30), |window| window.0);
    if window < interval || window > LONGEST {
        return Err(Failure::usage(format!("--origin-metrics-window {window:?}: out of range"))
            .help(format!("pass a duration from the interval ({interval:?}) to {LONGEST:?}")));
    }
    let sizes = given("--segment-sizes-url", &args.segment_sizes_url, on_host(files_port, "/files/json/"))?;
    let sizes_interval =
        time("--segment-sizes-interval", args.segment_sizes_interval, Duration::from_secs(1))?;
    let segments_kept = args.segment_cache_window.unwrap_or(300);
    if segments_kept == 0 {
        return Err(Failure::usage("--segment-cache-window 0: no size could ever be remembered")
            .help("pass a number of segments, or --segment-sizes-url off"));
    }
    Ok(OriginMetrics {
        node: given("--origin-metrics", &args.origin_metrics, on_host(node_port, "/metrics"))?,
        nginx: given("--nginx-metrics", &args.nginx_metrics, on_host(nginx_port, "/metrics"))?,
        interval,
        window,
        sizes: sizes.map(|url| Sizes {
            beside_stream: (url.host(), url.port_or_known_default())
                == (stream.host(), stream.port_or_known_default()),
            url,
            interval: sizes_interval,
            jitter: args.segment_sizes_jitter.map_or(Duration::from_millis(500), |jitter| jitter.0),
        }),
        segments_kept: segments_kept as usize,
    })
}

fn time(flag: &str, typed: Option<GoDuration>, otherwise: Duration) -> Result<Duration, Failure> {
    let time = typed.map_or(otherwise, |typed| typed.0);
    if time < SHORTEST {
        return Err(Failure::usage(format!("{flag} {time:?}: asking so often is load of its own"))
            .help(format!("pass at least {SHORTEST:?}")));
    }
    Ok(time)
}

fn at_host(host: &str, port: u16, path: &str) -> Result<Url, Failure> {
    let wrong = || {
        Failure::usage(format!("--origin-metrics-host {host:?} is no host"))
            .help("pass a name or an address alone, for example 10.177.0.10; ports have flags of their own")
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
        Failure::usage(format!("{flag} {text:?} is no address"))
            .help("pass an http:// or https:// URL, for example http://10.177.0.10:9100/metrics, or off")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(change: impl FnOnce(&mut SwarmArgs)) -> Result<OriginMetrics, Failure> {
        let mut args = SwarmArgs::default();
        change(&mut args);
        resolve(&args, &Url::parse("http://origin.test:8080/live/a.m3u8").unwrap())
    }

    fn urls(watch: &OriginMetrics) -> [Option<&str>; 3] {
        let sizes = watch.sizes.as_ref().map(|sizes| &sizes.url);
        [watch.node.as_ref(), watch.nginx.as_ref(), sizes].map(|url| url.map(Url::as_str))
    }

    #[test]
    fn nobody_is_asked_unless_told() {
        let watch = watch(|_| {}).unwrap();
        assert!(!watch.is_on());
        assert_eq!((watch.interval, watch.window), (Duration::from_secs(2), Duration::from_secs(30)));
    }

    #[test]
    fn a_host_names_all_three_and_each_can_be_told_apart() {
        let same = watch(|a| a.origin_metrics_host = Some("origin.test".into())).unwrap();
        assert_eq!(
            urls(&same),
            [
                Some("http://origin.test:9100/metrics"),
                Some("http://origin.test:9113/metrics"),
                Some("http://origin.test:8080/files/json/")
            ]
        );
        let other = watch(|a| {
            a.origin_metrics_host = Some("::1".into());
            a.origin_metrics_node_port = Some(17_100);
            a.nginx_metrics = Some("off".into());
        });
        assert_eq!(
            urls(&other.unwrap()),
            [Some("http://[::1]:17100/metrics"), None, Some("http://[::1]:17080/files/json/")]
        );
    }

    #[test]
    fn wrong_values_are_named_with_help() {
        type Change = fn(&mut SwarmArgs);
        let cases: [(Change, &str); 6] = [
            (|a| a.origin_metrics_host = Some("http://a".into()), "--origin-metrics-host"),
            (|a| a.origin_metrics = Some("localhost:9100".into()), "--origin-metrics \"localhost:9100\""),
            (|a| a.nginx_metrics = Some("ftp://a/".into()), "--nginx-metrics"),
            (
                |a| a.origin_metrics_window = Some(GoDuration(Duration::from_secs(301))),
                "--origin-metrics-window",
            ),
            (|a| a.segment_sizes_interval = Some(GoDuration(Duration::ZERO)), "--segment-sizes-interval"),
            (|a| a.segment_cache_window = Some(0), "--segment-cache-window 0"),
        ];
        for (change, said) in cases {
            let failure = watch(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().is_some(), "{failure}");
        }
    }
}
