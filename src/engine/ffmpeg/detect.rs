//! Finds the FFmpeg for viewers, and detects what it supports.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit_status::ProcessExit;
use hls_swarm_os::guard::Guard;
use hls_swarm_os::process::{Program, capture, spawn_failed};

use super::capability::{Capabilities, Detection};

/// The file name of an FFmpeg that was built for viewers only (docs/viewer-ffmpeg.md). It is not called `ffmpeg`,
/// because it can do nothing but play.
const VIEWER_FFMPEG: &str = "hls-viewer-ffmpeg";
/// Longest output that is read, bytes; the full list of options is 1.3 MB.
const MAX_OUTPUT: usize = 8 << 20;
/// Longest run; it takes a tenth of a second, or several seconds on a loaded machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Help if a binary cannot be used.
pub(crate) const OTHER_BINARY: &str =
    "install FFmpeg (Debian and Ubuntu: apt install ffmpeg), or pass --ffmpeg PATH";

/// Detects what `ffmpeg` supports.
///
/// # Errors
/// A preflight failure: the program cannot be started, crashes, hangs, or is not an FFmpeg.
pub async fn capabilities(ffmpeg: &Path, guard: &Arc<Guard>) -> Result<Capabilities, Failure> {
    let mut detection = Detection::new();
    while let Some(arguments) = detection.next_question() {
        let program = Program::new(ffmpeg, arguments.iter().copied());
        let answer = capture(&program, guard, MAX_OUTPUT, TIMEOUT)
            .await
            .map_err(|error| spawn_failed(ffmpeg, error, OTHER_BINARY))?;
        if let ProcessExit::Signaled(_) = answer.exit {
            let what = format!("{} died of {} when it listed its options", ffmpeg.display(), answer.exit);
            return Err(Failure::preflight(what).help(OTHER_BINARY));
        }
        detection.answer(answer.exit.is_success(), &answer.stdout, &answer.stderr);
    }
    detection.finish(&ffmpeg.display().to_string())
}

/// The FFmpeg that was built for viewers, if one is installed: in `../libexec/hls-swarm/` relative to this
/// program, beside this program, or in PATH, in this order. `None` = use the machine's own `ffmpeg`.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    find_in(program.as_deref(), std::env::var_os("PATH").as_deref())
}

/// The folders of PATH, and those of system programs, which are not in every user's PATH.
pub(crate) fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for system in ["/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !folders.contains(&system) {
            folders.push(system);
        }
    }
    folders
}

fn find_in(program: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let beside = program.and_then(Path::parent);
    let libexec = beside.and_then(Path::parent).map(|prefix| prefix.join("libexec/hls-swarm"));
    let in_path = path.into_iter().flat_map(std::env::split_paths);
    libexec
        .into_iter()
        .chain(beside.map(Path::to_owned))
        .chain(in_path)
        .map(|folder| folder.join(VIEWER_FFMPEG))
        .find(|file| is_program(file))
}

/// Whether a file can be executed.
pub(crate) fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions, write};

    use super::*;

    #[test]
    fn places_are_searched_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |place: &str| root.path().join(place);
        let program = at("bin/hls-swarm");
        let path = std::env::join_paths([at("else"), at("other")]).unwrap();
        let found = || find_in(Some(&program), Some(&path));
        assert_eq!(found(), None);
        for place in ["other", "else", "bin", "libexec/hls-swarm"] {
            create_dir_all(at(place)).unwrap();
            let file = at(place).join(VIEWER_FFMPEG);
            write(&file, "").unwrap();
            set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            assert_ne!(found().as_ref(), Some(&file), "a file that cannot be executed is skipped");
            set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
            assert_eq!(found(), Some(file), "{place} takes precedence over the places so far");
        }
    }
}
