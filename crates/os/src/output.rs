//! Output: standard output that is the result of a command, files that are replaced as a whole, and files that
//! are checked at the beginning of a run and written at its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;

/// Whether what is printed to standard output may have color: it is a terminal, and neither `NO_COLOR` nor `TERM=dumb`
/// forbids it.
#[must_use]
pub fn takes_color() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    io::stdout().is_terminal() && !forbidden
}

/// Writes all of `text` to standard output. A reader that has closed its end early is not an error.
///
/// # Errors
/// An internal failure, for example because standard output leads to a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    print_to(&mut io::stdout().lock(), text)
}

fn print_to(out: &mut dyn Write, text: &str) -> Result<(), Failure> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::internal("cannot write to standard output")
                .caused_by(error)
                .help("free some space where it leads to, or redirect it elsewhere"))
        }
        _ => Ok(()),
    }
}

/// Checks that `path` can be written later, and leaves it unchanged.
///
/// # Errors
/// A usage failure that names `flag` and the path.
pub fn check_file(flag: &str, path: &Path) -> Result<(), Failure> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        // Opening a pipe would wait for its reader, with no way to stop it.
        return Err(Failure::usage(format!("{flag} {}: is not a regular file", path.display()))
            .help("name a file in a directory that exists and that you may write to"));
    }
    let existed = path.exists();
    let tried = OpenOptions::new().create(true).append(true).open(path).map(drop).and_then(|()| {
        // `write_file` also needs a temporary file beside it.
        let (temporary, _) = create_temporary(path)?;
        fs::remove_file(temporary)?;
        // The target of a dangling link has just been created.
        if existed { Ok(()) } else { fs::remove_file(fs::canonicalize(path)?) }
    });
    tried.map_err(|error| {
        Failure::usage(format!("{flag} {}: cannot be written", path.display()))
            .caused_by(error)
            .help("name a file in a directory that exists and that you may write to")
    })
}

/// Writes `content` to `path`, through a temporary file beside it. If `path` is a link, its target is replaced.
///
/// # Errors
/// An internal failure: the disk is full, or the directory no longer exists. The previous content of `path`
/// is unchanged then.
pub fn write_file(path: &Path, content: &str) -> Result<(), Failure> {
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    replace_file(&place, content).map_err(|error| {
        Failure::internal(format!("cannot write {}", path.display()))
            .caused_by(error)
            .help("check that there is free space and that the directory still exists; the summary above has the same figures")
    })
}

/// Writes a file through a temporary file beside it, so that a reader never sees half of it, and the content is on
/// the disk before the name is.
///
/// # Errors
/// The error of the operating system; the previous content of `path` is unchanged then.
pub fn replace_file(path: &Path, content: &str) -> io::Result<()> {
    let (temporary, mut file) = create_temporary(path)?;
    let outcome = file
        .write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if outcome.is_err() {
        // The temporary file may not exist.
        drop(fs::remove_file(&temporary));
    }
    outcome
}

/// Creates a file beside `path` whose name cannot be guessed. In a directory that others may write to, a link or a
/// file of that name could have been put there before; such a one is neither followed nor opened.
fn create_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    const ATTEMPTS: u32 = 8;
    let mut attempt = 1;
    loop {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.part", fastrand::u64(..)));
        let temporary = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).custom_flags(nix::libc::O_NOFOLLOW);
        match options.open(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => attempt += 1,
            opened => return opened.map(|file| (temporary, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn a_link_stays_a_link_and_a_pipe_is_rejected() {
        let folder = tempfile::TempDir::new().unwrap();
        let [file, link, pipe, dangling] =
            ["a.json", "link.json", "pipe.json", "dangling.json"].map(|name| folder.path().join(name));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink("a.json", &link).unwrap();
        std::os::unix::fs::symlink("not-yet.json", &dangling).unwrap();
        for link in [&link, &dangling] {
            check_file("--report", link).unwrap();
            assert!(fs::symlink_metadata(link).unwrap().is_symlink());
        }
        write_file(&link, "after").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "after");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        for path in [&pipe, &folder.path().to_owned()] {
            let failure = check_file("--report", path).unwrap_err();
            assert!(failure.to_string().contains("is not a regular file"), "{failure}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "no temporary file remains");
    }

    #[test]
    fn a_link_beside_a_report_is_not_followed() {
        let folder = tempfile::TempDir::new().unwrap();
        let [report, target] = ["r.json", "target"].map(|name| folder.path().join(name));
        fs::write(&target, "precious").unwrap();
        let planted = folder.path().join(format!("r.json.{}.part", std::process::id()));
        std::os::unix::fs::symlink("target", planted).unwrap();
        check_file("--report", &report).unwrap();
        write_file(&report, "figures").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&report).unwrap(), "figures");
        let names = || (create_temporary(&report).unwrap().0, create_temporary(&report).unwrap().0);
        let (first, second) = names();
        assert_ne!(first, second, "names are random");
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let failure = print_to(&mut full, "text\n").unwrap_err();
        assert!(failure.chain().contains("No space left") && failure.help_text().is_some(), "{failure}");
        let (read, mut write) = io::pipe().unwrap();
        drop(read);
        assert!(print_to(&mut write, "text\n").is_ok());
    }
}
