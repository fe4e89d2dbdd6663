//! The origin pair: FFmpeg makes the stream, nginx serves it, this program keeps both alive.
//!
//! What to encode and how to serve it is decided in [`crate::profile`].

pub mod backoff;
pub(crate) mod leftovers;
pub(crate) mod liveness;
pub(crate) mod pages;
pub(crate) mod readiness;
pub(crate) mod runtime_dir;
pub(crate) mod status;
pub(crate) mod supervisor;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Poll;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{identity, listener, stdout};

use crate::cli::OriginArgs;
use crate::encoder::channel::Channel;
use crate::encoder::source::EncoderSource;
use crate::encoder::tools::Tools;
use crate::exporter::serve::Exporters;
use crate::fault::KillTarget;
use crate::fault_proxy::start::Layer;
use crate::nginx::run::{Server, Sockets};
use crate::nginx::{certificate, run as server};
use crate::profile::plan::Plan;
use crate::publisher::sequence_state::StateDir;
use crate::run::readiness::ReadyMessage;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::status::{OriginStatus, Place};
use crate::{access_log, embedded, profile};

/// Serves the test stream until a signal ends it; a signal is the planned end of an origin.
///
/// # Errors
/// The flags or the profile make no sense, the machine is not fit, or FFmpeg or nginx keep failing.
pub async fn run(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Exit, Failure> {
    let shutdown = Shutdown::listen()?;
    let stop = shutdown.graceful.child_token();
    tokio::select! {
        outcome = serve(args, guard, &stop) => outcome.map(|()| Exit::Pass),
        // Children are killed and the directory removed as everything above is dropped.
        () = shutdown.at_once.cancelled() => Ok(Exit::Signal(shutdown.signal().unwrap_or_default())),
    }
}

async fn serve(args: &OriginArgs, guard: &Arc<Guard>, stop: &CancellationToken) -> Result<(), Failure> {
    identity::allow_group_read();
    let plan = Plan::resolve(args)?;
    plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.dry_run {
        return stdout::say(&profile::to_toml(&plan.profile)?);
    }
    let Plan { stream, derived, serving, .. } = &plan;
    if args.service.embedded {
        return embedded::serve(args, &plan.profile, stream, serving, stop).await;
    }
    let tools = Tools::ask(args, guard).await?;
    let sockets = Sockets::listen(&serving.serve)?;
    let shelf = args.state_dir.as_deref().map(StateDir::open).transpose()?;
    let runtime_dir = RuntimeDir::build(args.dir.as_deref(), derived.storage_bytes, guard)?;
    let mut announcement = ReadyMessage::new(args, stream, sockets.plain()?, Some(&runtime_dir))?;
    if let Some(address) = sockets.tls()? {
        let authority = certificate::make(runtime_dir.root(), serving.serve.listen)?;
        announcement.tell_tls(address, &authority);
    }
    let log = access_log::place(&serving.log, sockets.plain()?.port())?;
    if let Some(log) = &log {
        announcement.tell("access_log", log.as_str());
    }
    let layer = Layer::of(&args.service, serving, true, &mut announcement)?;
    let faults = layer.as_ref().map(Layer::faults);
    let (sockets, front) = match layer {
        None => (sockets, None),
        Some(layer) => {
            let behind = listener::listen((Ipv4Addr::LOCALHOST, 0).into())?;
            let front = layer.before(&behind, log.as_deref(), derived)?;
            let (sockets, socket) = sockets.behind(behind);
            (sockets, Some((front, socket)))
        }
    };
    let exporters = Exporters::bind(&serving.serve, plan.profile.metrics)?;
    for (name, address) in exporters.addresses() {
        announcement.tell(name, format!("http://{}/metrics", readiness::reachable(address)));
    }
    let origin_status =
        Arc::new(OriginStatus::new(Place::Disk(runtime_dir.www()), announcement.address(), faults.clone()));
    let place = server::Place { sockets, behind_front: front.is_some(), access_log: log };
    let server = Server::prepare(args, &tools, &plan, place, &runtime_dir, guard).await?;
    if let Some(faults) = &faults {
        faults.victim(KillTarget::Server, server.strike());
    }
    origin_status.watch("nginx", server.life());

    let streams = async {
        let Some(material) =
            EncoderSource::prepare(args, &tools, stream, derived, &runtime_dir, guard, stop).await?
        else {
            return Ok(());
        };
        let names = std::iter::once("").chain(stream.further.iter().map(String::as_str));
        let channels = names.map(|name| Channel::new(name, &material, shelf.as_ref(), guard));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        for channel in &channels {
            origin_status.watch("ffmpeg", channel.life());
            if let Some(faults) = &faults {
                faults.victim(KillTarget::Encoder, channel.strike());
            }
        }
        let settled: Vec<_> = channels.iter().map(Channel::settled).chain([server.settled()]).collect();
        let announced = announcement.make(derived, &settled, stop);
        let kept = all(stop, channels.iter().map(|channel| channel.keep(stop)));
        tokio::select! {
            outcome = both(stop, kept, announced) => outcome,
            never = liveness::tell(&runtime_dir, &channels) => match never {},
        }
    };
    let metrics = exporters.serve(Arc::clone(&origin_status), runtime_dir.root().to_owned(), stop);
    let fronted = async {
        match front {
            Some((front, socket)) => front.serve(socket, stop).await,
            None => Ok(()),
        }
    };
    let served = both(stop, server.keep(stop), streams);
    let (served, ()) = tokio::join!(both(stop, served, fronted), metrics);
    served
}

/// Waits for all; a failure of one asks the others to stop.
async fn all<F: Future<Output = Result<(), Failure>>>(
    stop: &CancellationToken,
    parts: impl Iterator<Item = F>,
) -> Result<(), Failure> {
    let mut parts: Vec<_> = parts.map(|part| (Box::pin(part), None)).collect();
    std::future::poll_fn(|context| {
        for (part, outcome) in parts.iter_mut().filter(|(_, outcome)| outcome.is_none()) {
            if let Poll::Ready(ended) = part.as_mut().poll(context) {
                if ended.is_err() {
                    stop.cancel();
                }
                *outcome = Some(ended);
            }
        }
        if parts.iter().any(|(_, outcome)| outcome.is_none()) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    parts.into_iter().filter_map(|(_, outcome)| outcome).collect()
}

/// Waits for both; a failure of one asks the other to stop.
pub(crate) async fn both(
    stop: &CancellationToken,
    one: impl Future<Output = Result<(), Failure>>,
    other: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let stopping_on_failure = |outcome: Result<(), Failure>| outcome.inspect_err(|_| stop.cancel());
    let (one, other) =
        tokio::join!(async { stopping_on_failure(one.await) }, async { stopping_on_failure(other.await) },);
    one.and(other)
}
