//! What a run means, resolved once from what was typed: flag, then environment (clap reads both),
//! then profile (laid underneath by [`super::profile`]), then default. Everything after this file
//! works from the plan alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::ramp::Ramp;
use super::threshold::Threshold;
use crate::words::cli::swarm::{ProbeMode, SwarmArgs, Variant};
use crate::words::failure::Failure;
use crate::words::report::Format;

/// Default port of the Prometheus endpoint.
pub const METRICS_PORT: u16 = 17_091;
/// Beyond this no single machine is a load generator; the check exists to catch typing errors.
pub const MOST_CLIENTS: u32 = 10_000_000;

/// Length of the run that `--check` makes.
const CHECK: Duration = Duration::from_secs(10);

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The stream.
    pub stream: Stream,
    /// How viewers arrive.
    pub ramp: Ramp,
    /// Length, ramp included; `None` = until stopped.
    pub duration: Option<Duration>,
    /// Seed of all random choices, if one was given.
    pub seed: Option<u64>,
    /// The viewers.
    pub viewers: Viewers,
    /// Whether failed preflight checks are only reported.
    pub skip_preflight: bool,
    /// Criteria of the verdict beside the built-in ones.
    pub thresholds: Vec<Threshold>,
    /// Where results go.
    pub results: Results,
}

/// What is played, and how it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The playlist.
    pub url: Url,
    /// Which variants of a master playlist.
    pub variant: Variant,
    /// Extra request headers, name and value.
    pub headers: Vec<(String, String)>,
    /// User agent; viewer k adds `/client-k`.
    pub user_agent: String,
    /// Network time-out of a viewer.
    pub timeout: Duration,
    /// Longest delay between FFmpeg's attempts to open the stream; `None` = one attempt.
    pub reconnect_delay: Option<Duration>,
    /// How often FFmpeg tries a segment again.
    pub segment_retries: u32,
    /// Expected segment duration, until a playlist tells.
    pub target_duration: Duration,
    /// Whether a VOD stream is played at real time.
    pub paced: bool,
    /// Whether TLS certificates are verified.
    pub verify_tls: bool,
    /// Authorities to trust instead of the system's (SSL_CERT_FILE).
    pub ca_file: Option<PathBuf>,
}

impl Stream {
    /// The `User-Agent` of a viewer; a server's log tells viewers apart by it.
    #[must_use]
    pub fn user_agent_of(&self, viewer: u32) -> String {
        format!("{}/client-{viewer}", self.user_agent)
    }

    /// The `User-Agent` of what looks at the stream before viewers do; a server's log must be able to
    /// tell it from them.
    #[must_use]
    pub fn preflight_user_agent(&self) -> String {
        format!("{}/preflight", self.user_agent)
    }
}

/// How viewers live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewers {
    /// The FFmpeg binary.
    pub ffmpeg: PathBuf,
    /// Where requests and bytes are to come from.
    pub probe: ProbeMode,
    /// Whether a stalled viewer is stopped and started.
    pub restart_on_stall: bool,
    /// Restarts per viewer; `None` = unlimited.
    pub max_restarts: Option<u32>,
    /// Extra FFmpeg arguments before `-i`.
    pub extra_arguments: Vec<String>,
}

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
}

/// Variables of the environment that clap does not read, because they are no flags.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// METRICS_PORT: the port of the Prometheus endpoint.
    pub metrics_port: Option<String>,
    /// SSL_CERT_FILE: the authorities that OpenSSL and rustls trust; FFmpeg has to be told.
    pub ssl_cert_file: Option<PathBuf>,
}

