//! The runtime directory: segments, nginx's files and the loop, on a tmpfs if there is one.
//!
//! It is removed when the origin ends; the guard removes it if this program is killed. If the guard was killed,
//! too, or the machine went down while the directory was on a disk, a later origin removes it.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::libc;
use nix::unistd::geteuid;

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::machine::Storage;

/// The runtime directory of a running origin. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    root: PathBuf,
    guard: Arc<Guard>,
    /// Locked while this origin is running, so that no other origin takes the directory for a stale one.
    _lock: File,
    /// Whether it is on a tmpfs.
    pub(crate) in_memory: bool,
}

impl RuntimeDir {
    /// Creates the directory below `requested`, or else on a tmpfs if possible, where `need` bytes are free.
    pub(crate) fn build(requested: Option<&Path>, need: u64, guard: &Arc<Guard>) -> Result<Self, Failure> {
        let (parent, storage) = match requested {
            Some(parent) => (parent.to_owned(), check_parent(parent, need)?),
            None => choose_parent(need)?,
        };
        if !storage.in_memory {
            tracing::warn!(
                directory = %parent.display(),
                "segments are written to a disk, which may slow down serving; pass --dir with a directory on a tmpfs"
            );
        }
        remove_stale(&parent);
        Self::create(&parent, storage.in_memory, guard).map_err(|error| not_writable(&parent, error))
    }

    fn create(parent: &Path, in_memory: bool, guard: &Arc<Guard>) -> io::Result<Self> {
        let name = format!("{}{}-{:06x}", DIRECTORY_PREFIX, std::process::id(), fastrand::u32(..0x100_0000));
        let root = std::path::absolute(parent)?.join(name);
        guard.watch_directory(&root);
        // nginx's workers may run as another user: they may traverse the directory, but not list it.
        if let Err(error) = DirBuilder::new().mode(0o711).create(&root) {
            guard.release_directory(&root);
            return Err(error);
        }
        let lock = create_lock(&root).inspect_err(|_| drop(std::fs::remove_dir_all(&root)))?;
        let runtime_dir = Self { root, guard: Arc::clone(guard), _lock: lock, in_memory };
        // Independently of the umask.
        std::fs::set_permissions(&runtime_dir.root, Permissions::from_mode(0o711))?;
        DirBuilder::new().mode(0o755).create(runtime_dir.www())?;
        DirBuilder::new().mode(0o755).create(runtime_dir.root.join("temp"))?;
        Ok(runtime_dir)
    }

    /// The directory itself, which is nginx's prefix.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that nginx serves: playlists and segments.
    pub(crate) fn www(&self) -> PathBuf {
        self.root.join("www")
    }

    /// This origin's copy of the loop.
    pub(crate) fn loop_file(&self) -> PathBuf {
        self.root.join("loop.nut")
    }

    /// nginx's configuration.
    pub(crate) fn nginx_conf(&self) -> PathBuf {
        self.root.join("nginx.conf")
    }

    /// A file that exists while all playlists advance; nginx checks it for `/health`.
    pub(crate) fn fresh_file(&self) -> PathBuf {
        self.root.join("fresh")
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // If a killed child is still writing, the guard tries again once the child is gone.
        if std::fs::remove_dir_all(&self.root).is_ok() {
            self.guard.release_directory(&self.root);
        }
    }
}

/// The first tmpfs with enough space, or else the directory for temporary files.
fn choose_parent(need: u64) -> Result<(PathBuf, Storage), Failure> {
    let candidates =
        [Some(PathBuf::from("/dev/shm")), std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)];
    for parent in candidates.into_iter().flatten() {
        match check_parent(&parent, need) {
            Ok(storage) if storage.in_memory => return Ok((parent, storage)),
            Ok(_) => {}
            Err(failure) => tracing::debug!("not usable: {}", failure.chain()),
        }
    }
    let parent = std::env::temp_dir();
    let storage = check_parent(&parent, need)?;
    Ok((parent, storage))
}

/// Checks that the directory can be used and has `need` free bytes.
fn check_parent(parent: &Path, need: u64) -> Result<Storage, Failure> {
    // FFmpeg interprets the path of a segment as a pattern, and nginx.conf can only hold text.
    if parent.to_str().is_none_or(|text| text.contains('%') || text.contains(char::is_control)) {
        return Err(Failure::usage(format!("the directory {parent:?} cannot be passed to FFmpeg and nginx"))
            .help("pass --dir with a UTF-8 path without % and control characters"));
    }
    let storage = Storage::of(parent).map_err(|error| not_writable(parent, error))?;
    if nix::unistd::access(parent, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).is_err() {
        return Err(not_writable(parent, io::ErrorKind::PermissionDenied.into()));
    }
    if storage.available_bytes < need {
        let mega = |bytes: u64| bytes.div_ceil(1 << 20);
        let (have, need) = (mega(storage.available_bytes), mega(need));
        return Err(Failure::preflight(format!(
            "{} has {have} MiB free, and the stream needs {need} MiB",
            parent.display()
        ))
        .help(
            "pass --dir with more free space, or a smaller --list-size, --video-bitrate or --loop-seconds",
        ));
    }
    Ok(storage)
}

