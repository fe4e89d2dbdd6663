//! Builds the socket probe (a `no_std` shared object) with the same rustc and hands its path to
//! the crate, which embeds it.
fn main() {}
