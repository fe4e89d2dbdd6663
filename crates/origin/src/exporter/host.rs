//! The host as the kernel shows it, for the origin's metrics: texts of /proc and file systems.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::{FsFlags, statvfs};
use procfs::process::{MountInfo, Process};

use crate::exporter::kernel::{Filesystem, Kernel};

/// Looks at the host now. `directory` names a file system that matters beside the root.
#[must_use]
pub fn kernel(directory: &Path) -> Kernel {
    Kernel {
        stat: text("stat"),
        meminfo: text("meminfo"),
        loadavg: text("loadavg"),
        vmstat: text("vmstat"),
        net_dev: text("net/dev"),
        snmp: text("net/snmp"),
        netstat: text("net/netstat"),
        sockstat: text("net/sockstat") + &text("net/sockstat6"),
        softnet: text("net/softnet_stat"),
        file_nr: text("sys/fs/file-nr"),
        conntrack_count: text("sys/net/netfilter/nf_conntrack_count"),
        conntrack_max: text("sys/net/netfilter/nf_conntrack_max"),
        ticks_per_second: procfs::ticks_per_second(),
        page_bytes: procfs::page_size(),
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()),
        uname: uname(),
        filesystems: filesystems(&[Path::new("/"), directory]),
    }
}

/// A file of /proc; empty where there is none or it is hidden.
fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default()
}

/// What uname says, from /proc.
fn uname() -> Option<[String; 6]> {
    let of =
        |name: &str| Some(text(&format!("sys/kernel/{name}")).trim().to_owned()).filter(|s| !s.is_empty());
    let machine = std::env::consts::ARCH.to_owned();
    Some([of("ostype")?, of("osrelease")?, of("version")?, machine, of("hostname")?, of("domainname")?])
}

/// The file systems that hold these paths, each once.
fn filesystems(paths: &[&Path]) -> Vec<Filesystem> {
    let mounts = Process::myself().and_then(|own| own.mountinfo()).map(|all| all.0).unwrap_or_default();
    let mut points: Vec<&PathBuf> = Vec::new();
    let mut found = Vec::new();
    for path in paths {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        // The last one of those that are mounted at the same place covers the others.
        let holds = |mount: &&MountInfo| path.starts_with(&mount.mount_point);
        let depth = |mount: &&MountInfo| mount.mount_point.components().count();
        let Some(mount) = mounts.iter().filter(holds).max_by_key(depth) else { continue };
        if !points.contains(&&mount.mount_point) {
            points.push(&mount.mount_point);
            found.extend(filesystem(mount));
        }
    }
    found
}

fn filesystem(mount: &MountInfo) -> Option<Filesystem> {
    let now = statvfs(&mount.mount_point).ok()?;
    let bytes = |blocks: nix::libc::fsblkcnt_t| blocks.saturating_mul(now.fragment_size());
    Some(Filesystem {
        device: mount.mount_source.clone().unwrap_or_default(),
        kind: mount.fs_type.clone(),
        mount_point: mount.mount_point.display().to_string(),
        read_only: now.flags().contains(FsFlags::ST_RDONLY),
        size_bytes: bytes(now.blocks()),
        free_bytes: bytes(now.blocks_free()),
        available_bytes: bytes(now.blocks_available()),
        files: now.files(),
        files_free: now.files_free(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_shows_itself() {
        let kernel = kernel(Path::new("/dev/shm"));
        assert!(kernel.stat.starts_with("cpu ") && kernel.meminfo.starts_with("MemTotal:"));
        assert!(kernel.now > 1.7e9 && kernel.ticks_per_second > 0 && kernel.page_bytes >= 4096);
        assert_eq!(kernel.uname.unwrap()[0], "Linux");
        let points: Vec<&str> = kernel.filesystems.iter().map(|one| one.mount_point.as_str()).collect();
        assert_eq!(points, ["/", "/dev/shm"]);
        assert!(kernel.filesystems.iter().all(|one| one.size_bytes >= one.available_bytes));
    }
}
