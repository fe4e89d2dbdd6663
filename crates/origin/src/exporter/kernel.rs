//! Facts about the host from the kernel: files of /proc, file systems, and the parsers of their formats.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::{FsFlags, statvfs};
use procfs::process::{MountInfo, Process};

/// The texts and numbers from which [`super::node`] makes metrics. A text is empty if the kernel does not have
/// the file, or does not let us read it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kernel {
    /// /proc/stat.
    pub(crate) stat: String,
    /// /proc/meminfo.
    pub(crate) meminfo: String,
    /// /proc/loadavg.
    pub(crate) loadavg: String,
    /// /proc/vmstat.
    pub(crate) vmstat: String,
    /// /proc/net/dev.
    pub(crate) net_dev: String,
    /// /proc/net/snmp.
    pub(crate) snmp: String,
    /// /proc/net/netstat.
    pub(crate) netstat: String,
    /// /proc/net/sockstat followed by /proc/net/sockstat6.
    pub(crate) sockstat: String,
    /// /proc/net/softnet_stat.
    pub(crate) softnet: String,
    /// /proc/sys/fs/file-nr.
    pub(crate) file_nr: String,
    /// /proc/sys/net/netfilter/nf_conntrack_count.
    pub(crate) conntrack_count: String,
    /// /proc/sys/net/netfilter/nf_conntrack_max.
    pub(crate) conntrack_max: String,
    /// Clock ticks per second in /proc/stat.
    pub(crate) ticks_per_second: u64,
    /// Size of a memory page, in bytes.
    pub(crate) page_bytes: u64,
    /// Current time, in seconds since the epoch.
    pub(crate) now: f64,
    /// uname: system, release, version, machine, host name, domain name.
    pub(crate) uname: Option<[String; 6]>,
    /// The root file system and that of the segments.
    pub(crate) filesystems: Vec<Filesystem>,
}

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filesystem {
    /// Device.
    pub(crate) device: String,
    /// Type, for example `ext4`.
    pub(crate) kind: String,
    /// Mount point.
    pub(crate) mount_point: String,
    /// Whether it is mounted read-only.
    pub(crate) read_only: bool,
    /// Size in bytes.
    pub(crate) size_bytes: u64,
    /// Free bytes.
    pub(crate) free_bytes: u64,
    /// Free bytes for users other than root.
    pub(crate) available_bytes: u64,
    /// Number of inodes.
    pub(crate) files: u64,
    /// Free inodes.
    pub(crate) files_free: u64,
}

/// Parses a text that consists of one number.
#[must_use]
pub(crate) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// The numbers of the line whose first word is `name`.
#[must_use]
pub(crate) fn row<'a>(text: &'a str, name: &str) -> Option<Vec<f64>> {
    let words = |line: &'a str| line.split_whitespace();
    let line = text.lines().find(|line| words(line).next() == Some(name))?;
    words(line).skip(1).map(|word| word.parse().ok()).collect()
}

/// Parses tables of two lines, `Tcp: NAME NAME` above `Tcp: 1 2`, into (`Tcp`, NAME, number).
#[must_use]
pub(crate) fn paired(text: &str) -> Vec<(&str, &str, f64)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for pair in lines.chunks_exact(2) {
        let [names, values] = pair else { continue };
        let (Some((table, names)), Some((other, values))) = (names.split_once(':'), values.split_once(':'))
        else {
            continue;
        };
        if table == other {
            let rows = names.split_whitespace().zip(values.split_whitespace());
            found.extend(rows.filter_map(|(name, value)| Some((table, name, value.parse().ok()?))));
        }
    }
    found
}

/// Parses lines such as `TCP: inuse 1 orphan 0` into (`TCP`, `inuse`, 1).
#[must_use]
pub(crate) fn named_pairs(text: &str) -> Vec<(&str, &str, f64)> {
    let mut found = Vec::new();
    for (table, rest) in text.lines().filter_map(|line| line.split_once(':')) {
        let words: Vec<&str> = rest.split_whitespace().collect();
        for pair in words.chunks_exact(2) {
            if let [name, value] = pair
                && let Ok(value) = value.parse()
            {
                found.push((table, *name, value));
            }
        }
    }
    found
}

