//! Signals that ask the program to end: the first asks nicely, the second means at once.

use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;

/// What everyone in the program waits on beside their work.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when the program should come to its end in good order.
    pub graceful: CancellationToken,
    /// Cancelled when it should end at once.
    pub at_once: CancellationToken,
    signal: Arc<AtomicU8>,
}

impl Shutdown {
    /// Listens to SIGINT, SIGTERM and SIGHUP. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The operating system refuses the socket pair or the handler.
    pub fn listen() -> Result<Self, Failure> {
        let shutdown = Self::default();
        for number in [SIGINT, SIGTERM, SIGHUP] {
            let stream = wake_on(number).map_err(|error| {
                Failure::internal(format!("cannot listen to signal {number}")).caused_by(error)
            })?;
            tokio::spawn(shutdown.clone().follow(number, stream));
        }
        Ok(shutdown)
    }

    /// The first signal that arrived.
    #[must_use]
    pub fn signal(&self) -> Option<u8> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    /// Asks the program to end in good order, as the first arrival of `signal` would: the dashboard's
    /// `q` is Ctrl+C (2), and a terminal that is gone is SIGHUP (1) even where no signal comes.
    pub fn ask(&self, signal: u8) {
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
                Ok(_) if self.graceful.is_cancelled() => self.at_once.cancel(),
                Ok(_) => self.ask(u8::try_from(number).unwrap_or(u8::MAX)),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// A stream that becomes readable with one byte for each arrival of the signal.
pub(crate) fn wake_on(number: i32) -> std::io::Result<UnixStream> {
    let (read, write) = StdStream::pair()?;
    signal_hook::low_level::pipe::register(number, write)?;
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}
