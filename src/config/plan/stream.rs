//! The streams that viewers play, and how they are requested.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::{Secrets, is_secret_header, references, without_secrets};
use hls_swarm_base::weighted::{MAX_WEIGHT, WeightedSet};
use hls_swarm_client::credentials;
use hls_swarm_hls::selection;
use hls_swarm_http::header_policy::HeaderPolicy;

use super::Environment;
use crate::cli::load::StreamArg;
use crate::cli::run::{ProbeFailurePolicy, RunArgs, VariantSelection};
use crate::network::{self, Rule};

/// A stream, and how it is requested.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// The playlist.
    pub url: Url,
    /// The same as text, as it was given: see [`hls_swarm_hls::selection::Selection::address`].
    pub address: String,
    /// The variants of a multivariant playlist that are played.
    pub variant: VariantSelection,
    /// What happens if there is no such variant.
    pub no_variant: ProbeFailurePolicy,
    /// Extra request headers, name and value.
    pub headers: Vec<(String, String)>,
    /// Which hosts may receive those of the headers that are secret.
    pub header_policy: HeaderPolicy,
    /// User agent; viewer k adds `/client-k`.
    pub user_agent: String,
    /// Network timeout of a viewer.
    pub timeout: Duration,
    /// Longest delay between FFmpeg's attempts to open the stream; `None` = one attempt.
    pub reconnect_delay: Option<Duration>,
    /// How often FFmpeg retries a segment.
    pub segment_retries: u32,
    /// Expected segment duration, until a playlist is known.
    pub target_duration: Duration,
    /// Whether a VOD stream is played at real time.
    pub paced: bool,
    /// Whether TLS certificates are verified.
    pub verify_tls: bool,
    /// Authorities to trust instead of the system's (SSL_CERT_FILE).
    pub ca_file: Option<PathBuf>,
    /// Rules that override the addresses of names.
    pub resolve: Vec<Rule>,
}

impl Stream {
    /// The `User-Agent` of a viewer; it identifies the viewer in a server's log.
    #[must_use]
    pub fn user_agent_of(&self, viewer: u32) -> String {
        format!("{}/client-{viewer}", self.user_agent)
    }

    /// The `User-Agent` of the stream check; it differs from those of viewers, so that it can be identified in a server's
    /// log.
    #[must_use]
    pub fn preflight_user_agent(&self) -> String {
        format!("{}/preflight", self.user_agent)
    }
}

/// Resolves the flags of the streams.
pub(crate) fn resolve(
    args: &RunArgs,
    environment: &Environment,
    secrets: &mut Secrets,
) -> Result<WeightedSet<Stream>, Failure> {
    let named = named(args)?;
    let first = addressed(&named.first().url, secrets)?;
    let common = common(args, environment, first, secrets)?;
    let streams: Result<Vec<(Stream, u32)>, Failure> = named
        .iter()
        .map(|named| {
            let weight = named.weight.unwrap_or(1);
            if !(1..=MAX_WEIGHT).contains(&weight) {
                let shown = format!("{weight}:{}", without_secrets(&named.url));
                return Err(Failure::usage(format!(
                    "invalid value {shown:?} for --stream: the weight is out of range"
                ))
                .help(format!("pass a weight from 1 to {MAX_WEIGHT}")));
            }
            let variant = named.variant.unwrap_or(common.variant);
            let (url, address) = addressed(&named.url, secrets)?;
            let mut headers = common.headers.clone();
            // FFmpeg would send them only after a 401, and again with each new connection.
            let is_set = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
            if let Some(user) = credentials(&url).filter(|_| !is_set) {
                secrets.hide_header("Authorization", &user);
                headers.push(("Authorization".to_owned(), user));
            }
            Ok((Stream { url, address, variant, headers, ..common.clone() }, weight))
        })
        .collect();
    let streams = WeightedSet::weighted(streams?).unwrap_or_else(|| WeightedSet::one(common));
    let host = |stream: &Stream| stream.url.host_str().unwrap_or_default().to_ascii_lowercase();
    let mut hosts: Vec<String> = streams.iter().map(host).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let resolve = network::rules(&args.network.resolve, &hosts)?;
    let (_, secret) = headers(args, environment, secrets)?;
    let urls = streams.iter().map(|stream| &stream.url);
    // Another player is given no headers.
    let with_headers = args.viewers.player.is_none();
    let header_policy = HeaderPolicy::new(&secret, urls, &args.stream.header_hosts, with_headers)?;
    Ok(streams.map(|stream| Stream {
        resolve: resolve.clone(),
        header_policy: header_policy.clone(),
        ..stream.clone()
    }))
}

/// Returns the streams that were named, with --stream or as the single URL.
fn named(args: &RunArgs) -> Result<WeightedSet<StreamArg>, Failure> {
    let one = args.stream.url.as_ref().map(|url| StreamArg { url: url.clone(), weight: None, variant: None });
    match (one, args.stream.streams.as_slice()) {
        (Some(one), []) => Ok(WeightedSet::one(one)),
        (Some(one), _) => {
            Err(Failure::usage(format!("{} together with --stream", without_secrets(&one.url)))
                .help("pass each stream with --stream, or a single URL (STREAM_URL is one)"))
        }
        (None, streams) => {
            let streams = streams.iter().map(|stream| (stream.clone(), 1)).collect();
            WeightedSet::weighted(streams).ok_or_else(|| {
                Failure::usage("no stream is given").help(
                    "pass the URL of a playlist, for example hls-swarm http://127.0.0.1:17080/stream.m3u8",
                )
            })
        }
    }
}