/// Parses /proc/meminfo: the name as node_exporter writes it (`Active(anon)` becomes `Active_anon_bytes`), and
/// the number, in bytes if the kernel gives a unit.
#[must_use]
pub(crate) fn memory(text: &str) -> Vec<(String, f64)> {
    let line = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let name = name.replace('(', "_").replace(')', "");
        let mut words = rest.split_whitespace();
        let value: f64 = words.next()?.parse().ok()?;
        // A kB of the kernel is 1024 bytes.
        Some(if words.next() == Some("kB") { (name + "_bytes", value * 1024.0) } else { (name, value) })
    };
    text.lines().filter_map(line).collect()
}

/// Reads the current state of the host. `directory` is a path on a file system to include beside the root.
#[must_use]
pub(crate) fn kernel(directory: &Path) -> Kernel {
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

/// The text of a file of /proc; empty if it does not exist or cannot be read.
fn text(name: &str) -> String {
    std::fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default()
}

/// The fields of uname, from /proc.
fn uname() -> Option<[String; 6]> {
    let of =
        |name: &str| Some(text(&format!("sys/kernel/{name}")).trim().to_owned()).filter(|s| !s.is_empty());
    let machine = std::env::consts::ARCH.to_owned();
    Some([of("ostype")?, of("osrelease")?, of("version")?, machine, of("hostname")?, of("domainname")?])
}

/// The file systems on which these paths are, without duplicates.
fn filesystems(paths: &[&Path]) -> Vec<Filesystem> {
    let mounts = Process::myself().and_then(|own| own.mountinfo()).map(|all| all.0).unwrap_or_default();
    let mut points: Vec<&PathBuf> = Vec::new();
    let mut found = Vec::new();
    for path in paths {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        // The last one that was mounted on a mount point hides the others.
        let contains = |mount: &&MountInfo| path.starts_with(&mount.mount_point);
        let depth = |mount: &&MountInfo| mount.mount_point.components().count();
        let Some(mount) = mounts.iter().filter(contains).max_by_key(depth) else { continue };
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tables_with_a_line_of_names_are_parsed() {
        let text = "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 1 2\nIpExt: InOctets\nIpExt: 3\n";
        assert_eq!(
            paired(text),
            [("TcpExt", "SyncookiesSent", 1.0), ("TcpExt", "ListenDrops", 2.0), ("IpExt", "InOctets", 3.0)]
        );
    }

    #[test]
    fn tables_of_pairs_and_rows_are_parsed() {
        let text = "sockets: used 37\nTCP: inuse 1 orphan 0\n";
        assert_eq!(
            named_pairs(text),
            [("sockets", "used", 37.0), ("TCP", "inuse", 1.0), ("TCP", "orphan", 0.0)]
        );
        assert_eq!(row("ctxt 5\nbtime 77\n", "btime"), Some(vec![77.0]));
        assert_eq!(row("ctxt 5\n", "btime"), None);
    }

    #[test]
    fn memory_is_converted_to_bytes() {
        let text = "MemFree:  100 kB\nActive(anon):  2 kB\nHugePages_Total:  7\n";
        let expected =
            [("MemFree_bytes", 102_400.0), ("Active_anon_bytes", 2048.0), ("HugePages_Total", 7.0)];
        assert_eq!(memory(text), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z: 0-9\n]*") {
            drop((paired(&text), named_pairs(&text), memory(&text), row(&text, "a")));
        }
    }

    #[test]
    fn the_state_of_this_host_is_read() {
        let kernel = kernel(Path::new("/dev/shm"));
        assert!(kernel.stat.starts_with("cpu ") && kernel.meminfo.starts_with("MemTotal:"));
        assert!(kernel.now > 1.7e9 && kernel.ticks_per_second > 0 && kernel.page_bytes >= 4096);
        assert_eq!(kernel.uname.unwrap()[0], "Linux");
        let points: Vec<&str> = kernel.filesystems.iter().map(|one| one.mount_point.as_str()).collect();
        assert_eq!(points, ["/", "/dev/shm"]);
        assert!(kernel.filesystems.iter().all(|one| one.size_bytes >= one.available_bytes));
    }
}
