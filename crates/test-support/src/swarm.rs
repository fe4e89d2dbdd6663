//! Runs the real `hls-swarm` in its own home directory and checks that nothing is left of it.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Process};
use crate::waiting::eventually;

/// Maximum duration of a run; a test that waits longer fails.
const LIMIT: Duration = Duration::from_secs(100);
/// Maximum time until a killed process has disappeared.
const MOMENT: Duration = Duration::from_millis(500);
/// Variable that every process of a run has, with a value that identifies the run.
const MARK: &str = "HLS_SWARM_TEST_RUN";

/// A run that has not been started.
pub struct Swarm {
    command: Command,
    home: TempDir,
    mark: String,
}

impl Swarm {
    /// `hls-swarm` with these arguments, a report, and no metrics endpoint unless the arguments request one.
    pub fn new(arguments: &[&str]) -> Self {
        Self::through(Command::new(crate::binary("hls-swarm")), arguments)
    }

    /// The same, started by a shell after it has run `preparation`.
    pub fn after(preparation: &str, arguments: &[&str]) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{preparation}; exec \"$0\" \"$@\""));
        shell.arg(crate::binary("hls-swarm"));
        Self::through(shell, arguments)
    }

    fn through(mut command: Command, arguments: &[&str]) -> Self {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}-", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let home = TempDir::new().unwrap();
        command.args(arguments);
        for (flag, value) in [("--metrics", "off"), ("--report", "report.json")] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        std::fs::create_dir(home.path().join("tmp")).unwrap();
        command.env("HLS_SWARM_VIEWER_ENV", MARK);
        command.current_dir(home.path()).env(MARK, &mark).env("TMPDIR", home.path().join("tmp"));
        for name in ["XDG_RUNTIME_DIR", "LOG_LEVEL", "CLIENTS", "STREAM_URL", "METRICS_PORT"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, home, mark }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    #[expect(clippy::disallowed_methods, reason = "a test starts the product from outside")]
    pub fn start(mut self) -> Running {
        let began = Instant::now();
        let mut child = self.command.spawn().unwrap();
        let stdout = Output::listen(child.stdout.take().unwrap());
        let stderr = Output::listen(child.stderr.take().unwrap());
        Running { child, home: self.home, mark: self.mark, began, stdout, stderr }
    }

    /// Starts it and waits until it ends.
    pub fn run(self) -> Outcome {
        self.start().end()
    }
}

/// Output of a program, read while it runs.
struct Output {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Output {
    fn listen(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }
}

/// A run. Dropping it kills it.
pub struct Running {
    child: Child,
    home: TempDir,
    mark: String,
    began: Instant,
    stdout: Output,
    stderr: Output,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        processes::send(self.pid(), signal);
    }

    /// Its processes except itself: the guard, viewers, and their children.
    pub fn family(&self) -> Vec<Process> {
        let own = self.pid();
        self.marked().into_iter().filter(|one| one.pid != own).collect()
    }

    /// Its direct children that have this name.
    pub fn children(&self, name: &str) -> Vec<Process> {
        let own = self.pid();
        self.marked().into_iter().filter(|one| one.parent == own && one.name == name).collect()
    }

    fn marked(&self) -> Vec<Process> {
        processes::with_variable(MARK, &self.mark)
    }

