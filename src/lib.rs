//! hls-swarm: load testing of HTTP Live Streaming with real FFmpeg viewers.
//!
//! This file is the map. Modules are layers, and a layer uses only what stands above it in this
//! list (`tests/layers.rs` checks it):
//!
//! * [`words`]: the vocabulary: failures, exit codes, what was typed, the probe's record.
//! * [`pure`]: decisions without clock, I/O or runtime: plan, ramp, back-off, FFmpeg arguments,
//!   parsers, the fold from events to figures, nginx's configuration.
//! * [`system`]: the kernel's edge: processes, signals, the probe's pipe, /proc, HTTP fetches.
//! * [`actors`]: what lives and waits: viewers, the supervisor, the aggregator, the origin pair.
//! * [`views`]: how a snapshot looks: Prometheus, the dashboard, the summary, reports.
//! * wiring: [`swarm`] ties all of it together, [`dashboard`] shows it live, [`reports`] writes reports
//!   and reads them again, [`logging`] carries words to standard error.

pub mod actors;
pub mod dashboard;
pub mod logging;
pub mod pure;
pub mod reports;
pub mod swarm;
pub mod system;
pub mod views;
pub mod words;
