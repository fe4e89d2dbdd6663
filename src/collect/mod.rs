//! The wiring of `hls-swarm collect`: many shards, one verdict. And the shards' side of it.

pub mod collection;
pub mod server;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_cli::logging;
use hls_swarm_http::fetch::{self, without_secrets};
use hls_swarm_model::report::{Format, Report};
use hls_swarm_os::runtime;
use hls_swarm_os::shutdown::Shutdown;

use crate::cli::collect::CollectArgs;
use crate::collect::collection::Collection;
use crate::config::plan::Plan;
use crate::load::shard::Shard;
use crate::report;

/// The first word of a command line that collects.
pub const WORD: &str = "collect";

/// How long a shard tries to reach its collector, which may be starting still.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// `main` of `hls-swarm collect`.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::iter::once("hls-swarm collect".into()).chain(std::env::args_os().skip(2));
    let args = match CollectArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    serve(&args).unwrap_or_else(|failure| {
        failure.print(&mut std::io::stderr());
        failure.exit().into()
    })
}

fn serve(args: &CollectArgs) -> Result<ExitCode, Failure> {
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
    report::publish(&files, &report)?;
    Ok(ExitCode::from(report.verdict.exit_code))
}

/// Waits until the collector lets all shards start.
///
/// # Errors
/// A preflight failure: the collector cannot be reached, or does not take this shard.
pub async fn wait_for_all(collector: &Url, plan: &Plan) -> Result<(), Failure> {
    let shard = plan.load.shard;
    let mut url = place(collector, &format!("shards/{}/ready", shard.index()))?;
    {
        let mut told = url.query_pairs_mut();
        told.append_pair("of", &shard.of().to_string());
        told.append_pair("variant", &plan.streams.first().variant.to_string());
        if let Some(planned) = plan.load.length {
            told.append_pair("seconds", &planned.as_secs_f64().to_string());
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
            Ok((status, said)) => return Err(refused(collector, status, &said)),
            Err(failure) if tried >= PATIENCE => return Err(failure),
            Err(_) => tried += PAUSE,
        }
        tokio::time::sleep(if tried.is_zero() { Duration::ZERO } else { PAUSE }).await;
    }
}

/// Hands a report over. A signal ends that: the run itself is over.
///
/// # Errors
/// The collector cannot be reached any more, or refuses it, or a signal came.
pub async fn hand_over(
    collector: &Url,
    shard: Shard,
    report: &Report,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    tokio::select! {
        handed = deliver(collector, shard, report) => handed,
        () = shutdown.immediate.cancelled() => Err(Failure::internal(format!(
            "the report was not handed over to the collector at {}: a signal came first",
            without_secrets(collector)
        ))
        .help("look whether the collector runs; --report FILE.json keeps what a shard has measured")),
    }
}

async fn deliver(collector: &Url, shard: Shard, report: &Report) -> Result<(), Failure> {
    let text = report
        .to_json()
        .map_err(|error| Failure::internal("cannot write the report as JSON").caused_by(error))?;
    let url = place(collector, &format!("shards/{}/report", shard.index()))?;
    let mut tried = Duration::ZERO;
    loop {
        match fetch::send("PUT", url.clone(), text.clone()).await {
            Ok((200, _)) => return Ok(()),
            Ok((status, said)) => return Err(refused(collector, status, &said)),
            Err(failure) if tried >= PATIENCE => return Err(failure),
            Err(_) => tried += PAUSE,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn place(collector: &Url, path: &str) -> Result<Url, Failure> {
    let mut base = collector.clone();
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    base.join(path).map_err(|error| {
        Failure::usage(format!("--collector {}: no address to build on", without_secrets(collector)))
            .caused_by(error)
            .help("pass http://HOST:PORT")
    })
}

fn refused(collector: &Url, status: u16, said: &str) -> Failure {
    Failure::preflight(format!(
        "the collector at {} refuses: {status} {}",
        without_secrets(collector),
        said.trim()
    ))
    .help("compare --shard of this run with --shards of `hls-swarm collect`")
}
