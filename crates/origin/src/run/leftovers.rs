//! Removes what origins have left that could not clean up: they and their guards were killed at once,
//! or the machine went down while their directory was on a disk.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
