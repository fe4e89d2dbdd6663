//! The integration tests of both programs, in one binary.
//!
//! Programs that a test needs (FFmpeg, nginx, curl, …) must be installed: without them it fails, it does
//! not skip. `make test` installs them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests and their helpers may stop at the first surprise, and they start their own processes"
)]

mod allowed_hosts;
mod audit;
mod bad_input;
mod cmcd;
mod collector;
mod command_engine;
mod config;
mod containers;
mod content_checks;
mod dashboard_keys;
mod demo;
mod ffmpeg_capability;
mod ffmpeg_log;
mod field;
mod field_table;
mod find_limit;
mod first_process;
mod flags;
mod generator_validity;
mod ground_truth;
mod hundred_viewers;
mod insight;
mod kinds;
mod kubernetes;
mod lab;
mod life_cycle;
mod load_shapes;
mod log_fallback;
mod metrics_endpoint;
mod monitoring;
mod names;
mod network;
mod nix_profiles;
mod origin;
mod origin_watch;
mod playback;
mod probe;
mod probe_follower;
mod probe_media;
mod protocol_coverage;
mod pushed_metrics;
mod reference;
mod reports;
mod safety;
mod scripts;
mod terminal;
mod tune;
mod views;
