//! The guard: a small process that outlives this one for a moment, and cleans up after it.
//!
//! `PR_SET_PDEATHSIG` ends direct children when the program dies, but neither grandchildren nor
//! directories. So the program forks a guard before it starts anything else, and registers its process
//! groups and directories over a pipe. When the pipe closes, for whatever reason (SIGKILL included), the
//! guard kills the groups and removes the directories that are still registered, and exits. It is not a
//! supervisor: it starts and restarts nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::signal::{SigHandler, Signal, killpg, signal};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, pipe2, setsid};

use hls_swarm_base::error::Failure;

/// The program's end of the pipe to its guard. Dropping it lets the guard clean up and waits for it.
#[derive(Debug)]
pub struct Guard {
    pipe: Option<File>,
    pid: Pid,
}

impl Guard {
    /// Forks the guard. Call it first in `main`: before threads, sockets and children exist.
    ///
    /// # Errors
    /// An internal failure: the operating system refuses the pipe or the fork.
    pub fn start() -> Result<Self, Failure> {
        let refused = |error| {
            Failure::internal("cannot start the guard process")
                .caused_by(error)
                .help("raise the limits of open files and processes (ulimit -n, ulimit -u)")
        };
        let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(refused)?;
        // SAFETY: main has not started any thread yet, so the child may run ordinary code.
        match unsafe { fork() }.map_err(refused)? {
            ForkResult::Parent { child } => {
                drop(read);
                Ok(Self { pipe: Some(File::from(write)), pid: child })
            }
            ForkResult::Child => {
                drop(write);
                run(read);
                // SAFETY: the child shares buffers and exit handlers with its parent; _exit runs none.
                unsafe { nix::libc::_exit(0) }
            }
        }
    }

    /// Registers a process group to be killed if this program dies.
    pub fn watch_group(&self, group: u32) {
        self.send(b"+g", group.to_string().as_bytes());
    }

    /// Unregisters a process group whose processes have ended.
    pub fn release_group(&self, group: u32) {
        self.send(b"-g", group.to_string().as_bytes());
    }

    /// Registers a file, or a directory with its contents, to be removed when this program ends.
    pub fn watch_directory(&self, directory: &Path) {
        self.send(b"+d", directory.as_os_str().as_bytes());
    }

    /// Unregisters a directory that has been removed.
    pub fn release_directory(&self, directory: &Path) {
        self.send(b"-d", directory.as_os_str().as_bytes());
    }

    fn send(&self, operation: &[u8], value: &[u8]) {
        let Some(mut pipe) = self.pipe.as_ref() else { return };
        // NUL ends a message, because a path may contain every other byte.
        let message = [operation, value, b"\0"].concat();
        if let Err(error) = pipe.write_all(&message) {
            tracing::warn!(%error, "the guard process has ended; a SIGKILL would now leave children behind");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // The guard may have been killed; then the wait fails.
        let _ = waitpid(self.pid, None);
    }
}

/// Runs the guard in the forked child: reads until the pipe closes, then cleans up.
fn run(pipe: OwnedFd) {
    // In a session of its own, the guard gets neither Ctrl+C nor the hang-up of the terminal.
    let _ = setsid();
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    release_inherited(pipe.as_raw_fd());

    let (mut groups, mut directories) = (BTreeSet::<i32>::new(), BTreeSet::<PathBuf>::new());
    for message in BufReader::new(File::from(pipe)).split(0) {
        let Ok(message) = message else { break };
        let (operation, value) = message.split_at(message.len().min(2));
        let group = || std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        let directory = || PathBuf::from(OsString::from_vec(value.to_vec()));
        match operation {
            b"+g" => groups.extend(group()),
            b"-g" => {
                if let Some(group) = group() {
                    groups.remove(&group);
                }
            }
            b"+d" => drop(directories.insert(directory())),
            b"-d" => drop(directories.remove(&directory())),
            _ => {}
        }
    }
    for group in groups.into_iter().filter(|group| *group > 1) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    for directory in directories {
        // A killed process may still have written into it; a second attempt removes that as well.
        if !remove(&directory) {
            std::thread::sleep(std::time::Duration::from_millis(200));
            remove(&directory);
        }
    }
}

/// Removes a directory or a file; returns whether it no longer exists.
fn remove(path: &Path) -> bool {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.is_ok() || !path.exists()
}

/// Closes inherited files, so that a process that reads our standard output does not wait for the guard.
fn release_inherited(keep: i32) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        for standard in 0..=2 {
            // SAFETY: dup2 onto the standard descriptors of this process, which no Rust object owns.
            unsafe { nix::libc::dup2(null.as_raw_fd(), standard) };
        }
    }
    drop(std::env::set_current_dir("/"));
    // SAFETY: prctl(PR_SET_NAME) reads a NUL-terminated string that outlives the call.
    unsafe { nix::libc::prctl(nix::libc::PR_SET_NAME, c"hls-guard".as_ptr()) };
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2 && *number != keep) {
        // SAFETY: this process only uses `keep`; nothing else in it owns a descriptor.
        unsafe { nix::libc::close(number) };
    }
}
