//! Programs that tests need, and processes that run beside a test and end with it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Maximum time until a process ends after a signal.
const GRACE: Duration = Duration::from_secs(10);

/// A program that must be installed: without it a test fails, it does not skip.
pub fn program(name: &str) -> Command {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(found, "{name} is not installed or not in PATH; this test needs it: install the package {name}");
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// A process beside the test. It ends when it is dropped, and when the test is killed.
pub struct Companion {
    child: Child,
}

impl Companion {
    pub fn start(command: &mut Command) -> Self {
        // SAFETY: prctl is the only call between fork and exec, and it is async-signal-safe.
        unsafe {
            command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGTERM)?));
        }
        #[allow(clippy::disallowed_methods, reason = "a test's own process; its Drop ends it")]
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Its exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends; `None` if it does not end in time.
    pub fn wait(&mut self, time: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Sends a signal, and kills the process if it does not end in time.
    pub fn end(&mut self, signal: Signal) {
        if self.ended().is_some() {
            return;
        }
        self.signal(signal);
        if self.wait(GRACE).is_none() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.end(Signal::SIGTERM);
    }
}
