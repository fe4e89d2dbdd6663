//! Shared support of the workspace's integration tests: the programs under test, servers that record what
//! they served, and processes that end with their test.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic, and starts its own processes"
)]

pub mod docker;
pub mod exposition;
pub mod fake_ffmpeg;
pub mod hls;
pub mod http;
pub mod low_latency;
pub mod nginx;
pub mod origin;
pub mod other_work;
pub mod processes;
pub mod program;
pub mod publisher;
pub mod recorded;
pub mod server;
pub mod stream;
pub mod swarm;
pub mod waiting;

use std::path::PathBuf;

/// A program of this workspace, as Cargo built it beside the running test.
///
/// Cargo names the programs at compile time only to the tests of their own package, so this looks where
/// it puts them: two folders above the test binary.
pub fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap().join(name);
    assert!(built.is_file(), "{} is not built; run the tests with cargo test --workspace", built.display());
    built
}
