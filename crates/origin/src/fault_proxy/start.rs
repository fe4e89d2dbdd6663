//! Faults as a whole: what was asked for at the start, the control, and the front that makes them.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::machine;

use super::traffic::Traffic;
use crate::cli::service::ServiceArgs;
use crate::fault::Fault;
use crate::fault::control::Control;
use crate::fault::switch::Faults;
use crate::fault_proxy::{AccessLog, Backend, Front, Upstream};
use crate::profile::derived::Derived;
use crate::profile::serving::Serving;
use crate::run::readiness::ReadyMessage;

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
        behind: &TcpListener,
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
    pub(crate) async fn serve(self, socket: TcpListener, stop: &CancellationToken) -> Result<(), Failure> {
        let controlled = async {
            if let Some(control) = self.control {
                control.serve(stop).await;
            }
        };
        let (served, ()) = tokio::join!(self.front.serve(socket, stop), controlled);
        served
    }
}
