//! Processes beside nginx: servers behind `proxy_pass`, and encoders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use procfs::process::{FDTarget, Process, all_processes};

use super::nginx::limit_value;
use crate::audit::facts::Service;

/// Returns the processes that listen on TCP ports, as seen from the network namespace of `near`, or of
/// this program.
pub(crate) fn listening(near: Option<u32>) -> Vec<Service> {
    let near = near.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let mut ports: BTreeMap<u64, u16> = BTreeMap::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{near}/net/{table}")).unwrap_or_default();
        ports.extend(text.lines().skip(1).filter_map(listener));
    }
    let mut services: Vec<Service> = Vec::new();
    for process in all_processes().into_iter().flatten().flatten() {
        let Ok(descriptors) = process.fd() else { continue };
        let own: BTreeSet<u16> = descriptors
            .flatten()
            .filter_map(|descriptor| match descriptor.target {
                FDTarget::Socket(inode) => ports.get(&inode).copied(),
                _ => None,
            })
            .collect();
        if !own.is_empty() {
            services.extend(service(&process, own.into_iter().collect()));
        }
    }
    services
}

/// Returns the port and inode of a listening socket in a line of /proc/net/tcp.
fn listener(line: &str) -> Option<(u64, u16)> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    if *words.get(3)? != LISTEN {
        return None;
    }
    let port = u16::from_str_radix(words.get(1)?.rsplit(':').next()?, 16).ok()?;
    Some((words.get(9)?.parse().ok()?, port))
}

/// Returns the running FFmpeg processes that write HLS.
pub(crate) fn encoders() -> Vec<Service> {
    let processes = all_processes().into_iter().flatten().flatten();
    let found = processes.filter_map(|process| {
        let words = process.cmdline().ok()?;
        let name = words.first()?.rsplit('/').next()?.to_owned();
        let writes = words.iter().any(|word| word == "hls" || word.ends_with(".m3u8"));
        let output = words.last().is_some_and(|last| last.ends_with(".m3u8"));
        (name == "ffmpeg" && writes && output).then(|| service(&process, Vec::new())).flatten()
    });
    found.collect()
}

fn service(process: &Process, ports: Vec<u16>) -> Option<Service> {
    let command = process.cmdline().ok()?.join(" ");
    let limit = process.limits().ok().map(|limits| limit_value(limits.max_open_files.soft_limit));
    Some(Service {
        pid: u32::try_from(process.pid).ok()?,
        ports,
        command,
        open_files: limit,
        open_now: process.fd_count().ok().and_then(|count| u64::try_from(count).ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_from_proc_net_tcp() {
        let line = "   0: 0100007F:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0";
        assert_eq!(listener(line), Some((4242, 5000)));
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(listener("sl local_address"), None);
    }
}
