//! The wiring of `hls-swarm`: from what was typed to an exit code, as a table of contents.

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{CommandFactory, FromArgMatches};
use jiff::Zoned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::actors::exchange_log::ExchangeLog;
use crate::actors::preflight::{self, Ready};
use crate::actors::scout::StreamEnd;
use crate::actors::supervisor::{self, Cause};
use crate::actors::viewer::{self, Channel, Crew};
use crate::actors::{aggregator, metrics_server, pacemaker, probe_reader, scraper};
use crate::consent;
use crate::dashboard::{self, Stage};
use crate::fleet;
use crate::impair;
use crate::manual;
use crate::pure::criteria::{judge, worn_out};
use crate::pure::extra_args;
use crate::pure::load::start_at::Wait;
use crate::pure::mix::Mix;
use crate::pure::plan::idle::Typed;
use crate::pure::plan::{self, Environment, Plan};
use crate::pure::preflight::{files_needed, own_files};
use crate::pure::secrets as pure_secrets;
use crate::pure::stats::{Expectation, StagePlan, Stats};
use crate::pure::{go_style, profile};
use crate::reports;
use crate::settings::{self, environment, laid_under};
use crate::system::clock::now_ns;
use crate::system::fetch::without_secrets;
use crate::system::guard::Guard;
use crate::system::header_file;
use crate::system::init;
use crate::system::limits;
use crate::system::secrets;
use crate::system::shutdown::Shutdown;
use crate::system::site;
use crate::system::terminal;
use crate::tune;
use crate::views::{prometheus, status};
use crate::words::cli::swarm::SwarmArgs;
use crate::words::duration::GoDuration;
use crate::words::exchange::Source;
use crate::words::exit::Exit;
use crate::words::failure::Failure;
use crate::words::report::Report;
use crate::words::run::Run;
use crate::words::snapshot::{Snapshot, Sources};
use crate::{audit, collect, config, health, logging, monitoring};

/// Wishes of whoever watches that may wait to be heard.
const COMMANDS: usize = 16;
/// How often somebody who waits looks at the wall clock.
const WATCH: Duration = Duration::from_secs(10);
/// How often a line tells how the run is going.
const STATUS: Duration = Duration::from_secs(5);

/// `main` of `hls-swarm`.
#[must_use]
pub fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    match first.as_deref().and_then(OsStr::to_str) {
        Some(reports::WORD) => return reports::main(),
        Some(health::WORD) => return health::main(health::SWARM),
        Some(collect::WORD) => return collect::main(),
        Some(config::WORD) => return config::main(),
        Some(monitoring::WORD) => return monitoring::main(),
        Some(fleet::WORD) => return fleet::main(),
        Some(tune::WORD) => return tune::main(),
        Some(audit::WORD) => return audit::main(),
        Some(impair::WORD) => return impair::main(),
        Some(manual::MAN | manual::COMPLETIONS) => return manual::main(manual::swarm()),
        _ => {}
    }
    let extra = std::env::var("EXTRA_ARGS").ok();
    let typed = match extra_args::appended(std::env::args_os().collect(), extra.as_deref()) {
        Ok(typed) => go_style::translate(typed, &SwarmArgs::command()),
        Err(failure) => return complain(&failure),
    };
    let parsed = SwarmArgs::command().try_get_matches_from(typed);
    let (args, typed) = match parsed.and_then(|parsed| Ok((SwarmArgs::from_arg_matches(&parsed)?, parsed))) {
        Ok((args, parsed)) => (args, settings::typed(&parsed)),
        Err(error) => return logging::clap_exit(&error),
    };
    match init::step_aside().and_then(|first| first.map_or_else(|| start(args, &typed), Ok)) {
        Ok(exit) => exit,
        Err(failure) => complain(&failure),
    }
}

/// Says what is wrong, without secrets that a library may have put into it.
fn complain(failure: &Failure) -> ExitCode {
    let mut text = Vec::new();
    failure.print("hls-swarm", &mut text);
    // The reader may be gone; there is no one left to tell.
    drop(write!(std::io::stderr(), "{}", secrets::shown(&String::from_utf8_lossy(&text))));
    failure.exit().into()
}

