//! Files that are replaced whole or not at all, and those a run writes at its end, checked at its beginning.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::words::failure::Failure;

/// Makes sure that `path` can be written later, and leaves it as it is.
///
/// # Errors
/// A usage failure that names `flag` and the path.
pub fn check(flag: &str, path: &Path) -> Result<(), Failure> {
    let existed = path.exists();
    let tried = OpenOptions::new().create(true).append(true).open(path).map(drop).and_then(|()| {
        // `write` needs a neighbour for its temporary file too.
        let neighbour = temporary(path);
        fs::write(&neighbour, b"")?;
        fs::remove_file(neighbour)?;
        if existed { Ok(()) } else { fs::remove_file(path) }
    });
    tried.map_err(|error| {
        Failure::usage(format!("{flag} {}: cannot be written", path.display()))
            .because(error)
            .cure("name a file in a directory that exists and that you may write to")
    })
}

/// Writes `content` to `path`, through a temporary file beside it.
///
/// # Errors
/// The disk is full or the directory is gone; the previous content of `path` is untouched then.
pub fn write(path: &Path, content: &str) -> Result<(), Failure> {
    replace(path, content).map_err(|error| {
        Failure::internal(format!("cannot write {}", path.display()))
            .because(error)
            .cure("make room on the disk; the summary above holds the same figures")
    })
}

/// Writes a file so that nobody ever reads half of it, through a temporary file beside it.
///
/// # Errors
/// As the operating system says; the previous content of `path` is untouched then.
pub fn replace(path: &Path, content: &str) -> io::Result<()> {
    let temporary = temporary(path);
    let outcome = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if outcome.is_err() {
        // It may not exist at all.
        drop(fs::remove_file(&temporary));
    }
    outcome
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}
