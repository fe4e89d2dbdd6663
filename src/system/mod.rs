//! The kernel's edge: the only layer that forks, signals, opens pipes and reads /proc.

pub mod clock;
pub mod guard;
pub mod process;
pub mod shutdown;
