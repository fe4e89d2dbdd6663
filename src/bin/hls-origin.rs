//! `hls-origin`.
fn main() {}
