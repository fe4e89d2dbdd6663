//! `hls-origin` with the real FFmpeg and nginx: what it serves, how it recovers from failures, and that it cleans
//! up. Everything runs on loopback, on free ports, with a small video.

mod embedded;
mod errors;
mod exporters;
mod faults;
mod lifetime;
mod loop_continuity;
mod low_latency;
mod options;
mod random_kills;
mod serving;
mod synthetic;
mod validity;
