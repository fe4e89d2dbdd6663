//! The vocabulary that every other layer speaks; it uses nothing of the crate itself.

pub mod audit;
pub mod cli;
pub mod command;
pub mod duration;
pub mod ending;
pub mod event;
pub mod exchange;
pub mod exit;
pub mod failure;
pub mod fleet;
pub mod key;
pub mod measure;
pub mod report;
pub mod run;
pub mod scrape;
pub mod series;
pub mod snapshot;
pub mod tuning;
pub mod verdict;
#[path = "../../probe/wire.rs"]
pub mod wire;
