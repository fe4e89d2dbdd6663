//! Folders with playlists and segments, as they are on disk. What they mean is not known here.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hls_swarm_os::machine::Storage;

use crate::audit::facts::{File, Folder};
use crate::tuning::comparison::Disk;

/// Files looked at per folder.
const MOST_FILES: usize = 50_000;
const DEEPEST: usize = 6;
/// Longer texts are no playlists of a live stream.
const LONGEST_PLAYLIST: u64 = 4 << 20;

/// Looks at a folder and everything below it; none if it holds no playlist.
#[must_use]
pub fn scan(path: &Path) -> Option<Folder> {
    let path = fs::canonicalize(path).ok()?;
    let mut folder = Folder {
        path: path.display().to_string(),
        in_memory: Storage::of(&path).is_ok_and(|storage| storage.in_memory),
        ..Folder::default()
    };
    walk(&path, &path, 0, SystemTime::now(), &mut folder);
    folder.files.sort_by(|left, right| left.name.cmp(&right.name));
    folder.files.iter().any(|file| file.text.is_some()).then_some(folder)
}

fn walk(root: &Path, at: &Path, depth: usize, now: SystemTime, folder: &mut Folder) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if folder.files.len() >= MOST_FILES {
            folder.truncated = true;
            return;
        }
        let path = entry.path();
        // A link that leads out of the folder would be walked for ever.
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() && depth < DEEPEST {
            walk(root, &path, depth + 1, now, folder);
        }
        let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str).filter(|_| about.is_file())
        else {
            continue;
        };
        let age = about.modified().ok().and_then(|written| now.duration_since(written).ok());
        let playlist = name.ends_with(".m3u8") && about.len() <= LONGEST_PLAYLIST;
        folder.files.push(File {
            name: name.to_owned(),
            bytes: about.len(),
            age_seconds: age.unwrap_or_default().as_secs(),
            text: playlist.then(|| fs::read_to_string(&path).ok()).flatten(),
        });
    }
}

/// Those of `all` that `folders` lie on; `None` where that cannot be told.
#[must_use]
pub fn disks_of(folders: &[Folder], all: &[Disk]) -> Option<Vec<Disk>> {
    let mut found: Vec<Disk> = Vec::new();
    for folder in folders.iter().filter(|folder| !folder.in_memory) {
        let device = fs::metadata(&folder.path).ok()?.dev();
        let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
        let block = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        let names: Vec<PathBuf> = block.ancestors().map(Path::to_path_buf).collect();
        let of_folder = all.iter().filter(|disk| {
            names.iter().any(|path| path.file_name().is_some_and(|name| name == disk.name.as_str()))
        });
        found.extend(of_folder.cloned());
    }
    found.dedup();
    Some(found)
}
