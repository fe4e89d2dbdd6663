//! The plan of a run, resolved once from its merged configuration (see [`super::layers`]). Everything after
//! this file works from the plan alone.

pub(crate) mod engine;
pub(crate) mod load;
pub(crate) mod origin_metrics;
pub(crate) mod results;
pub(crate) mod safety;
pub(crate) mod setup;
pub(crate) mod stream;
pub mod unused_options;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_client::Proxies;
use hls_swarm_http::target_policy::{Site, TargetPolicy};
use hls_swarm_model::verdict::error_rate_limit::ErrorRateLimit;
use hls_swarm_model::verdict::threshold::{InvalidThreshold, Threshold};
use hls_swarm_os::process::Confinement;
use hls_swarm_player::Preset;

use crate::cli::run::{EngineKind, ProbeMode, RunArgs};
use crate::config::presets::preset;
use crate::engine::{EngineConfig, confinement};
use crate::load::Load;
use crate::load::start_at::StartAt;
use crate::network::{self, Network};

pub use crate::config::plan::origin_metrics::{OriginMetrics, Sizes};

pub use results::Results;
pub use stream::Stream;

/// Largest number of viewers. No machine can run as many; the limit catches typing errors.
pub const MAX_CLIENTS: u32 = 10_000_000;

/// Length of the run that `--check` makes.
const CHECK: Duration = Duration::from_secs(10);

/// The plan of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The streams; they differ only in address and variant.
    pub streams: WeightedSet<Stream>,
    /// How many viewers there are, and when.
    pub load: Load,
    /// When the run starts by the wall clock; `None` = immediately.
    pub start_at: Option<StartAt>,
    /// Seed of all random choices, if one was given.
    pub seed: Option<u64>,
    /// The viewers.
    pub viewers: Viewers,
    /// Changes to the viewers' network.
    pub network: Network,
    /// The proxies that streams are requested through, by preflight and by viewers.
    pub proxies: Proxies,
    /// Secrets, which must not be shown.
    pub secrets: Secrets,
    /// The hosts that may be loaded.
    pub target_policy: TargetPolicy,
    /// Error rate that ends the run.
    pub error_rate_limit: Option<ErrorRateLimit>,
    /// Whether failed preflight checks are only reported.
    pub skip_preflight: bool,
    /// Additional criteria of the verdict.
    pub thresholds: Vec<Threshold>,
    /// The scrapes of the origin's exporters.
    pub watch: OriginMetrics,
    /// How long a threshold may fail before the run ends; `None` = forever.
    pub abort_after: Option<Duration>,
    /// The outputs.
    pub results: Results,
}

/// The configuration of viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewers {
    /// The viewer engine.
    pub engine: EngineConfig,
    /// What its processes may do.
    pub confinement: Confinement,
    /// The player whose buffer rules viewers follow.
    pub preset: Preset,
    /// Whether a stalled viewer is stopped and started.
    pub restart_on_stall: bool,
    /// Restarts per viewer; `None` = unlimited.
    pub max_restarts: Option<u32>,
}

/// The inputs of a plan apart from flags.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// SSL_CERT_FILE: the authorities that OpenSSL and rustls trust; FFmpeg needs a flag for them.
    pub ssl_cert_file: Option<PathBuf>,
    /// Text of the file in `--session file:PATH`.
    pub session_file: Option<String>,
    /// An FFmpeg built only for viewers, if one is installed.
    pub viewer_ffmpeg: Option<PathBuf>,
    /// The variables that name proxies.
    pub proxies: BTreeMap<String, String>,
    /// OTEL_EXPORTER_OTLP_HEADERS: the headers of `--otlp`.
    pub otlp_headers: Option<String>,
    /// The lines of `--header-file`.
    pub secret_headers: Vec<String>,
    /// The token of `--collector-token-file`.
    pub collector_token: Option<String>,
    /// The secrets that flags refer to.
    pub secrets: Secrets,
    /// The command line.
    pub command_line: Vec<String>,
    /// Rules of this machine and this user, with the names of their files.
    pub sites: Vec<(String, Site)>,
}

impl Plan {
    /// Whether viewers may not connect to every host.
    #[must_use]
    pub fn limits_hosts(&self) -> bool {
        let secret = self.streams.iter().any(|stream| stream.header_policy.limits_viewers());
        secret || !self.target_policy.probe_settings().is_empty()
    }
}

