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
    let nobody = User::from_name("nobody").ok().flatten().and_then(known);
    nobody
        .or_else(|| User::from_uid(Uid::from_raw(0)).ok().flatten().and_then(known))
        .or_else(|| Some(("root".to_owned(), "root".to_owned())))
}

/// Lets everybody read, and only us write, whatever this process and its children create from now
/// on: nginx's workers are somebody else when root starts them.
pub fn share_reading() {
    umask(Mode::from_bits_truncate(0o022));
}
