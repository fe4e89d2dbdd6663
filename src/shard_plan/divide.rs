//! Divides a load over pods and computes the resources of each pod. `kubernetes` renders the result.

use std::ffi::OsString;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::secrets::without_secrets;
use hls_swarm_base::sizing::{Requirements, ViewerSize, Viewers};
use hls_swarm_cli::program::{self, Stop};
use hls_swarm_http::target_policy::ASK_ABOVE;

use crate::cli::commands::PlanArgs;
use crate::cli::run::EngineKind;
use crate::cli::{self, Cli, MORE_ARGUMENTS};
use crate::collect::unguessable;
use crate::engine::{command, native};
use crate::shard_plan::answer::ShardPlan;

/// Processor time of an FFmpeg viewer per second, microseconds: twice the 109 ms in 24 s of docs/ffmpeg.md, for TLS.
/// Other players are counted alike, since nothing is known of them.
const CPU_PER_VIEWER: u64 = 9_000;
/// The same of a native viewer of 2 Mb/s: three times the 95 us over TLS of docs/native-viewers.md.
const CPU_PER_NATIVE_VIEWER: u64 = 300;
/// Processor time of hls-swarm itself, thousandths.
const OWN_CPU: u64 = 100;
/// Memory of the collector per report, and for everything else, in MiB. 1,000 reports of 500 viewers took 670 MB
/// (docs/kubernetes.md); a report has rows of 1,000 viewers at most, and is a text of its own while it arrives. Generous,
/// because without enough memory the verdict is lost.
const REPORT_MIB: u64 = 4;
const COLLECTOR_MIB: u64 = 1024;

/// Divides a load.
///
/// # Errors
/// A usage failure: the stream's address is not a URL, or the flags are not those of a run.
pub fn divide(args: &PlanArgs) -> Result<ShardPlan, Failure> {
    if let Some(url) = &args.stream_url {
        let invalid = || {
            Failure::usage(format!("invalid value {:?} for --stream-url", without_secrets(url)))
                .help("pass http:// or https:// and the address of a playlist")
        };
        let parsed = Url::parse(url).map_err(|error| invalid().caused_by(error))?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(invalid());
        }
    }
    let flags = format!("--duration {} {}", args.duration, args.extra_args).trim_end().to_owned();
    let typed = flags_of_run(&flags)?;
    let pods = args.clients.div_ceil(args.per_pod);
    let max_viewers = args.clients.div_ceil(pods);
    let (size, cpu) = match typed.run.viewers.engine {
        Some(EngineKind::Native) => {
            (native::viewer_size(typed.run.viewers.http.into()), CPU_PER_NATIVE_VIEWER)
        }
        Some(EngineKind::Command) => (command::VIEWER_SIZE, CPU_PER_VIEWER),
        _ if typed.run.viewers.player.is_some() => (command::VIEWER_SIZE, CPU_PER_VIEWER),
        _ => (ViewerSize::FFMPEG, CPU_PER_VIEWER),
    };
    // Canaries are the first viewers of the whole load, which the pods take in turn.
    let canaries = match typed.run.viewers.engine {
        Some(EngineKind::Native) => typed.run.viewers.canaries.div_ceil(pods).min(max_viewers),
        _ => 0,
    };
    let needs = Requirements::with(&Viewers { count: max_viewers, size, canaries });
    let cpu = u64::from(max_viewers - canaries) * cpu + u64::from(canaries) * CPU_PER_VIEWER;
    let consent = typed.run.action.yes || !typed.run.safety.allow_hosts.is_empty();
    Ok(ShardPlan {
        clients: args.clients,
        pods,
        max_viewers,
        ramp_rate: args.ramp_rate,
        stream_url: args.stream_url.clone(),
        flags,
        cpu_millis: cpu.div_ceil(1000) + OWN_CPU,
        memory_mib: needs.memory_bytes.div_ceil(1 << 20),
        open_files: needs.open_files,
        collector_memory_mib: u64::from(pods) * REPORT_MIB + COLLECTOR_MIB,
        collector_token: unguessable()?,
        base: args.base.clone(),
        without_consent: args.stream_url.is_some() && args.clients > ASK_ABOVE && !consent,
    })
}