/// Resolves a configuration.
///
/// # Errors
/// A usage failure that names the flag and the value, and suggests a fix.
pub fn resolve(args: &RunArgs, environment: &Environment) -> Result<Plan, Failure> {
    let mut secrets = environment.secrets.clone();
    let streams = stream::resolve(args, environment, &mut secrets)?;
    let load = load::resolve(args, environment)?;
    let network = Network {
        sources: network::sources(&args.network.source_ip)?,
        caps: args.network.bandwidth_cap.as_deref().map(network::rates).transpose()?,
    };
    if let Some(flag) = network.needs_probe(&streams.first().resolve)
        && args.viewers.probe == ProbeMode::Off
        && args.viewers.engine != Some(EngineKind::Native)
    {
        return Err(Failure::usage(format!(
            "{flag} together with --probe off: it is the probe that does it"
        ))
        .help(format!("leave out --probe off or {flag}")));
    }
    let target_policy = TargetPolicy::new(
        &args.safety.allow_hosts,
        &environment.sites,
        load.own_max_viewers(),
        load.max_viewers(),
        args.action.yes,
    )?;
    network::check_room(streams.first(), &target_policy)?;
    let engine = engine::resolve(args, environment, &streams)?;
    Ok(Plan {
        target_policy,
        error_rate_limit: safety::error_rate_limit(&args.safety.error_storm)?,
        secrets,
        watch: origin_metrics::resolve(args, &streams.first().url)?,
        streams,
        load,
        start_at: load::start_at(args)?,
        seed: args.load.seed,
        viewers: Viewers {
            engine,
            confinement: confinement::resolve(&args.viewers)?,
            preset: args.viewers.preset.into(),
            restart_on_stall: args.viewers.restart_on_stall,
            max_restarts: Some(args.viewers.max_restarts).filter(|limit| *limit > 0),
        },
        network,
        proxies: engine::proxies(environment)?,
        thresholds: thresholds(&args.results.thresholds)?,
        abort_after: Some(args.results.abort_after.0).filter(|after| !after.is_zero()),
        skip_preflight: args.viewers.skip_preflight,
        results: results::resolve(args, environment)?,
    })
}

fn thresholds(typed: &[String]) -> Result<Vec<Threshold>, Failure> {
    let (mut sets, mut single) = (Vec::<Threshold>::new(), Vec::<Threshold>::new());
    for text in typed {
        if let Some(set) = preset(text.trim()) {
            sets.extend(set);
            continue;
        }
        single.push(text.parse().map_err(|error: InvalidThreshold| {
            let help = error.help().to_owned();
            Failure::usage(format!("invalid value {text:?} for --threshold")).caused_by(error).help(help)
        })?);
    }
    // A single threshold overrides those of sets on the same metric.
    sets.retain(|one| single.iter().all(|other| other.metric() != one.metric()));
    Ok(sets.into_iter().chain(single).collect())
}

#[cfg(test)]
mod tests {
    use hls_swarm_client::Http;
    use hls_swarm_player::{Algorithm, Variants};

    use super::*;
    use crate::cli::run::{AbrArg, HttpArg, VariantSelection};
    use crate::load::Shape;
    use crate::load::schedule::Schedule;

    fn plan(change: impl FnOnce(&mut RunArgs)) -> Result<Plan, Failure> {
        let mut args = RunArgs::default();
        args.stream.url = Some("http://127.0.0.1/a.m3u8".into());
        change(&mut args);
        resolve(&args, &Environment::default())
    }

    #[test]
    fn a_single_threshold_overrides_that_of_a_set() {
        let typed = ["standard", "error_rate<2%", "aws"].map(str::to_owned).to_vec();
        let thresholds = plan(|a| a.results.thresholds = typed).unwrap().thresholds;
        let about = |metric: &str| {
            let about = thresholds.iter().filter(|threshold| threshold.metric() == metric);
            about.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(about("error_rate"), ["error_rate<2%"]);
        assert_eq!(about("rebuffering"), ["rebuffering<1%"]);
        assert_eq!(thresholds.len(), 8);
    }

    #[test]
    fn some_viewers_stay_native_beside_canaries() {
        let canaries = |canaries: u32| {
            plan(|args| {
                args.viewers.engine = Some(EngineKind::Native);
                (args.load.clients, args.viewers.canaries) = (20, canaries);
            })
        };
        assert_eq!(canaries(3).unwrap().viewers.engine.last_canary(), Some(3));
        assert_eq!(canaries(0).unwrap().viewers.engine.last_canary(), None);
        let none_left = canaries(20).unwrap_err().to_string();
        assert!(none_left.contains("\"20\" for --canaries"), "{none_left}");
    }

    #[test]
    fn versions_of_http_need_native_viewers_and_https() {
        let of = |engine, url: &str| {
            plan(|args| {
                (args.viewers.engine, args.viewers.http) = (engine, HttpArg::Http2);
                args.stream.url = Some(url.into());
            })
        };
        let native = Some(EngineKind::Native);
        assert_eq!(of(native, "https://127.0.0.1/a.m3u8").unwrap().viewers.engine.http(), Http::Http2);
        for (engine, url, said) in [
            (None, "https://127.0.0.1/a.m3u8", "--http 2 without --engine native"),
            (Some(EngineKind::Ffmpeg), "https://127.0.0.1/a.m3u8", "--http 2 without --engine native"),
            (native, "http://127.0.0.1/a.m3u8", "--http 2 needs https"),
        ] {
            let failure = of(engine, url).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().unwrap().contains("leave out --http 2"));
            assert_eq!(failure.exit().code(), 2);
        }
    }

