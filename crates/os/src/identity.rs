//! The user of this process, and the user that root's worker processes run as.

use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, Uid, User, geteuid};

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Returns the user and group that root's workers should run as: `nobody` if it exists, else root itself
/// (a container without a user list). `None` if this process is not root and so has no choice.
#[must_use]
pub fn worker_user() -> Option<(String, String)> {
    if !geteuid().is_root() {
        return None;
    }
    let named = |user: User| {
        let group = Group::from_gid(user.gid).ok().flatten()?;
        Some((user.name, group.name))
    };
    // A user namespace may not map the id of `nobody`; then no process can switch to it.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let unprivileged = User::from_name("nobody")
        .ok()
        .flatten()
        .filter(|user| is_mapped(&map, user.uid.as_raw()))
        .and_then(named);
    unprivileged
        .or_else(|| User::from_uid(Uid::from_raw(0)).ok().flatten().and_then(named))
        .or_else(|| Some(("root".to_owned(), "root".to_owned())))
}

/// Whether the map of a user namespace (`uid_map`: first id inside, first id outside, count) contains `id`.
/// An unreadable map is taken to contain every id.
fn is_mapped(map: &str, id: u32) -> bool {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u64>().ok());
        let (inside, _, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
        Some(inside..inside + count)
    };
    map.is_empty() || map.lines().filter_map(range).any(|range| range.contains(&u64::from(id)))
}

/// Makes files that this process and its children create from now on readable for all users and writable
/// only for their owner: nginx's workers run as another user when root starts them.
pub fn make_new_files_readable() {
    umask(Mode::from_bits_truncate(0o022));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_mapped_if_a_range_contains_it() {
        assert!(is_mapped("         0          0 4294967295\n", 65_534));
        assert!(!is_mapped("         0       1000          1\n", 65_534));
        assert!(is_mapped("0 1000 1\n1 100000 65536\n", 65_534));
        assert!(is_mapped("", 65_534));
    }
}
