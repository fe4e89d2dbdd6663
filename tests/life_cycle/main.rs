//! How runs and viewers of the real `hls-swarm` begin, end and come back, and that nothing is left of
//! them, whatever ends them. (`Running::end` looks for what is left after every run.)

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

#[path = "../support"]
#[allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
mod support {
    pub(crate) mod fake_ffmpeg;
    pub(crate) mod http;
    pub(crate) mod nginx;
    pub(crate) mod origin;
    pub(crate) mod patience;
    pub(crate) mod processes;
    pub(crate) mod program;
    pub(crate) mod server;
    pub(crate) mod stream;
    pub(crate) mod swarm;
}

mod killed;
mod restarts;
mod signals;
