//! encoder.

pub mod argv;
pub mod channel;
pub mod loop_cache;
pub mod source;
