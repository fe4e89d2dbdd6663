//! Decisions: no clock, no I/O, no runtime; whatever they need to know is passed in.

pub mod ffmpeg;
pub mod nearest;
pub mod origin;
