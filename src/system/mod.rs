//! The kernel's edge: the only layer that forks, signals, opens pipes and reads /proc.

pub mod clock;
pub mod elf;
pub mod fetch;
pub mod guard;
pub mod header_file;
pub mod hls_folder;
pub mod host;
pub mod identity;
pub mod init;
pub mod limits;
pub mod listener;
pub mod load;
pub mod nginx_found;
pub mod notify;
pub mod output_file;
pub mod probe_object;
pub mod probe_pipe;
pub mod process;
pub mod redis;
pub mod secrets;
pub mod shutdown;
pub mod site;
pub mod storage;
pub mod sysctl;
pub mod terminal;
pub mod viewer_ffmpeg;
