//! `hls-swarm audit`: a server as bad as one of the field gets exactly the expected findings, its fixes
//! fix them, and our own origin gets none above low.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

#[path = "../support/http.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod http;
#[path = "../support/origin.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod origin;
#[path = "../support/processes.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod processes;
#[path = "../support/program.rs"]
#[allow(dead_code, reason = "shared with tests that need more of it")]
mod program;

mod bad_server;
mod judged;
mod running;
