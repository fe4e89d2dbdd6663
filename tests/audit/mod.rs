//! `hls-swarm audit`: a server as bad as one of the field gets exactly the expected findings, its patches
//! change no response, and our own origin gets no finding above low.

use hls_swarm_test_support::{origin, program};
mod bad_server;
mod judged;
mod law;
mod running;
