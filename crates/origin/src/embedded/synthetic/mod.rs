//! A stream without an encoder: colour bars and silence, as MPEG-TS segments that are computed from
//! their number alone.
//!
//! Time stamps and continuity counters run on across segments, so that any two neighbours fit, and
//! null packets fill up to the wanted rate.

pub(crate) mod audio;
pub(crate) mod bits;
pub(crate) mod mux;
pub mod playlist;
pub mod segment;
pub mod video;
