//! What a run means, resolved once from what was typed: flag, then environment (clap reads both),
//! then profile (laid underneath by [`super::profile`]), then default. Everything after this file
//! works from the plan alone.

pub(crate) mod engine;
pub(crate) mod load;
pub(crate) mod origin_metrics;
pub(crate) mod results;
pub(crate) mod safety;
pub(crate) mod stream;
pub mod unused_options;

use std::path::PathBuf;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::Secrets;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_http::target_policy::{Site, TargetPolicy};
use hls_swarm_model::metric::NEED_PROGRESS;
use hls_swarm_model::verdict::error_rate_limit::ErrorRateLimit;
use hls_swarm_model::verdict::threshold::{InvalidThreshold, Threshold};

use crate::cli::run::{ProbeMode, SwarmArgs};
use crate::config::presets::preset;
use crate::engine::EngineConfig;
use crate::load::Load;
use crate::load::start_at::StartAt;
use crate::network::{self, Network};

pub use crate::config::plan::origin_metrics::{OriginMetrics, Sizes};

pub use load::RAMP_RATE;
pub use results::{METRICS_PORT, Results};
pub use stream::Stream;

/// Beyond this no single machine is a load generator; the check exists to catch typing errors.
pub const MOST_CLIENTS: u32 = 10_000_000;

/// Length of the run that `--check` makes.
const CHECK: Duration = Duration::from_secs(10);

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The streams; all but address and variant is the same for all of them.
    pub streams: WeightedSet<Stream>,
    /// How many viewers there are, and when.
    pub load: Load,
    /// When the run begins by the wall clock; `None` = at once.
    pub start_at: Option<StartAt>,
    /// Seed of all random choices, if one was given.
    pub seed: Option<u64>,
    /// The viewers.
    pub viewers: Viewers,
    /// What is changed about the viewers' network.
    pub network: Network,
    /// What must not be shown.
    pub secrets: Secrets,
    /// What may be loaded.
    pub target_policy: TargetPolicy,
    /// What ends the run as hopeless.
    pub error_rate_limit: Option<ErrorRateLimit>,
    /// Whether failed preflight checks are only reported.
    pub skip_preflight: bool,
    /// Criteria of the verdict beside the built-in ones.
    pub thresholds: Vec<Threshold>,
    /// What is asked of the origin's exporters.
    pub watch: OriginMetrics,
    /// For how long a threshold may fail before the run is ended; `None` = for ever.
    pub abort_after: Option<Duration>,
    /// Where results go.
    pub results: Results,
}

/// The viewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewers {
    /// What plays.
    pub engine: EngineConfig,
    /// Whether a stalled viewer is stopped and started.
    pub restart_on_stall: bool,
    /// Restarts per viewer; `None` = unlimited.
    pub max_restarts: Option<u32>,
}

/// What the environment says beside what clap reads, because it is no flag.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// METRICS_PORT: the port of the Prometheus endpoint.
    pub metrics_port: Option<String>,
    /// SSL_CERT_FILE: the authorities that OpenSSL and rustls trust; FFmpeg has to be told.
    pub ssl_cert_file: Option<PathBuf>,
    /// What the file says that `--session file:PATH` names.
    pub session_file: Option<String>,
    /// An FFmpeg that was built for viewers only, where one is installed.
    pub viewer_ffmpeg: Option<PathBuf>,
    /// What stands in `--header-file`.
    pub secret_headers: Vec<String>,
    /// The secrets that the arguments refer to.
    pub secrets: Secrets,
    /// Rules of this machine and this user, with the names of their files.
    pub sites: Vec<(String, Site)>,
}

