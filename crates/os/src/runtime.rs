//! The event loop of the programs.

use tokio::runtime::{Builder, Runtime};

use hls_swarm_base::error::Failure;

/// An event loop on the calling thread. One thread, because the kernel ends children together with the thread
/// that started them (`PR_SET_PDEATHSIG`).
///
/// # Errors
/// The operating system refuses the event loop.
pub fn single_threaded() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("cannot start the event loop").caused_by(error))
}
