//! The kernel's edge: the only layer that forks, signals, opens pipes and reads /proc.

pub mod guard;
pub mod identity;
pub mod listener;
pub mod process;
pub mod shutdown;
pub mod storage;
