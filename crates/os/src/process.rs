//! Starting, signalling and reaping children: the sole place in the program that does.
//!
//! Each child leads a process group of its own (so that a signal reaches its children too, and the
//! terminal's Ctrl+C does not), dies with this program (`PR_SET_PDEATHSIG`, and the guard for what
//! that misses), reads nothing from the terminal and dumps no core. When a child has ended,
//! whatever is left of its group is killed. What children say is the caller's business.

use std::ffi::OsString;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit_status::ProcessExit;

use super::guard::Guard;

/// Where an output of a child goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    Discard,
    /// To us, through a pipe.
    Pipe,
}

/// A program to be started.
#[derive(Clone, Debug)]
pub struct Program {
    /// Path, or a name to be looked up in PATH.
    pub path: PathBuf,
    /// Arguments without the program's name.
    pub arguments: Vec<OsString>,
    /// Variables set on top of our own environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Our descriptors that the child keeps, under the same numbers.
    pub inherit: Vec<RawFd>,
}

impl Program {
    /// A program with arguments, and with both outputs piped to us.
    pub fn new<A: Into<OsString>>(path: impl Into<PathBuf>, arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            stdout: Output::Pipe,
            stderr: Output::Pipe,
            inherit: Vec::new(),
        }
    }

    /// Starts the program. Call it on the thread that lives as long as the program: the kernel
    /// sends the death signal when the *thread* that started the child ends.
    ///
    /// # Errors
    /// The program does not exist, may not be executed, or the operating system refuses a process;
    /// the error is the operating system's own.
    pub fn start(&self, guard: &Arc<Guard>) -> io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.path);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(self.stdout.stdio())
            .stderr(self.stderr.stdio())
            .process_group(0);
        let parent = nix::unistd::getpid();
        let inherit = self.inherit.clone();
        // SAFETY: between fork and exec only async-signal-safe calls are made; `inherit` is only read.
        unsafe { command.pre_exec(move || prepare_child(parent, &inherit)) };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that may")]
        let mut child = command.spawn()?;
        let group = child.id().ok_or_else(|| io::Error::other("the child has no process id"))?;
        guard.watch_group(group);
        let stdout = child.stdout.take().map(|end| end.into_owned_fd()).transpose()?;
        let stderr = child.stderr.take().map(|end| end.into_owned_fd()).transpose()?;
        Ok(Child {
            child,
            group,
            guard: Arc::clone(guard),
            stdout: stdout.map(receiver).transpose()?,
            stderr: stderr.map(receiver).transpose()?,
            ended: None,
        })
    }
}

impl Output {
    fn stdio(self) -> Stdio {
        match self {
            Self::Discard => Stdio::null(),
            Self::Pipe => Stdio::piped(),
        }
    }
}

fn receiver(end: OwnedFd) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(end)
}

