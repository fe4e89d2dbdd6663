//! What lives and waits: viewers, the supervisor, the aggregator, the origin pair.

pub mod origin;
