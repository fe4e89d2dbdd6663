//! What the kernel allows this program, and what it has left.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use procfs::Current;

/// What the machine has left; `None` = cannot be told, or no such limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Open files that this program may have (soft limit, after raising it as far as allowed).
    pub open_files: Option<u64>,
    /// Processes and threads that may still be started.
    pub processes: Option<u64>,
    /// Memory that may still be used, bytes.
    pub memory: Option<u64>,
    /// Local ports, less those in TIME_WAIT; of all addresses that viewers leave from together.
    pub ports: Option<u64>,
    /// Connections that the connection-tracking table still has room for.
    pub conntrack: Option<u64>,
}

/// Raises the soft limit of open files to `wanted`, as far as the hard limit allows, and returns
/// what it is then.
#[must_use]
pub fn raise_open_files(wanted: u64) -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let target = wanted.max(soft).min(hard);
    if target > soft && setrlimit(Resource::RLIMIT_NOFILE, target, hard).is_err() {
        return Some(soft);
    }
    Some(target)
}

/// Looks at the machine. `open_files` is what [`raise_open_files`] reached, `sources` the number of
/// addresses that viewers leave from: each has all ports.
#[must_use]
pub fn machine(open_files: Option<u64>, sources: u64) -> Machine {
    Machine {
        open_files,
        processes: processes(),
        memory: memory(),
        ports: ports(sources),
        conntrack: conntrack(),
    }
}

/// Of `addresses`, those that are none of this machine's, with what the kernel says.
#[must_use]
pub fn not_local(addresses: &[IpAddr]) -> Vec<(IpAddr, std::io::Error)> {
    let bind = |address: &IpAddr| UdpSocket::bind((*address, 0)).err().map(|error| (*address, error));
    addresses.iter().filter_map(bind).collect()
}

/// The smallest of: this user's limit, the kernel's, the control group's; less what is in use.
fn processes() -> Option<u64> {
    let running = procfs::LoadAverage::current().ok().map(|load| u64::from(load.max));
    let kernel = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"]
        .into_iter()
        .filter_map(|path| number(Path::new(path)))
        .min();
    let kernel = kernel.map(|most| most.saturating_sub(running.unwrap_or(0)));
    let group = group_room("pids.max", "pids.current");
    // The kernel does not hold root to its process limit.
    let user = (!nix::unistd::geteuid().is_root())
        .then(|| getrlimit(Resource::RLIMIT_NPROC).ok())
        .flatten()
        .map(|(soft, _)| soft);
    [kernel, group, user].into_iter().flatten().min()
}

/// Memory that the kernel says is available, or what the control group leaves, bytes.
fn memory() -> Option<u64> {
    let available = procfs::Meminfo::current().ok().and_then(|memory| memory.mem_available);
    [available, group_room("memory.max", "memory.current")].into_iter().flatten().min()
}

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
fn group_room(limit: &str, usage: &str) -> Option<u64> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
    let root = PathBuf::from("/sys/fs/cgroup");
    let start = root.join(path);
    start
        .ancestors()
        .take_while(|directory| directory.starts_with(&root))
        .filter_map(|group| Some(number(&group.join(limit))?.saturating_sub(number(&group.join(usage))?)))
        .min()
}

/// A file that holds one number; `max` and everything else is no number.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
