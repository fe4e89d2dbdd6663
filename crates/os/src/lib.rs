//! The interface to the operating system: processes and the guard, PID 1, signals, limits, files, the terminal.

pub mod clock;
pub mod guard;
pub mod identity;
pub mod listener;
pub mod machine;
pub mod memory;
pub mod notify;
pub mod output;
pub mod pid1;
pub mod process;
pub mod runtime;
pub mod secrets;
pub mod shutdown;
pub mod terminal;
pub mod waiting;
