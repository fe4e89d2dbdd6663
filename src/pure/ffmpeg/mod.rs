//! FFmpeg as a viewer: what a binary supports and what it says while it plays.

pub mod capability;
pub mod log;
pub mod progress;
