//! Types that every crate of hls-swarm needs: errors, exit codes, durations, profile texts, secrets, readable numbers.
//!
//! Nothing in this crate does I/O.

pub mod backoff;
pub mod built_in;
pub mod duration;
pub mod error;
pub mod exit;
pub mod exit_status;
pub mod figures;
pub mod nearest;
pub mod profile_text;
pub mod secrets;
pub mod sizing;
pub mod weighted;
