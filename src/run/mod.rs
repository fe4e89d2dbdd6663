//! The wiring of `hls-swarm`: from what was typed to an exit code, as a table of contents.

pub(crate) mod description;
pub(crate) mod play;
pub(crate) mod print;
pub(crate) mod waiting;

use std::ffi::OsStr;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::health::{self, Where};
use hls_swarm_cli::manual::{COMPLETIONS, MAN};
use hls_swarm_cli::{go_style, logging};
use hls_swarm_host::audit::command as audit;
use hls_swarm_host::tuning::command as tune;
use hls_swarm_http::site_rules;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{machine, output, pid1, runtime, secrets};

use crate::cli::extra_args;
use crate::cli::run::SwarmArgs;
use crate::config::layers::{self, environment, merged_with_profiles};
use crate::config::plan::unused_options::Typed;
use crate::config::plan::{self, Environment, Plan};
use crate::config::{self, header_file, profile};
use crate::output::exchange_log::ExchangeLog;
use crate::preflight::checklist::Finding;
use crate::preflight::resources::own_files;
use crate::tui::Tui;
use crate::{collect, consent, impair, manual, monitoring, preflight, report, shard_plan};

/// `hls-swarm`: its metrics.
const HEALTH: Where = Where {
    program: "hls-swarm health",
    variable: "METRICS_PORT",
    port: plan::METRICS_PORT,
    path: "/metrics",
    help: "metrics are served as long as a run lasts, and not with --metrics off; another port? METRICS_PORT or a URL",
};

/// `main` of `hls-swarm`.
#[must_use]
pub fn main() -> ExitCode {
    let first = std::env::args_os().nth(1);
    match first.as_deref().and_then(OsStr::to_str) {
        Some(report::WORD) => return report::main(),
        Some(health::WORD) => return health::main(HEALTH),
        Some(collect::WORD) => return collect::main(),
        Some(config::WORD) => return config::main(),
        Some(monitoring::WORD) => return monitoring::main(),
        Some(shard_plan::WORD) => return shard_plan::main(),
        Some(tune::WORD) => return tune::main(),
        Some(audit::WORD) => return audit::main(),
        Some(impair::WORD) => return impair::main(),
        Some(MAN | COMPLETIONS) => return hls_swarm_cli::manual::main(manual::swarm()),
        _ => {}
    }
    let extra = std::env::var("EXTRA_ARGS").ok();
    let typed = match extra_args::appended(std::env::args_os().collect(), extra.as_deref()) {
        Ok(typed) => go_style::translate(typed, &SwarmArgs::command()),
        Err(failure) => return complain(&failure),
    };
    let parsed = SwarmArgs::command().try_get_matches_from(typed);
    let (args, typed) = match parsed.and_then(|parsed| Ok((SwarmArgs::from_arg_matches(&parsed)?, parsed))) {
        Ok((args, parsed)) => (args, layers::typed(&parsed)),
        Err(error) => return logging::clap_exit(&error),
    };
    match pid1::run_as_pid1().and_then(|first| first.map_or_else(|| start(args, &typed), Ok)) {
        Ok(exit) => exit,
        Err(failure) => complain(&failure),
    }
}

/// Says what is wrong, without secrets that a library may have put into it.
fn complain(failure: &Failure) -> ExitCode {
    let mut text = Vec::new();
    failure.print(&mut text);
    // The reader may be gone; there is no one left to tell.
    drop(write!(std::io::stderr(), "{}", secrets::redact(&String::from_utf8_lossy(&text))));
    failure.exit().into()
}

fn start(args: SwarmArgs, typed: &Typed) -> Result<ExitCode, Failure> {
    let args = merged_with_profiles(args)?;
    let environment = Environment {
        secret_headers: args.header_file.as_deref().map_or_else(|| Ok(Vec::new()), header_file::read)?,
        secrets: secrets::read(layers::wanted_secrets(&args)?)?,
        sites: site_rules::rules()?,
        ..environment(&args)?
    };
    let mut plan = plan::resolve(&args, &environment)?;
    secrets::register(&plan.secrets);
    let idle = plan::unused_options::check(&args, typed)?;
    let tui = Tui::for_plan(&plan);
    let recent = tui.as_ref().map(Tui::log);
    logging::start(args.log_format, args.log_level.as_deref(), args.verbose.unwrap_or(false), recent)?;
    idle.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.dry_run.unwrap_or(false) {
        output::print(&profile::text(&args, &plan)?)?;
        return Ok(Exit::Pass.into());
    }
    if !args.print_cmd.unwrap_or(false) {
        consent::obtain(&mut plan)?;
    }
    // Before anything is opened, which would fail with messages that do not name the limit.
    let clients = plan.load.own_most();
    let needed = plan.viewers.engine.requirements(clients).open_files;
    own_files(clients, needed, machine::raise_open_files(needed))?;
    // Before the runtime: the guard is forked from a process with one thread.
    let guard = Arc::new(Guard::start()?);
    let runtime = runtime::single_threaded()?;
    let exit = runtime.block_on(run(plan, args.print_cmd.unwrap_or(false), guard, tui));
    // A look-up that hangs in the resolver must not hold up the exit.
    runtime.shutdown_background();
    exit
}

async fn run(
    plan: Plan,
    print_command: bool,
    guard: Arc<Guard>,
    tui: Option<Tui>,
) -> Result<ExitCode, Failure> {
    let shutdown = Shutdown::listen()?;
    report::check(&plan.results.reports)?;
    report::check_beside(plan.results.exchange_log.as_deref(), &plan.results.reports)?;
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
    tokio::select! {
        waited = waiting::wait(&plan) => waited?,
        () = shutdown.graceful.cancelled() => return Ok(interrupted(&shutdown).into()),
    }
    play::play(plan, ready, log, guard, &shutdown, tui).await
}

/// The exit of a program that was asked to end before it had begun.
fn interrupted(shutdown: &Shutdown) -> Exit {
    Exit::Signal(shutdown.signal().unwrap_or(2))
}
