//! A running origin: FFmpeg creates the stream, nginx serves it, and this program supervises both.
//!
//! What is encoded and how it is served follows from [`crate::profile`].

pub(crate) mod programs;
pub(crate) mod readiness;
pub(crate) mod runtime_dir;
pub(crate) mod status;
pub(crate) mod supervisor;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::shutdown::Shutdown;
use hls_swarm_os::{identity, listener, output};

use crate::cli::OriginArgs;
use crate::encoder::channel::Channel;
use crate::encoder::source::EncoderSource;
use crate::exporter::serve::Exporters;
use crate::fault::KillTarget;
use crate::fault::injector::FaultInjector;
use crate::fault_proxy::{Backend, FaultInjection, FaultProxy};
use crate::low_latency::edge::{Edge, Edges, Parts};
use crate::nginx::certificate;
use crate::nginx::process::{NginxProcess, NginxSetup, Sockets};
use crate::profile::derived::Derived;
use crate::profile::plan::Plan;
use crate::publisher::sequence_state::StateDir;
use crate::run::programs::Programs;
use crate::run::readiness::ReadyMessage;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::status::{MediaStore, OriginStatus};
use crate::{access_log, embedded, profile};

/// Serves the test stream until a signal ends it, which is the normal end of an origin.
///
/// # Errors
/// The flags or the profile are invalid, the machine does not meet the requirements, or FFmpeg or nginx keeps
/// failing.
pub(crate) async fn run(args: &OriginArgs, guard: &Arc<Guard>) -> Result<Exit, Failure> {
    let shutdown = Shutdown::listen()?;
    let stop = shutdown.graceful.child_token();
    tokio::select! {
        outcome = serve(args, guard, &stop) => outcome.map(|()| Exit::Pass),
        // Dropping the future above kills the child processes and removes the runtime directory.
        () = shutdown.immediate.cancelled() => Ok(Exit::Signal(shutdown.signal().unwrap_or_default())),
    }
}

async fn serve(args: &OriginArgs, guard: &Arc<Guard>, stop: &CancellationToken) -> Result<(), Failure> {
    identity::make_new_files_readable();
    let plan = Plan::resolve(args)?;
    plan.unused_options.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.dry_run {
        return output::print(&profile::to_toml(&plan.profile)?);
    }
    if args.service.embedded {
        embedded::serve(args, &plan.profile, &plan.stream, &plan.serving, stop).await?;
    } else {
        let (origin, endpoints) = Origin::prepare(args, &plan, guard).await?;
        origin.serve(endpoints, stop).await?;
    }
    tracing::info!("shutdown complete");
    Ok(())
}

/// An origin whose sockets, directories and nginx configuration are ready.
struct Origin<'a> {
    args: &'a OriginArgs,
    plan: &'a Plan,
    guard: &'a Arc<Guard>,
    programs: Programs,
    state_dir: Option<StateDir>,
    ready: ReadyMessage,
    faults: Option<Arc<FaultInjector>>,
    status: Arc<OriginStatus>,
    nginx: NginxProcess,
    /// The low-latency playlists, if the stream has parts.
    edges: Option<Arc<Edges>>,
    runtime_dir: RuntimeDir,
}

/// The servers of hls-origin itself.
struct Endpoints {
    exporters: Exporters,
    /// The fault proxy, and the socket on which it accepts viewers.
    proxy: Option<(FaultProxy, TcpListener)>,
    /// The server of low-latency playlists, and the socket on which nginx reaches it.
    playlists: Option<(FaultProxy, TcpListener)>,
}

impl<'a> Origin<'a> {
    async fn prepare(
        args: &'a OriginArgs,
        plan: &'a Plan,
        guard: &'a Arc<Guard>,
    ) -> Result<(Self, Endpoints), Failure> {
        let Plan { stream, derived, serving, .. } = plan;
        let programs = Programs::detect(args, guard).await?;
        let sockets = Sockets::listen(&serving.serve)?;
        let state_dir = args.state_dir.as_deref().map(StateDir::open).transpose()?;
        let runtime_dir = RuntimeDir::build(args.dir.as_deref(), derived.storage_bytes, guard)?;
        let mut ready = ReadyMessage::new(args, stream, sockets.http()?, Some(&runtime_dir))?;
        if let Some(address) = sockets.https()? {
            let authority = certificate::create(runtime_dir.root(), serving.serve.listen)?;
            ready.add_tls(address, &authority);
        }
        let access_log = access_log::path(&serving.log, sockets.http()?.port())?;
        if let Some(path) = &access_log {
            ready.add_field("access_log", path.as_str());
        }
        let injection = FaultInjection::set_up(&args.service, serving, true, &mut ready)?;
        let faults = injection.as_ref().map(FaultInjection::injector);
        let (sockets, proxy) = put_behind_proxy(sockets, injection, access_log.as_deref(), derived)?;
        let exporters = Exporters::bind(&serving.serve, plan.profile.metrics)?;
        ready.add_metrics(exporters.addresses());
        let edges = edges(plan, &runtime_dir);
        let playlists = edges.as_ref().map(|edges| serve_playlists(edges, derived)).transpose()?;
        let playlists_at = playlists.as_ref().map(|(_, socket)| socket.local_addr()).transpose();
        let playlists_at = playlists_at
            .map_err(|error| Failure::internal("cannot read the address of a socket").caused_by(error))?;
        let media = MediaStore::Directory(runtime_dir.www(), edges.clone());
        let status = Arc::new(OriginStatus::new(media, ready.address(), faults.clone()));
        let setup =
            NginxSetup { sockets, behind_proxy: proxy.is_some(), access_log, playlists: playlists_at };
        let nginx = NginxProcess::prepare(args, &programs, plan, setup, &runtime_dir, guard).await?;
        status.add_process("nginx", nginx.state());
        if let Some(faults) = &faults {
            faults.add_target(KillTarget::Server, nginx.kill_switch());
        }
        let origin =
            Self { args, plan, guard, programs, state_dir, ready, faults, status, nginx, edges, runtime_dir };
        Ok((origin, Endpoints { exporters, proxy, playlists }))
    }

