//! What exporters publish, read into the few facts that a run shows beside its own figures.

pub mod exposition;
pub mod nginx;
pub mod node;
pub mod sizes;
