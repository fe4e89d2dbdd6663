//! The run: starts and stops viewers as the crowd's policy says, ends them when the time has come.

pub mod backoff;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_http::target_policy::TargetPolicy;
use hls_swarm_model::command::Command;
use hls_swarm_model::event::Event;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::Criterion;
use hls_swarm_model::verdict::error_rate_limit::{ErrorRateLimit, ErrorRateWatcher};
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::limits;

use crate::engine::viewer::{self, RunContext};
use crate::load::controller::{Do, LoadController};
use crate::preflight::resources::files_needed;

/// Deaths after which a run that nobody ever played is hopeless.
const HOPELESS_DEATHS: u64 = 5;
/// How much longer than the network time-out the first picture may take.
const FIRST_PICTURE: Duration = Duration::from_secs(10);

/// Why the run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// Its planned length was over.
    Elapsed,
    /// It was asked to end (signal, or the caller).
    Asked,
    /// Every viewer had seen the stream to its end, or been given up.
    AllGone,
    /// No viewer had ever played, and none was going to.
    NobodyPlays,
    /// A threshold had failed for too long.
    ThresholdFailed(Criterion),
    /// Most requests had failed for a while.
    ErrorStorm(Criterion),
}

/// Runs all viewers and returns when the last one has ended. `commands` come from whoever watches;
/// `random` seeds all chances.
pub async fn supervise(
    context: Arc<RunContext>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut commands: mpsc::Receiver<Command>,
    mut random: fastrand::Rng,
) -> Cause {
    let began = Instant::now();
    let mut crowd = LoadController::new(&context.plan.load);
    let mut viewers = Viewers::default();
    let mut aborted_by = std::pin::pin!(aborted_by(snapshots.clone()));
    let mut error_rate_exceeded =
        std::pin::pin!(error_rate_exceeded(snapshots.clone(), context.plan.error_rate_limit));
    let mut hopeless =
        std::pin::pin!(hopeless(snapshots, context.plan.streams.first().timeout + FIRST_PICTURE));
    let cause = loop {
        let orders = crowd.due(began.elapsed(), &mut || random.f64());
        if orders.contains(&Do::End) {
            break Cause::Elapsed;
        }
        for order in orders {
            carry_out(order, &context, &mut viewers, &mut random).await;
        }
        if crowd.is_over() {
            break Cause::AllGone;
        }
        let next = crowd.next_call().map(|next| began + next);
        tokio::select! {
            () = context.stop.cancelled() => break Cause::Asked,
            () = &mut hopeless => break Cause::NobodyPlays,
            criterion = &mut aborted_by => break Cause::ThresholdFailed(criterion),
            criterion = &mut error_rate_exceeded => break Cause::ErrorStorm(criterion),
            () = at(next) => {}
            Some(viewer) = viewers.next_gone() => crowd.gone(viewer),
            Some(command) = commands.recv() => {
                if fits(command, viewers.tasks.len(), &context.plan.target_policy) && crowd.command(command, began.elapsed()) {
                    context.tell(Event::ManualChange { command, at_ns: now_ns() }).await;
                }
            }
        }
    };
    context.tell(Event::Closing { at_ns: now_ns() }).await;
    context.stop.cancel();
    while viewers.next_gone().await.is_some() {}
    cause
}

/// Whether the viewers that somebody wishes for are allowed, and the machine has files for them; before the
/// run only those that were planned have been looked at.
fn fits(command: Command, present: usize, target_policy: &TargetPolicy) -> bool {
    let Command::More(more) = command else { return true };
    let viewers = u32::try_from(present).unwrap_or(u32::MAX).saturating_add(more);
    if let Err(why) = target_policy.manual_changes(viewers) {
        tracing::warn!("{command} is refused: {why}");
        return false;
    }
    let needed = files_needed(viewers);
    let fits = limits::raise_open_files(needed).is_none_or(|open| open >= needed);
    if !fits {
        tracing::warn!("{command} is refused: {viewers} viewers need {needed} open files (ulimit -n)");
    }
    fits
}

