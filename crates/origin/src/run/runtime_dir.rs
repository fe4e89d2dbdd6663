//! The private directory: segments, nginx's files, the loop; on a tmpfs where there is one.
//!
//! It is gone when the origin is gone; the guard sees to it if this program cannot.

use std::fs::{DirBuilder, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hls_swarm_base::error::Failure;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::machine::Storage;

/// The private directory of one running origin. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    root: PathBuf,
    guard: Arc<Guard>,
    /// Locked while this origin lives, so that no other one takes the directory for a dead one's.
    _alive: File,
    /// Nothing in it reaches a disk.
    pub(crate) in_memory: bool,
}

impl RuntimeDir {
    /// Creates the directory below `asked`, or below the best place there is, with `need` bytes free.
    pub(crate) fn build(asked: Option<&Path>, need: u64, guard: &Arc<Guard>) -> Result<Self, Failure> {
        let (parent, storage) = match asked {
            Some(parent) => (parent.to_owned(), fit(parent, need)?),
            None => best(need)?,
        };
        if !storage.in_memory {
            tracing::warn!(
                directory = %parent.display(),
                "segments are written to a disk, which may slow serving down; pass --dir with a tmpfs"
            );
        }
        remove(&parent);
        Self::create(&parent, storage.in_memory, guard).map_err(|error| not_writable(&parent, error))
    }

    fn create(parent: &Path, in_memory: bool, guard: &Arc<Guard>) -> io::Result<Self> {
        let name = format!("{}{}-{:06x}", NAME, std::process::id(), fastrand::u32(..0x100_0000));
        let root = std::path::absolute(parent)?.join(name);
        guard.watch_directory(&root);
        // nginx's workers may be somebody else: they pass through, they cannot look around.
        if let Err(error) = DirBuilder::new().mode(0o711).create(&root) {
            guard.release_directory(&root);
            return Err(error);
        }
        let alive = hold(&root).inspect_err(|_| drop(std::fs::remove_dir_all(&root)))?;
        let runtime_dir = Self { root, guard: Arc::clone(guard), _alive: alive, in_memory };
        // Whatever the umask was.
        std::fs::set_permissions(&runtime_dir.root, Permissions::from_mode(0o711))?;
        DirBuilder::new().mode(0o755).create(runtime_dir.www())?;
        DirBuilder::new().mode(0o755).create(runtime_dir.root.join("temp"))?;
        Ok(runtime_dir)
    }

    /// The directory itself, nginx's prefix.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What nginx serves: playlist and segments.
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

    /// There while the playlist advances; `/health` looks at it.
    pub(crate) fn fresh(&self) -> PathBuf {
        self.root.join("fresh")
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        // If a killed child still writes, the guard tries again after it is dead.
        if std::fs::remove_dir_all(&self.root).is_ok() {
            self.guard.release_directory(&self.root);
        }
    }
}

/// The first tmpfs with room, else the usual place for temporary files.
fn best(need: u64) -> Result<(PathBuf, Storage), Failure> {
    let memory = [Some(PathBuf::from("/dev/shm")), std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)];
    for parent in memory.into_iter().flatten() {
        match fit(&parent, need) {
            Ok(storage) if storage.in_memory => return Ok((parent, storage)),
            Ok(_) => {}
            Err(failure) => tracing::debug!("not there: {}", failure.chain()),
        }
    }
    let parent = std::env::temp_dir();
    let storage = fit(&parent, need)?;
    Ok((parent, storage))
}

fn fit(parent: &Path, need: u64) -> Result<Storage, Failure> {
    // FFmpeg takes the name of a segment as a pattern, and only text can be quoted for nginx.
    if parent.to_str().is_none_or(|text| text.contains('%') || text.contains(char::is_control)) {
        return Err(Failure::usage(format!("the directory {parent:?} cannot be handed to FFmpeg and nginx"))
            .help("pass --dir with a name that is UTF-8 and holds neither % nor control characters"));
    }
    let storage = Storage::of(parent).map_err(|error| not_writable(parent, error))?;
    if nix::unistd::access(parent, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK).is_err() {
        return Err(not_writable(parent, io::ErrorKind::PermissionDenied.into()));
    }
    if storage.available_bytes < need {
        let mega = |bytes: u64| bytes.div_ceil(1 << 20);
        let (have, need) = (mega(storage.available_bytes), mega(need));
        return Err(Failure::preflight(format!(
            "{} has room for {have} MiB, and the stream needs {need} MiB",
            parent.display()
        ))
        .help("pass --dir with more room, or a smaller --list-size, --video-bitrate or --loop-seconds"));
    }
    Ok(storage)
}

fn not_writable(parent: &Path, error: io::Error) -> Failure {
    Failure::preflight(format!("cannot write below {}", parent.display()))
        .caused_by(error)
        .help("pass --dir with a directory that you may write to")
}

/// A dead stream is kept this long: somebody may want to look at it, and a clock may be off.
const KEPT: Duration = Duration::from_secs(600);
/// How the private directories of origins are called.
pub(crate) const NAME: &str = "hls-origin-";
/// A file in it that a living origin holds locked.
const LOCK: &str = "alive";

/// Marks a directory as that of a living origin, for as long as the file is open.
pub(crate) fn hold(root: &Path) -> io::Result<File> {
    let file = File::create(root.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
    }
}

/// Removes the directories of dead origins below `parent`; never that of a living one.
pub(crate) fn remove(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok) {
        let ours = entry.file_name().as_encoded_bytes().starts_with(NAME.as_bytes());
        let root = entry.path();
        // A link could lead anywhere.
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) || !is_dead(&root) {
            continue;
        }
        match std::fs::remove_dir_all(&root) {
            Ok(()) => tracing::info!(directory = %root.display(), "removed what a dead origin had left"),
            Err(error) => {
                tracing::debug!(directory = %root.display(), %error, "cannot remove what a dead origin had left");
            }
        }
    }
}

fn is_dead(root: &Path) -> bool {
    let modified = |path: PathBuf| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    let newest = [root.to_owned(), root.join("www"), root.join(LOCK)].into_iter().filter_map(modified).max();
    let age = newest.and_then(|newest| SystemTime::now().duration_since(newest).ok());
    if age < Some(KEPT) {
        return false;
    }
    // Opening for reading is enough to lock. Without the file it cannot be told that nobody lives there.
    File::open(root.join(LOCK)).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;

    use super::*;

    fn directory(parent: &Path, name: &str, age: Duration) -> (PathBuf, File) {
        let root = parent.join(name);
        std::fs::create_dir_all(root.join("www/b")).unwrap();
        std::fs::write(root.join("www/seg_00000.ts"), "x").unwrap();
        let lock = hold(&root).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        for path in [root.join(LOCK), root.join("www"), root.clone()] {
            File::open(path).unwrap().set_times(times).unwrap();
        }
        (root, lock)
    }

    #[test]
    fn only_the_old_and_dead_is_removed() {
        let parent = tempfile::TempDir::new().unwrap();
        let long = KEPT + Duration::from_secs(5);
        let (living, _lock) = directory(parent.path(), "hls-origin-1-a", long);
        let (dead, lock) = directory(parent.path(), "hls-origin-2-b", long);
        drop(lock);
        let (young, lock) = directory(parent.path(), "hls-origin-3-c", KEPT - Duration::from_secs(60));
        drop(lock);
        let (other, lock) = directory(parent.path(), "somebody-elses", long);
        drop(lock);
        remove(parent.path());
        assert!(!dead.exists());
        assert!(living.exists() && young.exists() && other.exists());
    }
}