/// Resolves what was typed.
///
/// # Errors
/// A usage failure that names the flag, the value and the cure.
pub fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<Plan, Failure> {
    let check = yes(args.check);
    let clients = if check { 1 } else { args.clients.unwrap_or(10) };
    if clients == 0 || clients > MOST_CLIENTS {
        return Err(Failure::usage(format!("--clients {clients}: the number of viewers is out of range"))
            .cure(format!("pass a number from 1 to {MOST_CLIENTS}")));
    }
    let per_second = args.ramp_rate.unwrap_or(5.0);
    if !(per_second.is_finite() && (0.001..=100_000.0).contains(&per_second)) {
        return Err(Failure::usage(format!("--ramp-rate {per_second}: not a rate that can be kept"))
            .cure("pass viewers per second, from 0.001 to 100000"));
    }
    if yes(args.insecure) && !yes(args.dangerous) {
        return Err(Failure::usage("--insecure turns TLS verification off")
            .cure("add --dangerous if that is meant, or trust the certificate's authority (SSL_CERT_FILE)"));
    }
    let target_duration = args.target_duration.map_or(Duration::from_secs(6), |duration| duration.0);
    if target_duration.is_zero() {
        return Err(Failure::usage("--target-duration 0s: segments have a length")
            .cure("pass the expected segment duration, for example 6s"));
    }
    let timeout = args.timeout.map_or(Duration::from_secs(15), |duration| duration.0);
    if timeout < Duration::from_millis(100) {
        return Err(Failure::usage(format!("--timeout {timeout:?}: too short for any network"))
            .cure("pass at least 100ms"));
    }
    let reconnect_delay = Duration::from_secs(u64::from(args.reconnect_delay.unwrap_or(5)));
    Ok(Plan {
        stream: Stream {
            url: address(args.url.as_deref())?,
            variant: args.variant.unwrap_or_default(),
            headers: headers(&args.headers, yes(args.no_cache))?,
            user_agent: user_agent(args.user_agent.as_deref())?,
            timeout,
            reconnect_delay: args.reconnect.unwrap_or(true).then_some(reconnect_delay),
            segment_retries: args.seg_retry.unwrap_or(3),
            target_duration,
            paced: !yes(args.unpaced),
            verify_tls: !yes(args.insecure),
            ca_file: environment.ssl_cert_file.clone(),
        },
        ramp: Ramp {
            clients,
            per_second,
            jitter: args.ramp_jitter.map_or(Duration::from_millis(200), |duration| duration.0),
        },
        duration: if check {
            Some(CHECK)
        } else {
            args.duration.map(|duration| duration.0).filter(|duration| !duration.is_zero())
        },
        seed: args.seed,
        viewers: Viewers {
            ffmpeg: args.ffmpeg.clone().unwrap_or_else(|| PathBuf::from("ffmpeg")),
            probe: args.probe.unwrap_or_default(),
            restart_on_stall: yes(args.restart_on_stall),
            max_restarts: args.max_restarts.filter(|limit| *limit > 0),
            extra_arguments: args.ffmpeg_args.clone(),
        },
        thresholds: thresholds(&args.thresholds)?,
        skip_preflight: yes(args.skip_preflight),
        results: Results {
            metrics: metrics(args.metrics.as_deref(), environment.metrics_port.as_deref())?,
            per_viewer_metrics: yes(args.prom_client_metrics),
            dashboard: args.tui.unwrap_or(true),
            reports: Format::of_all(&args.reports)?,
            exchange_log: args.exchange_log.clone(),
        },
    })
}

/// A switch that was not given is off.
fn yes(switch: Option<bool>) -> bool {
    switch.unwrap_or(false)
}

fn address(typed: Option<&str>) -> Result<Url, Failure> {
    let typed = typed.ok_or_else(|| {
        Failure::usage("no stream was named")
            .cure("pass the URL of a playlist, for example hls-swarm http://127.0.0.1:17080/stream.m3u8")
    })?;
    let wrong = |why: String| {
        Failure::usage(format!("{typed:?} is no address of a stream: {why}"))
            .cure("pass an http:// or https:// URL of a playlist")
    };
    let url = Url::parse(typed).map_err(|error| wrong(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        scheme => Err(wrong(format!("{scheme}:// is not played"))),
    }
}

fn headers(typed: &[String], no_cache: bool) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::new();
    if no_cache {
        headers.push(("Cache-Control".to_owned(), "no-cache, no-store, must-revalidate".to_owned()));
        headers.push(("Pragma".to_owned(), "no-cache".to_owned()));
    }
    for text in typed {
        let wrong = |why: &str| {
            Failure::usage(format!("--header {text:?}: {why}")).cure("write it as \"Name: value\"")
        };
        let (name, value) = text.split_once(':').ok_or_else(|| wrong("there is no colon"))?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            return Err(wrong("the name is not a header name"));
        }
        if value.chars().any(char::is_control) {
            return Err(wrong("the value holds a control character"));
        }
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(headers)
}

