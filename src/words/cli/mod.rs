//! What was typed, as clap types only; what it means is resolved once, in `pure::plan`.

pub mod audit;
pub mod collect;
pub mod config;
pub mod fleet;
pub mod health;
pub mod impair;
pub mod load;
pub mod manual;
pub mod monitoring;
pub mod origin;
pub mod origin_service;
pub mod report;
pub mod swarm;
pub mod tune;
pub mod variant;
