//! hls-swarm: load testing of HTTP Live Streaming.

pub mod aggregator;
pub mod cli;
pub mod collect;
pub mod config;
pub mod consent;
pub(crate) mod demo;
pub mod engine;
pub mod fetch;
pub(crate) mod find_limit;
pub mod generator_monitor;
pub mod impair;
pub mod load;
pub mod monitoring;
pub mod network;
pub mod origin_metrics;
pub mod output;
pub mod preflight;
pub mod reference;
pub mod report;
pub mod run;
pub mod shard_plan;
pub mod stream_check;
pub mod supervisor;
pub(crate) mod systemd;
pub mod tui;
