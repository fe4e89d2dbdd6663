//! The lab's two machines, booted for real: what the client's viewers measured is held against what
//! the origin's nginx logged, against the delay that was put on the link, and against a power cut;
//! and nothing of it may stay behind. `make lab-test` runs these tests: they need an image and take
//! minutes, so `cargo test` leaves them out and says so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

#[path = "../support/patience.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod patience;
#[path = "../support/processes.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod processes;

mod machines;
mod pair;
mod remains;