fn not_writable(parent: &Path, error: io::Error) -> Failure {
    Failure::preflight(format!("cannot write below {}", parent.display()))
        .caused_by(error)
        .help("pass --dir with a writable directory")
}

/// A stale directory is kept this long: someone may want to inspect it, and a clock may be wrong.
const STALE_AFTER: Duration = Duration::from_secs(600);
/// Prefix of the names of runtime directories.
const DIRECTORY_PREFIX: &str = "hls-origin-";
/// Name of the file that a running origin keeps locked.
const LOCK_FILE: &str = "alive";

/// Marks the directory as in use, for as long as the returned file is open.
fn create_lock(root: &Path) -> io::Result<File> {
    let file = File::create(root.join(LOCK_FILE))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
    }
}

/// Removes the directories below `parent` whose origins are not running any more.
fn remove_stale(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let ours = entry.file_name().as_encoded_bytes().starts_with(DIRECTORY_PREFIX.as_bytes());
        let root = entry.path();
        // A symbolic link could point anywhere, and the directory of another user may hold anything.
        let own = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        if !ours || !own || !is_stale(&root) {
            continue;
        }
        match std::fs::remove_dir_all(&root) {
            Ok(()) => {
                tracing::info!(directory = %root.display(), "removed the directory of an origin that was killed")
            }
            Err(error) => {
                tracing::debug!(directory = %root.display(), %error, "cannot remove the directory of an origin that was killed");
            }
        }
    }
}

fn is_stale(root: &Path) -> bool {
    let modified = |path: PathBuf| std::fs::symlink_metadata(path).and_then(|found| found.modified()).ok();
    let newest =
        [root.to_owned(), root.join("www"), root.join(LOCK_FILE)].into_iter().filter_map(modified).max();
    let age = newest.and_then(|newest| SystemTime::now().duration_since(newest).ok());
    if age < Some(STALE_AFTER) {
        return false;
    }
    // A file that is open for reading can be locked, too. Without the file, the origin may still be running. A FIFO
    // would wait for its writer, and a link or a device is not what an origin makes.
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
        .open(root.join(LOCK_FILE))
        .is_ok_and(|file| file.metadata().is_ok_and(|found| found.is_file()) && file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    fn directory(parent: &Path, name: &str, age: Duration) -> (PathBuf, File) {
        let root = parent.join(name);
        std::fs::create_dir_all(root.join("www/b")).unwrap();
        std::fs::write(root.join("www/seg_00000.ts"), "x").unwrap();
        let lock = create_lock(&root).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        for path in [root.join(LOCK_FILE), root.join("www"), root.clone()] {
            File::open(path).unwrap().set_times(times).unwrap();
        }
        (root, lock)
    }

    #[test]
    fn only_old_directories_of_ended_origins_are_removed() {
        let parent = tempfile::TempDir::new().unwrap();
        let long = STALE_AFTER + Duration::from_secs(5);
        let (running, _lock) = directory(parent.path(), "hls-origin-1-a", long);
        let (stale, lock) = directory(parent.path(), "hls-origin-2-b", long);
        drop(lock);
        let (recent, lock) =
            directory(parent.path(), "hls-origin-3-c", STALE_AFTER - Duration::from_secs(60));
        drop(lock);
        let (other, lock) = directory(parent.path(), "unrelated", long);
        drop(lock);
        remove_stale(parent.path());
        assert!(!stale.exists());
        assert!(running.exists() && recent.exists() && other.exists());
    }

    #[test]
    fn pipes_and_links_of_strangers_are_neither_opened_nor_followed() {
        let parent = tempfile::TempDir::new().unwrap();
        let long = STALE_AFTER + Duration::from_secs(5);
        let old = |path: &Path| {
            let times = FileTimes::new().set_modified(SystemTime::now() - long);
            File::open(path).unwrap().set_times(times).unwrap();
        };
        let [pipe, link] = ["hls-origin-4-d", "hls-origin-5-e"].map(|name| parent.path().join(name));
        let target = parent.path().join("target");
        std::fs::write(&target, "x").unwrap();
        for root in [&pipe, &link] {
            std::fs::create_dir(root).unwrap();
        }
        nix::unistd::mkfifo(&pipe.join(LOCK_FILE), nix::sys::stat::Mode::S_IRWXU).unwrap();
        nix::sys::stat::utimensat(
            nix::fcntl::AT_FDCWD,
            &pipe.join(LOCK_FILE),
            &nix::sys::time::TimeSpec::new(0, 0),
            &nix::sys::time::TimeSpec::new(0, 0),
            nix::sys::stat::UtimensatFlags::NoFollowSymlink,
        )
        .unwrap();
        std::os::unix::fs::symlink(&target, link.join(LOCK_FILE)).unwrap();
        nix::sys::stat::utimensat(
            nix::fcntl::AT_FDCWD,
            &link.join(LOCK_FILE),
            &nix::sys::time::TimeSpec::new(0, 0),
            &nix::sys::time::TimeSpec::new(0, 0),
            nix::sys::stat::UtimensatFlags::NoFollowSymlink,
        )
        .unwrap();
        [&pipe, &link].into_iter().for_each(|root| old(root));
        // A pipe that is opened for reading would never return.
        remove_stale(parent.path());
        assert!(pipe.exists() && link.exists());
    }
}
