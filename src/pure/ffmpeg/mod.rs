//! FFmpeg as a viewer: what a binary can do, how it is called, what it says.

pub mod argv;
