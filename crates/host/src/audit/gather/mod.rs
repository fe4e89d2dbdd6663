//! Facts about a server that runs on this machine.

pub mod folder;
pub mod nginx;
pub mod redis;
