//! The kernel's edge: the only layer that forks, signals, opens pipes and reads /proc.

pub mod clock;
pub mod elf;
pub mod fetch;
pub mod guard;
pub mod identity;
pub mod limits;
pub mod listener;
pub mod load;
pub mod output_file;
pub mod probe_object;
pub mod probe_pipe;
pub mod process;
pub mod shutdown;
pub mod storage;
pub mod terminal;
