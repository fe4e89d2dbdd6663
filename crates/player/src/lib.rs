//! The model of a player: its buffer, and whether its playback keeps up with real time.

pub mod buffer;
pub mod playback;
