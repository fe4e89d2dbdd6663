//! State of the machine: what it has left, how busy it is, and what its file systems are like.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use procfs::process::Process;
use procfs::{Current, CurrentSI, KernelStats};

/// The remaining resources of the machine; `None` = unknown, or there is no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Open files that this program may have (soft limit, after raising it as far as allowed).
    pub open_files: Option<u64>,
    /// Processes and threads that may still be started.
    pub processes: Option<u64>,
    /// Memory that may still be used, bytes.
    pub memory: Option<u64>,
    /// Local ports of all source addresses together, without those in TIME_WAIT.
    pub ports: Option<u64>,
    /// Connections that still fit into the connection-tracking table.
    pub conntrack: Option<u64>,
    /// Whether systemd runs this program as a service, in whose unit limits are raised.
    pub service: bool,
}

/// Reads the headroom of the machine. `open_files` is the result of [`raise_open_files`], `sources` the
/// number of source addresses of the viewers: each has all ports.
#[must_use]
pub fn headroom(open_files: Option<u64>, sources: u64) -> Headroom {
    Headroom {
        open_files,
        processes: processes(),
        memory: memory(),
        ports: ports(sources),
        conntrack: conntrack(),
        service: is_service(),
    }
}

/// Returns the name of this host.
#[must_use]
pub fn name() -> String {
    kernel_text("hostname")
}

/// Returns the release of the kernel.
#[must_use]
pub fn kernel() -> String {
    kernel_text("osrelease")
}

fn kernel_text(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
    text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Returns the memory of this host, bytes; `None` = unknown.
#[must_use]
pub fn total_memory() -> Option<u64> {
    procfs::Meminfo::current().ok().map(|memory| memory.mem_total)
}

/// Returns whether systemd runs this program as a service: then its messages go to the journal (systemd.exec(5)).
#[must_use]
pub fn is_service() -> bool {
    std::env::var_os("JOURNAL_STREAM").is_some()
}

/// Raises the soft limit of open files to `wanted`, as far as the hard limit allows, and returns the
/// resulting limit.
#[must_use]
pub fn raise_open_files(wanted: u64) -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let target = wanted.max(soft).min(hard);
    if target > soft && setrlimit(Resource::RLIMIT_NOFILE, target, hard).is_err() {
        return Some(soft);
    }
    Some(target)
}

/// Returns the hard limit of open files of this process.
///
/// # Errors
/// The error of the operating system.
pub fn hard_open_files() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1)
}

/// Returns the memory of all TCP sockets, in bytes, from which on the kernel is under TCP memory pressure (the second value of
/// net.ipv4.tcp_mem); `None` = unknown.
#[must_use]
pub fn tcp_memory_pressure() -> Option<u64> {
    let pages = fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
    let pages: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(procfs::page_size())
}

/// Returns those of `addresses` that this machine does not have, with the error of the kernel.
#[must_use]
pub fn not_local(addresses: &[IpAddr]) -> Vec<(IpAddr, io::Error)> {
    let bind = |address: &IpAddr| UdpSocket::bind((*address, 0)).err().map(|error| (*address, error));
    addresses.iter().filter_map(bind).collect()
}

/// The smallest of the limits of this user, the kernel and the control group; less what is in use.
fn processes() -> Option<u64> {
    let running = procfs::LoadAverage::current().ok().map(|load| u64::from(load.max));
    let pid_max = procfs::sys::kernel::pid_max().ok().and_then(|most| u64::try_from(most).ok());
    let threads_max = procfs::sys::kernel::threads_max().ok().map(u64::from);
    let kernel = [pid_max, threads_max].into_iter().flatten().min();
    let kernel = kernel.map(|most| most.saturating_sub(running.unwrap_or(0)));
    let group = control_group_room("pids.max", "pids.current");
    // The kernel does not apply the process limit to root.
    let user = (!nix::unistd::geteuid().is_root())
        .then(|| getrlimit(Resource::RLIMIT_NPROC).ok())
        .flatten()
        .map(|(soft, _)| soft);
    [kernel, group, user].into_iter().flatten().min()
}

/// The available memory of the kernel or the room in the control group, whichever is less, bytes.
fn memory() -> Option<u64> {
    let available = procfs::Meminfo::current().ok().and_then(|memory| memory.mem_available);
    [available, control_group_room("memory.max", "memory.current")].into_iter().flatten().min()
}

