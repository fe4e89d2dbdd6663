//! How a snapshot looks. A view sees the run's name, a snapshot and a verdict, and nothing else.

pub mod dashboard;
pub mod metrics;
pub mod prometheus;
pub mod report;
pub mod status;
pub mod summary;
