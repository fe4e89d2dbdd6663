//! The resources that a number of viewers needs. `preflight::resources` checks whether a machine has them.
//!
//! The numbers are those of `profiles/sizing.toml`, which the Nix modules read as well.

use hls_swarm_profiles::sizing::{recommended, swarm, viewer};
use serde::Serialize;

/// Open files of this program itself.
pub const OWN_FILES: u64 = swarm::OPEN_FILES;
/// Processes in addition to the viewers.
pub const OWN_PROCESSES: u64 = swarm::PROCESSES;
/// Memory of this program itself, bytes.
pub const OWN_MEMORY: u64 = swarm::MEMORY_BYTES;

/// The resources of one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewerSize {
    /// Open files of the viewer, and those of this program for it.
    pub open_files: u64,
    /// Open files without which it cannot play. With fewer than `open_files`, it opens connections more often.
    pub least_open_files: u64,
    /// Processes and threads, which share a limit.
    pub processes: u64,
    /// Private memory, bytes.
    pub memory_bytes: u64,
    /// Local ports: those of its connections, and of the connections after a restart.
    pub local_ports: u64,
}

impl ViewerSize {
    /// An FFmpeg from a distribution.
    pub const FFMPEG: Self = Self {
        open_files: viewer::OPEN_FILES,
        least_open_files: viewer::OPEN_FILES,
        processes: viewer::PROCESSES,
        memory_bytes: viewer::MEMORY_BYTES,
        local_ports: viewer::LOCAL_PORTS,
    };
}

/// The resources of a number of viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// Open files that a run requires.
    pub open_files: u64,
    /// A limit of open files for permanent settings (`LimitNOFILE=`): never below the requirement.
    pub open_files_limit: u64,
    /// Processes.
    pub processes: u64,
    /// Memory of the viewers and of this program, bytes.
    pub memory_bytes: u64,
    /// Local ports.
    pub local_ports: u64,
}

impl Requirements {
    /// The resources of `viewers` FFmpeg viewers and this program.
    #[must_use]
    pub fn of(viewers: u32) -> Self {
        Self::with(viewers, &ViewerSize::FFMPEG)
    }

    /// The resources of `viewers` viewers of `size` and this program.
    #[must_use]
    pub fn with(viewers: u32, size: &ViewerSize) -> Self {
        let n = u64::from(viewers);
        let open_files = n * size.open_files + OWN_FILES;
        Self {
            open_files,
            open_files_limit: open_files
                .max(n * recommended::OPEN_FILES_PER_VIEWER.min(size.open_files) + recommended::OPEN_FILES),
            processes: n * size.processes + OWN_PROCESSES,
            memory_bytes: n * size.memory_bytes + OWN_MEMORY,
            local_ports: n * size.local_ports,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_viewers_get_the_recommended_limit_and_many_what_they_need() {
        assert_eq!((Requirements::of(10).open_files, Requirements::of(10).open_files_limit), (300, 1150));
        assert_eq!(
            (Requirements::of(500).open_files, Requirements::of(500).open_files_limit),
            (10_100, 10_100)
        );
        let native = ViewerSize { open_files: 2, least_open_files: 1, ..ViewerSize::FFMPEG };
        assert_eq!(Requirements::with(10_000, &native).open_files_limit, 21_000);
        assert_eq!(Requirements::of(u32::MAX).processes, u64::from(u32::MAX) + 50);
    }
}
