//! Decisions: no clock, no I/O, no runtime. Time and chance are passed in.

pub mod criteria;
pub mod facts;
pub mod ffmpeg;
pub mod go_style;
pub mod keys;
pub mod kind;
pub mod nearest;
pub mod origin;
pub mod plan;
pub mod playback;
pub mod playlist;
pub mod preflight;
pub mod profile;
pub mod profile_text;
pub mod ramp;
pub mod report;
pub mod restart;
pub mod stats;
pub mod threshold;
