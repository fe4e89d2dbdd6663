//! The wiring of `hls-swarm`: from what was typed to an exit code, as a table of contents.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::{CommandFactory, Parser};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::actors::exchange_log::ExchangeLog;
use crate::actors::preflight::{self, Ready};
use crate::actors::scout::StreamEnd;
use crate::actors::supervisor::{self, Cause};
use crate::actors::viewer::{self, Crew};
use crate::actors::{aggregator, metrics_server, pacemaker, probe_reader};
use crate::dashboard::{self, Stage};
use crate::logging;
use crate::pure::criteria::judge;
use crate::pure::plan::{self, Environment, Plan};
use crate::pure::preflight::{files_needed, own_files};
use crate::pure::stats::{Expectation, Stats};
use crate::pure::{go_style, profile};
use crate::reports;
use crate::system::clock::now_ns;
use crate::system::fetch::without_secrets;
use crate::system::guard::Guard;
use crate::system::limits;
use crate::system::shutdown::Shutdown;
use crate::system::terminal;
use crate::views::{prometheus, status};
use crate::words::cli::swarm::SwarmArgs;
use crate::words::exchange::Source;
use crate::words::exit::Exit;
use crate::words::failure::Failure;
use crate::words::report::Report;
use crate::words::run::Run;
use crate::words::snapshot::{Snapshot, Sources};

/// How often a line tells how the run is going.
const STATUS: Duration = Duration::from_secs(5);

/// `main` of `hls-swarm`.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|word| word == reports::WORD) {
        return reports::main();
    }
    let typed = go_style::translate(std::env::args_os(), &SwarmArgs::command());
    let args = match SwarmArgs::try_parse_from(typed) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    match start(args) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.print("hls-swarm", &mut std::io::stderr());
            failure.exit().into()
        }
    }
}

fn start(args: SwarmArgs) -> Result<ExitCode, Failure> {
    let args = match args.profile.clone() {
        Some(name) => profile::underlay(args, &read_profile(&name)?)?,
        None => args,
    };
    let environment = Environment {
        metrics_port: std::env::var("METRICS_PORT").ok(),
        ssl_cert_file: std::env::var_os("SSL_CERT_FILE").map(Into::into),
    };
    let plan = plan::resolve(&args, &environment)?;
    let stage = Stage::choose(&plan);
    let recent = stage.as_ref().map(Stage::log);
    logging::start(args.log_format, args.log_level.as_deref(), args.verbose.unwrap_or(false), recent)?;
    if args.dry_run.unwrap_or(false) {
        drop(write!(std::io::stdout(), "{}", profile::text(&args, &plan)?));
        return Ok(Exit::Pass.into());
    }
    // Before anything is opened, or it fails for reasons that nobody would understand.
    let clients = plan.ramp.clients;
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

/// The text of a profile: one that comes with the program, or a file.
fn read_profile(name: &str) -> Result<(String, String), Failure> {
    if !(name.contains('/') || name.ends_with(".toml")) {
        return profile::built_in(name).map(|text| (name.to_owned(), text.to_owned()));
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        Failure::usage(format!("--profile {name}: cannot be read"))
            .because(error)
            .cure("name a TOML file, or one of the profiles that come with the program")
    })?;
    Ok((name.to_owned(), text))
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
    let mut say = |check: &crate::pure::preflight::Check| drop(writeln!(std::io::stderr(), "{check}"));
    let ready = tokio::select! {
        ready = preflight::prepare(&plan, &guard, &mut say) => ready?,
        () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
    };
    play(plan, ready, log, guard, &shutdown, print_command, stage).await
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
    let nothing_yet = Arc::new(Stats::new(expectation).snapshot(expectation.began_ns));
    let (publish, snapshots) = watch::channel(nothing_yet);
    let crew = Arc::new(Crew {
        play: ready.play,
        can: ready.can,
        source: ready.source,
        probe: ready.probe,
        guard,
        events: events.clone(),
        stream_end: StreamEnd::default(),
        stop: shutdown.graceful.clone(),
        at_once: shutdown.at_once.clone(),
        plan,
    });
    if print_command {
        return print(&crew);
    }

    // What only watches ends after the viewers: `done` is cancelled when the last one is gone.
    let done = CancellationToken::new();
    let figures = tokio::spawn(aggregator::aggregate(expectation, inbox, publish, log));
    if let Some(reader) = ready.reader {
        tokio::spawn(probe_reader::carry(reader, events.clone(), done.clone()));
    }
    tokio::spawn(pacemaker::beat(events, shutdown.graceful.clone()));
    if let Some(listener) = ready.listener {
        let name = name.clone();
        let render: metrics_server::Render = Arc::new(move |snapshot| prometheus::render(snapshot, &name));
        tokio::spawn(metrics_server::serve(listener, snapshots.clone(), render, done.clone()));
    }
    let screen = stage.and_then(|stage| stage.open(&name, snapshots.clone(), shutdown.clone(), done.clone()));
    tokio::spawn(tell(snapshots.clone(), shutdown.graceful.clone()));

    let cause = supervisor::supervise(Arc::clone(&crew), snapshots, fastrand::Rng::with_seed(seed)).await;
    let broken_off = broken_off(cause, &crew.plan, shutdown);
    let files = crew.plan.results.reports.clone();
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
    let snapshot = Arc::unwrap_or_clone(last);
    let report = Report { run: name, snapshot, recording, verdict, ended_because: words(cause).to_owned() };
    reports::say(&report);
    reports::write(&files, &report)?;
    Ok(ExitCode::from(report.verdict.exit_code))
}

