//! Duties of PID 1, the first process of a container or a PID namespace.
//!
//! The kernel ignores signals that PID 1 does not handle, and orphans become its children, which stay zombies
//! unless it reaps them. So the program runs in a child, and PID 1 forwards signals and reaps, as tini does.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use hls_swarm_base::error::Failure;

/// Time limit for the guard, which outlives the program, to clean up.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Forks if this process is PID 1. Call it first in `main`, before threads exist. Returns `None` in the process
/// that continues as the program, and in PID 1 the exit code of the program when it has ended.
///
/// # Errors
/// The operating system refuses the fork.
pub fn run_as_pid1() -> Result<Option<ExitCode>, Failure> {
    if getpid() != Pid::from_raw(1) {
        return Ok(None);
    }
    let all = SigSet::all();
    let mut before = SigSet::empty();
    let refused = |error: Errno| {
        Failure::internal("cannot fork the program from PID 1 of the container")
            .caused_by(error)
            .help("raise the limit of processes (docker run --pids-limit, ulimit -u)")
    };
    // Blocked before the fork, so that no signal is lost between it and the loop.
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before)).map_err(refused)?;
    // SAFETY: main has not started any thread yet, so the child may run ordinary code.
    match unsafe { fork() }.map_err(refused)? {
        ForkResult::Child => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).map_err(refused)?;
            Ok(None)
        }
        ForkResult::Parent { child } => Ok(Some(ExitCode::from(supervise(child, &all)))),
    }
}

/// Forwards signals and reaps until `program` has ended; returns its exit code as a shell would.
fn supervise(program: Pid, signals: &SigSet) -> u8 {
    loop {
        if let Some(code) = reap(program) {
            let until = Instant::now() + CLEANUP_TIMEOUT;
            while Instant::now() < until && waitpid(None, Some(WaitPidFlag::WNOHANG)) != Err(Errno::ECHILD) {
                std::thread::sleep(Duration::from_millis(10));
            }
            return code;
        }
        let Some((signal, from_terminal)) = next_signal(signals) else { continue };
        // The terminal also signals the program itself; a second signal would end it immediately.
        if signal != Signal::SIGCHLD && !from_terminal {
            // If it has ended already, the next iteration notices.
            let _ = kill(program, signal);
        }
    }
}

/// Reaps all children that have ended; returns the exit code of the program if it is among them.
fn reap(program: Pid) -> Option<u8> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, exit)) if pid == program => code = Some(exit.to_le_bytes()[0]),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == program => {
                code = Some(128 + (signal as i32).to_le_bytes()[0]);
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return code,
            Ok(_) => {}
        }
    }
}

/// Waits for the next signal; returns it and whether the terminal sent it.
fn next_signal(signals: &SigSet) -> Option<(Signal, bool)> {
    // SAFETY: an all-zero siginfo_t is a valid value for the kernel to overwrite.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for the duration of the call.
    let number = unsafe { libc::sigwaitinfo(signals.as_ref(), &raw mut info) };
    let signal = Signal::try_from(number).ok()?;
    Some((signal, info.si_code == libc::SI_KERNEL && signal != Signal::SIGCHLD))
}
