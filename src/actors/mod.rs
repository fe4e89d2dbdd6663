//! What lives and waits: each actor is a task with one inbox or one loop.

pub mod aggregator;
pub mod collector;
pub mod exchange_log;
pub mod interview;
pub mod metrics_server;
pub mod origin;
pub mod pacemaker;
pub mod preflight;
pub mod probe_reader;
pub mod scout;
pub mod scraper;
pub mod supervisor;
pub mod terminal;
pub mod trial;
pub mod viewer;
