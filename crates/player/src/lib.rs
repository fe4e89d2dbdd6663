//! The model of a player's buffer: what was played, and what stalled.

pub mod buffer;
pub mod playback;
