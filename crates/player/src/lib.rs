//! The model of a player: what a viewer saw of the media that arrived, by the rules of known players.
//!
//! [`Player`] is a viewer that decides what to request; [`Playhead`] is the part of it that follows what was shown,
//! also for viewers that are other programs. Nothing in this crate does I/O or reads a clock: times are passed in, as
//! nanoseconds or durations of any clock that only moves forward.

mod abr;
pub mod cmcd;
mod config;
mod figures;
pub mod interface;
mod player;
mod playhead;
mod preset;
mod timeline;

pub use abr::Estimator;
pub use config::{Algorithm, Config, InvalidAlgorithm, Variants};
pub use figures::{Figures, Snapshot};
pub use interface::{Event, EventKind, Fetch, Input, Output, RequestId};
pub use player::Player;
pub use playhead::{Playhead, SHORTEST_STALL_NS, State, Viewing};
pub use preset::{BufferRules, InvalidPreset, Preset};
pub use timeline::Arrival;
