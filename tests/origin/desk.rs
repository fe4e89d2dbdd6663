//! Starts origins, asks them over HTTP, looks into /proc. It judges nothing.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hls_swarm::pure::origin::playlist::{self, Listed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A stream that costs next to nothing: one-second segments of a stamp-sized picture.
pub(crate) const SMALL: [&str; 10] = [
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

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hls-origin"));
    command.args(["--port", "0"]).args(SMALL).args(arguments).stdin(Stdio::null());
    command
}

/// Runs an origin that is expected to refuse.
pub(crate) fn refusal(arguments: &[&str]) -> (Option<i32>, String) {
    let cache = TempDir::new().unwrap();
    let output: Output = command(arguments).arg("--cache-dir").arg(cache.path()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A running origin. Dropping it kills it, and its guard does the rest.
pub(crate) struct Origin {
    child: Child,
    stderr: Option<std::thread::JoinHandle<String>>,
    /// What people read.
    pub(crate) ready: String,
    /// What programs read.
    pub(crate) facts: serde_json::Value,
    _cache: Option<TempDir>,
}

impl Origin {
    /// Starts an origin with a cache of its own and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let cache = TempDir::new().unwrap();
        let mut origin = Self::start_with_cache(cache.path(), arguments);
        origin._cache = Some(cache);
        origin
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    pub(crate) fn start_with_cache(cache: &Path, arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        command.arg("--cache-dir").arg(cache).stdout(Stdio::piped()).stderr(Stdio::piped());
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
            panic!("never ready: {}", origin.complaints());
        };
        origin.ready = ready;
        origin.facts = serde_json::from_str(&facts).unwrap();
        origin
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn port(&self) -> u16 {
        self.facts["port"].as_u64().unwrap().try_into().unwrap()
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.facts["directory"].as_str().unwrap().into()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(self.port(), "GET", path).unwrap()
    }

    /// The playlist as served; none while nothing answers or nothing is listed.
    pub(crate) fn playlist(&self) -> Option<(Listed, String)> {
        let answer = ask(self.port(), "GET", "/stream.m3u8").ok().filter(|answer| answer.status == 200)?;
        let text = String::from_utf8(answer.body).ok()?;
        Some((playlist::read(&text)?, text))
    }

    /// The only descendant with this name whose parent is the origin itself.
    pub(crate) fn child_named(&self, name: &str) -> Option<u32> {
        let found: Vec<_> =
            processes().into_iter().filter(|one| one.parent == self.pid() && one.name == name).collect();
        match found.as_slice() {
            [one] => Some(one.pid),
            _ => None,
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for the origin's end and returns its exit code, none after a signal.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// What the origin said on standard error; waits for its end.
    pub(crate) fn complaints(&mut self) -> String {
        self.stderr.take().map(|reader| reader.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Asks on a connection of its own.
pub(crate) fn ask(port: u16, method: &str, path: &str) -> std::io::Result<Answer> {
    Connection::open(port)?.ask(method, path)
}

/// A connection that is kept, as players keep theirs; the same worker of nginx answers all of it.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(port: u16) -> std::io::Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self(BufReader::new(socket)))
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str) -> std::io::Result<Answer> {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: origin\r\nUser-Agent: desk\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let status =
            self.line()?.split(' ').nth(1).ok_or(std::io::ErrorKind::UnexpectedEof)?.parse().unwrap();
        let mut headers = HashMap::new();
        while let Some((name, value)) = self.line()?.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").filter(|_| method != "HEAD");
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, headers, body })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// A process as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
}

/// Every process that is not a zombie.
pub(crate) fn processes() -> Vec<Process> {
    let read = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        (fields.next()? != "Z").then_some(())?;
        Some(Process { pid, parent: fields.next()?.parse().ok()?, name: name.to_owned() })
    };
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| read(entry.ok()?)).collect()
}

/// All descendants of a process, children first.
pub(crate) fn descendants(pid: u32) -> Vec<Process> {
    let all = processes();
    let (mut found, mut parents) = (Vec::new(), vec![pid]);
    while let Some(parent) = parents.pop() {
        for one in all.iter().filter(|one| one.parent == parent) {
            parents.push(one.pid);
            found.push(one.clone());
        }
    }
    found
}

/// Which of these still live, whoever their parent is now.
pub(crate) fn survivors(former: &[Process]) -> Vec<Process> {
    let alive = processes();
    former
        .iter()
        .filter(|one| alive.iter().any(|now| now.pid == one.pid && now.name == one.name))
        .cloned()
        .collect()
}

/// Asks again until there is an answer; panics with `what` after `time`.
pub(crate) fn eventually<T>(what: &str, time: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < time, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
