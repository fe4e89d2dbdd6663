//! `hls-swarm collect`, which merges many shards into one verdict, and the client that shards use to reach it.

pub mod collection;
pub mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_base::secrets::Reference;
use hls_swarm_cli::logging;
use hls_swarm_http::fetch::{self, without_secrets};
use hls_swarm_model::report::{Format, Report};
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{machine, runtime, secrets};

use crate::cli::commands::CollectArgs;
use crate::collect::collection::Collection;
use crate::config::plan::Plan;
use crate::load::shard::Shard;
use crate::output::summary::Part;
use crate::report;

/// How long a shard tries to reach its collector, which may still be starting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(120);
/// Default port of the collector.
const COLLECTOR_PORT: u16 = 17_092;
/// Open files of the collector besides one for each shard.
const OTHER_FILES: u32 = 128;
/// Length of the shortest token, bytes.
const SHORTEST_TOKEN: usize = 16;
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
    let token = args.token_file.as_deref().map(token).transpose()?;
    let listen = address(args.listen, token.is_some())?;
    let connections = u64::from(args.shards) + u64::from(OTHER_FILES);
    if machine::raise_open_files(connections).is_some_and(|have| have < connections) {
        tracing::warn!("{} shards need {connections} open files: ulimit -n {connections}", args.shards);
    }
    let collection = runtime::single_threaded()?.block_on(async {
        let shutdown = Shutdown::listen()?;
        let listener = server::bind(listen)?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!("collecting {} shards on http://{address}", args.shards);
        }
        let collection = Collection::new(args.shards);
        server::collect(listener, collection, args.ready_timeout.0, args.report_timeout.0, token, &shutdown)
            .await
    })?;
    let report = collection.conclude()?;
    report::publish(&files, &report, report.verdict.exit_code, Some(Part::Sum), Ok(()))?;
    Ok(ExitCode::from(report.verdict.exit_code))
}

/// The address to listen on. Every program that reaches it may report for a shard, so beyond this machine a token is needed.
fn address(asked: Option<SocketAddr>, with_token: bool) -> Result<SocketAddr, Failure> {
    let default = if with_token { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let address = asked.unwrap_or_else(|| (default, COLLECTOR_PORT).into());
    if with_token || address.ip().to_canonical().is_loopback() {
        return Ok(address);
    }
    Err(Failure::usage(format!(
        "--listen {address} without a token: anybody who reaches it could send a report"
    ))
    .help(
        "pass --token-file FILE here and --collector-token-file FILE to the shards, or listen on 127.0.0.1",
    ))
}

/// Reads the token of a collector.
///
/// # Errors
/// A usage failure: the file cannot be read, or the token is too short.
pub fn token(file: &Path) -> Result<String, Failure> {
    let reference = Reference::File(file.display().to_string());
    let token = secrets::read(vec![reference.clone()])?.expand(&reference.to_string())?;
    if token.len() < SHORTEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage(format!(
            "{}: a token has at least {SHORTEST_TOKEN} printable characters without spaces",
            file.display()
        ))
        .help("make one: openssl rand -hex 32 > FILE"));
    }
    Ok(token)
}

