//! Recommended operating system settings: profiles, their comparison with a host, and the files that set
//! them at each boot. `sysctl` reads and writes the host.

mod apply;
pub mod args;
pub mod command;
pub mod comparison;
pub(crate) mod environment;
pub(crate) mod output;
pub(crate) mod persist;
pub mod profile;
pub(crate) mod sysctl;
pub(crate) mod values;
