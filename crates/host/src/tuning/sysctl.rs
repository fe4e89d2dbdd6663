//! Settings of this machine: /proc/sys, disks in /sys/block, and the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::{fs, io};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::unistd::{AccessFlags, access};

use crate::audit::gather::nginx::limit_value;
use crate::tuning::comparison::{Disk, HostSettings, KeyState};
use crate::tuning::environment::Environment;
use crate::tuning::profile::DiskKind;

/// Longer than any value of a sysctl key, bytes.
const LONGEST_VALUE: usize = 64 << 10;

/// Reads the sysctl keys `keys`, the limits of this program, and disks.
#[must_use]
pub fn machine<'a>(keys: impl IntoIterator<Item = &'a String>) -> HostSettings {
    let keys: BTreeMap<String, KeyState> = keys.into_iter().map(|key| (key.clone(), find(key))).collect();
    let soft = |which| getrlimit(which).ok().map(|(soft, _)| soft).filter(|soft| *soft != RLIM_INFINITY);
    HostSettings {
        place: place(),
        keys,
        congestion_controls: congestion_controls(),
        allowed_controls: list("net.ipv4.tcp_allowed_congestion_control"),
        open_files: soft(Resource::RLIMIT_NOFILE),
        open_files_hard: hard_limit(),
        listening: listening(),
        processes: soft(Resource::RLIMIT_NPROC),
        disks: disks(),
    }
}

/// Returns the hard limit of open files of logins: that of this program, or of process 1, with which they
/// begin. The shell that runs this program may have reduced its own.
fn hard_limit() -> Option<u64> {
    let (_, own) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let init = procfs::process::Process::new(1).and_then(|init| init.limits()).ok();
    let init = init.map_or(0, |limits| limit_value(limits.max_open_files.hard_limit));
    Some(own.max(init)).filter(|hard| *hard != RLIM_INFINITY)
}