fn thresholds(typed: &[String]) -> Result<Vec<Threshold>, Failure> {
    let read = |text: &String| {
        text.parse().map_err(|error| {
            Failure::usage(format!("--threshold {text:?} is no threshold"))
                .because(error)
                .cure("write it like segment_ttfb:p95<500ms, error_rate<0.1% or active_ratio>=1")
        })
    };
    typed.iter().map(read).collect()
}

fn user_agent(typed: Option<&str>) -> Result<String, Failure> {
    let agent = typed.unwrap_or(concat!("hls-swarm/", env!("CARGO_PKG_VERSION")));
    if agent.is_empty() || agent.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--user-agent {agent:?}: empty, or holds a control character"))
            .cure("pass printable text"));
    }
    Ok(agent.to_owned())
}

fn metrics(typed: Option<&str>, port: Option<&str>) -> Result<Option<SocketAddr>, Failure> {
    let everywhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let number = |name: &str, text: &str| {
        text.parse::<u16>().map_err(|_| {
            Failure::usage(format!("{name} {text:?} is no port")).cure("pass a number from 0 to 65535")
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
                    .cure("pass ADDRESS:PORT, for example 127.0.0.1:17091, or off")
            }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(change: impl FnOnce(&mut SwarmArgs)) -> Result<Plan, Failure> {
        let mut args = SwarmArgs { url: Some("http://127.0.0.1/a.m3u8".into()), ..SwarmArgs::default() };
        change(&mut args);
        resolve(&args, &Environment::default())
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let plan = plan(|_| {}).unwrap();
        assert_eq!((plan.ramp.clients, plan.ramp.per_second), (10, 5.0));
        assert_eq!(plan.ramp.jitter, Duration::from_millis(200));
        assert_eq!(plan.duration, None);
        assert_eq!(plan.stream.timeout, Duration::from_secs(15));
        assert_eq!(plan.stream.reconnect_delay, Some(Duration::from_secs(5)));
        assert_eq!(plan.stream.segment_retries, 3);
        assert_eq!(plan.stream.target_duration, Duration::from_secs(6));
        assert_eq!(plan.results.metrics, Some("0.0.0.0:17091".parse().unwrap()));
        assert_eq!(plan.viewers.max_restarts, None);
        assert!(plan.results.dashboard);
        assert!(plan.stream.verify_tls && plan.stream.paced);
    }

    #[test]
    fn wrong_values_are_named_with_a_cure() {
        type Change = fn(&mut SwarmArgs);
        let cases: [(Change, &str); 12] = [
            (|a| a.url = None, "no stream was named"),
            (|a| a.url = Some("stream.m3u8".into()), "stream.m3u8"),
            (|a| a.url = Some("rtmp://host/x".into()), "rtmp:// is not played"),
            (|a| a.clients = Some(0), "--clients 0"),
            (|a| a.clients = Some(u32::MAX), "--clients 4294967295"),
            (|a| a.ramp_rate = Some(0.0), "--ramp-rate 0"),
            (|a| a.ramp_rate = Some(f64::NAN), "--ramp-rate NaN"),
            (|a| a.headers = vec!["X-Token".into()], "there is no colon"),
            (|a| a.headers = vec!["X: a\r\nHost: b".into()], "control character"),
            (|a| a.metrics = Some("localhost".into()), "--metrics \"localhost\""),
            (|a| a.metrics = Some("99999".into()), "--metrics \"99999\" is no port"),
            (|a| a.insecure = Some(true), "--insecure"),
        ];
        for (change, said) in cases {
            let failure = plan(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.cure_text().is_some(), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }

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
