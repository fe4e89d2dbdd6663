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
//!   and reads them again, [`collect`] makes one run of many shards, [`config`] shows and checks
//!   configurations, [`monitoring`] prints what watches runs, [`health`] asks whether a program answers,
//!   [`tune`] sets the operating system, [`audit`] looks at a server, [`impair`] makes a lab's link
//!   worse, [`logging`] carries words to standard error; [`test_origin`] is the same for `hls-origin`.

pub mod actors;
pub mod audit;
pub mod collect;
pub mod config;
pub mod consent;
pub mod dashboard;
pub mod fleet;
pub mod health;
pub mod impair;
pub mod logging;
pub mod manual;
pub mod monitoring;
pub mod pure;
pub mod reference;
pub mod reports;
mod settings;
pub mod swarm;
pub mod system;
pub mod test_origin;
pub mod tune;
pub mod views;
pub mod words;