fn start(args: SwarmArgs, typed: &Typed) -> Result<ExitCode, Failure> {
    let args = laid_under(args)?;
    let environment = Environment {
        secret_headers: args.header_file.as_deref().map_or_else(|| Ok(Vec::new()), header_file::read)?,
        secrets: secrets::read(pure_secrets::wanted(&args)?)?,
        sites: site::rules()?,
        ..environment(&args)?
    };
    let mut plan = plan::resolve(&args, &environment)?;
    secrets::keep(&plan.secrets);
    let idle = plan::idle::check(&args, typed)?;
    let stage = Stage::choose(&plan);
    let recent = stage.as_ref().map(Stage::log);
    logging::start(args.log_format, args.log_level.as_deref(), args.verbose.unwrap_or(false), recent)?;
    idle.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.dry_run.unwrap_or(false) {
        drop(write!(std::io::stdout(), "{}", profile::text(&args, &plan)?));
        return Ok(Exit::Pass.into());
    }
    if !args.print_cmd.unwrap_or(false) {
        consent::obtain(&mut plan)?;
    }
    // Before anything is opened, or it fails for reasons that nobody would understand.
    let clients = plan.load.own_most();
    own_files(clients, limits::raise_open_files(files_needed(clients)))?;
    // Before the runtime: the guard is forked from a process with one thread.
    let guard = Arc::new(Guard::start()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("cannot start the event loop").because(error))?;
    let exit = runtime.block_on(run(plan, args.print_cmd.unwrap_or(false), guard, stage));
    // A look-up that hangs in the resolver must not hold up the exit.
    runtime.shutdown_background();
    exit
}

async fn run(
    plan: Plan,
    print_command: bool,
    guard: Arc<Guard>,
    stage: Option<Stage>,
) -> Result<ExitCode, Failure> {
    let shutdown = Shutdown::listen()?;
    reports::check(&plan.results.reports)?;
    let log = plan.results.exchange_log.as_deref().map(ExchangeLog::create).transpose()?;
    let mut say = |check: &crate::pure::preflight::Check| {
        let line = check.to_string();
        drop(writeln!(std::io::stderr(), "{}", secrets::shown(&line)));
    };
    let ready = tokio::select! {
        ready = preflight::prepare(&plan, &guard, &mut say) => ready?,
        () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
    };
    if !print_command {
        tokio::select! {
            waited = wait(&plan) => waited?,
            () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
        }
    }
    play(plan, ready, log, guard, &shutdown, print_command, stage).await
}

/// Waits for the moment at which the run is to begin, and for all of its shards.
async fn wait(plan: &Plan) -> Result<(), Failure> {
    wait_for_moment(plan).await?;
    match &plan.results.collector {
        Some(collector) => collect::wait_for_all(collector, plan.load.shard, plan.load.length).await,
        None => Ok(()),
    }
}

async fn wait_for_moment(plan: &Plan) -> Result<(), Failure> {
    let Some(start) = plan.start_at else { return Ok(()) };
    match start.wait(&Zoned::now()) {
        Wait::For(time) => {
            tracing::info!("waiting until {start}, {}", GoDuration(Duration::from_secs(time.as_secs())));
            // In pieces: the wall clock may be set meanwhile, which a timer does not hear of.
            while let Wait::For(time) = start.wait(&Zoned::now()) {
                tokio::time::sleep(time.min(WATCH).max(Duration::from_millis(1))).await;
                if time <= WATCH {
                    break;
                }
            }
            Ok(())
        }
        Wait::Late(late) => {
            tracing::warn!("{start} was {} ago: starting now", GoDuration(late));
            Ok(())
        }
        Wait::Missed(late) => Err(Failure::usage(format!("--start-at {start} was {} ago", GoDuration(late)))
            .cure("pass a moment to come, or a time of day like 20:00")),
    }
}

/// The exit of a program that was asked to end before it had begun.
fn interrupted(shutdown: &Shutdown) -> Exit {
    Exit::Signal(shutdown.signal().unwrap_or(2))
}

