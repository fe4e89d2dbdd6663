//! What is known of a server before it is judged.

use std::collections::BTreeMap;

use super::nginx_conf::Configuration;
use crate::tuning::comparison::{Disk, KeyState};

/// A server as it was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// What is audited, for the title.
    pub subject: String,
    /// nginx's configuration.
    pub configuration: Configuration,
    /// Prefix that relative paths in it are meant from.
    pub prefix: String,
    /// nginx's processes, where it runs; the master is the first.
    pub processes: Vec<Process>,
    /// Processors.
    pub processors: u32,
    /// Folders with playlists.
    pub folders: Vec<Folder>,
    /// Sysctl keys of the origin's profile; empty where the machine was left out.
    pub kernel: BTreeMap<String, KeyState>,
    /// Disks that the folders lie on, and whether that could be found out.
    pub disks: Option<Vec<Disk>>,
    /// Rate of the fastest network interface, Mbit/s.
    pub link_mbit: Option<u64>,
    /// Redis servers.
    pub redis: Vec<Redis>,
}

/// A process of nginx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// `master` or `worker`.
    pub worker: bool,
    /// Limit of open files: soft and hard; absent where it may not be read.
    pub open_files: Option<(u64, u64)>,
    /// Open files now.
    pub open_now: Option<u64>,
}

/// A folder that streams are served from, with everything below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Folder {
    /// Where it is.
    pub path: String,
    /// Whether it lies in memory.
    pub in_memory: bool,
    /// Segments, playlists and other files.
    pub files: Vec<File>,
    /// There were more files than were looked at.
    pub truncated: bool,
}

/// A file in a folder.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Path below the folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time since it was written, seconds.
    pub age_seconds: u64,
    /// Its text, if it is a playlist.
    pub text: Option<String>,
}

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Its address or configuration file.
    pub place: String,
    /// `maxmemory` in bytes (0 = none), or why it is not known.
    pub maxmemory: Result<u64, String>,
}
