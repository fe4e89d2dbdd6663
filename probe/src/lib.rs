//! The socket probe, built and embedded: the shared object for `LD_PRELOAD`, and the layout of the
//! record that it writes.
//!
//! The object's source is in `object/`. It is `no_std` and aborts on panic, so `build.rs` compiles it
//! with plain rustc instead of as a member of the workspace.

pub mod inspect;
pub mod record;

/// The shared object, as it is handed to FFmpeg.
pub const OBJECT: &[u8] = include_bytes!(env!("HLS_SWARM_PROBE_SO"));
