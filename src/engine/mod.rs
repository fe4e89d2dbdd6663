//! The viewers: what starts them, and what they report.

pub mod ffmpeg;
pub mod probe;
pub mod viewer;