/// Reads a sysctl key, without the newline.
///
/// # Errors
/// The error of the operating system: the key does not exist or is not readable.
pub fn read(key: &str) -> io::Result<String> {
    // Lists of ports are cut off by the kernel unless the first read has room for all of it, and
    // `read_to_string` begins with a few bytes.
    let mut text = String::with_capacity(LONGEST_VALUE);
    fs::File::open(path(key)?)?.read_to_string(&mut text)?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// Reads a setting by its name: a sysctl key, or `disk.NAME.WHAT`.
///
/// # Errors
/// The error of the operating system.
pub fn read_setting(name: &str) -> io::Result<String> {
    let Some(path) = disk_path(name) else { return read(name) };
    let text = fs::read_to_string(path)?;
    // A scheduler is written as a word and read as a list with the chosen one in brackets.
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    Ok(chosen.unwrap_or(text.trim()).to_owned())
}

/// Writes a setting by its name.
///
/// # Errors
/// The error of the operating system: not root, read-only, or a value that the kernel refuses.
pub fn write_setting(name: &str, value: &str) -> io::Result<()> {
    // Writing nothing does nothing; an empty line empties a list.
    let value = if value.is_empty() { "\n" } else { value };
    let place = match disk_path(name) {
        Some(place) => place,
        None => path(name)?,
    };
    fs::write(place, value)
}

/// Whether `name` can be a setting: a sysctl key, or `disk.NAME.WHAT`.
pub(crate) fn is_setting(name: &str) -> bool {
    disk_path(name).is_some() || is_key(name)
}

/// Whether a key stays inside /proc/sys: no slashes, no empty parts.
pub(crate) fn is_key(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    name.contains('.') && name.split('.').all(part)
}

/// The file of a key.
///
/// # Errors
/// The key would lead out of /proc/sys.
fn path(key: &str) -> io::Result<PathBuf> {
    let inside = key.split('.').all(|part| !part.is_empty() && !part.contains('/'));
    if !inside {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{key:?} is not a sysctl key")));
    }
    Ok(["/proc/sys"].into_iter().chain(key.split('.')).collect())
}

fn disk_path(name: &str) -> Option<PathBuf> {
    let (disk, what) = name.strip_prefix("disk.")?.rsplit_once('.')?;
    let plain = |text: &str| !text.is_empty() && !text.starts_with('.') && !text.contains('/');
    (plain(disk) && plain(what)).then(|| PathBuf::from("/sys/block").join(disk).join("queue").join(what))
}

fn find(key: &str) -> KeyState {
    match read(key) {
        // Even root may not write in other network namespaces and on read-only mounts.
        Ok(value) => KeyState::Value(value, writable(key)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => KeyState::Missing,
        Err(error) => KeyState::Unreadable(error.to_string()),
    }
}

fn writable(key: &str) -> bool {
    path(key).is_ok_and(|path| access(&path, AccessFlags::W_OK).is_ok())
}

/// Reports whether this user is root.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Detects the environment of this program.
#[must_use]
pub fn place() -> Environment {
    let kernel = read("kernel.osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processors.lines().find(|line| line.starts_with("flags"));
    Environment {
        kernel,
        container: container(),
        virtual_machine: flags.is_some_and(|line| line.split_whitespace().any(|flag| flag == "hypervisor")),
        // Only the first network namespace has this key.
        own_network: find("net.core.netdev_max_backlog") == KeyState::Missing,
    }
}

/// Inode of the kernel's first process namespace (`PROC_PID_INIT_INO`, the same on every machine).
const FIRST_PROCESS_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Detects the kind of container by the files that engines create. An image with such files may also be
/// booted as a machine, so the process namespace decides.
fn container() -> Option<String> {
    let namespace = fs::metadata("/proc/self/ns/pid").ok().map(|file| file.ino());
    if namespace == Some(FIRST_PROCESS_NAMESPACE) {
        return None;
    }
    if let Ok(kind) = fs::read_to_string("/run/systemd/container") {
        return Some(kind.trim().to_owned());
    }
    if PathBuf::from("/run/.containerenv").exists() {
        return Some("podman".into());
    }
    if PathBuf::from("/.dockerenv").exists() {
        return Some("docker".into());
    }
    let groups = fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    ["kubepods", "docker", "lxc", "containerd", "libpod"]
        .into_iter()
        .find(|mark| groups.contains(mark))
        .map(str::to_owned)
}

/// Returns the ports that services of this network namespace listen on.
fn listening() -> BTreeSet<u16> {
    const LISTEN: &str = "0A";
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|text| text.lines().skip(1));
    let port = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let listens = *words.get(3)? == LISTEN;
        let port = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
        listens.then_some(port)
    };
    lines.filter_map(port).collect()
}

fn list(key: &str) -> Vec<String> {
    read(key).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Lists available congestion controls and those whose module can be loaded.
fn congestion_controls() -> Vec<String> {
    let mut known = list("net.ipv4.tcp_available_congestion_control");
    let release = read("kernel.osrelease").unwrap_or_default();
    let modules = fs::read_dir(format!("/lib/modules/{release}/kernel/net/ipv4")).into_iter().flatten();
    for name in modules.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let control = name.strip_prefix("tcp_").and_then(|rest| rest.split('.').next());
        known.extend(control.map(str::to_owned));
    }
    known
}

/// Returns the rate of the fastest network interface in Mbit/s; virtual ones often report none.
#[must_use]
pub fn link_mbit() -> Option<u64> {
    let interfaces = fs::read_dir("/sys/class/net").ok()?.flatten();
    let rate = |folder: PathBuf| fs::read_to_string(folder.join("speed")).ok()?.trim().parse::<u64>().ok();
    interfaces.filter_map(|entry| rate(entry.path())).filter(|mbit| *mbit > 0).max()
}

fn disks() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir("/sys/block") else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut disks: Vec<Disk> = names.filter_map(disk).collect();
    disks.sort_by(|left, right| left.name.cmp(&right.name));
    disks
}

fn disk(name: String) -> Option<Disk> {
    let folder = PathBuf::from("/sys/block").join(&name);
    let text = |file: &str| fs::read_to_string(folder.join("queue").join(file)).ok();
    let kind = if name.starts_with("nvme") {
        DiskKind::Nvme
    } else if folder.join("md").is_dir() {
        DiskKind::Raid
    } else if folder.join("device").exists() && text("rotational")?.trim() == "1" {
        DiskKind::Rotating
    } else {
        return None;
    };
    let read_ahead_kb = text("read_ahead_kb").and_then(|text| text.trim().parse().ok());
    Some(Disk { name, kind, schedulers: text("scheduler")?.trim().to_owned(), read_ahead_kb })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_with_a_reduced_limit_does_not_stand_for_logins() {
        let limits = fs::read_to_string("/proc/1/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let init: u64 = line.split_whitespace().nth(4).unwrap().parse().unwrap_or(RLIM_INFINITY);
        let (_, own) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(hard_limit(), Some(init.max(own)).filter(|hard| *hard != RLIM_INFINITY));
    }
}
