//! What the pure parts cost: one event, one second, one playlist, one record of the probe, one merge.
//!
//! `make bench`, or `make bench BENCH=second` for the benchmarks whose path contains `second`. The
//! figures are those of one machine at one moment: compare two revisions in one sitting, in turns.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark may stop at the first surprise")]

mod playlists;
mod probe;
mod reports;
mod statistics;

fn main() {
    divan::main();
}
