//! Child processes: the only place in the program that starts, signals and reaps them.
//!
//! Each child leads a process group of its own (so that a signal reaches its children too, and the
//! terminal's Ctrl+C does not), dies with this program (`PR_SET_PDEATHSIG`, and the guard for what
//! that misses), reads nothing from the terminal and dumps no core. When a child has ended, the rest of
//! its group is killed. The caller reads and interprets its output.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};
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

/// The destination of an output of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It is discarded.
    Discard,
    /// A pipe to this process.
    Pipe,
}

/// A program to start, with its arguments and environment.
#[derive(Clone, Debug)]
pub struct Program {
    /// Path, or a name to look up in PATH.
    pub path: PathBuf,
    /// Arguments without the program's name.
    pub arguments: Vec<OsString>,
    /// Variables added to the environment of this process.
    pub environment: Vec<(OsString, OsString)>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Descriptors of this process that the child inherits under the same numbers.
    pub inherit: Vec<RawFd>,
    /// What is taken from a program that reads data of strangers; `None` = nothing.
    pub confinement: Option<Confinement>,
}

/// What is taken from a program that reads data of strangers. It gains no rights by executing other programs
/// (`PR_SET_NO_NEW_PRIVS`), the kernel kills it first when memory runs out, and it sees only the variables that are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// The variables of this process that it gets, by name; an asterisk at the end stands for any rest.
    pub variables: Vec<String>,
    /// The memory that it may allocate (RLIMIT_DATA), bytes; `None` = as much as there is.
    pub memory_bytes: Option<u64>,
    /// The user that it runs as; `None` = that of this process.
    pub user: Option<Account>,
}

/// A user, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub user: u32,
    /// The id of its group.
    pub group: u32,
}

impl Account {
    /// Finds the user `name`.
    ///
    /// # Errors
    /// A usage failure: there is no such user.
    pub fn find(flag: &str, name: &str) -> Result<Self, Failure> {
        let wrong = |why: String, help: &str| Err(Failure::usage(format!("{flag} {name}: {why}")).help(help));
        match nix::unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(Self { user: user.uid.as_raw(), group: user.gid.as_raw() }),
            Ok(None) => wrong("there is no such user".into(), "name one of /etc/passwd, for example daemon"),
            Err(error) => wrong(format!("the users cannot be read: {error}"), "check /etc/passwd"),
        }
    }
}

impl Confinement {
    fn passes(&self, name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        self.variables.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(start) => name.starts_with(start.as_bytes()),
            None => name == allowed.as_bytes(),
        })
    }
}

