//! Viewers in a world of their own: a virtual clock, a virtual stream, and a line with faults.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod cdn;
mod failures;
mod low_latency;
mod memory;
mod playback;
mod random;
mod record;
mod replay;
mod steering;
mod streams;
mod world;
