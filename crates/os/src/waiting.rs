//! Evidence that processes had to wait for a processor: the kernel's run-queue times, the throttling of the
//! control group, pressure stall information, and stopped processes.
//!
//! A busy machine alone proves nothing. What counts is how long the processes of a run were ready to run and did
//! not run.

use std::fs;
use std::path::{Path, PathBuf};

/// Times for which the threads of a process ran and waited for a processor since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Time on a processor, nanoseconds.
    pub ran_ns: u64,
    /// Time on a run queue, nanoseconds.
    pub waited_ns: u64,
    /// Whether the process is stopped (SIGSTOP, or a debugger).
    pub stopped: bool,
}

impl Waiting {
    /// Reads `/proc/PID/task/*/schedstat` and the state of the process. `None` if it is gone, or the kernel
    /// keeps no such statistics.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        Self::below(&PathBuf::from(format!("/proc/{pid}")))
    }

    /// The same of this process.
    #[must_use]
    pub fn own() -> Option<Self> {
        Self::below(Path::new("/proc/self"))
    }

    fn below(process: &Path) -> Option<Self> {
        let mut sum = Self::default();
        let mut seen = false;
        for thread in fs::read_dir(process.join("task")).ok()?.flatten() {
            let Some((ran_ns, waited_ns)) =
                fs::read_to_string(thread.path().join("schedstat")).ok().as_deref().and_then(schedstat)
            else {
                continue;
            };
            seen = true;
            sum.ran_ns = sum.ran_ns.saturating_add(ran_ns);
            sum.waited_ns = sum.waited_ns.saturating_add(waited_ns);
        }
        sum.stopped =
            fs::read_to_string(process.join("stat")).ok().as_deref().and_then(state).is_some_and(is_stopped);
        seen.then_some(sum)
    }
}

/// Time on a processor and time on a run queue, from a line of `schedstat`.
fn schedstat(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_ascii_whitespace();
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// The state of a process, from its `stat`. The name before it may hold spaces and parentheses.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(") ")?.1.chars().next()
}

const fn is_stopped(state: char) -> bool {
    matches!(state, 'T' | 't')
}

/// Time for which the control group of this process was throttled by its CPU quota so far, nanoseconds. `None`
/// where there is no quota, or it cannot be read.
#[must_use]
pub fn throttled_ns() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    cpu_stat_files(&groups).into_iter().find_map(|file| throttled(&fs::read_to_string(file).ok()?))
}

/// Possible paths of the statistics of the group: version 2, then version 1. Inside a container the group's own
/// path is not visible, and the root of the mount is the group.
fn cpu_stat_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let mounts: &[&str] = match controllers {
            "" => &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
            _ if controllers.split(',').any(|name| name == "cpu") => {
                &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"]
            }
            _ => continue,
        };
        for mount in mounts {
            files.push(Path::new(mount).join(path.trim_start_matches('/')).join("cpu.stat"));
            files.push(Path::new(mount).join("cpu.stat"));
        }
    }
    files
}

/// The throttled time in a `cpu.stat`: microseconds in version 2, nanoseconds in version 1.
fn throttled(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", value) => value.parse::<u64>().ok()?.checked_mul(1000),
        ("throttled_time", value) => value.parse().ok(),
        _ => None,
    })
}

/// Time for which any process of this machine waited for a processor so far, nanoseconds (pressure stall
/// information, `some`). `None` where the kernel does not keep it.
#[must_use]
pub fn pressure_ns() -> Option<u64> {
    pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn pressure(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = some.split(' ').find_map(|word| word.strip_prefix("total="))?;
    total.parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        assert_eq!(schedstat("123 45 6\n"), Some((123, 45)));
        assert_eq!(schedstat("123"), None);
        assert_eq!(state("12 (a) b) (c) T 1 2"), Some('T'));
        assert!(is_stopped('T') && !is_stopped('S'));
        assert_eq!(throttled("usage_usec 9\nnr_throttled 2\nthrottled_usec 7\n"), Some(7000));
        assert_eq!(throttled("nr_throttled 2\nthrottled_time 7\n"), Some(7));
        assert_eq!(throttled("usage_usec 9\n"), None);
        assert_eq!(pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull total=1\n"), Some(12_000));
    }

    #[test]
    fn the_groups_of_both_versions_are_found() {
        let files = cpu_stat_files("12:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c/d\n");
        for file in ["/sys/fs/cgroup/cpu,cpuacct/a/cpu.stat", "/sys/fs/cgroup/c/d/cpu.stat"] {
            assert!(files.iter().any(|found| found == Path::new(file)), "{file} is not among {files:?}");
        }
        assert!(!files.iter().any(|found| found.starts_with("/sys/fs/cgroup/b")));
    }

    #[test]
    fn time_that_was_spent_is_counted() {
        // Of this thread alone: others of this process may end meanwhile.
        let spent = || {
            let (ran_ns, waited_ns) =
                schedstat(&fs::read_to_string("/proc/thread-self/schedstat").unwrap()).unwrap();
            ran_ns + waited_ns
        };
        let before = spent();
        let mut sum = 0_u64;
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(spent() - before >= 20_000_000, "{} ns", spent() - before);
        let own = Waiting::own().unwrap();
        assert!(own.ran_ns + own.waited_ns >= before && !own.stopped, "{own:?}");
        assert_eq!(Waiting::of(u32::MAX), None);
    }
}
