//! What a plan comes to for those who count and tell: names, stages, expectations.

use std::time::{Duration, SystemTime};

use hls_swarm_base::weighted::WeightedSet;
use hls_swarm_http::fetch::without_secrets;
use hls_swarm_model::run::Run;
use hls_swarm_model::snapshot::Sources;
use hls_swarm_model::stats::{Expectation, StagePlan};
use hls_swarm_os::clock::now_ns;

use crate::config::plan::Plan;
use crate::preflight::Ready;

/// What the run is called in whatever tells of it.
pub(crate) fn run(plan: &Plan, ready: &Ready, seed: u64) -> Run {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Run {
        url: addresses(plan),
        variant: plan.streams.first().variant,
        version: env!("CARGO_PKG_VERSION").into(),
        ffmpeg: ready.can.version.clone(),
        seed: Some(seed),
        began_unix: began.as_secs(),
        per_viewer_metrics: plan.results.per_viewer_metrics,
    }
}

/// The addresses of all streams, without secrets.
fn addresses(plan: &Plan) -> String {
    plan.streams.iter().map(|stream| without_secrets(&stream.url)).collect::<Vec<_>>().join(" ")
}

/// The stages in viewers of this process.
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

/// What reports call the streams.
pub(crate) fn stream_names(plan: &Plan) -> WeightedSet<String> {
    let variant = plan.streams.first().variant;
    let differ = plan.streams.iter().any(|stream| stream.variant != variant);
    plan.streams.map(|stream| {
        let url = without_secrets(&stream.url);
        if differ { format!("{url} ({})", stream.variant) } else { url }
    })
}

/// What the figures are held against.
pub(crate) fn expectation(plan: &Plan, ready: &Ready) -> Expectation {
    // A viewer needs its first segments before it plays; after that it is due.
    let longest = ready.plays.iter().map(|(_, play)| play.target_duration).fold(0.0, f64::max);
    let start_up = (2.0 * longest).max(5.0);
    let source = ready.source;
    Expectation {
        began_ns: now_ns(),
        planned_seconds: plan.load.length.map(|duration| duration.as_secs_f64()),
        target_clients: plan.load.own_most(),
        start_up_seconds: start_up,
        timeout_ns: nanos(plan.streams.first().timeout),
        sources: Sources { requests: source, bytes: source },
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
