//! Shutdown on a signal: the first signal ends the program gracefully, the second one immediately.
//!
//! Both are requests to the tasks of the program. A thread of its own makes sure that the second signal ends the
//! program even if no task runs any more, because one of them loops or waits for a system call that never returns.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;

use super::terminal;

/// The signals that end the program.
const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
/// How long the program may take to kill its children and to write its reports after the second signal.
const FORCE_AFTER: Duration = Duration::from_secs(5);

/// The shutdown of the program, which every long task waits for.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when the program should end gracefully.
    pub graceful: CancellationToken,
    /// Cancelled when it should end immediately.
    pub immediate: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Shutdown {
    /// Starts to listen for SIGINT, SIGTERM and SIGHUP. Needs a running Tokio runtime.
    ///
    /// # Errors
    /// The operating system refuses the socket pair or the handler.
    pub fn listen() -> Result<Self, Failure> {
        let shutdown = Self::default();
        for number in SIGNALS {
            let stream = wake_on(number).map_err(|error| {
                Failure::internal(format!("cannot listen for signal {number}")).caused_by(error)
            })?;
            tokio::spawn(shutdown.clone().follow(number, stream));
        }
        enforce(shutdown.clone())
            .map_err(|error| Failure::internal("cannot watch for a second signal").caused_by(error))?;
        Ok(shutdown)
    }

    /// Returns the number of the first signal, if one has arrived.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    /// Requests a graceful end, as if `signal` had arrived: `q` in the dashboard acts as SIGINT (2), and the loss
    /// of the terminal as SIGHUP (1) even if the kernel sends no signal.
    pub fn request(&self, signal: u8) {
        if !self.graceful.is_cancelled() {
            self.signal.store(signal, Ordering::Relaxed);
            self.graceful.cancel();
        }
    }

    async fn follow(self, number: i32, stream: UnixStream) {
        let mut buffer = [0_u8; 1];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut buffer) {
                Ok(0) => return,
                Ok(_) if self.graceful.is_cancelled() => self.immediate.cancel(),
                Ok(_) => self.request(u8::try_from(number).unwrap_or(u8::MAX)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// Starts the thread that ends the program by force if it still runs [`FORCE_AFTER`] the second signal.
fn enforce(shutdown: Shutdown) -> std::io::Result<()> {
    let (mut signals, write) = StdStream::pair()?;
    for number in SIGNALS {
        signal_hook::low_level::pipe::register(number, write.try_clone()?)?;
    }
    let wait = move || {
        // One byte per signal. An error means that nothing can be heard, so nothing is forced.
        if signals.read_exact(&mut [0; 2]).is_ok() {
            std::thread::sleep(FORCE_AFTER);
            let code = Exit::Signal(shutdown.signal().unwrap_or(SIGKILL_NUMBER)).code();
            end_by_force(code);
        }
    };
    std::thread::Builder::new().name("second-signal".into()).spawn(wait).map(drop)
}

/// The number in the exit code if no signal was noted, because the task that notes them did not run.
const SIGKILL_NUMBER: u8 = 9;

/// Ends the process without running anything else: other threads may hold any lock. The kernel kills the children of
/// the main thread, and the guard what remains.
fn end_by_force(code: u8) -> ! {
    terminal::restore();
    // `eprintln!` would wait for a lock, and a pipe whose reader no longer reads forever.
    let stderr = File::options().append(true).custom_flags(nix::libc::O_NONBLOCK).open("/proc/self/fd/2");
    if let Ok(mut stderr) = stderr {
        let message = b"error: the program did not end after the second signal, and was ended by force\n";
        // There is nothing left to do about a failure.
        drop(stderr.write_all(message));
    }
    // SAFETY: _exit ends the process and touches no memory of it.
    unsafe { nix::libc::_exit(code.into()) }
}

/// Returns a stream that receives one byte for each arrival of the signal.
pub(crate) fn wake_on(number: i32) -> std::io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    signal_hook::low_level::pipe::register(number, write)?;
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}