/// Resolves the settings that all streams share.
fn common(
    args: &RunArgs,
    environment: &Environment,
    (url, address): (Url, String),
    secrets: &mut Secrets,
) -> Result<Stream, Failure> {
    if args.stream.insecure && !args.stream.dangerous {
        return Err(Failure::usage("--insecure turns TLS verification off")
            .help("add --dangerous to confirm, or trust the certificate's authority (SSL_CERT_FILE)"));
    }
    let target_duration = args.stream.target_duration.0;
    if target_duration.is_zero() {
        return Err(Failure::usage("invalid value \"0s\" for --target-duration: it must be more than zero")
            .help("pass the expected segment duration, for example 6s"));
    }
    let timeout = args.stream.timeout.0;
    if timeout < Duration::from_millis(100) {
        return Err(Failure::usage(format!("invalid value \"{timeout:?}\" for --timeout: it is too short"))
            .help("pass at least 100ms"));
    }
    let reconnect_delay = Duration::from_secs(u64::from(args.stream.reconnect_delay));
    Ok(Stream {
        url,
        address,
        variant: args.stream.variant,
        no_variant: args.stream.probe_failure_policy,
        headers: headers(args, environment, secrets)?.0,
        header_policy: HeaderPolicy::default(),
        user_agent: user_agent(&args.stream.user_agent)?,
        timeout,
        reconnect_delay: args.stream.reconnect.then_some(reconnect_delay),
        segment_retries: args.stream.seg_retry,
        target_duration,
        paced: !args.stream.unpaced,
        verify_tls: !args.stream.insecure,
        ca_file: environment.ssl_cert_file.clone(),
        resolve: Vec::new(),
    })
}

/// Returns the URL that was given, and the same as text.
fn addressed(text: &str, secrets: &mut Secrets) -> Result<(Url, String), Failure> {
    let wrong = |why: String| {
        Failure::usage(format!("invalid URL {:?}: {why}", without_secrets(text)))
            .help("pass an http:// or https:// URL of a playlist")
    };
    let expanded = secrets.expand(text)?;
    if !expanded.contains("://") {
        let failure = wrong("it does not begin with http:// or https://".to_owned());
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let likely = host.contains([':', '.']) && !path.is_empty();
        return Err(if likely {
            failure.help(format!("pass http://{}", without_secrets(text)))
        } else {
            failure
        });
    }
    let url = Url::parse(&expanded).map_err(|error| wrong(error.to_string()))?;
    secrets.hide_address(&url);
    match url.scheme() {
        "http" | "https" if url.host().is_some() => {
            let address = selection::address(&url, expanded.trim());
            Ok((url, address))
        }
        scheme => Err(wrong(format!("unsupported scheme {scheme}://"))),
    }
}

/// Request headers, name and value, and the names of those that are secret.
type Headers = (Vec<(String, String)>, Vec<String>);

fn headers(args: &RunArgs, environment: &Environment, secrets: &mut Secrets) -> Result<Headers, Failure> {
    let (mut headers, mut names) = (Vec::new(), Vec::new());
    if args.stream.no_cache {
        headers.push(("Cache-Control".to_owned(), "no-cache, no-store, must-revalidate".to_owned()));
        headers.push(("Pragma".to_owned(), "no-cache".to_owned()));
    }
    let open =
        args.stream.headers.iter().map(|text| (format!("invalid value {text:?} for --header"), text, false));
    // Secrets are not printed.
    let secret = (1..)
        .zip(&environment.secret_headers)
        .map(|(n, text)| (format!("invalid header {n} in --header-file"), text, true));
    for (place, text, secret) in open.chain(secret) {
        let wrong = |why: &str| Failure::usage(format!("{place}: {why}")).help("write it as \"Name: value\"");
        let (name, value) = text.split_once(':').ok_or_else(|| wrong("it has no colon"))?;
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            return Err(wrong("the name is not valid"));
        }
        if value.chars().any(char::is_control) {
            return Err(wrong("the value has a control character"));
        }
        let value = value.trim();
        if secret || is_secret_header(name) || !references(value)?.is_empty() {
            names.push(name.to_owned());
        }
        let value = if secret {
            secrets.hide_read(value);
            value.to_owned()
        } else {
            secrets.expand(value)?
        };
        secrets.hide_header(name, &value);
        headers.push((name.to_owned(), value));
    }
    Ok((headers, names))
}

fn user_agent(agent: &str) -> Result<String, Failure> {
    if agent.is_empty() || agent.chars().any(char::is_control) {
        return Err(Failure::usage(format!(
            "invalid value {agent:?} for --user-agent: it is empty or has a control character"
        ))
        .help("pass printable text"));
    }
    Ok(agent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> (String, String) {
        let failure = addressed(url, &mut Secrets::default()).unwrap_err();
        (failure.chain(), failure.help_text().unwrap_or_default().to_owned())
    }

    #[test]
    fn the_help_for_an_address_without_a_scheme_is_the_url() {
        for (text, help) in [
            ("127.0.0.1:17080/stream.m3u8", "pass http://127.0.0.1:17080/stream.m3u8"),
            ("localhost:17080/x.m3u8?token=abcdef", "pass http://localhost:17080/x.m3u8?***"),
            ("cdn.example/live.m3u8", "pass http://cdn.example/live.m3u8"),
            ("stream.m3u8", "pass an http:// or https:// URL of a playlist"),
        ] {
            assert_eq!(refused(text).1, help);
        }
    }

    #[test]
    fn an_invalid_address_is_shown_without_its_secrets() {
        let (what, _) = refused("rtmp://me:hush@host/x?token=abcdef");
        assert_eq!(what, "invalid URL \"rtmp://***@host/x?***\": unsupported scheme rtmp://");
        let (what, _) = refused("http://[::1?token=abcdef");
        assert!(!what.contains("abcdef"), "{what}");
    }
}
