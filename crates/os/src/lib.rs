//! The kernel's edge: processes and the guard, PID 1, signals, limits, /proc, files, the terminal.

pub mod clock;
pub mod cpu;
pub mod elf;
pub mod guard;
pub mod identity;
pub mod limits;
pub mod listener;
pub mod notify;
pub mod output_file;
pub mod pid1;
pub mod process;
pub mod runtime;
pub mod secrets;
pub mod shutdown;
pub mod stdout;
pub mod storage;
pub mod terminal;
pub mod waiting;
