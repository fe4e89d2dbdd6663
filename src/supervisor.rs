//! The supervisor of a run: starts and stops viewers as the load controller decides, and ends the run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use hls_swarm_model::command::Command;
use hls_swarm_model::event::Event;
use hls_swarm_model::exchange::Source;
use hls_swarm_model::metric::counters::Counter;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::Criterion;
use hls_swarm_model::verdict::error_rate_limit::{ErrorRateLimit, ErrorRateWatcher};
use hls_swarm_os::clock::now_ns;
use hls_swarm_os::machine;

use crate::config::plan::Plan;
use crate::engine::viewer::{self, RunContext};
use crate::find_limit;
use crate::load::Shape;
use crate::load::controller::{Action, LoadController};

/// Failed sessions after which a run in which nothing has ever played is ended.
const FAILURES_WITHOUT_PLAYBACK: u64 = 5;
/// How much longer than the network timeout the first media may take.
const STARTUP_MARGIN: Duration = Duration::from_secs(10);

/// Why the run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum StopReason {
    /// Its planned length was over.
    Elapsed,
    /// A signal or the user asked it to end.
    Asked,
    /// Every viewer had played the stream to its end or failed permanently.
    AllGone,
    /// No viewer had played, and it was clear that none would.
    NothingPlays,
    /// The search for the limit of the load (`--find-limit`) was over.
    LimitFound(Box<find_limit::Result>),
    /// A threshold had failed for too long.
    ThresholdFailed(Criterion),
    /// The error rate exceeded its limit (`--error-storm`).
    ErrorRateExceeded(Criterion),
    /// A viewer without the probe had connected to a host that is not allowed.
    ForbiddenHost,
}

/// Runs all viewers and returns when the last one has ended. `commands` are the user's manual changes; `random`
/// is the source of all random choices.
pub async fn supervise(
    context: Arc<RunContext>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    mut commands: mpsc::Receiver<Command>,
    mut random: fastrand::Rng,
) -> StopReason {
    let began = Instant::now();
    let mut controller = LoadController::new(&context.plan.load);
    let mut viewers = Viewers::default();
    let mut aborted_by = std::pin::pin!(aborted_by(snapshots.clone()));
    let searches = matches!(context.plan.load.shape, Shape::Search(_));
    // A search raises the load until something fails.
    let error_rate_limit = context.plan.error_rate_limit.filter(|_| !searches);
    let mut error_rate_exceeded = std::pin::pin!(error_rate_exceeded(snapshots.clone(), error_rate_limit));
    let (search_commands, mut changes) = mpsc::channel(1);
    let mut limit_found = std::pin::pin!(limit_found(&context, snapshots.clone(), search_commands));
    let mut forbidden_host = std::pin::pin!(forbidden_host(snapshots.clone()));
    let mut nothing_plays =
        std::pin::pin!(nothing_plays(snapshots, context.plan.streams.first().timeout + STARTUP_MARGIN));
    let reason = loop {
        let actions = controller.due(began.elapsed(), &mut || random.f64());
        if actions.contains(&Action::End) {
            break StopReason::Elapsed;
        }
        for action in actions {
            carry_out(action, &context, &mut viewers, &mut random).await;
        }
        if controller.is_over() {
            break StopReason::AllGone;
        }
        let next = controller.next_call().map(|next| began + next);
        tokio::select! {
            () = context.stop.cancelled() => break StopReason::Asked,
            () = &mut nothing_plays => break StopReason::NothingPlays,
            criterion = &mut aborted_by => break StopReason::ThresholdFailed(criterion),
            criterion = &mut error_rate_exceeded => break StopReason::ErrorRateExceeded(criterion),
            () = &mut forbidden_host => break StopReason::ForbiddenHost,
            found = &mut limit_found => break StopReason::LimitFound(Box::new(found)),
            () = at(next) => {}
            Some(viewer) = viewers.next_gone() => controller.gone(viewer),
            Some(command) = changes.recv() => {
                controller.command(command, began.elapsed());
            }
            // The levels of a search are its own.
            Some(command) = commands.recv(), if !searches => {
                if is_possible(command, viewers.tasks.len(), &context.plan) && controller.command(command, began.elapsed()) {
                    context.record(Event::ManualChange { command, at_ns: now_ns() }).await;
                }
            }
        }
    };
    context.record(Event::Closing { at_ns: now_ns() }).await;
    context.stop.cancel();
    while viewers.next_gone().await.is_some() {}
    reason
}

/// Searches for the limit of the load, if the plan asks for it.
async fn limit_found(
    context: &Arc<RunContext>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::Sender<Command>,
) -> find_limit::Result {
    match context.plan.load.shape {
        Shape::Search(search) => find_limit::search(search, Arc::clone(context), snapshots, commands).await,
        _ => std::future::pending().await,
    }
}

