//! FFmpeg as the encoder: its arguments, the cached loop, and one channel per stream.

pub mod argv;
pub mod channel;
pub mod loop_cache;
pub mod source;
