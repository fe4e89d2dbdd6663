//! The nginx process: writes and checks its configuration, and restarts it on the same sockets.
//!
//! hls-origin opens the listening sockets and nginx inherits them (by its variable NGINX, which is made for
//! upgrades). So the port stays open while nginx restarts: no other program can take it, and viewers that
//! connect meanwhile wait instead of being refused.

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
use crate::fault::injector::KillSwitch;
use crate::nginx::conf::{self, NginxEnvironment, SiteConfig};
use crate::nginx::{self, Build};
use crate::profile::Serve;
use crate::profile::plan::Plan;
use crate::run::programs::Programs;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::status::ProcessState;
use crate::run::supervisor::SupervisedProcess;

const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings that nginx.conf depends on in addition to the plan.
#[derive(Debug)]
pub(crate) struct NginxSetup {
    pub(crate) sockets: Sockets,
    pub(crate) behind_proxy: bool,
    /// Path of the access log, to which the fault proxy writes, too.
    pub(crate) access_log: Option<String>,
    /// Where hls-origin answers requests for low-latency playlists.
    pub(crate) playlists: Option<SocketAddr>,
}

/// nginx with its configuration, ready to be started.
#[derive(Debug)]
pub(crate) struct NginxProcess {
    program: Program,
    supervised: SupervisedProcess,
    // Kept open, because nginx inherits them at each start.
    _sockets: Sockets,
}

/// The listening sockets of nginx.
#[derive(Debug)]
pub(crate) struct Sockets {
    http: TcpListener,
    https: Option<TcpListener>,
}

impl Sockets {
    pub(crate) fn listen(serve: &Serve) -> Result<Self, Failure> {
        let listen = |port| listener::listen(SocketAddr::new(serve.listen, port));
        Ok(Self { http: listen(serve.port)?, https: serve.tls.then(|| listen(serve.tls_port)).transpose()? })
    }

    /// The address for HTTP.
    pub(crate) fn http(&self) -> Result<SocketAddr, Failure> {
        self.http.local_addr().map_err(os_error)
    }

    /// The address for HTTPS, if enabled.
    pub(crate) fn https(&self) -> Result<Option<SocketAddr>, Failure> {
        self.https.as_ref().map(|socket| socket.local_addr().map_err(os_error)).transpose()
    }

    /// Replaces the socket for HTTP, and returns the previous one.
    pub(crate) fn replace_http(self, socket: TcpListener) -> (Self, TcpListener) {
        (Self { http: socket, https: self.https }, self.http)
    }

    fn all(&self) -> impl Iterator<Item = &TcpListener> {
        std::iter::once(&self.http).chain(&self.https)
    }
}

fn os_error(error: std::io::Error) -> Failure {
    Failure::internal("cannot read the settings of a socket or process").caused_by(error)
}

/// The properties of this machine that nginx.conf depends on.
pub(crate) fn environment(build: &Build, in_memory: bool) -> Result<NginxEnvironment, Failure> {
    Ok(NginxEnvironment {
        hard_open_files: machine::hard_open_files().map_err(os_error)?,
        worker_user: identity::worker_user(),
        in_memory,
        behind_proxy: false,
        build: build.clone(),
    })
}

impl NginxProcess {
    /// Writes nginx.conf, and lets nginx check it.
    pub(crate) async fn prepare(
        args: &OriginArgs,
        programs: &Programs,
        plan: &Plan,
        setup: NginxSetup,
        runtime_dir: &RuntimeDir,
        guard: &Arc<Guard>,
    ) -> Result<Self, Failure> {
        let NginxSetup { sockets, behind_proxy, access_log, playlists } = setup;
        let environment =
            NginxEnvironment { behind_proxy, ..environment(&programs.nginx, runtime_dir.in_memory)? };
        let (listen, tls) = (sockets.http()?, sockets.https()?);
        let config = SiteConfig {
            derived: &plan.derived,
            serving: &plan.serving,
            listen,
            tls,
            access_log: access_log.as_deref(),
            playlists,
        };
        conf::check(&config, &environment)?;
        std::fs::write(runtime_dir.nginx_conf(), conf::render(&config, &environment))
            .map_err(|error| Failure::internal("cannot write nginx.conf").caused_by(error))?;

        let argv = nginx::argv(&environment.build, &runtime_dir.root().to_string_lossy());
        check(&args.nginx, &argv, guard).await?;
        let mut program = Program::new(&args.nginx, argv);
        program.stdout = Output::Discard;
        let mut inherited = String::new();
        for socket in sockets.all() {
            // nginx keeps the mode of an inherited socket, and accepts until the queue is empty.
            socket.set_nonblocking(true).map_err(os_error)?;
            inherited.push_str(&format!("{};", socket.as_raw_fd()));
            program.inherit.push(socket.as_raw_fd());
        }
        program.environment.push(("NGINX".into(), inherited.into()));
        Ok(Self { program, supervised: SupervisedProcess::new("nginx", guard), _sockets: sockets })
    }

    pub(crate) fn kill_switch(&self) -> Arc<KillSwitch> {
        Arc::clone(&self.supervised.kill_switch)
    }

    pub(crate) fn state(&self) -> Arc<ProcessState> {
        Arc::clone(&self.supervised.state)
    }

    pub(crate) fn was_ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.supervised.was_ready)
    }

    /// Runs nginx until `stop`, and restarts it when it exits.
    pub(crate) async fn run(&self, stop: &CancellationToken) -> Result<(), Failure> {
        self.supervised.run(stop, async || self.program.clone()).await
    }
}

/// Runs `nginx -t`, whose output is the reason if it rejects the configuration.
async fn check(nginx: &Path, argv: &[String], guard: &Arc<Guard>) -> Result<(), Failure> {
    let mut program = Program::new(nginx, argv.iter().chain([&"-t".to_owned()]));
    program.stdout = Output::Discard;
    let answer = capture(&program, guard, 64 << 10, CHECK_TIMEOUT)
        .await
        .map_err(|error| spawn_failed(nginx, error, "pass --nginx PATH"))?;
    if answer.exit.is_success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&answer.stderr);
    let lines: Vec<&str> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join(" | ");
    Err(Failure::preflight(format!("nginx -t rejects the configuration ({})", answer.exit))
        .caused_by(last)
        .help("pass another --nginx, or correct the path that it cannot open"))
}
