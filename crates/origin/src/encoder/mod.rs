//! encoder.

pub mod argv;
pub mod channel;
pub mod loop_cache;
pub mod loop_key;
pub mod source;
pub mod tools;
