//! The test origin as decisions: what to encode, how nginx serves it, what follows from what.
//!
//! profile + flags -> [`stream::Stream`] -> [`derived::Derived`] -> FFmpeg arguments, nginx.conf.

pub mod access_log;
pub mod argv;
pub mod derived;
pub mod loop_key;
pub mod nginx;
pub mod playlist;
pub mod profile;
pub mod revival;
pub mod stream;
