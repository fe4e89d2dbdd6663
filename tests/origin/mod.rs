//! The origin against the real FFmpeg and the real nginx: what it serves, how it survives, what it
//! leaves behind. Everything runs on loopback, on free ports, with a small picture.

mod embedded;
mod errors;
mod exporters;
mod faults;
mod lifetime;
mod loop_continuity;
mod options;
mod random_kills;
mod serving;
mod synthetic;
mod validity;