    #[test]
    fn a_variant_is_not_chosen_and_fixed_at_once() {
        let native = |change: fn(&mut RunArgs)| {
            plan(|args| {
                args.viewers.engine = Some(EngineKind::Native);
                change(args);
            })
        };
        let both = native(|args| {
            args.viewers.abr = Some(AbrArg::Bola);
            args.stream.variant = VariantSelection::Highest;
        });
        let failure = both.unwrap_err();
        assert_eq!(failure.exit().code(), 2);
        assert!(failure.to_string().contains("--variant together with --abr bola"), "{failure}");
        let variants = |plan: Result<Plan, Failure>| match plan.unwrap().viewers.engine {
            EngineConfig::Native(config) => config.variants,
            other => panic!("{other:?}"),
        };
        assert_eq!(variants(native(|_| {})), Some(Variants::Adaptive(Algorithm::HlsJs)));
        assert_eq!(variants(native(|args| args.stream.variant = VariantSelection::Lowest)), None);
        let typed = native(|args| args.given.flags = ["variant".to_owned()].into());
        assert_eq!(variants(typed), None, "--variant all downloads every variant");
    }

    #[test]
    fn defaults_are_those_of_the_specification() {
        let plan = plan(|_| {}).unwrap();
        assert_eq!(plan.load.shape, Shape::Schedule(Schedule::ramp(10, 5.0)));
        assert_eq!(plan.load.jitter, Duration::from_millis(200));
        assert_eq!(plan.load.length, None);
        assert_eq!(plan.streams.first().timeout, Duration::from_secs(15));
        assert_eq!(plan.streams.first().reconnect_delay, Some(Duration::from_secs(5)));
        assert_eq!(plan.streams.first().segment_retries, 3);
        assert_eq!(plan.streams.first().target_duration, Duration::from_secs(6));
        assert_eq!(plan.results.metrics, Some("0.0.0.0:17091".parse().unwrap()));
        assert_eq!(plan.viewers.max_restarts, None);
        assert!(plan.results.dashboard);
        assert!(plan.streams.first().verify_tls && plan.streams.first().paced);
    }

    #[test]
    fn an_invalid_value_is_named_with_help() {
        type Change = fn(&mut RunArgs);
        let cases: [(Change, &str); 14] = [
            (|a| a.stream.url = None, "no stream is given"),
            (|a| a.stream.url = Some("stream.m3u8".into()), "stream.m3u8"),
            (|a| a.stream.url = Some("rtmp://host/x".into()), "unsupported scheme"),
            (
                |a| a.stream.streams = vec!["http://b/x.m3u8".parse().unwrap()],
                "http://127.0.0.1/a.m3u8 together with --stream",
            ),
            (
                |a| (a.stream.url, a.stream.streams) = (None, vec!["0:http://b/x.m3u8".parse().unwrap()]),
                "\"0:http://b/x.m3u8\" for --stream: the weight",
            ),
            (|a| a.load.clients = 0, "\"0\" for --clients"),
            (|a| a.load.clients = u32::MAX, "\"4294967295\" for --clients"),
            (|a| a.load.ramp_rate = 0.0, "\"0\" for --ramp-rate"),
            (|a| a.load.ramp_rate = f64::NAN, "\"NaN\" for --ramp-rate"),
            (|a| a.stream.headers = vec!["X-Token".into()], "it has no colon"),
            (|a| a.stream.headers = vec!["X: a\r\nHost: b".into()], "control character"),
            (|a| a.results.metrics = "localhost".into(), "\"localhost\" for --metrics"),
            (|a| a.results.metrics = "99999".into(), "\"99999\" for --metrics"),
            (|a| a.stream.insecure = true, "--insecure"),
        ];
        for (change, said) in cases {
            let failure = plan(change).unwrap_err();
            assert!(failure.to_string().contains(said), "{failure}");
            assert!(failure.help_text().is_some(), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
