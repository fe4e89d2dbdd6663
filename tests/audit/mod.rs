//! `hls-swarm audit`: a badly configured server gets exactly the expected findings, its patches
//! change no response, and our own origin gets no finding above low.

use hls_swarm_test_support::{origin, program};
mod bad_server;
mod judged;
mod patches;
mod running;
