//! The test origin as decisions: what to encode, how nginx serves it, what follows from what.
//!
//! profile + flags -> [`stream::Stream`] -> [`derived::Derived`] -> FFmpeg arguments, nginx.conf.

pub mod access_log;
pub mod argv;
pub mod codecs;
pub mod derived;
pub mod exporter;
pub mod fault;
pub mod idle;
pub mod ladder;
pub mod layout;
pub mod loop_key;
pub mod master;
pub mod nginx;
pub mod playlist;
pub mod profile;
pub mod publication;
pub mod range;
pub mod revival;
pub mod serving;
pub mod stream;
pub mod synthetic;
pub mod systemd;
pub mod webvtt;
