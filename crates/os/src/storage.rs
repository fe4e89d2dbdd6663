//! What a file system is like: in memory or not, and how much room it has.

use std::io;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

/// A file system as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// It is a tmpfs: what is written there never reaches a disk other than swap.
    pub in_memory: bool,
    /// Bytes that this user may still write.
    pub available_bytes: u64,
}

impl Storage {
    /// Looks at the file system that holds `path`.
    ///
    /// # Errors
    /// There is no such path, or it may not be reached.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = statfs(path)?;
        let block = u64::try_from(found.block_size()).unwrap_or(0);
        Ok(Self {
            in_memory: found.filesystem_type() == TMPFS_MAGIC,
            available_bytes: found.blocks_available().saturating_mul(block),
        })
    }
}
