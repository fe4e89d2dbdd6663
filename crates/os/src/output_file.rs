//! Files that are replaced whole or not at all, and those a run writes at its end, checked at its beginning.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;

/// Makes sure that `path` can be written later, and leaves it as it is.
///
/// # Errors
/// A usage failure that names `flag` and the path.
pub fn check(flag: &str, path: &Path) -> Result<(), Failure> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        // A pipe would wait for its reader, and nobody could stop it.
        return Err(Failure::usage(format!("{flag} {}: is no ordinary file", path.display()))
            .help("name a file in a directory that exists and that you may write to"));
    }
    let existed = path.exists();
    let tried = OpenOptions::new().create(true).append(true).open(path).map(drop).and_then(|()| {
        // `write` needs a neighbour for its temporary file too.
        let neighbour = temporary(path);
        fs::write(&neighbour, b"")?;
        fs::remove_file(neighbour)?;
        // Where a link leads nowhere yet, its target has just been made.
        if existed { Ok(()) } else { fs::remove_file(fs::canonicalize(path)?) }
    });
    tried.map_err(|error| {
        Failure::usage(format!("{flag} {}: cannot be written", path.display()))
            .caused_by(error)
            .help("name a file in a directory that exists and that you may write to")
    })
}

/// Writes `content` to `path`, through a temporary file beside it. What a link leads to is meant, not the link.
///
/// # Errors
/// The disk is full or the directory is gone; the previous content of `path` is untouched then.
pub fn write(path: &Path, content: &str) -> Result<(), Failure> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace(&place, content).map_err(|error| {
        Failure::internal(format!("cannot write {}", path.display()))
            .caused_by(error)
            .help("see that there is room and the directory is still there; the summary above holds the same figures")
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

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_link_stays_a_link_and_a_pipe_is_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let [file, link, pipe, nowhere] =
            ["a.json", "link.json", "pipe.json", "nowhere.json"].map(|name| folder.path().join(name));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink("a.json", &link).unwrap();
        std::os::unix::fs::symlink("not-yet.json", &nowhere).unwrap();
        for link in [&link, &nowhere] {
            check("--report", link).unwrap();
            assert!(fs::symlink_metadata(link).unwrap().is_symlink());
        }
        write(&link, "after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for path in [&pipe, &folder.path().to_owned()] {
            let failure = check("--report", path).unwrap_err();
            assert!(failure.to_string().contains("is no ordinary file"), "{failure}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "and nothing is left behind");
    }
}
