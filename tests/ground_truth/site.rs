//! The server of one case: a folder, nginx in front of it, and a run against it.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use hls_swarm_origin::access_log;

use super::nginx::{self, Nginx};
use super::pairing::Circumstances;
use super::swarm::{Run, Swarm};
use super::truth::{self, Served};

/// The outcome of a run: both sides.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) served: Vec<Served>,
    pub(crate) known: Circumstances,
}

/// nginx with its own folder.
pub(crate) struct Site {
    pub(crate) nginx: Nginx,
    /// Processes that write into the folder; they end before the folder is removed.
    _stream: Box<dyn Any>,
    folder: TempDir,
    tls: bool,
}

impl Site {
    /// Creates `www`, lets `fill` create a live stream or a VOD in it, and starts nginx with these directives
    /// in its `server` block. `fill` may return a value that has to live as long as the case.
    pub(crate) fn start<T: 'static>(server: &str, fill: impl FnOnce(&Path) -> T) -> Self {
        Self::start_with(nginx::Site { server, ..nginx::Site::default() }, fill)
    }

    /// The same with HTTP/3 on the TLS port, which not every nginx speaks.
    pub(crate) fn start_http3<T: 'static>(server: &str, fill: impl FnOnce(&Path) -> T) -> Self {
        Self::start_with(nginx::Site { server, http3: true, ..nginx::Site::default() }, fill)
    }

    fn start_with<T: 'static>(site: nginx::Site<'_>, fill: impl FnOnce(&Path) -> T) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let www = folder.path().join("www");
        fs::create_dir(&www).unwrap();
        let stream = Box::new(fill(&www));
        let log_format = access_log::log_format().replace(access_log::FORMAT_NAME, "truth");
        let site = nginx::Site { log_format: &log_format, http2: true, ..site };
        let nginx = Nginx::start(folder.path(), site);
        Self { nginx, _stream: stream, folder, tls: false }
    }

    pub(crate) fn with_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", if self.tls { self.nginx.tls } else { self.nginx.plain })
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("{}://{}{target}", if self.tls { "https" } else { "http" }, self.host())
    }

    pub(crate) fn www(&self) -> PathBuf {
        self.folder.path().join("www")
    }

    /// Runs viewers to the end, then stops nginx and reads its log.
    pub(crate) fn play(self, target: &str, clients: u32, seconds: u32, arguments: &[&str]) -> Outcome {
        let swarm = Swarm::start(&self.url(target), clients, seconds, arguments);
        self.finish(swarm)
    }

    /// The same for a run that has already been started.
    pub(crate) fn finish(self, swarm: Swarm) -> Outcome {
        let run = swarm.finish();
        let known = Circumstances { host: self.host(), ..Circumstances::default() };
        let log = self.nginx.log();
        Outcome { run, served: truth::logged(&log), known }
    }
}