/// A text of 128 random bits, which cannot be guessed.
///
/// # Errors
/// An internal failure: the operating system has no random numbers.
pub(crate) fn unguessable() -> Result<String, Failure> {
    let random = ring::rand::generate::<[u8; 16]>(&SystemRandom::new())
        .map_err(|_| Failure::internal("the operating system gives no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(random.expose())))
}

/// The data that a shard sends to its collector with each request.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The collector.
    collector: Url,
    shard: Shard,
    /// A random text, which only this process knows.
    nonce: String,
    token: Option<String>,
}

impl Identity {
    /// The identity of this process, if the plan names a collector.
    ///
    /// # Errors
    /// An internal failure: the operating system has no random numbers.
    pub fn of(plan: &Plan) -> Result<Option<Self>, Failure> {
        let token = plan.results.collector_token.clone();
        let Some(collector) = plan.results.collector.clone() else { return Ok(None) };
        Ok(Some(Self { collector, shard: plan.load.shard, nonce: unguessable()?, token }))
    }

    /// The address of `what` of this shard.
    fn url(&self, what: &str) -> Result<Url, Failure> {
        let mut url = endpoint(&self.collector, &format!("shards/{}/{what}", self.shard.index()))?;
        url.query_pairs_mut().append_pair("nonce", &self.nonce);
        Ok(url)
    }
}

/// Waits until the collector lets all shards start.
///
/// # Errors
/// A preflight failure: the collector cannot be reached, or refuses this shard.
pub async fn wait_for_all(identity: &Identity, plan: &Plan) -> Result<(), Failure> {
    let Identity { collector, shard, token, .. } = identity;
    let mut url = identity.url("ready")?;
    {
        let mut query = url.query_pairs_mut();
        query.append_pair("of", &shard.of().to_string());
        query.append_pair("variant", &plan.streams.first().variant.to_string());
        if let Some(planned) = plan.load.length {
            query.append_pair("seconds", &planned.as_secs_f64().to_string());
        }
    }
    tracing::info!("ready; waiting for the other shards at {}", without_secrets(collector));
    let mut deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match fetch::send("POST", url.clone(), token.clone(), String::new()).await {
            Ok((200, _)) => {
                tracing::info!("all shards are ready: starting");
                return Ok(());
            }
            Ok((202, _)) => {
                deadline = Instant::now() + CONNECT_TIMEOUT;
                continue;
            }
            // An earlier process of this shard may be gone without the collector knowing.
            Ok((409, _)) if Instant::now() < deadline => {}
            Ok((status, text)) => return Err(refused(collector, status, &text)),
            Err(failure) if Instant::now() >= deadline => return Err(failure),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sends a report to the collector. A signal interrupts it: the run itself is over.
///
/// # Errors
/// The collector cannot be reached or refuses the report, or a signal arrived.
pub async fn send_report(identity: &Identity, report: &Report, shutdown: &Shutdown) -> Result<(), Failure> {
    tokio::select! {
        sent = deliver(identity, report) => sent,
        () = shutdown.immediate.cancelled() => Err(Failure::internal(format!(
            "the report was not sent to the collector at {}: interrupted by a signal",
            without_secrets(&identity.collector)
        ))
        .help("check that the collector runs; --report FILE.json keeps the figures of a shard")),
    }
}

async fn deliver(identity: &Identity, report: &Report) -> Result<(), Failure> {
    let text = report
        .to_json()
        .map_err(|error| Failure::internal("cannot write the report as JSON").caused_by(error))?;
    let url = identity.url("report")?;
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    loop {
        match fetch::send("PUT", url.clone(), identity.token.clone(), text.clone()).await {
            Ok((200, _)) => return Ok(()),
            // The run is over, so this is not a failure of the preflight.
            Ok((status, text)) => {
                return Err(refused(&identity.collector, status, &text).exiting(Exit::Internal));
            }
            Err(failure) if Instant::now() >= deadline => return Err(failure.exiting(Exit::Internal)),
            Err(_) => {}
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
    .help(if status == 401 {
        "pass the token of `hls-swarm collect --token-file` with --collector-token-file"
    } else {
        "compare the flags of this shard with those of the others, and with --shards of `hls-swarm collect`"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_this_machine_a_token_is_needed() {
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(address(None, false).unwrap(), "127.0.0.1:17092".parse().unwrap());
        assert_eq!(address(None, true).unwrap(), "0.0.0.0:17092".parse().unwrap());
        for loopback in ["127.0.0.1:0", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(address(at(loopback), false).is_ok(), "{loopback}");
        }
        for other in ["0.0.0.0:17092", "[::]:1", "10.0.0.1:1"] {
            let failure = address(at(other), false).unwrap_err();
            assert!(failure.help_text().unwrap().contains("--token-file"), "{failure}");
            assert!(address(at(other), true).is_ok());
        }
    }

    #[test]
    fn a_token_is_long_enough_and_printable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(token(&file).unwrap(), "0123456789abcdef0123456789abcdef");
        for text in ["short", "0123456789abcdef 0123456789abcdef"] {
            std::fs::write(&file, text).unwrap();
            assert!(token(&file).unwrap_err().to_string().contains("at least 16 printable"));
        }
    }
}