async fn play(
    plan: Plan,
    ready: Ready,
    log: Option<ExchangeLog>,
    guard: Arc<Guard>,
    shutdown: &Shutdown,
    print_command: bool,
    stage: Option<Stage>,
) -> Result<ExitCode, Failure> {
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..));
    let name = describe(&plan, &ready, seed);
    let expectation = expectation(&plan, &ready);
    let (events, inbox) = mpsc::channel(aggregator::QUEUE);
    let stats = Stats::new(expectation)
        .watching(&plan.watch)
        .in_parts(stages(&plan), stream_names(&plan), plan.thresholds.clone())
        .bearing(&plan.thresholds, plan.abort_after);
    let nothing_yet = Arc::new(stats.snapshot(expectation.began_ns));
    let (publish, snapshots) = watch::channel(nothing_yet);
    let channels = ready.plays.map(|(stream, play)| Channel {
        stream: stream.clone(),
        play: play.clone(),
        end: StreamEnd::default(),
    });
    let crew = Arc::new(Crew {
        channels,
        can: ready.can,
        source: ready.source,
        probe: ready.probe,
        guard,
        events: events.clone(),
        stop: shutdown.graceful.clone(),
        at_once: shutdown.at_once.clone(),
        plan,
    });
    if print_command {
        return print(&crew);
    }

    // What only watches ends after the viewers: `done` is cancelled when the last one is gone.
    let done = CancellationToken::new();
    let figures = tokio::spawn(aggregator::aggregate(stats, inbox, publish, log));
    if let Some(reader) = ready.reader {
        tokio::spawn(probe_reader::carry(reader, events.clone(), done.clone()));
    }
    scraper::start(&crew.plan, &events, &shutdown.graceful, &done, seed);
    tokio::spawn(pacemaker::beat(events, shutdown.graceful.clone()));
    if let Some(listener) = ready.listener {
        let name = name.clone();
        let render: metrics_server::Render = Arc::new(move |snapshot| prometheus::render(snapshot, &name));
        tokio::spawn(metrics_server::serve(listener, snapshots.clone(), render, done.clone()));
    }
    let (hands, wishes) = mpsc::channel(COMMANDS);
    let screen =
        stage.and_then(|stage| stage.open(&name, snapshots.clone(), hands, shutdown.clone(), done.clone()));
    tokio::spawn(tell(snapshots.clone(), shutdown.graceful.clone()));

    let cause = supervisor::supervise(Arc::clone(&crew), snapshots, wishes, random(seed, &crew.plan)).await;
    let broken_off = broken_off(&cause, &crew.plan, shutdown);
    let files = crew.plan.results.reports.clone();
    let collector = crew.plan.results.collector.clone().map(|url| (url, crew.plan.load.shard));
    let thresholds = crew.plan.thresholds.clone();
    drop(crew);
    done.cancel();
    // The summary belongs to the screen that the run was started on.
    if let Some(screen) = screen {
        dashboard::close(screen).await;
    }
    let (last, recording) =
        figures.await.map_err(|error| Failure::internal("the aggregator broke off").because(error))??;

    let verdict = judge(&last, &thresholds, broken_off);
    let verdict = match &cause {
        Cause::WornOut(criterion) | Cause::ErrorStorm(criterion) => worn_out(verdict, criterion.clone()),
        _ => verdict,
    };
    let snapshot = Arc::unwrap_or_clone(last);
    let report = Report { run: name, snapshot, recording, verdict, ended_because: words(&cause) };
    reports::say(&report);
    reports::write(&files, &report)?;
    if let Some((collector, shard)) = collector {
        collect::hand_over(&collector, shard, &report).await?;
        let word = report.verdict.word.shout();
        tracing::info!("handed over a report that says {word}; the collector gives the verdict");
        return Ok(Exit::Pass.into());
    }
    Ok(ExitCode::from(report.verdict.exit_code))
}

fn describe(plan: &Plan, ready: &Ready, seed: u64) -> Run {
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

/// All chances of a run. Shards that were given the same seed must not throw the same dice.
fn random(seed: u64, plan: &Plan) -> fastrand::Rng {
    fastrand::Rng::with_seed(seed.wrapping_add(u64::from(plan.load.shard.index()) << 32))
}

/// The addresses of all streams, without secrets.
fn addresses(plan: &Plan) -> String {
    plan.streams.iter().map(|stream| without_secrets(&stream.url)).collect::<Vec<_>>().join(" ")
}

/// The stages in viewers of this process.
fn stages(plan: &Plan) -> Vec<StagePlan> {
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
fn stream_names(plan: &Plan) -> Mix<String> {
    let variant = plan.streams.first().variant;
    let differ = plan.streams.iter().any(|stream| stream.variant != variant);
    plan.streams.map(|stream| {
        let url = without_secrets(&stream.url);
        if differ { format!("{url} ({})", stream.variant) } else { url }
    })
}

fn expectation(plan: &Plan, ready: &Ready) -> Expectation {
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

fn print(crew: &Crew) -> Result<ExitCode, Failure> {
    let command = viewer::command(crew, 1);
    let quote = |text: &std::ffi::OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=,@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let path = crew.plan.viewers.ffmpeg.as_os_str();
    let words = std::iter::once(path).chain(command.iter().map(AsRef::as_ref));
    let line = words.map(quote).collect::<Vec<String>>().join(" ");
    // What was typed in the open is shown, so that the command can be tried.
    let line = if crew.plan.secrets.were_read() { secrets::shown(&line).into_owned() } else { line };
    drop(writeln!(std::io::stdout(), "{line}"));
    if crew.source == Source::Probe {
        drop(writeln!(std::io::stderr(), "(the socket probe is added by LD_PRELOAD when it runs)"));
    }
    Ok(Exit::Pass.into())
}

/// The signal that ended the run before its planned end; a run until stopped has none.
fn broken_off(cause: &Cause, plan: &Plan, shutdown: &Shutdown) -> Option<u8> {
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
        Cause::WornOut(criterion) => return format!("not so any more: {}", criterion.limit),
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