fn describe(plan: &Plan, ready: &Ready, seed: u64) -> Run {
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Run {
        url: without_secrets(&plan.stream.url),
        variant: plan.stream.variant,
        version: env!("CARGO_PKG_VERSION").into(),
        ffmpeg: ready.can.version.clone(),
        seed: Some(seed),
        began_unix: began.as_secs(),
        per_viewer_metrics: plan.results.per_viewer_metrics,
    }
}

fn expectation(plan: &Plan, ready: &Ready) -> Expectation {
    // A viewer needs its first segments before it plays; after that it is due.
    let start_up = (2.0 * ready.play.target_duration).max(5.0);
    let source = ready.source;
    Expectation {
        began_ns: now_ns(),
        planned_seconds: plan.duration.map(|duration| duration.as_secs_f64()),
        target_clients: plan.ramp.clients,
        settled_seconds: plan.ramp.length().as_secs_f64() + start_up,
        timeout_ns: u64::try_from(plan.stream.timeout.as_nanos()).unwrap_or(u64::MAX),
        sources: Sources { requests: source, bytes: source },
    }
}

fn print(crew: &Crew) -> Result<ExitCode, Failure> {
    let program = viewer::program(crew, 1, 1);
    let quote = |text: &std::ffi::OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:+=,@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let words = std::iter::once(program.path.as_os_str()).chain(program.arguments.iter().map(AsRef::as_ref));
    let line: Vec<String> = words.map(quote).collect();
    drop(writeln!(std::io::stdout(), "{}", line.join(" ")));
    if crew.source == Source::Probe {
        drop(writeln!(std::io::stderr(), "(the socket probe is added by LD_PRELOAD when it runs)"));
    }
    Ok(Exit::Pass.into())
}

/// The signal that ended the run before its planned end; a run until stopped has none.
fn broken_off(cause: Cause, plan: &Plan, shutdown: &Shutdown) -> Option<u8> {
    let signal = shutdown.signal()?;
    let early = cause == Cause::Asked && plan.duration.is_some();
    (early || shutdown.at_once.is_cancelled()).then_some(signal)
}

const fn words(cause: Cause) -> &'static str {
    match cause {
        Cause::Elapsed => "its planned length was over",
        Cause::Asked => "stopped on request",
        Cause::AllGone => "every viewer had left or been given up",
        Cause::NobodyPlays => "no viewer ever played",
    }
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
