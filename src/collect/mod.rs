//! `hls-swarm collect`, which merges many shards into one verdict, and the client that shards use to reach it.

pub mod collection;
pub mod server;

use std::process::ExitCode;
use std::time::Duration;

use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_cli::logging;
use hls_swarm_http::fetch::{self, without_secrets};
use hls_swarm_model::report::{Format, Report};
use hls_swarm_os::runtime;
use hls_swarm_os::shutdown::Shutdown;

use crate::cli::commands::CollectArgs;
use crate::collect::collection::Collection;
use crate::config::plan::Plan;
use crate::load::shard::Shard;
use crate::report;

/// How long a shard tries to reach its collector, which may still be starting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts the shards of a load together, collects their reports, and gives the verdict.
///
/// # Errors
/// The address is in use, or not all shards were ready in time.
pub fn run(args: &CollectArgs) -> Result<ExitCode, Failure> {
    logging::start(None, None, false, None)?;
    let files = Format::of_all(&args.reports)?;
    report::check(&files)?;
    let collection = runtime::single_threaded()?.block_on(async {
        let shutdown = Shutdown::listen()?;
        let listener = server::bind(args.listen)?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("collecting {} shards on http://{address}", args.shards);
        }
        let collection = Collection::new(args.shards);
        server::collect(listener, collection, args.ready_timeout.0, args.report_timeout.0, &shutdown).await
    })?;
    let report = collection.conclude()?;
    report::publish(&files, &report, report.verdict.exit_code, Ok(()))?;
    Ok(ExitCode::from(report.verdict.exit_code))
}

/// Waits until the collector lets all shards start.
///
/// # Errors
/// A preflight failure: the collector cannot be reached, or refuses this shard.
pub async fn wait_for_all(collector: &Url, plan: &Plan) -> Result<(), Failure> {
    let shard = plan.load.shard;
    let mut url = endpoint(collector, &format!("shards/{}/ready", shard.index()))?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("of", &shard.of().to_string());
        query.append_pair("variant", &plan.streams.first().variant.to_string());
        if let Some(planned) = plan.load.length {
            query.append_pair("seconds", &planned.as_secs_f64().to_string());
        }
    }
    tracing::info!("ready; waiting for the other shards at {}", without_secrets(collector));
    let mut tried = Duration::ZERO;
    loop {
        match fetch::send("POST", url.clone(), String::new()).await {
            Ok((200, _)) => {
                tracing::info!("all shards are ready: starting");
                return Ok(());
            }
            Ok((202, _)) => tried = Duration::ZERO,
            Ok((status, text)) => return Err(refused(collector, status, &text)),
            Err(failure) if tried >= CONNECT_TIMEOUT => return Err(failure),
            Err(_) => tried += PAUSE,
        }
        tokio::time::sleep(if tried.is_zero() { Duration::ZERO } else { PAUSE }).await;
    }
}

/// Sends a report to the collector. A signal interrupts it: the run itself is over.
///
/// # Errors
/// The collector cannot be reached or refuses the report, or a signal arrived.
pub async fn send_report(
    collector: &Url,
    shard: Shard,
    report: &Report,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    tokio::select! {
        sent = deliver(collector, shard, report) => sent,
        () = shutdown.immediate.cancelled() => Err(Failure::internal(format!(
            "the report was not sent to the collector at {}: interrupted by a signal",
            without_secrets(collector)
        ))
        .help("check that the collector runs; --report FILE.json keeps the figures of a shard")),
    }
}

async fn deliver(collector: &Url, shard: Shard, report: &Report) -> Result<(), Failure> {
    let text = report
        .to_json()
        .map_err(|error| Failure::internal("cannot write the report as JSON").caused_by(error))?;
    let url = endpoint(collector, &format!("shards/{}/report", shard.index()))?;
    let mut tried = Duration::ZERO;
    loop {
        match fetch::send("PUT", url.clone(), text.clone()).await {
            Ok((200, _)) => return Ok(()),
            Ok((status, text)) => return Err(refused(collector, status, &text)),
            Err(failure) if tried >= CONNECT_TIMEOUT => return Err(failure),
            Err(_) => tried += PAUSE,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn endpoint(collector: &Url, path: &str) -> Result<Url, Failure> {
    let mut base = collector.clone();
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    base.join(path).map_err(|error| {
        Failure::usage(format!("invalid value \"{}\" for --collector", without_secrets(collector)))
            .caused_by(error)
            .help("pass http://HOST:PORT")
    })
}

fn refused(collector: &Url, status: u16, text: &str) -> Failure {
    Failure::preflight(format!(
        "the collector at {} refuses this shard: {status} {}",
        without_secrets(collector),
        text.trim()
    ))
    .help("compare --shard of this run with --shards of `hls-swarm collect`")
}
