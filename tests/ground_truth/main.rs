//! The ground truth: the real program with real FFmpeg viewers against servers that know what they
//! served. Every request, byte and status code of the report and of the exchange log is held against
//! the servers' own logs. ffmpeg, nginx and openssl must be installed: without them these tests fail,
//! they do not skip. `--nocapture` shows what each case compared.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

#[path = "../support/http.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod http;
#[path = "../support/nginx.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod nginx;
#[path = "../support/origin.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod origin;
#[path = "../support/patience.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod patience;
#[path = "../support/processes.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod processes;
#[path = "../support/program.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod program;
#[path = "../support/server.rs"]
#[allow(unreachable_pub, dead_code, reason = "shared between tests")]
mod server;

mod account;
mod balance;
mod faults;
mod media;
mod pairing;
mod secrets;
mod serving;
mod site;
mod streams;
mod swarm;
mod truth;
mod variants;
