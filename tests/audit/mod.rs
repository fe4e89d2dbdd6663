//! `hls-swarm audit`: a server as bad as one of the field gets exactly the expected findings, its fixes
//! fix them, and our own origin gets none above low.

use hls_swarm_test_support::{origin, program};
mod bad_server;
mod judged;
mod law;
mod running;
