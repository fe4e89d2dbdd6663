//! The origin against the real FFmpeg and the real nginx: what it serves, how it survives, what it
//! leaves behind. Everything runs on loopback, on free ports, with a small picture.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

mod embedded;
mod exporters;
mod failing;
mod faults;
mod lifetime;
mod options;
mod seams;
mod serving;
mod synthetic;
mod upheaval;
mod validity;
#[path = "../support"]
#[allow(dead_code, reason = "each test uses a part of it")]
mod support {
    pub(crate) mod hls;
    pub(crate) mod http;
    pub(crate) mod origin;
    pub(crate) mod patience;
    pub(crate) mod processes;
}
