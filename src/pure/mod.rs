//! Decisions without clock, I/O or runtime: time is passed in.

pub mod ffmpeg;