/// Runs in the forked child, before exec.
fn prepare_child(parent: Pid, inherit: &[RawFd]) -> io::Result<()> {
    use nix::libc;
    // SAFETY: all are plain system calls on values owned by this frame.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the death signal was asked for.
        if libc::getppid() != parent.as_raw() {
            libc::_exit(127);
        }
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        for fd in inherit {
            if libc::fcntl(*fd, libc::F_SETFD, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The process group of a child that has not ended yet.
#[derive(Clone, Copy, Debug)]
pub struct Group(u32);

impl Group {
    /// Sends a signal to all of the group.
    pub fn signal(self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.0)
            && group > 1
        {
            // ESRCH: the group is gone, which is what a signal would have been for.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

/// When a child that is being stopped gets the next signal.
#[derive(Clone, Copy, Debug)]
pub struct StopTimeouts {
    /// TERM is sent again this long after the first one: some builds of FFmpeg only react to the second.
    pub again: Duration,
    /// KILL is sent this long after the first TERM.
    pub kill: Duration,
}

impl Default for StopTimeouts {
    fn default() -> Self {
        Self { again: Duration::from_secs(1), kill: Duration::from_secs(5) }
    }
}

/// A started child. Dropping it kills its whole group.
#[derive(Debug)]
pub struct Child {
    child: tokio::process::Child,
    group: u32,
    guard: Arc<Guard>,
    /// Read end of the child's standard output, where it is piped.
    pub stdout: Option<pipe::Receiver>,
    /// Read end of the child's standard error, where it is piped.
    pub stderr: Option<pipe::Receiver>,
    ended: Option<ProcessExit>,
}

impl Child {
    /// Process id, which is also the id of the child's process group.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.group
    }

    /// Waits for the end of the child, then kills what is left of its group. May be cancelled and
    /// called again.
    pub async fn wait(&mut self) -> ProcessExit {
        if let Some(ending) = self.ended {
            return ending;
        }
        let ending = match self.child.wait().await {
            Ok(status) => ProcessExit::from(status),
            Err(error) => {
                tracing::error!(pid = self.group, %error, "cannot wait for a child");
                ProcessExit::Exited(-1)
            }
        };
        self.signal(Signal::SIGKILL);
        self.guard.release_group(self.group);
        self.ended = Some(ending);
        ending
    }

    /// Sends a signal to the child's group; does nothing after its end.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            self.group().signal(signal);
        }
    }

    /// The child's process group, to be signalled while somebody else waits for the child.
    #[must_use]
    pub const fn group(&self) -> Group {
        Group(self.group)
    }

    /// Stops the child: TERM to its group, TERM again, KILL only then. Something else must drain its pipes
    /// meanwhile, or a child that still writes cannot leave.
    pub async fn stop(&mut self, timeouts: StopTimeouts) -> ProcessExit {
        if let Some(exit) = self.ended {
            return exit;
        }
        let mut stopping = Stopping::begin(self.group(), timeouts);
        loop {
            tokio::select! {
                exit = self.wait() => return exit,
                () = stopping.escalate() => {}
            }
        }
    }
}

/// The escalation that stops a child: TERM, TERM again, KILL. For callers that attend to the child
/// meanwhile; [`Child::stop`] does nothing else.
#[derive(Debug)]
pub struct Stopping {
    group: Group,
    timeouts: StopTimeouts,
    began: Instant,
    sent: Sent,
}

/// The last signal of an escalation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Term,
    TermAgain,
    Kill,
}

impl Stopping {
    /// Sends the first TERM.
    #[must_use]
    pub fn begin(group: Group, timeouts: StopTimeouts) -> Self {
        group.signal(Signal::SIGTERM);
        Self { group, timeouts, began: Instant::now(), sent: Sent::Term }
    }

    /// Waits until it is time for the next signal, and sends it; never returns after KILL. May be cancelled
    /// and called again.
    pub async fn escalate(&mut self) {
        match self.sent {
            Sent::Term => {
                sleep_until(self.began + self.timeouts.again).await;
                self.group.signal(Signal::SIGTERM);
                self.sent = Sent::TermAgain;
            }
            Sent::TermAgain => {
                sleep_until(self.began + self.timeouts.kill).await;
                self.kill();
            }
            Sent::Kill => std::future::pending().await,
        }
    }

    /// Sends KILL now.
    pub fn kill(&mut self) {
        self.group.signal(Signal::SIGKILL);
        self.sent = Sent::Kill;
    }

    /// Whether KILL was sent.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.sent == Sent::Kill
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The guard keeps watching the group: nobody has seen its end.
        self.signal(Signal::SIGKILL);
    }
}

/// What a short-lived program said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// How it ended.
    pub ending: ProcessExit,
    /// Its standard output, cut at the limit.
    pub stdout: Vec<u8>,
    /// Its standard error, cut at the limit.
    pub stderr: Vec<u8>,
}

/// Runs a program to its end and returns what it said; for questions, not for viewers.
///
/// Output beyond `limit` bytes each is read and thrown away. A program that has not ended after
/// `time` is killed.
///
/// # Errors
/// `NotFound`, `PermissionDenied` and the like from the start, `TimedOut` after `time`.
pub async fn ask(program: &Program, guard: &Arc<Guard>, limit: usize, time: Duration) -> io::Result<Answer> {
    let mut child = program.start(guard)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let talk = async {
        // A grandchild may hold the pipes open after the child has ended: its end closes the talk.
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ending = {
            let mut reading = std::pin::pin!(async {
                tokio::join!(read_all(stdout, limit, &mut out), read_all(stderr, limit, &mut err))
            });
            tokio::select! {
                biased;
                _ = &mut reading => child.wait().await,
                ending = child.wait() => {
                    drop(tokio::time::timeout(Duration::from_millis(200), reading).await);
                    ending
                }
            }
        };
        Answer { ending, stdout: out, stderr: err }
    };
    match tokio::time::timeout(time, talk).await {
        Ok(answer) => Ok(answer),
        Err(_) => {
            child.signal(Signal::SIGKILL);
            child.wait().await;
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("gave no answer within {} s", time.as_secs_f32()),
            ))
        }
    }
}

async fn read_all(pipe: Option<pipe::Receiver>, limit: usize, into: &mut Vec<u8>) {
    let Some(pipe) = pipe else { return };
    drain(&pipe, |bytes| {
        let room = limit.saturating_sub(into.len()).min(bytes.len());
        into.extend_from_slice(bytes.get(..room).unwrap_or_default());
    })
    .await;
}

/// Reads a pipe until its end. The buffer lives only while there is something to read, so that a
/// thousand silent pipes cost no memory.
pub async fn drain(pipe: &pipe::Receiver, mut take: impl FnMut(&[u8])) {
    while pipe.readable().await.is_ok() {
        let mut buffer = [0_u8; 4096];
        match pipe.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => take(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Turns an error of [`Program::start`] or [`ask`] into one that names the program and suggests a fix.
#[must_use]
pub fn spawn_failed(program: &std::path::Path, error: io::Error, help: &str) -> Failure {
    Failure::preflight(format!("cannot run {}", program.display())).caused_by(error).help(help)
}
