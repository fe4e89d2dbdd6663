//! Tuning and audit of the hosts that a load test touches.

pub mod audit;
pub mod tuning;
