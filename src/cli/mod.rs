//! What was typed, as clap types only; what it means is resolved once, in `config::plan`.

pub mod collect;
pub mod config;
pub mod extra_args;
pub mod impair;
pub mod load;
pub mod monitoring;
pub mod report;
pub mod run;
pub mod shard_plan;
