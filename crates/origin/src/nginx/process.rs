//! nginx: configuration written and checked, then the process kept alive on one and the same socket.
//!
//! The listening socket is ours and nginx inherits it (its NGINX variable, made for upgrades), so
//! the port is ours from the first moment to the last: two starts never collide, and no restart
//! of nginx loses it to somebody else. A viewer that connects in between waits instead of failing.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Output, Program, capture, spawn_failed};
use hls_swarm_os::{identity, listener, machine};

use crate::cli::OriginArgs;
use crate::fault::injector::Strike;
use crate::nginx::conf::{self, Facts, Site};
use crate::nginx::{self, Build};
use crate::profile::Serve;
use crate::profile::plan::Plan;
use crate::run::programs::Tools;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::status::Life;
use crate::run::supervisor::SupervisedProcess;

const CHECK_TIME: Duration = Duration::from_secs(20);

/// Where nginx stands, which is known once its sockets are open.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) sockets: Sockets,
    pub(crate) behind_front: bool,
    /// The file for the log of requests, which the front writes as well.
    pub(crate) access_log: Option<String>,
}

/// nginx, ready to be started.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
    supervised: SupervisedProcess,
    // Open for as long as nginx may have to be started.
    _sockets: Sockets,
}

/// Where nginx is to listen.
#[derive(Debug)]
pub(crate) struct Sockets {
    plain: TcpListener,
    tls: Option<TcpListener>,
}

impl Sockets {
    pub(crate) fn listen(serve: &Serve) -> Result<Self, Failure> {
        let listen = |port| listener::listen(SocketAddr::new(serve.listen, port));
        Ok(Self { plain: listen(serve.port)?, tls: serve.tls.then(|| listen(serve.tls_port)).transpose()? })
    }

    /// Address for HTTP.
    pub(crate) fn plain(&self) -> Result<SocketAddr, Failure> {
        self.plain.local_addr().map_err(refused)
    }

    /// Address for HTTPS.
    pub(crate) fn tls(&self) -> Result<Option<SocketAddr>, Failure> {
        self.tls.as_ref().map(|socket| socket.local_addr().map_err(refused)).transpose()
    }

    /// With nginx behind `socket`, and the one for HTTP left to a front.
    pub(crate) fn behind(self, socket: TcpListener) -> (Self, TcpListener) {
        (Self { plain: socket, tls: self.tls }, self.plain)
    }

    fn all(&self) -> impl Iterator<Item = &TcpListener> {
        std::iter::once(&self.plain).chain(&self.tls)
    }
}

fn refused(error: std::io::Error) -> Failure {
    Failure::internal("the operating system refuses a fact").caused_by(error)
}

/// What nginx.conf depends on in this machine.
pub(crate) fn facts(build: &Build, in_memory: bool) -> Result<Facts, Failure> {
    Ok(Facts {
        hard_open_files: machine::hard_open_files().map_err(refused)?,
        worker_user: identity::worker_user(),
        in_memory,
        behind_front: false,
        build: build.clone(),
    })
}

impl Server {
    /// Writes nginx.conf and has nginx check it.
    pub(crate) async fn prepare(
        args: &OriginArgs,
        tools: &Tools,
        plan: &Plan,
        place: Place,
        runtime_dir: &RuntimeDir,
        guard: &Arc<Guard>,
    ) -> Result<Self, Failure> {
        let Place { sockets, behind_front, access_log } = place;
        let facts = Facts { behind_front, ..facts(&tools.nginx, runtime_dir.in_memory)? };
        let (listen, tls) = (sockets.plain()?, sockets.tls()?);
        let site = Site {
            derived: &plan.derived,
            serving: &plan.serving,
            listen,
            tls,
            access_log: access_log.as_deref(),
        };
        conf::check(&site, &facts)?;
        std::fs::write(runtime_dir.nginx_conf(), conf::render(&site, &facts))
            .map_err(|error| Failure::internal("cannot write nginx.conf").caused_by(error))?;

        let argv = nginx::argv(&facts.build, &runtime_dir.root().to_string_lossy());
        check(&args.nginx, &argv, guard).await?;
        let mut program = Program::new(&args.nginx, argv);
        program.stdout = Output::Discard;
        let mut inherited = String::new();
        for socket in sockets.all() {
            // nginx takes an inherited socket as it is, and accepts until there is nobody left.
            socket.set_nonblocking(true).map_err(refused)?;
            inherited.push_str(&format!("{};", socket.as_raw_fd()));
            program.inherit.push(socket.as_raw_fd());
        }
        program.environment.push(("NGINX".into(), inherited.into()));
        Ok(Self { program, supervised: SupervisedProcess::new("nginx", guard), _sockets: sockets })
    }

    pub(crate) fn strike(&self) -> Arc<Strike> {
        Arc::clone(&self.supervised.strike)
    }

    pub(crate) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.supervised.life)
    }

    pub(crate) fn settled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.supervised.settled)
    }

    /// Keeps nginx alive until `stop`.
    pub(crate) async fn keep(&self, stop: &CancellationToken) -> Result<(), Failure> {
        self.supervised.keep(stop, async || self.program.clone()).await
    }
}

/// `nginx -t`: its own words are the reason when it refuses.
async fn check(nginx: &Path, argv: &[String], guard: &Arc<Guard>) -> Result<(), Failure> {
    let mut program = Program::new(nginx, argv.iter().chain([&"-t".to_owned()]));
    program.stdout = Output::Discard;
    let answer = capture(&program, guard, 64 << 10, CHECK_TIME)
        .await
        .map_err(|error| spawn_failed(nginx, error, "pass --nginx PATH"))?;
    if answer.exit.is_success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&answer.stderr);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = words.get(words.len().saturating_sub(4)..).unwrap_or_default().join(" | ");
    Err(Failure::preflight(format!("nginx -t refuses the configuration ({})", answer.exit))
        .caused_by(last)
        .help("name another --nginx, or the path that it cannot open"))
}