impl Program {
    /// Returns a program with arguments, and with both outputs piped to this process.
    pub fn new<A: Into<OsString>>(path: impl Into<PathBuf>, arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            stdout: Output::Pipe,
            stderr: Output::Pipe,
            inherit: Vec::new(),
            confinement: None,
        }
    }

    /// Starts the program. Call it on the thread that lives as long as the program: the kernel
    /// sends the death signal when the *thread* that started the child ends.
    ///
    /// # Errors
    /// The program does not exist, may not be executed, or the operating system refuses a process;
    /// the error is that of the operating system.
    pub fn start(&self, guard: &Arc<Guard>) -> io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.path);
        if let Some(confinement) = &self.confinement {
            command.env_clear().envs(std::env::vars_os().filter(|(name, _)| confinement.passes(name)));
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(self.stdout.stdio())
            .stderr(self.stderr.stdio())
            .process_group(0);
        let parent = nix::unistd::getpid();
        let inherit = self.inherit.clone();
        let limits = self.confinement.as_ref().map(|taken| (taken.memory_bytes, taken.user));
        // SAFETY: between fork and exec only async-signal-safe calls are made; `inherit` is only read.
        unsafe { command.pre_exec(move || prepare_child(parent, &inherit, limits)) };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
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
            exit: None,
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
fn prepare_child(
    parent: Pid,
    inherit: &[RawFd],
    confined: Option<(Option<u64>, Option<Account>)>,
) -> io::Result<()> {
    use nix::libc;
    // SAFETY: all are plain system calls on values owned by this frame.
    unsafe {
        if let Some((memory_bytes, account)) = confined {
            confine(memory_bytes, account)?;
        }
        // After the change of the user, which clears it.
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

/// Takes rights from this process, which is about to execute another program.
///
/// # Safety
/// Only async-signal-safe calls are made; call it in a forked child.
unsafe fn confine(memory_bytes: Option<u64>, account: Option<Account>) -> io::Result<()> {
    use nix::libc;
    /// Of two processes that are equally large, the kernel kills the one with the higher score; 1000 is the highest.
    const SCORE: &[u8] = b"500";
    let done = |result: libc::c_int| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: all are plain system calls on values owned by this frame.
    unsafe {
        // Without /proc the score stays as it is.
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            libc::write(file, SCORE.as_ptr().cast(), SCORE.len());
            libc::close(file);
        }
        if let Some(bytes) = memory_bytes {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            // A lower hard limit stays.
            let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            done(libc::getrlimit(libc::RLIMIT_DATA, &raw mut now))?;
            if limit.rlim_max < now.rlim_max {
                done(libc::setrlimit(libc::RLIMIT_DATA, &raw const limit))?;
            }
        }
        if let Some(account) = account {
            done(libc::setgroups(0, std::ptr::null()))?;
            done(libc::setgid(account.group))?;
            done(libc::setuid(account.user))?;
        }
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    }
}

/// The process group of a child that has not ended yet.
#[derive(Clone, Copy, Debug)]
pub struct Group(u32);

impl Group {
    /// Sends a signal to all processes of the group.
    pub fn signal(self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.0)
            && group > 1
        {
            // ESRCH: all processes of the group have ended already.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

/// The times at which a child that is being stopped gets the next signals.
#[derive(Clone, Copy, Debug)]
pub struct StopTimeouts {
    /// SIGTERM is sent again this long after the first one: some builds of FFmpeg only react to the second.
    pub again: Duration,
    /// SIGKILL is sent this long after the first SIGTERM.
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
    exit: Option<ProcessExit>,
}

impl Child {
    /// Returns the process id, which is also the id of the child's process group.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.group
    }

    /// Waits for the end of the child, then kills the rest of its group. The future may be dropped and the
    /// function called again.
    pub async fn wait(&mut self) -> ProcessExit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit = match self.child.wait().await {
            Ok(status) => ProcessExit::from(status),
            Err(error) => {
                tracing::error!(pid = self.group, %error, "cannot wait for a child");
                ProcessExit::Exited(-1)
            }
        };
        self.signal(Signal::SIGKILL);
        self.guard.release_group(self.group);
        self.exit = Some(exit);
        exit
    }

    /// Sends a signal to the child's group; does nothing after the child has ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            self.group().signal(signal);
        }
    }

    /// Returns the child's process group, to signal it while another task waits for the child.
    #[must_use]
    pub const fn group(&self) -> Group {
        Group(self.group)
    }

    /// Stops the child: SIGTERM to its group, SIGTERM again, and SIGKILL at last. Another task must drain its
    /// pipes meanwhile, or a child that is still writing cannot end.
    pub async fn stop(&mut self, timeouts: StopTimeouts) -> ProcessExit {
        if let Some(exit) = self.exit {
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

/// The escalation that stops a child: SIGTERM, SIGTERM again, SIGKILL. For callers that attend to the child
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
    /// Sends the first SIGTERM.
    #[must_use]
    pub fn begin(group: Group, timeouts: StopTimeouts) -> Self {
        group.signal(Signal::SIGTERM);
        Self { group, timeouts, began: Instant::now(), sent: Sent::Term }
    }

    /// Waits until it is time for the next signal, and sends it; never returns after SIGKILL. May be cancelled
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

    /// Sends SIGKILL now.
    pub fn kill(&mut self) {
        self.group.signal(Signal::SIGKILL);
        self.sent = Sent::Kill;
    }

    /// Whether SIGKILL was sent.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.sent == Sent::Kill
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The group stays registered with the guard, because its end has not been observed.
        self.signal(Signal::SIGKILL);
    }
}

/// The captured output of a program.
#[derive(Clone, Debug)]
pub struct Captured {
    /// Its exit status.
    pub exit: ProcessExit,
    /// Its standard output, truncated at the limit.
    pub stdout: Vec<u8>,
    /// Its standard error, truncated at the limit.
    pub stderr: Vec<u8>,
}

/// Runs a short-lived program to its end and captures its output.
///
/// Of each output, what exceeds `limit` bytes is read and discarded. A program that has not ended after
/// `timeout` is killed.
///
/// # Errors
/// `NotFound`, `PermissionDenied` and the like from the start, `TimedOut` after `timeout`.
pub async fn capture(
    program: &Program,
    guard: &Arc<Guard>,
    limit: usize,
    timeout: Duration,
) -> io::Result<Captured> {
    let mut child = program.start(guard)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let running = async {
        // A grandchild may keep the pipes open after the child has ended, so the end of the child decides.
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = {
            let mut reading = std::pin::pin!(async {
                tokio::join!(read_all(stdout, limit, &mut out), read_all(stderr, limit, &mut err))
            });
            tokio::select! {
                biased;
                _ = &mut reading => child.wait().await,
                exit = child.wait() => {
                    drop(tokio::time::timeout(Duration::from_millis(200), reading).await);
                    exit
                }
            }
        };
        Captured { exit, stdout: out, stderr: err }
    };
    match tokio::time::timeout(timeout, running).await {
        Ok(captured) => Ok(captured),
        Err(_) => {
            child.signal(Signal::SIGKILL);
            child.wait().await;
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("did not end within {} s", timeout.as_secs_f32()),
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

/// Reads a pipe until its end. The buffer exists only while there is something to read, so that a thousand
/// silent pipes use no memory.
pub async fn drain(pipe: &pipe::Receiver, mut consume: impl FnMut(&[u8])) {
    while pipe.readable().await.is_ok() {
        let mut buffer = [0_u8; 4096];
        match pipe.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => consume(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Returns the failure for an error of [`Program::start`] or [`capture`], which names the program.
#[must_use]
pub fn spawn_failed(program: &Path, error: io::Error, help: &str) -> Failure {
    Failure::preflight(format!("cannot run {}", program.display())).caused_by(error).help(help)
}

/// The program header that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// Whether a program is statically linked, so that no library can be preloaded into it. `None` if it is not a
/// 64-bit little-endian ELF file (but a script, for example) or cannot be read.
#[must_use]
pub fn is_static(program: &Path) -> Option<bool> {
    let mut file = File::open(find_in_path(program)?).ok()?;
    let mut head = [0_u8; 64];
    file.read_exact(&mut head).ok()?;
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let offset = u64::from_le_bytes(head.get(32..40)?.try_into().ok()?);
    let size = usize::from(u16::from_le_bytes(head.get(54..56)?.try_into().ok()?));
    let count = usize::from(u16::from_le_bytes(head.get(56..58)?.try_into().ok()?));
    file.seek(SeekFrom::Start(offset)).ok()?;
    let mut table = vec![0_u8; size.checked_mul(count)?];
    file.read_exact(&mut table).ok()?;
    let interpreter = table
        .chunks(size.max(1))
        .filter_map(|entry| Some(u32::from_le_bytes(entry.get(..4)?.try_into().ok()?)))
        .any(|kind| kind == PT_INTERP);
    Some(!interpreter)
}

/// Returns the file that a shell would run for `program`: a path as it is, a name by PATH.
fn find_in_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return Some(program.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
