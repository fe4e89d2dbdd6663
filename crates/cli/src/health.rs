//! The wiring of `hls-swarm health` and `hls-origin health`: does the program on this machine answer?

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use url::Url;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_http::fetch::{self, Request};

use crate::health_args::HealthArgs;
use crate::logging;

/// The first word of a command line that asks for health.
pub const WORD: &str = "health";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where a program answers: its name, the environment variable of its port, the default, the path.
#[derive(Clone, Copy, Debug)]
pub struct Where {
    /// The program.
    pub program: &'static str,
    /// Environment variable of its port.
    pub variable: &'static str,
    /// Port unless the variable is set.
    pub port: u16,
    /// Path that answers.
    pub path: &'static str,
    /// What to do if nobody answers.
    pub help: &'static str,
}

/// `main` of both.
#[must_use]
pub fn main(place: Where) -> ExitCode {
    let words = std::iter::once(place.program.into()).chain(std::env::args_os().skip(2));
    let args = match HealthArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    match ask(place, args) {
        Ok(()) => Exit::Pass.into(),
        Err(failure) => {
            failure.print(&mut std::io::stderr());
            Exit::Internal.into()
        }
    }
}

fn ask(place: Where, args: HealthArgs) -> Result<(), Failure> {
    let port = std::env::var(place.variable).ok().filter(|port| !port.is_empty());
    let port = port.unwrap_or_else(|| place.port.to_string());
    let url = args.url.unwrap_or_else(|| format!("http://127.0.0.1:{port}{}", place.path));
    let url = Url::parse(&url).map_err(|error| {
        Failure::usage(format!("{url:?} is no address")).caused_by(error).help("pass an http:// URL")
    })?;
    let request = Request {
        url,
        headers: Vec::new(),
        user_agent: concat!("hls-swarm/", env!("CARGO_PKG_VERSION"), "/health").into(),
        timeout: PATIENCE,
        verify_tls: true,
        resolve: Vec::new(),
        target_policy: hls_swarm_http::target_policy::TargetPolicy::default(),
    };
    fetch::get_now(&request).map(drop).map_err(|failure| failure.help(place.help))
}
