//! Where an FFmpeg that was built for viewers only lies, if one is installed (docs/viewer-ffmpeg.md).

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Its name. Not `ffmpeg`: it can do nothing but play.
const NAME: &str = "hls-viewer-ffmpeg";

/// The first one of: `../libexec/hls-swarm/` from where this program lies, beside this program, in
/// PATH. `None` leaves the machine's own `ffmpeg`.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    among(program.as_deref(), std::env::var_os("PATH").as_deref())
}

fn among(program: Option<&Path>, path: Option<&OsStr>) -> Option<PathBuf> {
    let beside = program.and_then(Path::parent);
    let libexec = beside.and_then(Path::parent).map(|prefix| prefix.join("libexec/hls-swarm"));
    let in_path = path.into_iter().flat_map(std::env::split_paths);
    libexec
        .into_iter()
        .chain(beside.map(Path::to_owned))
        .chain(in_path)
        .map(|folder| folder.join(NAME))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir_all, set_permissions, write};

    use super::*;

    #[test]
    fn the_places_are_tried_in_the_order_of_the_documentation() {
        let root = tempfile::tempdir().unwrap();
        let at = |place: &str| root.path().join(place);
        let program = at("bin/hls-swarm");
        let path = std::env::join_paths([at("else"), at("other")]).unwrap();
        let found = || among(Some(&program), Some(&path));
        assert_eq!(found(), None);
        for place in ["other", "else", "bin", "libexec/hls-swarm"] {
            create_dir_all(at(place)).unwrap();
            let file = at(place).join(NAME);
            write(&file, "").unwrap();
            set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
            assert_ne!(found().as_ref(), Some(&file), "what cannot be run is no program");
            set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
            assert_eq!(found(), Some(file), "{place} goes before the places so far");
        }
    }
}
