//! What the origin's own server counts, as nginx's stub_status has it.

use std::sync::atomic::AtomicU64;

/// Counts of connections and requests.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) accepted: AtomicU64,
    pub(super) active: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) answering: AtomicU64,
}
