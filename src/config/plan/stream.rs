//! What is played, and how it is asked for, from what was typed.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_base::weighted::{MAX_WEIGHT, WeightedSet};

use super::{Environment, yes};
use crate::cli::load::StreamArg;
use crate::cli::run::{ProbeFailurePolicy, SwarmArgs, VariantSelection};
use crate::network::{self, Rule};

/// What is played, and how it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The playlist.
    pub url: Url,
    /// Which variants of a master playlist.
    pub variant: VariantSelection,
    /// What happens where there is no such variant.
    pub no_variant: ProbeFailurePolicy,
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
    /// Names that lead to other addresses.
    pub resolve: Vec<Rule>,
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

/// Resolves what was typed about the streams.
pub(crate) fn resolve(
    args: &SwarmArgs,
    environment: &Environment,
    secrets: &mut Secrets,
) -> Result<WeightedSet<Stream>, Failure> {
    let typed = named(args)?;
    let first = address(&typed.first().url, secrets)?;
    let common = common(args, environment, first, secrets)?;
    let streams: Result<Vec<(Stream, u32)>, Failure> = typed
        .iter()
        .map(|typed| {
            let weight = typed.weight.unwrap_or(1);
            if !(1..=MAX_WEIGHT).contains(&weight) {
                return Err(Failure::usage(format!(
                    "--stream {weight}:{}: the weight is out of range",
                    typed.url
                ))
                .help(format!("pass a weight from 1 to {MAX_WEIGHT}")));
            }
            let variant = typed.variant.unwrap_or(common.variant);
            Ok((Stream { url: address(&typed.url, secrets)?, variant, ..common.clone() }, weight))
        })
        .collect();
    let streams = WeightedSet::weighted(streams?).unwrap_or_else(|| WeightedSet::one(common));
    let host = |stream: &Stream| stream.url.host_str().unwrap_or_default().to_ascii_lowercase();
    let mut hosts: Vec<String> = streams.iter().map(host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let resolve = network::rules(&args.resolve, &hosts)?;
    network::check_room(&resolve)?;
    Ok(streams.map(|stream| Stream { resolve: resolve.clone(), ..stream.clone() }))
}

/// The streams that were named, as a list and as the one URL.
fn named(args: &SwarmArgs) -> Result<WeightedSet<StreamArg>, Failure> {
    let one = args.url.as_ref().map(|url| StreamArg { url: url.clone(), weight: None, variant: None });
    match (one, args.streams.as_slice()) {
        (Some(one), []) => Ok(WeightedSet::one(one)),
        (Some(one), _) => Err(Failure::usage(format!("{}: a URL beside --stream", one.url))
            .help("name each stream with --stream, or only the one URL (STREAM_URL counts as one)")),
        (None, streams) => {
            let streams = streams.iter().map(|stream| (stream.clone(), 1)).collect();
            WeightedSet::weighted(streams).ok_or_else(|| {
                Failure::usage("no stream was named").help(
                    "pass the URL of a playlist, for example hls-swarm http://127.0.0.1:17080/stream.m3u8",
                )
            })
        }
    }
}

/// Everything but the address of a stream that it does not share with others.
fn common(
    args: &SwarmArgs,
    environment: &Environment,
    url: Url,
    secrets: &mut Secrets,
) -> Result<Stream, Failure> {
    if yes(args.insecure) && !yes(args.dangerous) {
        return Err(Failure::usage("--insecure turns TLS verification off")
            .help("add --dangerous if that is meant, or trust the certificate's authority (SSL_CERT_FILE)"));
    }
    let target_duration = args.target_duration.map_or(Duration::from_secs(6), |duration| duration.0);
    if target_duration.is_zero() {
        return Err(Failure::usage("--target-duration 0s: segments have a length")
            .help("pass the expected segment duration, for example 6s"));
    }
    let timeout = args.timeout.map_or(Duration::from_secs(15), |duration| duration.0);
    if timeout < Duration::from_millis(100) {
        return Err(Failure::usage(format!("--timeout {timeout:?}: too short for any network"))
            .help("pass at least 100ms"));
    }
    let reconnect_delay = Duration::from_secs(u64::from(args.reconnect_delay.unwrap_or(5)));
    Ok(Stream {
        url,
        variant: args.variant.unwrap_or_default(),
        no_variant: args.probe_failure_policy.unwrap_or_default(),
        headers: headers(args, environment, secrets)?,
        user_agent: user_agent(args.user_agent.as_deref())?,
        timeout,
        reconnect_delay: args.reconnect.unwrap_or(true).then_some(reconnect_delay),
        segment_retries: args.seg_retry.unwrap_or(3),
        target_duration,
        paced: !yes(args.unpaced),
        verify_tls: !yes(args.insecure),
        ca_file: environment.ssl_cert_file.clone(),
        resolve: Vec::new(),
    })
}

fn address(typed: &str, secrets: &mut Secrets) -> Result<Url, Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("{typed:?} is no address of a stream: {why}"))
            .help("pass an http:// or https:// URL of a playlist")
    };
    let url = Url::parse(&secrets.expand(typed)?).map_err(|error| wrong(error.to_string()))?;
    secrets.hide_address(&url);
    match url.scheme() {
        "http" | "https" if url.host().is_some() => Ok(url),
        scheme => Err(wrong(format!("{scheme}:// is not played"))),
    }
}

fn headers(
    args: &SwarmArgs,
    environment: &Environment,
    secrets: &mut Secrets,
) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::new();
    if yes(args.no_cache) {
        headers.push(("Cache-Control".to_owned(), "no-cache, no-store, must-revalidate".to_owned()));
        headers.push(("Pragma".to_owned(), "no-cache".to_owned()));
    }
    let typed = args.headers.iter().map(|text| (format!("--header {text:?}"), text, false));
    // What is secret is not repeated.
    let secret = (1..)
        .zip(&environment.secret_headers)
        .map(|(n, text)| (format!("--header-file, header {n}"), text, true));
    for (place, text, secret) in typed.chain(secret) {
        let wrong = |why: &str| Failure::usage(format!("{place}: {why}")).help("write it as \"Name: value\"");
        let (name, value) = text.split_once(':').ok_or_else(|| wrong("there is no colon"))?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            return Err(wrong("the name is not a header name"));
        }
        if value.chars().any(char::is_control) {
            return Err(wrong("the value holds a control character"));
        }
        let value = value.trim();
        let value = if secret {
            secrets.hide_read(value);
            value.to_owned()
        } else {
            secrets.expand(value)?
        };
        secrets.hide_header(name, &value);
        headers.push((name.to_owned(), value));
    }
    Ok(headers)
}

fn user_agent(typed: Option<&str>) -> Result<String, Failure> {
    let agent = typed.unwrap_or(concat!("hls-swarm/", env!("CARGO_PKG_VERSION")));
    if agent.is_empty() || agent.chars().any(char::is_control) {
        return Err(Failure::usage(format!("--user-agent {agent:?}: empty, or holds a control character"))
            .help("pass printable text"));
    }
    Ok(agent.to_owned())
}
