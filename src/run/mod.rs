//! The entry point of `hls-swarm`, from the command line to the exit code.

pub(crate) mod description;
pub(crate) mod play;
pub(crate) mod print;
pub(crate) mod waiting;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::health::{self, Endpoint};
use hls_swarm_cli::layers::Given;
use hls_swarm_cli::manual::{self, Manual};
use hls_swarm_cli::{logging, program};
use hls_swarm_host::audit::command as audit;
use hls_swarm_host::tuning::command as tune;
use hls_swarm_http::site_rules;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{identity, machine, memory, output, runtime, secrets};

use crate::cli::commands::SwarmCommand;
use crate::cli::run::{METRICS_PORT, RunArgs};
use crate::cli::{self, Cli};
use crate::config::plan::{self, Environment, Plan, unused_options};
use crate::config::{self, header_file, layers, profile};
use crate::engine::confinement;
use crate::output::exchange_log::ExchangeLog;
use crate::preflight::checklist::Finding;
use crate::preflight::resources::own_files;
use crate::tui::Tui;
use crate::{collect, consent, demo, impair, monitoring, preflight, report, shard_plan, systemd};

/// The metrics of a run.
const HEALTH: Endpoint = Endpoint {
    variables: &["HLS_SWARM_METRICS", "METRICS_PORT"],
    port: METRICS_PORT,
    path: "/metrics",
    help: "metrics are served during a run, unless it has --metrics off; for another port set METRICS_PORT or pass a URL",
};

/// `main` of `hls-swarm`.
#[must_use]
pub fn main() -> ExitCode {
    program::main(cli::program(), command)
}

fn command(Cli { command, run }: Cli, given: Given) -> Result<ExitCode, Failure> {
    let manual = || Manual { command: cli::command(), layout: &cli::LAYOUT, environment: &cli::ENVIRONMENT };
    let done = |()| ExitCode::from(Exit::Pass);
    match command {
        None => start(RunArgs { given, ..*run }),
        Some(SwarmCommand::Run(run)) => start(RunArgs { given, ..*run }),
        Some(SwarmCommand::Check(run)) => {
            let mut run = RunArgs { given, ..*run };
            run.action.check = true;
            start(run)
        }
        Some(SwarmCommand::Demo(args)) => demo::run(*args, given),
        Some(SwarmCommand::Report(command)) => report::run(command),
        Some(SwarmCommand::Collect(args)) => collect::run(&args),
        Some(SwarmCommand::Plan(args)) => shard_plan::run(&args).map(done),
        Some(SwarmCommand::Config(command)) => config::run(command, given),
        Some(SwarmCommand::Tune(args)) => tune::run(args).map(ExitCode::from),
        Some(SwarmCommand::Audit(args)) => audit::run(&args).map(ExitCode::from),
        Some(SwarmCommand::Impair(args)) => impair::run(&args).map(done),
        Some(SwarmCommand::Monitoring(command)) => monitoring::run(&command).map(done),
        Some(SwarmCommand::Render(command)) => systemd::run(command, given).map(ExitCode::from),
        Some(SwarmCommand::Health(args)) => health::check(HEALTH, args).map(done),
        Some(SwarmCommand::Man(args)) => manual::print_page(&manual(), &args).map(done),
        Some(SwarmCommand::Completions(args)) => manual::print_completions(&cli::command(), &args).map(done),
    }
}

fn start(args: RunArgs) -> Result<ExitCode, Failure> {
    let Some(prepared) = prepare(layers::merged(args)?)? else { return Ok(Exit::Pass.into()) };
    // The guard starts before the runtime, because it has to be forked from a process with one thread.
    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    let exit = runtime.block_on(run(prepared, guard));
    // A lookup that hangs in the resolver must not delay the exit.
    runtime.shutdown_background();
    exit
}

/// A run whose configuration is resolved and allowed on this machine.
#[derive(Debug)]
pub(crate) struct Prepared {
    plan: Plan,
    print_command: bool,
    tui: Option<Tui>,
}

impl Prepared {
    /// Leaves the next step out of the summary: the caller has another one.
    pub(crate) const fn without_next_step(mut self) -> Self {
        self.plan.results.next_step = false;
        self
    }
}

/// Resolves a configuration from its merged layers, starts the log, and asks what must be asked. Returns nothing if the
/// configuration was only to be printed.
///
/// # Errors
/// The configuration is invalid, or not allowed on this machine.
pub(crate) fn prepare(args: RunArgs) -> Result<Option<Prepared>, Failure> {
    let environment = Environment {
        secret_headers: args
            .stream
            .header_file
            .as_deref()
            .map_or_else(|| Ok(Vec::new()), header_file::read)?,
        collector_token: args.results.collector_token_file.as_deref().map(collect::token).transpose()?,
        secrets: secrets::read(layers::wanted_secrets(&args)?)?,
        sites: site_rules::rules()?,
        ..layers::environment(&args)?
    };
    let mut plan = plan::resolve(&args, &environment)?;
    secrets::register(&plan.secrets);
    let warnings = unused_options::check(&args)?;
    let tui = Tui::for_plan(&plan);
    let recent = tui.as_ref().map(Tui::log);
    let results = &args.results;
    logging::start(results.log_format, Some(&results.log_level), results.verbose, recent)?;
    confinement::as_root(&plan.viewers.confinement, identity::is_root())
        .iter()
        .for_each(|why| tracing::warn!("{why}"));
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.action.dry_run {
        output::print(&profile::text(&args, &plan)?)?;
        return Ok(None);
    }
    confinement::check(&plan.viewers.confinement, identity::is_root())?;
    let print_command = args.action.print_cmd;
    if !print_command {
        consent::obtain(&mut plan)?;
    }
    // The limit is raised before anything is opened, because later failures would not name it.
    let clients = plan.load.own_max_viewers();
    let needed = plan.viewers.engine.requirements(clients).open_files;
    own_files(clients, needed, machine::raise_open_files(needed), machine::is_service())?;
    Ok(Some(Prepared { plan, print_command, tui }))
}

/// Carries out a run, from preflight to its verdict.
///
/// # Errors
/// The machine, the viewers, or the stream are not suitable, or a result cannot be written.
pub(crate) async fn run(prepared: Prepared, guard: Arc<Guard>) -> Result<ExitCode, Failure> {
    let Prepared { plan, print_command, tui } = prepared;
    let shutdown = Shutdown::listen()?;
    report::check(&plan.results.reports)?;
    report::check_beside(plan.results.exchange_log.as_deref(), &plan.results.reports)?;
    if let Some(path) = &plan.results.openmetrics {
        output::check_file("--openmetrics", path)?;
    }
    let log = plan.results.exchange_log.as_deref().map(ExchangeLog::create).transpose()?;
    let mut report_finding = |finding: &Finding| {
        let line = finding.to_string();
        drop(writeln!(std::io::stderr(), "{}", secrets::redact(&line)));
    };
    let ready = tokio::select! {
        ready = preflight::prepare(&plan, &guard, &mut report_finding) => ready?,
        () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
    };
    if print_command {
        return print::command(&plan, &ready);
    }
    description::check_thresholds(&plan, &ready)?;
    let identity = collect::Identity::of(&plan)?;
    tokio::select! {
        waited = waiting::wait(&plan, identity.as_ref()) => waited?,
        () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
    }
    memory::return_freed();
    play::play(plan, ready, identity, log, guard, &shutdown, tui).await
}

/// The exit of a run that was stopped before its first viewer.
fn interrupted(shutdown: &Shutdown) -> Exit {
    Exit::Signal(shutdown.signal().unwrap_or(2))
}
