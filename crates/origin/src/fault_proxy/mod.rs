//! The origin's own HTTP server: serves the embedded stream, and makes faults in front of nginx.
//!
//! nginx is behind it only when faults were enabled at the start; else viewers talk to nginx itself.
//! What is passed on is passed on as it is, on one connection to nginx per viewer's connection.

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
use crate::embedded::server::Memory;
use crate::fault::Fault;
use crate::fault::control::Control;
use crate::fault::injector::Faults;
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::run::readiness::ReadyMessage;

pub(crate) use self::upstream::Upstream;
pub(crate) use crate::access_log::AccessLog;

/// Who answers what is not made wrong on purpose.
#[derive(Debug)]
pub(crate) enum Backend {
    /// nginx, on a port of its own.
    Nginx(Upstream),
    /// The synthetic stream.
    Embedded(Arc<Memory>),
}

/// The server.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) backend: Backend,
    pub(crate) faults: Option<Arc<Faults>>,
    pub(crate) journal: AccessLog,
    pub(crate) traffic: Arc<Traffic>,
    /// How long a connection may be idle.
    pub(crate) idle: Duration,
}

impl Front {
    /// Serves until `stop`; connections that are open then are closed.
    pub(crate) async fn serve(
        self: Arc<Self>,
        socket: StdListener,
        stop: &CancellationToken,
    ) -> Result<(), Failure> {
        let refused = |error| Failure::internal("the operating system refuses the socket").caused_by(error);
        socket.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(socket).map_err(refused)?;
        let connections = server::accept(listener, usize::MAX, stop, |stream, peer| {
            let number = self.traffic.accepted.fetch_add(1, Ordering::Relaxed) + 1;
            let front = Arc::clone(&self);
            async move {
                front.traffic.active.fetch_add(1, Ordering::Relaxed);
                connection::serve(&front, stream, peer, number).await;
                front.traffic.active.fetch_sub(1, Ordering::Relaxed);
            }
        });
        drop(connections.await);
        Ok(())
    }
}

/// Counts of connections and requests.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) accepted: AtomicU64,
    pub(crate) active: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) answering: AtomicU64,
}

/// The control's usual port.
const CONTROL_PORT: u16 = 17_081;
/// Two per viewer for as many viewers as nginx is sized for.
const OPEN_FILES: u64 = 100_000;

/// Faults and their control.
#[derive(Debug)]
pub(crate) struct Layer {
    faults: Arc<Faults>,
    control: Control,
}

/// A front with the control beside it.
#[derive(Debug)]
pub(crate) struct Fronted {
    front: Arc<Front>,
    control: Option<Control>,
}

impl Layer {
    /// What was asked for; none if no faults were. `processes`: whether there are some to be killed.
    pub(crate) fn of(
        args: &ServiceArgs,
        serving: &Serving,
        processes: bool,
        announcement: &mut ReadyMessage,
    ) -> Result<Option<Self>, Failure> {
        let asked: Vec<Fault> = args.fault.iter().map(|spec| spec.parse()).collect::<Result<_, _>>()?;
        if !args.faulty() {
            return match (args.fault_seed, args.control_port) {
                (None, None) => Ok(None),
                _ => Err(Failure::usage("--fault-seed and --control-port have no meaning without faults")
                    .help("pass --faults as well")),
            };
        }
        if serving.serve.tls {
            // Nobody but nginx can look into TLS.
            tracing::warn!("faults are made on the plain port only, not over TLS");
        }
        let seed = args.fault_seed.unwrap_or_else(|| fastrand::u64(..));
        let faults = Faults::new(seed, processes, announcement.ready());
        for fault in asked {
            faults.add(fault)?;
        }
        let usual = if serving.serve.port == 0 { 0 } else { CONTROL_PORT };
        let control = Control::bind(args.control_port.unwrap_or(usual), &faults)?;
        if let Some(address) = control.address() {
            announcement.tell("control", address.to_string());
        }
        announcement.tell("fault_seed", seed);
        Ok(Some(Self { faults, control }))
    }

    /// The faults.
    pub(crate) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.faults)
    }

    /// A front before nginx, which will listen on the socket `behind`.
    pub(crate) fn before(
        self,
        behind: &StdListener,
        log: Option<&str>,
        derived: &Derived,
    ) -> Result<Fronted, Failure> {
        let address = behind
            .local_addr()
            .map_err(|error| Failure::internal("cannot tell nginx's address").caused_by(error))?;
        Fronted::new(Backend::Nginx(Upstream { address }), Some(self), log, derived, Arc::default())
    }
}

impl Fronted {
    pub(crate) fn new(
        backend: Backend,
        layer: Option<Layer>,
        log: Option<&str>,
        derived: &Derived,
        traffic: Arc<Traffic>,
    ) -> Result<Self, Failure> {
        if machine::raise_open_files(OPEN_FILES).is_none_or(|files| files < OPEN_FILES) {
            tracing::info!("the limit of open files is below {OPEN_FILES}: fewer viewers fit");
        }
        let journal = AccessLog::open(log.map(Path::new))?;
        let (faults, control) = match layer {
            Some(Layer { faults, control }) => (Some(faults), Some(control)),
            None => (None, None),
        };
        let idle = Duration::from_secs(derived.keepalive_seconds.into());
        Ok(Self { front: Arc::new(Front { backend, faults, journal, traffic, idle }), control })
    }

    /// Serves viewers and the control until `stop`.
    pub(crate) async fn serve(self, socket: StdListener, stop: &CancellationToken) -> Result<(), Failure> {
        let controlled = async {
            if let Some(control) = self.control {
                control.serve(stop).await;
            }
        };
        let (served, ()) = tokio::join!(self.front.serve(socket, stop), controlled);
        served
    }
}
