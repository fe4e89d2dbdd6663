//! Evidence that processes had to wait for a processor: the kernel's run-queue times, the throttling of the
//! control group, pressure stall information, and stopped processes.
//!
//! A busy machine alone proves nothing. What counts is how long the processes of a run were ready to run and did
//! not run.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

/// Stops and continuations that are taken in one call. More stay with the kernel until the next one.
const MAX_CHANGES: usize = 4096;
/// Links of `/proc/PID/task` in a process with one thread: the directory, its `.`, and one for each thread.
const LINKS_OF_ONE_THREAD: u64 = 3;

/// How long the threads of a process waited for a processor since they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Time on a run queue, nanoseconds. Time in which a control group was throttled is part of it.
    pub waited_ns: u64,
    /// How many times they got a processor.
    pub turns: u64,
}

impl Waiting {
    /// Reads `/proc/PID/task/*/schedstat`. `None` if the process is gone, or the kernel keeps no such statistics.
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
        let threads = process.join("task");
        // Until version 7, an FFmpeg that decodes nothing has one thread, and the process's own file has the same figures
        // without a walk through the directory: 4 system calls instead of 13 for each viewer and second.
        if fs::metadata(&threads).ok()?.nlink() == LINKS_OF_ONE_THREAD {
            return read_schedstat(&process.join("schedstat"));
        }
        let mut sum = None;
        for thread in fs::read_dir(threads).ok()?.flatten() {
            let Some(found) = read_schedstat(&thread.path().join("schedstat")) else { continue };
            let so_far = sum.get_or_insert_with(Self::default);
            so_far.waited_ns = so_far.waited_ns.saturating_add(found.waited_ns);
            so_far.turns = so_far.turns.saturating_add(found.turns);
        }
        sum
    }

    /// The difference from `before`. A thread that has ended meanwhile takes its times with it, so the difference
    /// is too small then, never too large.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            waited_ns: self.waited_ns.saturating_sub(before.waited_ns),
            turns: self.turns.saturating_sub(before.turns),
        }
    }
}

fn read_schedstat(path: &Path) -> Option<Waiting> {
    // Three numbers of 64 bits fit, and one call reads them, where `fs::read_to_string` needs four.
    let mut line = [0; 64];
    let read = fs::File::open(path).ok()?.read(&mut line).ok()?;
    schedstat(std::str::from_utf8(line.get(..read)?).ok()?)
}

/// Time on a run queue and number of turns, from a line of `schedstat` (before them: time on a processor).
fn schedstat(line: &str) -> Option<Waiting> {
    let mut words = line.split_ascii_whitespace().skip(1);
    Some(Waiting { waited_ns: words.next()?.parse().ok()?, turns: words.next()?.parse().ok()? })
}

/// A child of this process that was stopped (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU), or continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is stopped.
    Stopped(u32),
    /// It runs again. The kernel drops the report of a stop if the child was continued before it was read.
    Continued(u32),
}

/// The children that were stopped or continued since the last call. The kernel reports each change, however short
/// the stop was; ends of children are left for those who wait for them.
#[must_use]
pub fn changes_of_children() -> Vec<Change> {
    let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED | WaitPidFlag::WNOHANG;
    let mut changes = Vec::new();
    while changes.len() < MAX_CHANGES {
        let change = match waitid(Id::All, flags) {
            Ok(WaitStatus::Stopped(pid, _)) => Change::Stopped(pid.as_raw().unsigned_abs()),
            Ok(WaitStatus::Continued(pid)) => Change::Continued(pid.as_raw().unsigned_abs()),
            // Nothing has changed, or there is no child.
            _ => break,
        };
        changes.push(change);
    }
    changes
}

/// Time for which the control group of this process, or one above it, was throttled by its CPU quota so far,
/// nanoseconds. `None` where there is no quota, or it cannot be read.
#[must_use]
pub fn throttled_ns() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    hierarchies(&groups).iter().find_map(|(mount, group)| {
        // The quota of a group also limits the groups below it, whose own statistics do not show that.
        let throttled =
            group.ancestors().take_while(|directory| directory.starts_with(mount)).filter_map(throttled_in);
        throttled.reduce(u64::saturating_add)
    })
}