/// Resolves what was typed.
///
/// # Errors
/// A usage failure that names the flag and the value, and suggests a fix.
pub fn resolve(args: &SwarmArgs, environment: &Environment) -> Result<Plan, Failure> {
    let mut secrets = environment.secrets.clone();
    let streams = stream::resolve(args, environment, &mut secrets)?;
    let load = load::resolve(args, environment)?;
    let network = Network {
        sources: network::sources(&args.source_ip)?,
        caps: args.bandwidth_cap.as_deref().map(network::rates).transpose()?,
    };
    if let Some(flag) = network.needs_probe(&streams.first().resolve)
        && args.probe == Some(ProbeMode::Off)
    {
        return Err(Failure::usage(format!("{flag} beside --probe off: it is the probe that does it"))
            .help(format!("leave out --probe off, or {flag}")));
    }
    Ok(Plan {
        target_policy: TargetPolicy::new(
            &args.allow_hosts,
            &environment.sites,
            load.own_most(),
            load.most(),
            yes(args.yes),
        )?,
        error_rate_limit: safety::error_rate_limit(args.error_storm.as_deref())?,
        secrets,
        watch: origin_metrics::resolve(args, &streams.first().url)?,
        streams,
        load,
        start_at: load::start_at(args)?,
        seed: args.seed,
        viewers: Viewers {
            engine: engine::resolve(args, environment)?,
            restart_on_stall: yes(args.restart_on_stall),
            max_restarts: args.max_restarts.filter(|limit| *limit > 0),
        },
        network,
        thresholds: thresholds(&args.thresholds, args.player.is_some())?,
        abort_after: args.abort_after.map(|after| after.0).filter(|after| !after.is_zero()),
        skip_preflight: yes(args.skip_preflight),
        results: results::resolve(args, environment)?,
    })
}

/// A switch that was not given is off.
fn yes(switch: Option<bool>) -> bool {
    switch.unwrap_or(false)
}

/// `without_progress`: the player does not report how far it has played.
fn thresholds(typed: &[String], without_progress: bool) -> Result<Vec<Threshold>, Failure> {
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
    // What is asked for by itself takes the place of what a set says about the same metric.
    sets.retain(|one| single.iter().all(|other| other.metric() != one.metric()));
    let all: Vec<Threshold> = sets.into_iter().chain(single).collect();
    let unmeasured = all.iter().find(|one| without_progress && NEED_PROGRESS.contains(&one.metric()));
    if let Some(unmeasured) = unmeasured {
        let what =
            format!("threshold {unmeasured} cannot be judged with --player, which does not report progress");
        return Err(
            Failure::usage(what).help("leave it out; in place of a set, pass the thresholds one by one")
        );
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Shape;
    use crate::load::schedule::Schedule;

    fn plan(change: impl FnOnce(&mut SwarmArgs)) -> Result<Plan, Failure> {
        let mut args = SwarmArgs { url: Some("http://127.0.0.1/a.m3u8".into()), ..SwarmArgs::default() };
        change(&mut args);
        resolve(&args, &Environment::default())
    }

    #[test]
    fn a_set_of_thresholds_gives_way_to_a_single_one() {
        let typed = ["standard", "error_rate<2%", "aws"].map(str::to_owned).to_vec();
        let thresholds = plan(|a| a.thresholds = typed).unwrap().thresholds;
        let about = |metric: &str| {
            let about = thresholds.iter().filter(|threshold| threshold.metric() == metric);
            about.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(about("error_rate"), ["error_rate<2%"]);
        assert_eq!(about("rebuffering"), ["rebuffering<1%"]);
        assert_eq!(thresholds.len(), 8);
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
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
    fn wrong_values_are_named_with_help() {
        type Change = fn(&mut SwarmArgs);
        let cases: [(Change, &str); 14] = [
            (|a| a.url = None, "no stream was named"),
            (|a| a.url = Some("stream.m3u8".into()), "stream.m3u8"),
            (|a| a.url = Some("rtmp://host/x".into()), "rtmp:// is not played"),
            (
                |a| a.streams = vec!["http://b/x.m3u8".parse().unwrap()],
                "http://127.0.0.1/a.m3u8: a URL beside --stream",
            ),
            (
                |a| (a.url, a.streams) = (None, vec!["0:http://b/x.m3u8".parse().unwrap()]),
                "--stream 0:http://b/x.m3u8: the weight",
            ),
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
            assert!(failure.help_text().is_some(), "{failure}");
            assert_eq!(failure.exit().code(), 2);
        }
    }
}
