//! What the command lines of `hls-swarm` and `hls-origin` share.

pub mod config;
pub mod go_style;
pub mod health;
pub mod health_args;
pub mod logging;
pub mod manual;
pub mod manual_args;
