//! Who this process is and what it may: root or not, whom to become instead, how many files.

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, Uid, User, geteuid};

/// The hard limit of open files of this process.
///
/// # Errors
/// The operating system refuses to tell.
pub fn hard_open_files() -> std::io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1)
}

/// User and group that root's workers should run as: `nobody` where there is one, else root itself
/// (a container without a user list). None when this process is not root and cannot choose.
#[must_use]
pub fn worker_user() -> Option<(String, String)> {
    if !geteuid().is_root() {
        return None;
    }
    let known = |user: User| {
        let group = Group::from_gid(user.gid).ok().flatten()?;
        Some((user.name, group.name))
    };
    // In a user namespace most users may be nobody that one could become.
    let mapped = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let nobody = User::from_name("nobody")
        .ok()
        .flatten()
        .filter(|user| maps(&mapped, user.uid.as_raw()))
        .and_then(known);
    nobody
        .or_else(|| User::from_uid(Uid::from_raw(0)).ok().flatten().and_then(known))
        .or_else(|| Some(("root".to_owned(), "root".to_owned())))
}

/// Whether a user namespace's map (`uid_map`: first id inside, first id outside, count) holds `id`. A map
/// that cannot be read forbids nothing.
fn maps(map: &str, id: u32) -> bool {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let (inside, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(inside..inside + count)
    };
    map.is_empty() || map.lines().filter_map(range).any(|range| range.contains(&u64::from(id)))
}

/// Lets everybody read, and only us write, whatever this process and its children create from now
/// on: nginx's workers are somebody else when root starts them.
pub fn allow_group_read() {
    umask(Mode::from_bits_truncate(0o022));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_namespace() {
        assert!(maps("         0          0 4294967295\n", 65_534));
        assert!(
            !maps("         0       1000          1\n", 65_534) && maps("0 1000 1\n1 100000 65536\n", 65_534)
        );
        assert!(maps("", 65_534));
    }
}
