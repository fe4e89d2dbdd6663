//! A run from its first viewer to its verdict.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_model::report::Report;
use hls_swarm_model::snapshot::Snapshot;
use hls_swarm_model::stats::Stats;
use hls_swarm_model::verdict::criteria::{aborted_by, judge};
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{elf, terminal};

use super::description;
use crate::aggregator::{self, Account};
use crate::config::plan::Plan;
use crate::engine::probe::reader;
use crate::engine::viewer::{Channel, RunContext};
use crate::output::exchange_log::ExchangeLog;
use crate::output::{metrics_server, prometheus, status};
use crate::preflight::Ready;
use crate::preflight::stream_check::StreamEnd;
use crate::supervisor::{self, Cause};
use crate::tui::{self, Stage};
use crate::{collect, event_loop_lag, origin_metrics, report};

/// Wishes of whoever watches that may wait to be heard.
const COMMANDS: usize = 16;
/// How often a line tells how the run is going.
const STATUS: Duration = Duration::from_secs(5);

/// Plays, judges and reports.
pub(crate) async fn play(
    plan: Plan,
    ready: Ready,
    log: Option<ExchangeLog>,
    guard: Arc<Guard>,
    shutdown: &Shutdown,
    stage: Option<Stage>,
) -> Result<ExitCode, Failure> {
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..));
    let name = description::run(&plan, &ready, seed);
    let expectation = description::expectation(&plan, &ready);
    let stats = Stats::new(expectation)
        .watching(plan.watch.window, plan.watch.segments_kept, plan.watch.sizes_counted())
        .with_stages(description::stages(&plan), description::stream_names(&plan), plan.thresholds.clone())
        .with_abort_thresholds(&plan.thresholds, plan.abort_after);
    let nothing_yet = Arc::new(stats.snapshot(expectation.began_ns));
    let (publish, snapshots) = watch::channel(nothing_yet);
    let (events, inbox) = mpsc::channel(aggregator::QUEUE);
    let context = Arc::new(RunContext {
        channels: ready.plays.map(|(stream, play)| Channel {
            stream: stream.clone(),
            play: play.clone(),
            end: StreamEnd::default(),
        }),
        can: ready.can,
        is_static: elf::is_static(&plan.viewers.ffmpeg) == Some(true),
        source: ready.source,
        probe: ready.probe,
        guard,
        events: events.clone(),
        stop: shutdown.graceful.clone(),
        at_once: shutdown.at_once.clone(),
        plan,
    });

    // What only watches ends after the viewers: `done` is cancelled when the last one is gone.
    let done = CancellationToken::new();
    let figures = tokio::spawn(aggregator::aggregate(stats, inbox, publish, log));
    if let Some(reader) = ready.reader {
        tokio::spawn(reader::carry(reader, events.clone(), done.clone()));
    }
    origin_metrics::start(&context.plan, &events, &shutdown.graceful, &done, seed);
    tokio::spawn(event_loop_lag::beat(events, shutdown.graceful.clone()));
    if let Some(listener) = ready.listener {
        let name = name.clone();
        let render: metrics_server::Render = Arc::new(move |snapshot| prometheus::render(snapshot, &name));
        tokio::spawn(metrics_server::serve(listener, snapshots.clone(), render, done.clone()));
    }
    let (hands, wishes) = mpsc::channel(COMMANDS);
    let screen =
        stage.and_then(|stage| stage.open(&name, snapshots.clone(), hands, shutdown.clone(), done.clone()));
    tokio::spawn(tell(snapshots.clone(), shutdown.graceful.clone()));

    let cause =
        supervisor::supervise(Arc::clone(&context), snapshots, wishes, random(seed, &context.plan)).await;
    let interrupted_by = interrupted_by(&cause, &context.plan, shutdown);
    let files = context.plan.results.reports.clone();
    let collector = context.plan.results.collector.clone().map(|url| (url, context.plan.load.shard));
    let thresholds = context.plan.thresholds.clone();
    drop(context);
    done.cancel();
    // The summary belongs to the screen that the run was started on.
    if let Some(screen) = screen {
        tui::close(screen).await;
    }
    let Account { last, recording, log } =
        figures.await.map_err(|error| Failure::internal("the aggregator broke off").caused_by(error))?;

    let verdict = judge(&last, &thresholds, interrupted_by);
    let verdict = match &cause {
        Cause::ThresholdFailed(criterion) | Cause::ErrorStorm(criterion) => {
            aborted_by(verdict, criterion.clone())
        }
        _ => verdict,
    };
    let snapshot = Arc::unwrap_or_clone(last);
    let report = Report { run: name, snapshot, recording, verdict, end_reason: words(&cause) };
    let kept = report::publish(&files, &report).and(log);
    if let Some((collector, shard)) = collector {
        // The collector waits for it, even if a file could not be written.
        collect::send_report(&collector, shard, &report, shutdown).await?;
        kept?;
        let word = report.verdict.word.as_str();
        tracing::info!("sent a report with the verdict {word}; the collector gives the final verdict");
        return Ok(Exit::Pass.into());
    }
    kept.map(|()| ExitCode::from(report.verdict.exit_code))
}

/// All chances of a run. Shards that were given the same seed must not throw the same dice.
fn random(seed: u64, plan: &Plan) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_add(u64::from(plan.load.shard.index()) << 32))
}

/// The signal that ended the run before its planned end; a run until stopped has none.
fn interrupted_by(cause: &Cause, plan: &Plan, shutdown: &Shutdown) -> Option<u8> {
    let signal = shutdown.signal()?;
    let early = *cause == Cause::Asked && plan.load.length.is_some();
    (early || shutdown.at_once.is_cancelled()).then_some(signal)
}

fn words(cause: &Cause) -> String {
    let words = match cause {
        Cause::Elapsed => "its planned length was over",
        Cause::Asked => "stopped on request",
        Cause::AllGone => "every viewer had left or been given up",
        Cause::NobodyPlays => "no viewer ever played",
        Cause::ThresholdFailed(criterion) => return format!("not so any more: {}", criterion.limit),
        Cause::ErrorStorm(_) => "a storm of errors (--error-storm)",
    };
    words.to_owned()
}

/// Logs the state of the run now and then.
async fn tell(snapshots: watch::Receiver<Arc<Snapshot>>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(STATUS);
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // The dashboard shows all of that.
            _ = tick.tick() => if !terminal::is_up() {
                let line = status::line(&snapshots.borrow());
                tracing::info!("{line}");
            }
        }
    }
}
