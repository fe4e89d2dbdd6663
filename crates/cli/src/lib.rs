//! The common part of the command lines of `hls-swarm` and `hls-origin`.

pub mod arguments;
pub mod clap_error;
pub mod config;
pub mod health;
pub mod help;
pub mod layers;
pub mod logging;
pub mod manual;
pub mod program;
pub mod unit;
