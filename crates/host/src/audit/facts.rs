//! Facts about a server, as they were gathered.

use std::collections::BTreeMap;

use super::nginx_conf::Configuration;
use crate::tuning::comparison::{Disk, KeyState};

/// Facts about a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Subject of the audit, for the title.
    pub subject: String,
    /// nginx's configuration.
    pub configuration: Configuration,
    /// nginx's prefix, below which it looks for relative paths.
    pub prefix: String,
    /// Version of nginx and its build options, where known.
    pub build: Option<Build>,
    /// nginx's processes, if it runs; the master process is the first.
    pub processes: Vec<Process>,
    /// Number of processors; absent for another machine.
    pub processors: Option<u32>,
    /// Folders with playlists.
    pub folders: Vec<Folder>,
    /// Sysctl keys of the origin's profile; empty where the machine was left out.
    pub kernel: BTreeMap<String, KeyState>,
    /// Disks that hold the folders; absent where they are unknown.
    pub disks: Option<Vec<Disk>>,
    /// Rate of the fastest network interface, Mbit/s.
    pub link_mbit: Option<u64>,
    /// Redis servers.
    pub redis: Vec<Redis>,
    /// Processes that listen on this machine, for `proxy_pass`.
    pub services: Vec<Service>,
    /// FFmpeg processes.
    pub encoders: Vec<Service>,
    /// Master process whose mount namespace holds the files; absent if it is this program's own.
    pub mount_namespace: Option<u32>,
    /// Master process in a network namespace of its own.
    pub network_namespace: Option<u32>,
    /// Whether nginx runs in a container, that is, has a root directory of its own. Its limits and mounts then
    /// belong to the program that starts the container.
    pub container: bool,
    /// Notes about the subject, such as a container.
    pub notes: Vec<String>,
}

/// Version of nginx and how it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Major, minor, and patch number.
    pub version: (u32, u32, u32),
    /// Arguments of `configure`.
    pub options: String,
}

/// A process of nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Whether it is a worker rather than the master process.
    pub worker: bool,
    /// Soft and hard limit of open files; absent where they are not readable.
    pub open_files: Option<(u64, u64)>,
    /// Number of open files.
    pub open_now: Option<u64>,
}

/// A process other than nginx.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Process id.
    pub pid: u32,
    /// Ports that it listens on.
    pub ports: Vec<u16>,
    /// Command line.
    pub command: String,
    /// Soft limit of open files.
    pub open_files: Option<u64>,
    /// Number of open files.
    pub open_now: Option<u64>,
}

/// A folder that streams are served from, with everything below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folder {
    /// Path, as the audited nginx sees it.
    pub path: String,
    /// Prefix of the path on this machine, such as `/proc/PID/root`; empty if nginx sees the same files.
    pub root: String,
    /// Whether its file system is in memory.
    pub in_memory: bool,
    /// Segments, playlists, and other files.
    pub files: Vec<File>,
    /// Whether there were more files than the program reads.
    pub truncated: bool,
}

/// A file in a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Path relative to the folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time since the last modification, seconds.
    pub age_seconds: u64,
    /// Its text, if it is a playlist.
    pub text: Option<String>,
    /// Whether its content begins like a segment: MPEG-TS packets, a fragment of MP4, ADTS, or WebVTT.
    pub media: bool,
    /// Whether it is a symbolic link.
    pub link: bool,
}

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Its address or configuration file.
    pub place: String,
    /// Its settings, or why they are unknown.
    pub settings: Result<RedisSettings, String>,
}

/// Settings of Redis; a setting is absent where it is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisSettings {
    /// `maxmemory` in bytes; 0 = no limit.
    pub maxmemory: u64,
    /// `maxmemory-policy`.
    pub policy: Option<String>,
    /// `save`: times of snapshots; empty = never.
    pub save: Option<String>,
    /// `appendonly`.
    pub appendonly: Option<String>,
    /// `tcp-backlog`.
    pub backlog: Option<u64>,
    /// `timeout` of idle clients in seconds; 0 = never.
    pub timeout: Option<u64>,
}
