//! Plays a run, from its first viewer to its verdict.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::duration::GoDuration;
use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_hls::selection::Selection;
use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::verdict::criteria::{aborted_by, judge, of_search};
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::terminal;

use super::description;
use crate::aggregator::{self, Detail, Totals};
use crate::collect::{self, Identity};
use crate::config::plan::{Plan, Stream};
use crate::engine::probe::pipe;
use crate::engine::viewer::{RunContext, StreamTarget};
use crate::fetch::Fetcher;
use crate::generator_monitor::{self, ViewerProcesses};
use crate::load::Shape;
use crate::output::exchange_log::ExchangeLog;
use crate::output::live_page::LivePage;
use crate::output::otlp::Push;
use crate::output::summary::Part;
use crate::output::{metrics_server, openmetrics, prometheus, status};
use crate::preflight::Ready;
use crate::stream_check::StreamEnd;
use crate::supervisor::{self, StopReason};
use crate::tui::{self, Tui};
use crate::{origin_metrics, report};

/// Manual changes that may wait for the supervisor.
const COMMANDS: usize = 16;
/// How often the state of the run is logged.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the viewers, judges the result and writes the reports.
pub(crate) async fn play(
    plan: Plan,
    ready: Ready,
    identity: Option<Identity>,
    log: Option<ExchangeLog>,
    guard: Arc<Guard>,
    shutdown: &Shutdown,
    dashboard: Option<Tui>,
) -> Result<ExitCode, Failure> {
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..));
    let name = description::run(&plan, &ready, seed);
    let expectation = description::expectation(&plan, &ready);
    let stats = description::stats(&plan, &ready, expectation);
    let initial = Arc::new(stats.snapshot(expectation.began_ns));
    let (publish, snapshots) = watch::channel(initial);
    let (events, inbox) = mpsc::channel(aggregator::EVENT_QUEUE);
    let target = |(stream, selection): &(Stream, Selection)| StreamTarget {
        stream: stream.clone(),
        selection: selection.clone(),
        end: StreamEnd::default(),
        fetcher: Fetcher::new(stream, &plan.target_policy, &plan.proxies, plan.viewers.engine.http()),
    };
    let last_canary = plan.viewers.engine.last_canary();
    let context = Arc::new(RunContext {
        targets: ready.selections.map(target),
        canaries: last_canary.zip(ready.canary_selections.map(|selections| selections.map(target))),
        engine: ready.engine,
        guard,
        processes: Arc::new(ViewerProcesses::default()),
        events: events.clone(),
        stop: shutdown.graceful.clone(),
        immediate: shutdown.immediate.clone(),
        plan,
    });

    // Tasks that only observe the run end after the viewers: `done` is cancelled when the last viewer has ended.
    let done = CancellationToken::new();
    let viewers_are_shown = dashboard.is_some() || name.per_viewer_metrics;
    let detail = if viewers_are_shown { Detail::Viewers } else { Detail::Overview };
    let aggregated = tokio::spawn(aggregator::aggregate(stats, inbox, publish, detail, log));
    if let Some(reader) = ready.reader {
        tokio::spawn(pipe::forward(reader, events.clone(), done.clone()));
    }
    origin_metrics::start(&context.plan, &events, &shutdown.graceful, &done, seed);
    let processes = Arc::clone(&context.processes);
    tokio::spawn(generator_monitor::monitor(processes, events, shutdown.graceful.clone()));
    // The endpoint is served a little longer, until the readers of the live page have the verdict.
    let served = CancellationToken::new();
    let serving = ready.listener.map(|listener| {
        let (name, live_run) = (name.clone(), name.clone());
        let render: metrics_server::Render = Arc::new(move |snapshot| prometheus::render(snapshot, &name));
        let (audience, thresholds) = (context.plan.results.live_page.clone(), &context.plan.thresholds);
        let live = LivePage::new(audience, live_run, thresholds, snapshots.clone());
        let server = metrics_server::serve(listener, snapshots.clone(), render, live.clone(), served.clone());
        (live, tokio::spawn(server))
    });
    let push = context.plan.results.otlp.clone().map(|receiver| Push::new(receiver, name.clone()));
    let pushing = push.clone().map(|push| tokio::spawn(push.run(snapshots.clone(), done.clone())));
    let (command_sender, commands) = mpsc::channel(COMMANDS);
    let dashboard = dashboard.and_then(|tui| {
        tui.start(
            &name,
            context.plan.thresholds.clone(),
            snapshots.clone(),
            command_sender,
            shutdown.clone(),
            done.clone(),
        )
    });
    tokio::spawn(log_status(snapshots.clone(), shutdown.graceful.clone()));

    let stop_reason =
        supervisor::supervise(Arc::clone(&context), snapshots, commands, random(seed, &context.plan)).await;
    let interrupted_by = interrupted_by(&stop_reason, &context.plan, shutdown);
    let end_reason = match &stop_reason {
        StopReason::AllGone if has_ended(&context).await => ended(&context.plan),
        stop_reason => describe(stop_reason),
    };
    let files = context.plan.results.reports.clone();
    let part = match (context.plan.results.next_step, &identity, context.plan.load.shard.of()) {
        (false, ..) => None,
        (true, Some(_), _) => Some(Part::CollectedShard),
        (true, None, 2..) => Some(Part::Shard),
        (true, ..) => Some(Part::Whole),
    };
    let openmetrics = context.plan.results.openmetrics.clone();
    let thresholds = context.plan.thresholds.clone();
    let at_least = match context.plan.load.shape {
        Shape::Search(search) => search.at_least,
        _ => None,
    };
    drop(context);
    done.cancel();
    // The summary is printed on the normal screen.
    if let Some(dashboard) = dashboard {
        tui::finish(dashboard).await;
    }
    let Totals { last, recording, log } =
        aggregated.await.map_err(|error| Failure::internal("the aggregator panicked").caused_by(error))?;

    let verdict = judge(&last, &recording, &thresholds, interrupted_by);
    let verdict = match &stop_reason {
        StopReason::ThresholdFailed(criterion) | StopReason::ErrorRateExceeded(criterion) => {
            aborted_by(verdict, criterion.clone())
        }
        StopReason::LimitFound(found) => of_search(verdict, &found.0, at_least),
        _ => verdict,
    };
    let snapshot = Arc::unwrap_or_clone(last);
    let report = Report { run: name, snapshot, recording, verdict, end_reason }.bounded();
    if let Some((live, _)) = &serving {
        live.conclude(&report);
    }
    // The collector gives the verdict on the whole load.
    let exit_code = if identity.is_some() { Exit::Pass.code() } else { report.verdict.exit_code };
    if let (Some(push), Some(pushing)) = (push, pushing) {
        // A push that is under way would arrive after the last one.
        drop(pushing.await);
        push.last(&report.snapshot).await;
    }
    let metrics = openmetrics.map_or(Ok(()), |path| openmetrics::write(&path, &report.snapshot, &report.run));
    let written = report::publish(&files, &report, exit_code, part, log.and(metrics));
    if let Some((live, server)) = serving {
        tokio::select! {
            () = live.part() => {}
            () = shutdown.immediate.cancelled() => {}
        }
        served.cancel();
        drop(server.await);
    }
    tracing::info!("shutdown complete");
    if let Some(identity) = identity {
        // The collector waits for the report, even if it could not be written here.
        collect::send_report(&identity, &report, shutdown).await?;
        written?;
        let verdict = report.verdict.kind.as_str();
        tracing::info!("sent the report ({verdict}) to the collector, which gives the verdict");
        return Ok(Exit::Pass.into());
    }
    written.map(|()| ExitCode::from(report.verdict.exit_code))
}

