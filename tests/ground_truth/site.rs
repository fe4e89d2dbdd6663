//! One case's server: a folder, nginx before it, a run against it.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use hls_swarm_origin::access_log;

use super::nginx::{self, Nginx};
use super::pairing::Circumstances;
use super::swarm::{Run, Swarm};
use super::truth::{self, Served};

/// What a run comes to: both sides.
pub(crate) struct Outcome {
    pub(crate) run: Run,
    pub(crate) served: Vec<Served>,
    pub(crate) known: Circumstances,
}

/// nginx before a folder of its own.
pub(crate) struct Site {
    pub(crate) nginx: Nginx,
    /// What keeps writing into the folder ends before the folder does.
    _stream: Box<dyn Any>,
    folder: TempDir,
    tls: bool,
}

impl Site {
    /// An empty `www`, a live stream or a film made in it by `fill`, and then nginx with these directives
    /// in its server. `fill` may return what has to live as long as the case.
    pub(crate) fn start<T: 'static>(server: &str, fill: impl FnOnce(&Path) -> T) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let www = folder.path().join("www");
        fs::create_dir(&www).unwrap();
        let stream = Box::new(fill(&www));
        let log_format = access_log::log_format().replace(access_log::FORMAT_NAME, "truth");
        let site = nginx::Site { log_format: &log_format, http: "", server };
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

    /// Runs viewers to the end, then ends nginx and reads its log.
    pub(crate) fn play(self, target: &str, clients: u32, seconds: u32, arguments: &[&str]) -> Outcome {
        let swarm = Swarm::start(&self.url(target), clients, seconds, arguments);
        self.finish(swarm)
    }

    /// The same for a run that was started already.
    pub(crate) fn finish(self, swarm: Swarm) -> Outcome {
        let run = swarm.finish();
        let known = Circumstances { host: self.host(), ..Circumstances::default() };
        let log = self.nginx.log();
        Outcome { run, served: truth::logged(&log), known }
    }
}
