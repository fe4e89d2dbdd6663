//! What an operating system should be set to: profiles, their comparison with a machine, and the
//! files that make it last. Reading and writing the machine is [`sysctl`]'s business.

pub mod accepted;
pub mod args;
pub mod check;
pub mod command;
pub mod findings;
pub mod kernel;
pub mod key;
pub mod limits;
pub mod output;
pub mod persist;
pub mod profile;
pub mod saved;
pub mod sysctl;
