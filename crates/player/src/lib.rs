//! The model of a player: what a viewer saw of the media that arrived, by the rules of known players.
//!
//! Nothing in this crate does I/O or reads a clock: times are passed in, in nanoseconds of any clock that
//! only moves forward.

pub mod buffer;
pub mod playback;
mod playhead;
mod preset;
mod timeline;

pub use playhead::{Playhead, State, Viewing};
pub use preset::{BufferRules, InvalidPreset, Preset};
pub use timeline::Arrival;
