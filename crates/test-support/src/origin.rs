//! Starts the real `hls-origin` with a small stream.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use hls_swarm_origin::publisher::playlist::{self, MediaPlaylist};

use crate::http::{Answer, ask};
use crate::processes::{processes, send};

/// Arguments for a stream that needs almost no CPU: one-second segments of a tiny video.
pub const SMALL: [&str; 10] = [
    "--video-size",
    "160x90",
    "--fps",
    "10",
    "--video-bitrate",
    "100",
    "--segment-seconds",
    "1",
    "--list-size",
    "4",
];
const START_TIME: Duration = Duration::from_secs(60);

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(crate::binary("hls-origin"));
    command.args(["--port", "0"]).args(SMALL).args(arguments).stdin(Stdio::null());
    command
}

/// Runs an origin that is expected to fail at start, and returns its exit code and standard error.
pub fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let cache = TempDir::new().unwrap();
    let output: Output = command(arguments).arg("--cache-dir").arg(cache.path()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A running origin. Dropping it kills it, and its guard cleans up.
pub struct Origin {
    child: Child,
    stderr: Option<std::thread::JoinHandle<String>>,
    /// The line `READY URL`.
    pub ready: String,
    /// The READY message in JSON.
    pub facts: serde_json::Value,
    _cache: Option<TempDir>,
}

impl Origin {
    /// Starts an origin with its own cache, and waits until it is ready.
    pub fn start(arguments: &[&str]) -> Self {
        let cache = TempDir::new().unwrap();
        let mut origin = Self::start_with_cache(cache.path(), arguments);
        origin._cache = Some(cache);
        origin
    }

    pub fn start_with_cache(cache: &Path, arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.arg("--cache-dir").arg(cache);
        Self::start_command(command)
    }

    /// Starts an origin with this command, and waits until it is ready.
    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    pub fn start_command(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let (sender, receiver) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().for_each(|line| drop(sender.send(line.unwrap()))));
        let line = || receiver.recv_timeout(START_TIME).ok();
        let lines = line().zip(line());
        let mut origin = Self {
            child,
            stderr: Some(stderr),
            ready: String::new(),
            facts: serde_json::Value::Null,
            _cache: None,
        };
        let Some((ready, facts)) = lines else {
            drop(origin.child.kill());
            panic!("never ready: {}", origin.standard_error());
        };
        origin.ready = ready;
        origin.facts = serde_json::from_str(&facts).unwrap();
        origin
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn port(&self) -> u16 {
        self.facts["port"].as_u64().unwrap().try_into().unwrap()
    }

    pub fn directory(&self) -> PathBuf {
        self.facts["directory"].as_str().unwrap().into()
    }

    pub fn get(&self, path: &str) -> Answer {
        ask(self.port(), "GET", path).unwrap()
    }

    /// The playlist as served; `None` if there is no response or no playlist.
    pub fn playlist(&self) -> Option<(MediaPlaylist, String)> {
        let answer = ask(self.port(), "GET", "/stream.m3u8").ok().filter(|answer| answer.status == 200)?;
        let text = String::from_utf8(answer.body).ok()?;
        Some((playlist::parse(&text)?, text))
    }

    /// The child process with this name, if there is exactly one.
    pub fn child_named(&self, name: &str) -> Option<u32> {
        let found: Vec<_> =
            processes().into_iter().filter(|one| one.parent == self.pid() && one.name == name).collect();
        match found.as_slice() {
            [one] => Some(one.pid),
            _ => None,
        }
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits until the origin ends, and returns its exit code; `None` if a signal killed it.
    pub fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// The standard error of the origin; waits until it ends.
    pub fn standard_error(&mut self) -> String {
        self.stderr.take().map(|reader| reader.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
