//! What was typed, as clap types only; what it means is resolved once, in `pure::plan`.

pub mod origin;
pub mod report;
pub mod swarm;
