//! FFmpeg as a viewer: what a binary supports, how it is called, what it says while it plays.

pub mod argv;
pub mod capability;
pub mod detect;
pub mod find;
pub mod inferred;
pub mod log;
pub mod monitor;
pub mod pipes;
pub mod process;
pub mod progress;