/// Parses the flags that every pod gets as EXTRA_ARGS.
fn flags_of_run(flags: &str) -> Result<Cli, Failure> {
    let look_up = |name: &str| (name == MORE_ARGUMENTS).then(|| OsString::from(flags));
    let failure = match program::parse::<Cli>(&cli::program(), vec!["hls-swarm".into()], &look_up) {
        Ok((cli, _)) if cli.command.is_none() => return Ok(cli),
        Err(Stop::Failed(failure)) => failure,
        Ok(_) | Err(Stop::Asked(_)) => Failure::usage("only flags of a run can be passed to pods"),
    };
    Err(Failure::usage(format!("invalid value {flags:?} for --extra-args"))
        .caused_by(failure.chain())
        .help("`hls-swarm run --help` lists the flags"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::SwarmCommand;

    fn plan(words: &[&str]) -> Result<ShardPlan, Failure> {
        let words = ["hls-swarm", "plan"].iter().chain(words).map(OsString::from).collect();
        let (Cli { command, .. }, _) = program::parse::<Cli>(&cli::program(), words, &|_| None).unwrap();
        let Some(SwarmCommand::Plan(args)) = command else { panic!("{command:?}") };
        divide(&args)
    }

    #[test]
    fn pods_are_even_and_no_larger_than_asked() {
        let even = plan(&["--clients=10000", "--per-pod=500"]).unwrap();
        assert_eq!((even.pods, even.max_viewers, even.memory_mib, even.open_files), (20, 500, 9564, 10_100));
        let odd = plan(&["--clients=1001", "--per-pod=500"]).unwrap();
        assert_eq!((odd.pods, odd.max_viewers), (3, 334));
        let native = plan(&["--clients=10000", "--per-pod=5000", "--extra-args=--engine native"]).unwrap();
        assert_eq!((native.pods, native.open_files), (2, 10_100));
        assert!(native.cpu_millis < even.cpu_millis && native.memory_mib < 300, "{native:?}");
        let flags = "--extra-args=--engine native --canaries 20";
        let canaries = plan(&["--clients=10000", "--per-pod=5000", flags]).unwrap();
        let more = |of: fn(&ShardPlan) -> u64| of(&canaries) - of(&native);
        // Ten FFmpeg viewers in each pod instead of ten native ones.
        assert_eq!(more(|plan| plan.cpu_millis), (9000 - 300) * 10 / 1000);
        assert!((185..=200).contains(&more(|plan| plan.memory_mib)), "{canaries:?}");
        assert_eq!(more(|plan| plan.open_files), 10 * (20 - 2));
        let few = plan(&["--clients=3"]).unwrap();
        assert_eq!((few.pods, few.max_viewers), (1, 3));
    }

    #[test]
    fn a_missing_confirmation_is_noticed() {
        let missed = |words: &[&str]| plan(words).unwrap().without_consent;
        let url = "--stream-url=https://cdn.test/live.m3u8";
        assert!(missed(&["--clients=1000", url]));
        assert!(!missed(&["--clients=1000"]), "the base's own origin");
        assert!(missed(&["--clients=1000", "--per-pod=10", url]), "the whole load counts");
        assert!(!missed(&["--clients=100", url]));
        assert!(!missed(&["--clients=1000", url, "--extra-args=--yes"]));
        assert!(missed(&["--clients=1000", url, "--extra-args=--yes=false"]));
        assert!(!missed(&["--clients=1000", url, "--extra-args=--allow-host cdn.test"]));
    }

    #[test]
    fn invalid_flags_for_pods_are_refused() {
        assert!(plan(&["--clients=3", "--stream-url=cdn"]).unwrap_err().to_string().contains("\"cdn\""));
        let odd = plan(&["--clients=3", "--extra-args=--colour"]).unwrap_err().to_string();
        assert!(odd.contains("--colour"), "{odd}");
        let good = plan(&["--clients=3", "--extra-args=--threshold 'speed:p5>0.9'"]).unwrap();
        assert_eq!(good.flags, "--duration 5m0s --threshold 'speed:p5>0.9'");
    }
}