    /// Runs nginx, the channels and the endpoints until `stop`.
    async fn serve(self, endpoints: Endpoints, stop: &CancellationToken) -> Result<(), Failure> {
        let Endpoints { exporters, proxy, playlists } = endpoints;
        let serve = async |server: Option<(FaultProxy, TcpListener)>| match server {
            Some((server, socket)) => server.serve(socket, stop).await,
            None => Ok(()),
        };
        let proxy = both(stop, serve(proxy), serve(playlists));
        let stream = both(stop, self.nginx.run(stop), self.run_channels(stop));
        let metrics = exporters.serve(Arc::clone(&self.status), self.runtime_dir.root().to_owned(), stop);
        let (served, ()) = tokio::join!(both(stop, stream, proxy), metrics);
        served
    }

    /// Prepares the loop, and runs a channel for each stream until `stop`.
    async fn run_channels(&self, stop: &CancellationToken) -> Result<(), Failure> {
        let Self { args, plan, guard, programs, state_dir, runtime_dir, .. } = self;
        let prepared = EncoderSource::prepare(args, programs, plan, runtime_dir, guard, stop).await?;
        let Some(source) = prepared else { return Ok(()) };
        let names = std::iter::once("").chain(plan.stream.additional_streams.iter().map(String::as_str));
        let edge = |name: &str| self.edges.as_ref().and_then(|edges| edges.of(name));
        let channels = names.map(|name| Channel::new(name, edge(name), &source, state_dir.as_ref(), guard));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        for channel in &channels {
            self.status.add_process("ffmpeg", channel.state());
            if let Some(faults) = &self.faults {
                faults.add_target(KillTarget::Encoder, channel.kill_switch());
            }
        }
        let was_ready: Vec<_> =
            channels.iter().map(Channel::was_ready).chain([self.nginx.was_ready()]).collect();
        let readiness = self.ready.report(&plan.derived, &was_ready, stop);
        let channels_run = all(stop, channels.iter().map(|channel| channel.run(stop)));
        tokio::select! {
            outcome = both(stop, channels_run, readiness) => outcome,
            never = readiness::update_health(runtime_dir, &channels) => match never {},
        }
    }
}

/// The low-latency playlists of all streams; `None` if they have no parts.
fn edges(plan: &Plan, runtime_dir: &RuntimeDir) -> Option<Arc<Edges>> {
    let names = std::iter::once("").chain(plan.stream.additional_streams.iter().map(String::as_str));
    let edge = |name: &str| {
        let edge = Edge::new(&plan.stream, Parts::Files(runtime_dir.www().join(name)))?;
        Some((name.to_owned(), Arc::new(edge)))
    };
    names.map(edge).collect::<Option<Vec<_>>>().map(|edges| Arc::new(Edges(edges)))
}

/// The server of low-latency playlists, and its socket on the loopback interface.
fn serve_playlists(edges: &Arc<Edges>, derived: &Derived) -> Result<(FaultProxy, TcpListener), Failure> {
    let socket = listener::listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let backend = Backend::LowLatency(Arc::clone(edges));
    // nginx logs, and faults are in front of it.
    Ok((FaultProxy::new(backend, None, None, derived, Arc::default())?, socket))
}

/// If faults are enabled, gives the HTTP socket to a fault proxy, and nginx a loopback socket behind it.
fn put_behind_proxy(
    sockets: Sockets,
    injection: Option<FaultInjection>,
    access_log: Option<&str>,
    derived: &Derived,
) -> Result<(Sockets, Option<(FaultProxy, TcpListener)>), Failure> {
    let Some(injection) = injection else { return Ok((sockets, None)) };
    let upstream = listener::listen((Ipv4Addr::LOCALHOST, 0).into())?;
    let proxy = injection.in_front_of(&upstream, access_log, derived)?;
    let (sockets, public) = sockets.replace_http(upstream);
    Ok((sockets, Some((proxy, public))))
}

/// Waits for all of them; a failure of one asks the others to stop.
async fn all<F: Future<Output = Result<(), Failure>>>(
    stop: &CancellationToken,
    parts: impl Iterator<Item = F>,
) -> Result<(), Failure> {
    // Not `try_join_all`: it would drop the others instead of letting them stop gracefully.
    let parts = parts.map(|part| async { part.await.inspect_err(|_| stop.cancel()) });
    join_all(parts).await.into_iter().collect()
}

/// Waits for both; a failure of one asks the other one to stop.
pub(crate) async fn both(
    stop: &CancellationToken,
    one: impl Future<Output = Result<(), Failure>>,
    other: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let (one, other) = tokio::join!(async { one.await.inspect_err(|_| stop.cancel()) }, async {
        other.await.inspect_err(|_| stop.cancel())
    });
    one.and(other)
}