// procfs 0.18 knows neither the port range, nor sockstat, nor connection tracking.
fn ports(sources: u64) -> Option<u64> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ends = range.split_whitespace().filter_map(|text| text.parse::<u64>().ok());
    let (low, high) = (ends.next()?, ends.next()?);
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let waiting = sockets
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))
        .and_then(|line| line.split_once(" tw "))
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let each = (high + 1).saturating_sub(low);
    Some(each.saturating_mul(sources.max(1)).saturating_sub(waiting))
}

fn conntrack() -> Option<u64> {
    let most = number(Path::new("/proc/sys/net/netfilter/nf_conntrack_max"))?;
    let used = number(Path::new("/proc/sys/net/netfilter/nf_conntrack_count"))?;
    Some(most.saturating_sub(used))
}

/// `limit` less `usage` of the nearest control group (version 2) that has a limit.
fn control_group_room(limit: &str, usage: &str) -> Option<u64> {
    let groups = Process::myself().ok()?.cgroups().ok()?;
    // Version 2 is the hierarchy with number 0.
    let group = groups.into_iter().find(|group| group.hierarchy == 0)?;
    let root = PathBuf::from("/sys/fs/cgroup");
    let own = root.join(group.pathname.trim_start_matches('/'));
    own.ancestors()
        .take_while(|directory| directory.starts_with(&root))
        .filter_map(|group| Some(number(&group.join(limit))?.saturating_sub(number(&group.join(usage))?)))
        .min()
}

/// Reads a file that contains one number; `max` is not one.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Processor time used so far, in clock ticks.
#[derive(Clone, Copy, Debug)]
pub struct CpuTimes {
    /// By all processes and the kernel.
    busy: u64,
    /// In all, idle time included.
    total: u64,
    /// By this program, without its children.
    own: u64,
    /// Number of processors.
    processors: u64,
}

impl CpuTimes {
    /// Reads the counters; `None` if /proc hides them (`ProcSubset=pid`).
    #[must_use]
    pub fn read() -> Option<Self> {
        let stats = KernelStats::current().ok()?;
        let cpu = &stats.total;
        let idle = cpu.idle + cpu.iowait.unwrap_or(0);
        let busy = cpu.user
            + cpu.nice
            + cpu.system
            + cpu.irq.unwrap_or(0)
            + cpu.softirq.unwrap_or(0)
            + cpu.steal.unwrap_or(0);
        let own = Process::myself().ok()?.stat().ok()?;
        Some(Self {
            busy,
            total: busy + idle,
            own: own.utime + own.stime,
            processors: stats.cpu_time.len().max(1) as u64,
        })
    }

    /// Returns the busy share of all processors, and the share of one processor that this program used,
    /// since `earlier`, in percent.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<(f64, f64)> {
        let total = self.total.saturating_sub(earlier.total);
        let share = |ticks: u64| ticks as f64 * 100.0 / total as f64;
        (total > 0).then(|| {
            let own = share(self.own.saturating_sub(earlier.own)) * self.processors as f64;
            (share(self.busy.saturating_sub(earlier.busy)), own)
        })
    }
}

/// State of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Whether it is a tmpfs: what is written there never reaches a disk other than swap.
    pub in_memory: bool,
    /// Bytes that this user may still write.
    pub available_bytes: u64,
}

impl Storage {
    /// Reads the state of the file system that holds `path`.
    ///
    /// # Errors
    /// The path does not exist or may not be reached.
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = statfs(path)?;
        let block = u64::try_from(found.block_size()).unwrap_or(0);
        Ok(Self {
            in_memory: found.filesystem_type() == TMPFS_MAGIC,
            available_bytes: found.blocks_available().saturating_mul(block),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processors_are_busy_for_at_most_all_of_the_time() {
        let earlier = CpuTimes { busy: 100, total: 1000, own: 10, processors: 4 };
        let now = CpuTimes { busy: 200, total: 1400, own: 60, processors: 4 };
        assert_eq!(now.since(&earlier), Some((25.0, 50.0)));
        assert_eq!(now.since(&now), None, "no time has passed");
    }

    #[test]
    fn a_machine_that_runs_this_test_has_room_for_it() {
        let headroom = headroom(Some(1024), 1);
        assert!(headroom.processes.is_some_and(|room| room > 0), "{headroom:?}");
        assert!(headroom.memory.is_some_and(|room| room > 0), "{headroom:?}");
        let storage = Storage::of(Path::new("/proc")).unwrap();
        assert_eq!(storage, Storage { in_memory: false, available_bytes: 0 });
    }
}
