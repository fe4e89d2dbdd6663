//! What an operating system should be set to: profiles, their comparison with a machine, and the
//! files that make it last. Reading and writing the machine is `system::sysctl`'s business.

pub mod accept;
pub mod judge;
pub mod kernel;
pub mod limits;
pub mod persist;
pub mod place;
pub mod profile;
pub mod saved;
