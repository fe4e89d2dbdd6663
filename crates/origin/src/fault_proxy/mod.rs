//! The HTTP server of hls-origin itself: it injects faults in front of nginx, and serves the embedded stream.
//!
//! It also answers requests for low-latency playlists behind nginx.
//!
//! Without faults, viewers talk to nginx directly. With faults, each client connection has a connection to
//! nginx of its own, and requests and responses without a fault are forwarded unchanged.

pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod metered_stream;
pub(crate) mod response;
pub(crate) mod upstream;

use std::net::TcpListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_http::server;
use hls_swarm_os::machine;

use crate::cli::service::ServiceArgs;
use crate::embedded::server::EmbeddedStream;
use crate::fault::Fault;
use crate::fault::control::Control;
use crate::fault::injector::FaultInjector;
use crate::low_latency::edge::Edges;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::run::readiness::ReadyMessage;

pub(crate) use self::upstream::Upstream;
pub(crate) use crate::access_log::AccessLog;

/// The source of responses that no fault changes.
#[derive(Debug)]
pub(crate) enum Backend {
    /// nginx, on a loopback port.
    Nginx(Upstream),
    /// The synthetic stream of `--embedded`.
    Embedded(Arc<EmbeddedStream>),
    /// The low-latency playlists, for nginx, which is in front.
    LowLatency(Arc<Edges>),
}

/// The server that viewers connect to.
#[derive(Debug)]
pub(crate) struct ProxyServer {
    pub(crate) backend: Backend,
    pub(crate) faults: Option<Arc<FaultInjector>>,
    pub(crate) access_log: AccessLog,
    pub(crate) counters: Arc<ConnectionCounters>,
    /// Time after which nginx closes an idle connection.
    pub(crate) idle_timeout: Duration,
}

impl ProxyServer {
    /// Serves until `stop`, which also closes open connections.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: StdListener,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let unusable = |error| Failure::internal("cannot listen on the socket").caused_by(error);
        socket.set_nonblocking(true).map_err(unusable)?;
        let listener = TcpListener::from_std(socket).map_err(unusable)?;
        let connections = server::accept(listener, usize::MAX, stop, |stream, peer| {
            let number = self.counters.accepted.fetch_add(1, Ordering::Relaxed) + 1;
            let proxy = Arc::clone(&self);
            async move {
                proxy.counters.active.fetch_add(1, Ordering::Relaxed);
                connection::serve(&proxy, stream, peer, number).await;
                proxy.counters.active.fetch_sub(1, Ordering::Relaxed);
            }
        });
        drop(connections.await);
        Ok(())
    }
}

/// Counters of connections and requests, with the meaning of nginx's stub_status.
#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    pub(crate) accepted: AtomicU64,
    pub(crate) active: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) answering: AtomicU64,
}

/// Default port of the fault control API.
const DEFAULT_CONTROL_PORT: u16 = 17_081;
/// Two per viewer, for the number of viewers that nginx is sized for.
const OPEN_FILES: u64 = 100_000;

/// The fault injector and its control API.
#[derive(Debug)]
pub(crate) struct FaultInjection {
    injector: Arc<FaultInjector>,
    control: Control,
}

/// The proxy server together with the control API for its faults.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    server: Arc<ProxyServer>,
    control: Option<Control>,
}

impl FaultInjection {
    /// Sets up the requested faults, and adds the address of the control API to `ready`; `None` if faults
    /// are not enabled. `has_processes` is whether there are processes that a fault can kill.
    pub(crate) fn set_up(
        args: &ServiceArgs,
        serving: &Serving,
        has_processes: bool,
        ready: &mut ReadyMessage,
    ) -> Result<Option<Self>, Failure> {
        let requested: Vec<Fault> = args.fault.iter().map(|spec| spec.parse()).collect::<Result<_, _>>()?;
        if !args.faulty() {
            return match (args.fault_seed, args.control_port) {
                (None, None) => Ok(None),
                _ => Err(Failure::usage("--fault-seed and --control-port have no effect without faults")
                    .help("pass --faults as well")),
            };
        }
        if serving.serve.tls {
            // Only nginx terminates TLS.
            tracing::warn!("faults apply to the HTTP port only, not to HTTPS");
        }
        let seed = args.fault_seed.unwrap_or_else(|| fastrand::u64(..));
        let injector = FaultInjector::new(seed, has_processes, ready.token());
        for fault in requested {
            injector.add(fault)?;
        }
        let default_port = if serving.serve.port == 0 { 0 } else { DEFAULT_CONTROL_PORT };
        let control = Control::bind(args.control_port.unwrap_or(default_port), &injector)?;
        if let Some(address) = control.address() {
            ready.add_field("control", address.to_string());
        }
        ready.add_field("fault_seed", seed);
        Ok(Some(Self { injector, control }))
    }

    pub(crate) fn injector(&self) -> Arc<FaultInjector> {
        Arc::clone(&self.injector)
    }

    /// A proxy in front of nginx, which will listen on `upstream`.
    pub(crate) fn in_front_of(
        self,
        upstream: &StdListener,
        log: Option<&str>,
        derived: &Derived,
    ) -> Result<FaultProxy, Failure> {
        let address = upstream.local_addr().map_err(|error| {
            Failure::internal("cannot read the address of nginx's socket").caused_by(error)
        })?;
        FaultProxy::new(Backend::Nginx(Upstream { address }), Some(self), log, derived, Arc::default())
    }
}

impl FaultProxy {
    pub(crate) fn new(
        backend: Backend,
        injection: Option<FaultInjection>,
        log: Option<&str>,
        derived: &Derived,
        counters: Arc<ConnectionCounters>,
    ) -> Result<Self, Failure> {
        if machine::raise_open_files(OPEN_FILES).is_none_or(|files| files < OPEN_FILES) {
            tracing::info!(
                "the limit of open files is below {OPEN_FILES}, which limits the number of viewers"
            );
        }
        let access_log = AccessLog::open(log.map(Path::new))?;
        let (faults, control) = match injection {
            Some(FaultInjection { injector, control }) => (Some(injector), Some(control)),
            None => (None, None),
        };
        let idle_timeout = Duration::from_secs(derived.keepalive_seconds.into());
        let server = ProxyServer { backend, faults, access_log, counters, idle_timeout };
        Ok(Self { server: Arc::new(server), control })
    }

    /// Serves viewers and the control API until `stop`.
    pub(crate) async fn serve(self, socket: StdListener, stop: &CancellationToken) -> Result<(), Failure> {
        let controlled = async {
            if let Some(control) = self.control {
                control.serve(stop).await;
            }
        };
        let (served, ()) = tokio::join!(self.server.serve(socket, stop), controlled);
        served
    }
}