async fn carry_out(order: Do, context: &Arc<RunContext>, viewers: &mut Viewers, random: &mut fastrand::Rng) {
    let at_ns = now_ns();
    match order {
        Do::Start(viewer) => {
            context.tell(Event::Arrived { viewer, at_ns }).await;
            let mut chance = random.fork();
            viewers.start(context, viewer, move || chance.f64());
        }
        Do::Stop(viewer) => {
            context.tell(Event::RampedDown { viewer, at_ns }).await;
            viewers.stop(viewer);
        }
        Do::TurnAway => context.tell(Event::Rejected).await,
        Do::Stage(stage) => context.tell(Event::Stage { stage, at_ns }).await,
        Do::End => {}
    }
}

/// The viewers that are up, as tasks.
#[derive(Debug, Default)]
struct Viewers {
    tasks: JoinSet<u32>,
    /// By task: which viewer it is.
    who: HashMap<Id, u32>,
    /// How each one is stopped.
    stops: HashMap<u32, CancellationToken>,
    /// How many processes each number has had.
    generations: HashMap<u32, u32>,
}

impl Viewers {
    fn start(
        &mut self,
        context: &Arc<RunContext>,
        viewer: u32,
        chance: impl FnMut() -> f64 + Send + 'static,
    ) {
        let stop = context.stop.child_token();
        let generation = self.generations.get(&viewer).map_or(1, |before| before.saturating_add(1));
        let task = viewer::live(Arc::clone(context), viewer, generation, stop.clone(), chance);
        self.who.insert(self.tasks.spawn(task).id(), viewer);
        self.stops.insert(viewer, stop);
    }

    fn stop(&self, viewer: u32) {
        if let Some(stop) = self.stops.get(&viewer) {
            stop.cancel();
        }
    }

    /// The next viewer whose task has ended; `None` if there is none left.
    async fn next_gone(&mut self) -> Option<u32> {
        let (id, generation) = match self.tasks.join_next_with_id().await? {
            Ok((id, generation)) => (id, Some(generation)),
            Err(error) => {
                tracing::error!(%error, "a viewer's task broke off");
                (error.id(), None)
            }
        };
        let viewer = self.who.remove(&id)?;
        self.stops.remove(&viewer);
        if let Some(generation) = generation {
            self.generations.insert(viewer, generation);
        }
        Some(viewer)
    }
}

/// Returns when a threshold has failed for longer than the plan bears.
async fn aborted_by(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Criterion {
    while snapshots.changed().await.is_ok() {
        let aborted_by = snapshots.borrow_and_update().aborted_by.clone();
        if let Some(criterion) = aborted_by {
            return criterion;
        }
    }
    std::future::pending().await
}

/// Returns when it is clear that nobody will ever play.
async fn hopeless(mut snapshots: watch::Receiver<Arc<Snapshot>>, patience: Duration) {
    let mut first = None;
    loop {
        let (played, deaths, waited) = {
            let snapshot = snapshots.borrow_and_update();
            let exits = snapshot.lifetimes.exits;
            // The load may begin with nobody.
            if first.is_none() && snapshot.lifetimes.arrived > 0 {
                first = Some(snapshot.elapsed_seconds);
            }
            let waited = first.map_or(0.0, |first| snapshot.elapsed_seconds - first);
            (snapshot.lifetimes.played > 0, exits.error + exits.signal, waited)
        };
        if played {
            return std::future::pending().await;
        }
        if deaths >= HOPELESS_DEATHS || waited > patience.as_secs_f64() {
            return;
        }
        if snapshots.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Returns when there is a storm of errors.
async fn error_rate_exceeded(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    error_rate_limit: Option<ErrorRateLimit>,
) -> Criterion {
    let Some(error_rate_limit) = error_rate_limit else { return std::future::pending().await };
    let mut watcher = ErrorRateWatcher::new(error_rate_limit);
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let (asked, failed) = (snapshot.errors.attempts, snapshot.errors.failed);
        if watcher.sees(snapshot.elapsed_seconds, asked, failed) {
            return error_rate_limit.criterion(snapshot.errors.rate);
        }
    }
    std::future::pending().await
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
