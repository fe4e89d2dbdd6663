//! The lab's two machines: what the client's viewers measured is compared with the log of the origin's nginx,
//! with the configured delay of the link, and with a power cut, and nothing may be left behind. `make lab-test`
//! runs these tests. They need an image and take minutes, so they are ignored by default.

use hls_swarm_test_support::{processes, waiting};
mod cleanup;
mod machines;
mod pair;
