//! The origin against the real FFmpeg and the real nginx: what it serves, how it survives, what it
//! leaves behind. Everything runs on loopback, on free ports, with a small picture.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise, its helpers too"
)]

mod desk;
mod failing;
mod lifetime;
mod seams;
mod serving;
