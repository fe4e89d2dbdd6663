//! The lab's two machines, booted for real: what the client's viewers measured is held against what
//! the origin's nginx logged, against the delay that was put on the link, and against a power cut;
//! and nothing of it may stay behind. `make lab-test` runs these tests: they need an image and take
//! minutes, so `cargo test` leaves them out and says so.

use hls_swarm_test_support::{patience, processes};
mod machines;
mod pair;
mod remains;
