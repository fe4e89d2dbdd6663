//! What the origin's own server counts, as nginx's stub_status has it.

use std::sync::atomic::AtomicU64;

/// Counts of connections and requests.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) accepted: AtomicU64,
    pub(crate) active: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) answering: AtomicU64,
}
