//! nginx: configuration written and checked, then the process kept alive on one and the same socket.
//!
//! The listening socket is ours and nginx inherits it (its NGINX variable, made for upgrades), so
//! the port is ours from the first moment to the last: two starts never collide, and no restart
//! of nginx loses it to somebody else. A viewer that connects in between waits instead of failing.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::house::House;
use super::keeper::Keeper;
use super::tools::Tools;
use crate::pure::origin::derived::Derived;
use crate::pure::origin::nginx::{self, Facts};
use crate::system::guard::Guard;
use crate::system::identity;
use crate::system::process::{Output, Program, ask, cannot_run};
use crate::words::cli::origin::OriginArgs;
use crate::words::failure::Failure;

const CHECK_TIME: Duration = Duration::from_secs(20);

/// nginx, ready to be started.
#[derive(Debug)]
pub(super) struct Server {
    program: Program,
    keeper: Keeper,
    // Open for as long as nginx may have to be started.
    _socket: TcpListener,
}

impl Server {
    /// Writes nginx.conf and has nginx check it.
    pub(super) async fn prepare(
        args: &OriginArgs,
        tools: &Tools,
        derived: &Derived,
        socket: TcpListener,
        house: &House,
        guard: &Arc<Guard>,
    ) -> Result<Self, Failure> {
        let refused = |error| Failure::internal("the operating system refuses a fact").because(error);
        let facts = Facts {
            hard_open_files: identity::hard_open_files().map_err(refused)?,
            worker_user: identity::worker_user(),
            in_memory: house.in_memory,
            build: tools.nginx.clone(),
        };
        let log = args.access_log.as_deref().map(quotable).transpose()?;
        let address = socket.local_addr().map_err(refused)?;
        // nginx takes an inherited socket as it is, and accepts until there is nobody left.
        socket.set_nonblocking(true).map_err(refused)?;
        let text = nginx::render(derived, address, log.as_deref(), &facts);
        std::fs::write(house.nginx_conf(), text)
            .map_err(|error| Failure::internal("cannot write nginx.conf").because(error))?;

        let argv = nginx::argv(&facts.build, &house.root().to_string_lossy());
        check(&args.nginx, &argv, guard).await?;
        let mut program = Program::new(&args.nginx, argv);
        program.stdout = Output::Discard;
        program.environment.push(("NGINX".into(), format!("{};", socket.as_raw_fd()).into()));
        program.inherit.push(socket.as_raw_fd());
        Ok(Self { program, keeper: Keeper::new("nginx", guard), _socket: socket })
    }

    pub(super) fn settled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.keeper.settled)
    }

    /// Keeps nginx alive until `stop`.
    pub(super) async fn keep(&self, stop: &CancellationToken) -> Result<(), Failure> {
        self.keeper.keep(stop, || self.program.clone()).await
    }
}

/// `nginx -t`: its own words are the reason when it refuses.
async fn check(nginx: &Path, argv: &[String], guard: &Arc<Guard>) -> Result<(), Failure> {
    let mut program = Program::new(nginx, argv.iter().chain([&"-t".to_owned()]));
    program.stdout = Output::Discard;
    let answer = ask(&program, guard, 64 << 10, CHECK_TIME)
        .await
        .map_err(|error| cannot_run(nginx, error, "pass --nginx PATH"))?;
    if answer.ending.is_success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&answer.stderr);
    let words: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = words.get(words.len().saturating_sub(4)..).unwrap_or_default().join(" | ");
    Err(Failure::preflight(format!("nginx -t refuses the configuration ({})", answer.ending))
        .because(last)
        .cure("name another --nginx, or the path that it cannot open"))
}

/// The path of the access log as it can stand between quotes in nginx.conf.
fn quotable(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).ok();
    let text = absolute.as_deref().and_then(Path::to_str);
    let fits = |text: &&str| !text.contains(|letter: char| letter.is_control() || "\"$\\".contains(letter));
    text.filter(fits).map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("the access log's path {path:?} cannot be written into nginx.conf")).cure(
            "choose a path that is UTF-8 and holds no quotes, dollars, backslashes or control characters",
        )
    })
}