/// Whether more viewers are allowed and the machine has open files for them; preflight has checked the planned
/// number only.
fn is_possible(command: Command, present: usize, plan: &Plan) -> bool {
    let Command::More(more) = command else { return true };
    let viewers = u32::try_from(present).unwrap_or(u32::MAX).saturating_add(more);
    let engine = &plan.viewers.engine;
    if let Err(why) = plan.target_policy.check_manual_change(viewers) {
        tracing::warn!("{command} is refused: {why}");
        return false;
    }
    let needed = engine.requirements(viewers).open_files;
    let fits = machine::raise_open_files(needed).is_none_or(|open| open >= needed);
    if !fits {
        tracing::warn!("{command} is refused: {viewers} viewers need {needed} open files (ulimit -n)");
    }
    fits
}

async fn carry_out(
    action: Action,
    context: &Arc<RunContext>,
    viewers: &mut Viewers,
    random: &mut fastrand::Rng,
) {
    let at_ns = now_ns();
    match action {
        Action::Start(viewer) => {
            context.record(Event::Arrived { viewer, at_ns }).await;
            let mut random = random.fork();
            viewers.start(context, viewer, move || random.f64());
        }
        Action::Stop(viewer) => {
            context.record(Event::RampedDown { viewer, at_ns }).await;
            viewers.stop(viewer);
        }
        Action::Reject => context.record(Event::Rejected).await,
        Action::Stage(stage) => context.record(Event::Stage { stage, at_ns }).await,
        Action::End => {}
    }
}

/// The viewers that are up; each is a task.
#[derive(Debug, Default)]
struct Viewers {
    tasks: JoinSet<u32>,
    /// The viewer of each task.
    numbers: HashMap<Id, u32>,
    /// The token that stops each viewer.
    stops: HashMap<u32, CancellationToken>,
    /// The number of sessions that each viewer number has had.
    generations: HashMap<u32, u32>,
}

impl Viewers {
    fn start(
        &mut self,
        context: &Arc<RunContext>,
        viewer: u32,
        random: impl FnMut() -> f64 + Send + 'static,
    ) {
        let stop = context.stop.child_token();
        let generation = self.generations.get(&viewer).map_or(1, |before| before.saturating_add(1));
        let task = viewer::run(Arc::clone(context), viewer, generation, stop.clone(), random);
        self.numbers.insert(self.tasks.spawn(task).id(), viewer);
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
                tracing::error!(%error, "the task of a viewer panicked");
                (error.id(), None)
            }
        };
        let viewer = self.numbers.remove(&id)?;
        self.stops.remove(&viewer);
        if let Some(generation) = generation {
            self.generations.insert(viewer, generation);
        }
        Some(viewer)
    }
}

/// Returns when a threshold has failed for longer than the plan allows.
async fn aborted_by(mut snapshots: watch::Receiver<Arc<Snapshot>>) -> Criterion {
    while snapshots.changed().await.is_ok() {
        let aborted_by = snapshots.borrow_and_update().aborted_by.clone();
        if let Some(criterion) = aborted_by {
            return criterion;
        }
    }
    std::future::pending().await
}

/// Returns when it is clear that no viewer will ever play: several sessions have failed, or the first viewer has
/// had enough time.
async fn nothing_plays(mut snapshots: watch::Receiver<Arc<Snapshot>>, timeout: Duration) {
    let mut first = None;
    loop {
        let (played, failures, waited) = {
            let snapshot = snapshots.borrow_and_update();
            let exits = snapshot.lifetimes.exits;
            // The load may begin with no viewers.
            if first.is_none() && snapshot.lifetimes.arrived > 0 {
                first = Some(snapshot.elapsed_seconds);
            }
            let waited = first.map_or(0.0, |first| snapshot.elapsed_seconds - first);
            (snapshot.lifetimes.played > 0, exits.error + exits.signal, waited)
        };
        if played {
            return std::future::pending().await;
        }
        if failures >= FAILURES_WITHOUT_PLAYBACK || waited > timeout.as_secs_f64() {
            return;
        }
        if snapshots.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Returns when the error-rate limit is exceeded.
async fn error_rate_exceeded(
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    error_rate_limit: Option<ErrorRateLimit>,
) -> Criterion {
    let Some(error_rate_limit) = error_rate_limit else { return std::future::pending().await };
    let mut watcher = ErrorRateWatcher::new(error_rate_limit);
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        if let Some(exceeded) = watcher.sees(snapshot.elapsed_seconds, &snapshot.errors) {
            return error_rate_limit.criterion(exceeded);
        }
    }
    std::future::pending().await
}

/// Returns when a viewer has connected to a host that is not allowed. The probe prevents that; without it, only the
/// end of the run does.
async fn forbidden_host(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let seen = snapshot.counters[Counter::ForbiddenConnections].is_some_and(|count| count > 0);
        if seen && snapshot.sources.requests == Source::Log {
            return;
        }
    }
    std::future::pending().await
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
