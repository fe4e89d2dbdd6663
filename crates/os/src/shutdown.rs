//! Shutdown on a signal: the first signal ends the program gracefully, the second one immediately.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;

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
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let stream = wake_on(number).map_err(|error| {
                Failure::internal(format!("cannot listen for signal {number}")).caused_by(error)
            })?;
            tokio::spawn(shutdown.clone().follow(number, stream));
        }
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

/// Returns a stream that receives one byte for each arrival of the signal.
pub(crate) fn wake_on(number: i32) -> std::io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    signal_hook::low_level::pipe::register(number, write)?;
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}
