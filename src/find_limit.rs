//! `--find-limit`: tries the levels that a search asks for, one after the other, and reports how each went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use hls_swarm_model::command::Command;
use hls_swarm_model::event::Event;
use hls_swarm_model::limit::{Found, Next, Outcome, Search};
use hls_swarm_model::snapshot::{Snapshot, StageRow};
use hls_swarm_model::stats::StagePlan;
use hls_swarm_model::verdict::criteria::invalid_because;
use hls_swarm_os::clock::now_ns;

use crate::engine::viewer::RunContext;
use crate::load::LimitSearch;

/// How often the load changes on the way to a level.
const STEP: Duration = Duration::from_millis(100);
/// How long viewers have at least to begin before a level is judged.
const LEAST_START_UP: Duration = Duration::from_secs(5);

/// What was found, and the throughput of the load that holds, bits per second.
pub(crate) type Result = (Found, Option<f64>);

/// Searches; `commands` change the load. Returns at the end of the search, or early if the run ends.
pub(crate) async fn search(
    plan: LimitSearch,
    context: Arc<RunContext>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
) -> Result {
    let longest = context.targets.iter().map(|target| target.selection.target_duration).fold(0.0, f64::max);
    let start_up = Duration::from_secs_f64((2.0 * longest).clamp(0.0, 3600.0)).max(LEAST_START_UP);
    let mut search = Search::new(plan.first(), plan.cap);
    let mut rates = BTreeMap::new();
    let (mut present, mut attempts) = (0, 0);
    while let Next::Try(viewers) = search.next() {
        change(present, viewers, plan.per_second, &commands).await;
        present = viewers;
        sleep(start_up + context.plan.load.jitter).await;
        attempts += 1;
        let level = StagePlan {
            name: Some(format!("attempt {attempts}")),
            seconds: plan.hold.as_secs_f64(),
            from: viewers,
            clients: viewers,
        };
        context.record(Event::Level { level: Some(level), at_ns: now_ns() }).await;
        sleep(plan.hold).await;
        context.record(Event::Level { level: None, at_ns: now_ns() }).await;
        let Some((row, invalid)) = judged(&mut snapshots, attempts).await else { break };
        let outcome = outcome(&row, &invalid);
        tracing::info!(viewers, ?outcome, "attempt {attempts} of the search");
        if row.seconds > 0.0 {
            rates.insert(viewers, row.bytes.total() as f64 * 8.0 / row.seconds);
        }
        search.tried(viewers, outcome);
    }
    let found = search.found();
    let rate = rates.get(&found.viewers()).copied();
    (found, rate)
}

/// Changes the number of viewers at the rate of the ramp; down at once.
async fn change(from: u32, to: u32, per_second: f64, commands: &mpsc::Sender<Command>) {
    if to < from {
        // The supervisor outlives the search.
        let _ = commands.send(Command::Fewer(from - to)).await;
    }
    let (mut present, mut allowed) = (from, 0.0);
    while present < to {
        allowed += per_second * STEP.as_secs_f64();
        let more = (allowed as u32).min(to - present);
        if more > 0 {
            let _ = commands.send(Command::More(more)).await;
            allowed -= f64::from(more);
            present += more;
        }
        sleep(STEP).await;
    }
}

/// The row of an attempt once it is judged, and why the run is invalid by then.
async fn judged(
    snapshots: &mut watch::Receiver<Arc<Snapshot>>,
    attempt: u64,
) -> Option<(StageRow, Vec<String>)> {
    let of = |snapshot: &Snapshot| {
        snapshot.stages.iter().find(|row| row.stage == attempt && row.met.is_some()).cloned()
    };
    let snapshot = snapshots.wait_for(|snapshot| of(snapshot).is_some()).await.ok()?;
    Some((of(&snapshot)?, invalid_because(&snapshot)))
}

/// The outcome of an attempt. A failure that servers caused counts even if the load generator was the bottleneck.
fn outcome(row: &StageRow, invalid: &[String]) -> Outcome {
    let failed = |certain: bool| row.failed_criteria.iter().find(|one| one.certain || !certain);
    if let Some(ours) = invalid.first()
        && failed(true).is_none()
    {
        return Outcome::Ours(ours.clone());
    }
    match failed(false) {
        None => Outcome::Held,
        Some(one) => Outcome::Failed(format!("{} {} ({})", one.name, one.value_text(), one.limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hls_swarm_model::verdict::Criterion;

    fn row(certain: bool) -> StageRow {
        let failed = Criterion {
            name: "error_rate".into(),
            limit: "<= 1 %".into(),
            value: Some(0.03),
            met: false,
            certain,
        };
        StageRow { failed_criteria: vec![failed], ..StageRow::default() }
    }

    #[test]
    fn our_own_condition_explains_what_servers_did_not_do() {
        let late = ["this program was late".to_owned()];
        let failed = || Outcome::Failed("error_rate 3 % (<= 1 %)".into());
        assert_eq!(outcome(&StageRow::default(), &[]), Outcome::Held);
        assert_eq!(outcome(&row(false), &[]), failed());
        assert_eq!(outcome(&row(true), &late), failed());
        assert_eq!(outcome(&row(false), &late), Outcome::Ours(late[0].clone()));
        assert_eq!(outcome(&StageRow::default(), &late), Outcome::Ours(late[0].clone()));
    }

    #[tokio::test]
    async fn the_load_rises_at_the_rate_of_the_ramp_and_falls_at_once() {
        let (commands, mut sent) = mpsc::channel(64);
        let began = tokio::time::Instant::now();
        change(10, 25, 50.0, &commands).await;
        assert!(began.elapsed() >= 3 * STEP, "{:?}", began.elapsed());
        change(25, 3, 50.0, &commands).await;
        drop(commands);
        let mut all = Vec::new();
        while let Some(command) = sent.recv().await {
            all.push(command);
        }
        assert_eq!(all, [Command::More(5), Command::More(5), Command::More(5), Command::Fewer(22)]);
    }
}
