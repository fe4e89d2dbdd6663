//! Derives from a plan what statistics and reports need: names, stages and expectations.

use std::time::{Duration, SystemTime};

use hls_swarm_base::error::Failure;
use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_model::run::{Run, Setup};
use hls_swarm_model::snapshot::{PlaybackSource, Sources};
use hls_swarm_model::stats::canaries::CanaryPlan;
use hls_swarm_model::stats::playback::PlaybackRules;
use hls_swarm_model::stats::{Expectation, StagePlan, Stats};
use hls_swarm_model::verdict::absent::Absent;
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::{machine, secrets};

use crate::config::plan::Plan;
use crate::preflight::Ready;

/// Returns the description of the run in reports.
pub(crate) fn run(plan: &Plan, ready: &Ready, seed: u64) -> Run {
    let canaries = plan.viewers.engine.last_canary().map(|last| {
        let version = ready.engine.ffmpeg_version().unwrap_or_default();
        format!("native viewers, of which the first {last} are canaries (FFmpeg {version})")
    });
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Run {
        url: addresses(plan),
        variant: plan.streams.first().variant,
        version: env!("CARGO_PKG_VERSION").into(),
        ffmpeg: ready.engine.ffmpeg_version().filter(|_| canaries.is_none()).map(str::to_owned),
        player: canaries.or_else(|| ready.engine.player_command().map(str::to_owned)),
        seed: Some(seed),
        setup: Some(Setup {
            command_line: secrets::redact(&plan.results.setup.command_line).into_owned(),
            host: machine::name(),
            kernel: machine::kernel(),
            processors: std::thread::available_parallelism().map_or(1, |count| count.get() as u64),
            memory_bytes: machine::total_memory(),
            ..plan.results.setup.clone()
        }),
        began_unix: began.as_secs(),
        per_viewer_metrics: plan.results.per_viewer_metrics,
    }
}

/// The addresses of all streams, without secrets.
fn addresses(plan: &Plan) -> String {
    plan.streams.iter().map(|stream| without_secrets(&stream.url)).collect::<Vec<_>>().join(" ")
}

/// The stages, with the numbers of viewers of this process.
pub(crate) fn stages(plan: &Plan) -> Vec<StagePlan> {
    let own = |viewers| plan.load.shard.own(viewers);
    let stages = plan.load.stages().into_iter();
    stages
        .map(|(_, from, stage)| StagePlan {
            name: stage.name,
            seconds: stage.length.as_secs_f64(),
            from: own(from),
            clients: own(stage.target),
        })
        .collect()
}

/// The names of the streams in reports.
pub(crate) fn stream_names(plan: &Plan) -> WeightedSet<String> {
    let variant = plan.streams.first().variant;
    let differ = plan.streams.iter().any(|stream| stream.variant != variant);
    plan.streams.map(|stream| {
        let url = without_secrets(&stream.url);
        if differ { format!("{url} ({})", stream.variant) } else { url }
    })
}

/// Returns the expectation that the statistics compare the run with.
pub(crate) fn expectation(plan: &Plan, ready: &Ready) -> Expectation {
    // A viewer needs its first segments before it plays; after that it is expected to play.
    let start_up = (2.0 * longest_segment(ready)).max(5.0);
    let source = ready.engine.source();
    Expectation {
        began_ns: now_ns(),
        planned_seconds: plan.load.length.map(|duration| duration.as_secs_f64()),
        target_clients: plan.load.own_max_viewers(),
        start_up_seconds: start_up,
        timeout_ns: nanos(plan.streams.first().timeout),
        sources: Sources { requests: source, bytes: source, playback: playback_source(ready) },
    }
}

/// The duration of the longest segment of all streams, seconds.
fn longest_segment(ready: &Ready) -> f64 {
    ready.selections.iter().map(|(_, selection)| selection.target_duration).fold(0.0, f64::max)
}

/// The source of the figures about playback: the worst of all streams.
fn playback_source(ready: &Ready) -> PlaybackSource {
    let sources =
        ready.selections.iter().map(|(stream, selection)| ready.engine.playback_source(stream, selection));
    sources.max().unwrap_or_default()
}

/// The statistics of a run that has not begun.
pub(crate) fn stats(plan: &Plan, ready: &Ready, expectation: Expectation) -> Stats {
    let stats = Stats::new(expectation)
        .playing_by(playback_rules(plan, ready))
        .watching(plan.watch.window, plan.watch.segments_kept, plan.watch.sizes_counted())
        .with_timeline(longest_segment(ready), &plan.thresholds)
        .with_stages(stages(plan), stream_names(plan), plan.thresholds.clone())
        .with_abort_thresholds(&plan.thresholds, plan.abort_after);
    let stats = if ready.engine.ffmpeg_version().is_some() { stats } else { stats.without_ffmpeg_log() };
    let stats = match canaries(plan, ready) {
        Some(canaries) => stats.with_canaries(canaries),
        None => stats,
    };
    if plan.limits_hosts() { stats.with_host_limits() } else { stats }
}

/// FFmpeg viewers among native ones, with the rules by which they play.
fn canaries(plan: &Plan, ready: &Ready) -> Option<CanaryPlan> {
    let last = plan.viewers.engine.last_canary()?;
    Some(CanaryPlan { last, rules: PlaybackRules { together: true, ..playback_rules(plan, ready) } })
}

/// Refuses thresholds on figures that the run will not have.
///
/// # Errors
/// A preflight failure that names the threshold and the reason.
pub(crate) fn check_thresholds(plan: &Plan, ready: &Ready) -> Result<(), Failure> {
    let expectation = expectation(plan, ready);
    let initial = stats(plan, ready, expectation).snapshot(expectation.began_ns);
    let absent = plan.thresholds.iter().find_map(|one| one.absent(&initial).map(|absent| (one, absent)));
    absent.map_or(Ok(()), |(threshold, Absent { because, help })| {
        let what = format!("--threshold {threshold} cannot be evaluated in this run: {because}");
        Err(Failure::preflight(what).help(help))
    })
}

/// The rules by which viewers play.
pub(crate) fn playback_rules(plan: &Plan, ready: &Ready) -> PlaybackRules {
    PlaybackRules {
        preset: plan.viewers.preset,
        together: ready.engine.plays_together(),
        unlisted_ns: nanos(Duration::from_secs_f64(longest_segment(ready).clamp(0.0, 3600.0))),
        buffered: playback_source(ready).has_buffer(),
        unseen_bodies: playback_source(ready) == PlaybackSource::Inferred,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
