//! `hls-swarm`.
fn main() {}
