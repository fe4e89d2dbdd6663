//! FFmpeg as the encoder: its arguments, the cached loop, and one channel per stream.

pub mod argv;
pub(crate) mod channel;
pub(crate) mod loop_cache;
pub(crate) mod source;
