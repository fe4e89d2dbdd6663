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

/// Viewers of one size, of which some are FFmpeg viewers instead (canaries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewers {
    /// All of them.
    pub count: u32,
    /// The size of the others.
    pub size: ViewerSize,
    /// How many are canaries.
    pub canaries: u32,
}

impl Viewers {
    /// The sum of what each of them needs.
    #[must_use]
    pub fn sum(&self, each: impl Fn(&ViewerSize) -> u64) -> u64 {
        let canaries = self.canaries.min(self.count);
        let others = u64::from(self.count - canaries) * each(&self.size);
        others + u64::from(canaries) * each(&ViewerSize::FFMPEG)
    }

    /// How many viewers fit into `have` beside `own`, with the same number of canaries; `None` if not even one of the others
    /// fits, or if they need nothing of it, so that it does not limit their number.
    #[must_use]
    pub fn fitting(&self, have: u64, own: u64, each: impl Fn(&ViewerSize) -> u64) -> Option<u64> {
        let canaries = u64::from(self.canaries);
        let left = have.saturating_sub(own + canaries * each(&ViewerSize::FFMPEG));
        Some(left.checked_div(each(&self.size))? + canaries).filter(|fits| *fits > canaries || canaries == 0)
    }
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
        Self::with(&Viewers { count: viewers, size: ViewerSize::FFMPEG, canaries: 0 })
    }

    /// The resources of `viewers` and this program.
    #[must_use]
    pub fn with(viewers: &Viewers) -> Self {
        let open_files = viewers.sum(|size| size.open_files) + OWN_FILES;
        let recommended = viewers.sum(|size| recommended::OPEN_FILES_PER_VIEWER.min(size.open_files));
        Self {
            open_files,
            open_files_limit: open_files.max(recommended + recommended::OPEN_FILES),
            processes: viewers.sum(|size| size.processes) + OWN_PROCESSES,
            memory_bytes: viewers.sum(|size| size.memory_bytes) + OWN_MEMORY,
            local_ports: viewers.sum(|size| size.local_ports),
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
        let size = ViewerSize { open_files: 2, least_open_files: 1, processes: 0, ..ViewerSize::FFMPEG };
        let native = Viewers { count: 10_000, size, canaries: 0 };
        assert_eq!(Requirements::with(&native).open_files_limit, 21_000);
        assert_eq!(Requirements::of(u32::MAX).processes, u64::from(u32::MAX) + 50);
    }

    #[test]
    fn canaries_need_what_ffmpeg_viewers_need() {
        let size = ViewerSize {
            open_files: 2,
            least_open_files: 1,
            processes: 0,
            memory_bytes: 1000,
            local_ports: 2,
        };
        let (all, ffmpeg) = (Viewers { count: 100, size, canaries: 5 }, ViewerSize::FFMPEG);
        let needs = Requirements::with(&all);
        assert_eq!(needs.processes, 5 * ffmpeg.processes + OWN_PROCESSES);
        assert_eq!(needs.open_files, 95 * 2 + 5 * ffmpeg.open_files + OWN_FILES);
        assert_eq!(needs.memory_bytes, 95 * 1000 + 5 * ffmpeg.memory_bytes + OWN_MEMORY);
        assert_eq!(Requirements::with(&Viewers { canaries: 200, ..all }), Requirements::of(100));
        let each = |size: &ViewerSize| size.open_files;
        assert_eq!(all.fitting(needs.open_files, OWN_FILES, each), Some(100));
        assert_eq!(all.fitting(OWN_FILES + 5 * ffmpeg.open_files, OWN_FILES, each), None, "canaries alone");
        assert_eq!(all.fitting(1, 0, |size| size.processes), None, "native viewers need no process");
    }
}
