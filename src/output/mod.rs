//! How a snapshot looks. A view sees the run's name, a snapshot and a verdict, and nothing else.

pub mod comparison;
pub mod csv;
pub mod escape;
pub mod exchange_log;
pub mod figures;
pub mod formats;
pub mod html;
pub mod insight;
pub mod junit;
pub mod load;
pub mod markdown;
pub mod metrics;
pub mod metrics_server;
pub mod prometheus;
pub mod status;
pub mod summary;