    pub fn stderr_so_far(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until its standard error holds `text`.
    pub fn wait_for_line(&self, text: &str) -> String {
        eventually(&format!("{text:?} on standard error; it is {}", self.stderr_so_far()), LIMIT, || {
            self.stderr_so_far().lines().find(|line| line.contains(text)).map(str::to_owned)
        })
    }

    /// Waits until it ends, and checks that nothing is left.
    pub fn end(mut self) -> Outcome {
        let status = eventually("hls-swarm ends", LIMIT, || self.child.try_wait().unwrap());
        let elapsed = self.began.elapsed();
        eventually("nothing of it is left", MOMENT, || {
            let left = self.marked();
            if !left.is_empty() {
                eprintln!("left: {left:?}");
            }
            left.is_empty().then_some(())
        });
        let temporary = names(&self.home.path().join("tmp"));
        assert_eq!(temporary, Vec::<PathBuf>::new(), "temporary files are left");
        let Self { home, stdout, stderr, .. } = &mut self;
        for heard in [stdout, stderr] {
            // The readers end when all writers have closed.
            eventually("its outputs are closed", MOMENT, || heard.reader.is_finished().then_some(()));
        }
        let report = std::fs::read(home.path().join("report.json")).ok();
        let report = report.map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap());
        let files = names(home.path());
        let outcome = Outcome {
            status,
            elapsed,
            report,
            files,
            stdout: self.stdout.so_far(),
            stderr: self.stderr.so_far(),
        };
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn names(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| PathBuf::from(entry.unwrap().file_name())).collect()
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    status: ExitStatus,
    pub elapsed: Duration,
    /// The JSON report; null if none was written.
    pub report: Value,
    /// The files in its working directory.
    pub files: Vec<PathBuf>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The exit code as a shell reports it.
    pub fn code(&self) -> i32 {
        self.status.code().or_else(|| self.status.signal().map(|number| 128 + number)).unwrap()
    }

    /// Asserts the exit code and the verdict of a run.
    ///
    /// A machine that was too busy with other work makes a run INVALID, which is right and not what these
    /// tests are about, so that is accepted too. Each time is printed and recorded: CI fails
    /// if it happens more than a few times, because then the verdicts were not tested.
    pub fn assert_judged(&self, code: i32, verdict: &str) {
        let busy = was_starved(&self.report);
        let (code, verdict) = if busy && self.report["verdict"] == "invalid" {
            accepted_invalid(&self.report["invalid_because"]);
            (5, "invalid")
        } else {
            (code, verdict)
        };
        assert_eq!(self.code(), code, "{}\n{}", self.stdout, self.stderr);
        assert_eq!(self.report["verdict"], verdict, "{}", self.stdout);
        assert_eq!(self.report["exit_code"], code);
    }

    /// Standard output with a single space in place of line breaks and indentation, which depend on the length of names.
    pub fn said(&self) -> String {
        self.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A number in the report, by its JSON pointer.
    pub fn number(&self, pointer: &str) -> f64 {
        let value = self.report.pointer(pointer).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("no number {pointer} in {:#}\n{}", self.report, self.stderr))
    }

    /// The reasons why viewers failed, with their counts.
    pub fn reasons(&self) -> Vec<(String, u64)> {
        let list = self.report["exit_reasons"].as_array().unwrap();
        let row = |row: &Value| (row["reason"].as_str().unwrap().to_owned(), row["count"].as_u64().unwrap());
        list.iter().map(row).collect()
    }
}

/// Whether a run is invalid for no other reason than that its processes did not get a processor in time.
pub fn was_starved(report: &Value) -> bool {
    let machine = ["viewers waited", "viewer waited", "waiting of viewers", "this program itself was"];
    let of_machine = |reason: &Value| machine.iter().any(|words| reason.as_str().unwrap().contains(words));
    report["invalid_because"]
        .as_array()
        .is_some_and(|reasons| !reasons.is_empty() && reasons.iter().all(of_machine))
}

/// Names the file to which each accepted INVALID is appended, a line each.
const ACCEPTED_INVALID: &str = "HLS_SWARM_ACCEPTED_INVALID";

/// Prints that a test accepted INVALID in place of its verdict, and records it where `.ci/run` counts.
fn accepted_invalid(reasons: &Value) {
    let thread = std::thread::current();
    let line = format!("{}: accepted INVALID: {reasons}\n", thread.name().unwrap_or("a test"));
    eprint!("{line}");
    if let Some(path) = std::env::var_os(ACCEPTED_INVALID) {
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        std::io::Write::write_all(&mut file, line.as_bytes()).unwrap();
    }
}
