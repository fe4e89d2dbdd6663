//! The vocabulary that every other layer speaks; it uses nothing of the crate itself.

pub mod cli;
pub mod ending;
pub mod exit;
pub mod failure;
#[path = "../../probe/wire.rs"]
pub mod wire;