/// The source of all random choices. Shards that share a seed must not make the same choices.
fn random(seed: u64, plan: &Plan) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_add(u64::from(plan.load.shard.index()) << 32))
}

/// The signal that ended the run before its planned end, if it has one.
fn interrupted_by(stop_reason: &StopReason, plan: &Plan, shutdown: &Shutdown) -> Option<u8> {
    let signal = shutdown.signal()?;
    let has_end = plan.load.length.is_some() || matches!(plan.load.shape, Shape::Search(_));
    let early = *stop_reason == StopReason::Asked && has_end;
    (early || shutdown.immediate.is_cancelled()).then_some(signal)
}

/// Whether a live stream was found to have ended.
async fn has_ended(context: &RunContext) -> bool {
    for target in context.targets.iter() {
        if target.end.is_known().await {
            return true;
        }
    }
    false
}

/// The reason why a run ended whose live stream has ended.
fn ended(plan: &Plan) -> String {
    let planned = plan.load.length.map_or_else(String::new, |planned| {
        format!(", before the planned {}: only that time was tested", GoDuration(planned))
    });
    format!("every viewer had left, because the live stream has ended (EXT-X-ENDLIST){planned}")
}

fn describe(stop_reason: &StopReason) -> String {
    let text = match stop_reason {
        StopReason::Elapsed => "it reached its planned length",
        StopReason::Asked => "stopped on request",
        StopReason::AllGone => "all viewers had ended or failed permanently",
        StopReason::NothingPlays => "no viewer ever played",
        StopReason::LimitFound(found) => return found.0.text(found.1),
        StopReason::ThresholdFailed(criterion) => {
            return format!("threshold no longer met: {}", criterion.limit);
        }
        StopReason::ForbiddenHost => "a viewer connected to a host that is not allowed",
        StopReason::ErrorRateExceeded(_) => "the error rate exceeded its limit (--error-storm)",
    };
    text.to_owned()
}

/// Logs the state of the run at intervals.
async fn log_status(snapshots: watch::Receiver<Arc<Snapshot>>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(STATUS_INTERVAL);
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // The dashboard shows all of this.
            _ = tick.tick() => if !terminal::is_active() {
                let line = status::line(&snapshots.borrow());
                tracing::info!("{line}");
            }
        }
    }
}
