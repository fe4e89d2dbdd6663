//! Viewers in a world of their own: a virtual clock, a virtual stream, and a line with faults.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod failures;
mod low_latency;
mod memory;
mod playback;
mod random;
mod replay;
mod steering;
mod streams;
mod world;
