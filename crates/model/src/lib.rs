//! The data of a run: events, exchanges, statistics, the report, thresholds and the verdict.
//!
//! Nothing in this crate does I/O or reads a clock: the time of each event is passed in.

pub mod classify;
pub mod command;
pub mod comparison;
pub mod content;
pub mod event;
pub mod exchange;
pub mod limit;
pub mod listed;
pub(crate) mod merge;
pub mod metric;
pub mod origin_sample;
pub mod recent;
pub mod report;
pub mod run;
pub mod seen;
pub mod segment_read;
pub mod snapshot;
pub mod stats;
pub mod timeline;
pub mod verdict;
