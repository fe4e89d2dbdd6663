//! Benchmarks of the parts without I/O: one event, one second, one playlist, one record of the probe, one merge.
//!
//! `make bench`, or `make bench BENCH=second` for the benchmarks whose path contains `second`. The
//! figures depend on the machine and the moment: compare two revisions in one session, alternating between
//! them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark may stop at the first error")]

mod dashboard;
mod playlists;
mod probe;
mod reports;
mod statistics;

fn main() {
    divan::main();
}
