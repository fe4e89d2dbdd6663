//! FFmpeg as a viewer: what a binary supports, how it is called, what it says while it plays.

pub mod argv;
pub mod capability;
pub mod inferred;
pub mod log;
pub mod progress;