/// The throttled time of one group with a quota.
fn throttled_in(group: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(group.join(file)).ok();
    let quota = read("cpu.max").or_else(|| read("cpu.cfs_quota_us"))?;
    throttled(&read("cpu.stat").filter(|_| has_quota(&quota))?)
}

/// Whether `cpu.max` (version 2) or `cpu.cfs_quota_us` (version 1) contains a quota.
fn has_quota(quota: &str) -> bool {
    quota.split_whitespace().next().is_some_and(|first| first.parse::<u64>().is_ok())
}

/// Possible mounts of the CPU controller, each with the folder of this process's group: version 2, then version 1.
/// Inside a container the group's own path is not visible, and the root of the mount is the group.
fn hierarchies(groups: &str) -> Vec<(&'static Path, PathBuf)> {
    let mut found = Vec::new();
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
            let group = Path::new(mount).join(path.trim_start_matches('/'));
            found.push((Path::new(*mount), group));
        }
    }
    found
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
        assert_eq!(schedstat("123 45 6\n"), Some(Waiting { waited_ns: 45, turns: 6 }));
        assert_eq!(schedstat("123 45"), None);
        assert_eq!(throttled("usage_usec 9\nnr_throttled 2\nthrottled_usec 7\n"), Some(7000));
        assert_eq!(throttled("nr_throttled 2\nthrottled_time 7\n"), Some(7));
        assert_eq!(throttled("usage_usec 9\n"), None);
        assert_eq!(pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull total=1\n"), Some(12_000));
    }

    #[test]
    fn the_groups_of_both_versions_are_found() {
        let found = hierarchies("12:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/c/d\n");
        for folder in ["/sys/fs/cgroup/cpu,cpuacct/a", "/sys/fs/cgroup/c/d"] {
            assert!(found.iter().any(|(_, group)| group == Path::new(folder)), "{folder}: {found:?}");
        }
        assert!(!found.iter().any(|(_, group)| group.starts_with("/sys/fs/cgroup/b")));
    }

    #[test]
    fn a_group_without_a_quota_has_no_throttled_time() {
        let group = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| std::fs::write(group.path().join(file), text).unwrap();
        write("cpu.stat", "nr_throttled 2\nthrottled_usec 7\n");
        assert_eq!(throttled_in(group.path()), None);
        for (file, quota, throttled) in [
            ("cpu.cfs_quota_us", "-1\n", None),
            ("cpu.cfs_quota_us", "30000\n", Some(7000)),
            ("cpu.max", "max 100000\n", None),
            ("cpu.max", "30000 100000\n", Some(7000)),
        ] {
            write(file, quota);
            assert_eq!(throttled_in(group.path()), throttled, "{file}: {quota}");
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "a process with one thread, which the test starts and awaits"
    )]
    fn every_thread_of_a_process_counts() {
        // A process with one thread, and this one, in which another thread does the waiting.
        let mut child = std::process::Command::new("sleep").arg("0.2").spawn().unwrap();
        let one = (0..100).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            Waiting::of(child.id()).filter(|found| found.turns > 0)
        });
        let file = |path: String| read_schedstat(Path::new(&path)).unwrap();
        assert!(one.unwrap().turns <= file(format!("/proc/{}/schedstat", child.id())).turns);
        child.wait().unwrap();
        let (send, received) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            for _ in 0..200 {
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
            send.send(()).unwrap();
            ended.recv().unwrap();
        });
        received.recv().unwrap();
        let main = file("/proc/self/schedstat".to_owned());
        let all = Waiting::own().unwrap();
        assert!(all.turns >= main.turns + 100, "{all:?} {main:?}");
        end.send(()).unwrap();
        thread.join().unwrap();
    }

    #[test]
    fn turns_of_this_process_are_counted() {
        // Threads of other tests that end meanwhile take their turns with them.
        let turns = || {
            let before = Waiting::own().unwrap();
            for _ in 0..3 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Waiting::own().unwrap().since(before).turns
        };
        assert!((0..50).any(|_| turns() >= 3));
        let before = Waiting::own().unwrap();
        assert_eq!(Waiting::of(u32::MAX), None);
        assert_eq!(Waiting::default().since(before), Waiting::default(), "a difference is never below 0");
    }
}
