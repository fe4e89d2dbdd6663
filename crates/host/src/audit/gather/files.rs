//! Folders with playlists and segments on disk, and the file system of a container.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use hls_swarm_os::machine::Storage;

use crate::audit::facts::{File, Folder};
use crate::tuning::comparison::Disk;

/// Files that are read per folder.
const MAX_FILES: usize = 50_000;
const DEEPEST: usize = 12;
/// Size of the longest playlist that is read, bytes.
const LONGEST_PLAYLIST: u64 = 4 << 20;
/// Symbolic links on one path, as in the kernel.
const MAX_LINKS: usize = 40;

/// The root of a file system: `/`, or that of a container as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Root(PathBuf);

impl Root {
    /// Returns this machine's own root.
    pub(crate) fn own() -> Self {
        Self(PathBuf::from("/"))
    }

    /// Returns the root of the process `pid`.
    pub(crate) fn of_process(pid: u32) -> Self {
        Self(PathBuf::from(format!("/proc/{pid}/root")))
    }

    /// Returns the path under which this program reaches `path` of the file system. Symbolic links must be
    /// resolved before.
    pub(crate) fn outer(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Resolves symbolic links as a process with this root does. Absolute links of a container lead to its
    /// own files, not to those of this machine.
    pub(crate) fn resolve(&self, path: &Path) -> Option<PathBuf> {
        let mut waiting: Vec<PathBuf> = parts(path);
        let mut found = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = waiting.pop() {
            if part.as_os_str() == ".." {
                found.pop();
                continue;
            }
            let next = found.join(&part);
            // The kernel follows these into another file system, which the text of the link does not name.
            if self.0 == Path::new("/") && is_magic(&next) {
                found = next;
                continue;
            }
            match fs::read_link(self.outer(&next)) {
                Ok(target) if links < MAX_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    waiting.extend(parts(&target));
                }
                Ok(_) => return None,
                Err(_) => found = next,
            }
        }
        fs::symlink_metadata(self.outer(&found)).is_ok().then_some(found)
    }
}

/// Reports whether a path is `/proc/PID/root` or `/proc/PID/cwd`.
fn is_magic(path: &Path) -> bool {
    path.starts_with("/proc")
        && path.components().count() == 4
        && (path.ends_with("root") || path.ends_with("cwd"))
}

/// Returns the components of a path, the last one first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

/// Reads a folder and everything below it; `None` if it holds no playlist.
#[must_use]
pub(crate) fn scan(root: &Root, path: &Path) -> Option<Folder> {
    let inner = root.resolve(path)?;
    let outer = root.outer(&inner);
    let mut folder = Folder {
        path: inner.display().to_string(),
        root: root.0.display().to_string().trim_end_matches('/').to_owned(),
        in_memory: Storage::of(&outer).is_ok_and(|storage| storage.in_memory),
        ..Folder::default()
    };
    walk(&outer, &outer, 0, SystemTime::now(), &mut folder);
    folder.files.sort_by(|left, right| left.name.cmp(&right.name));
    folder.files.iter().any(|file| file.text.is_some()).then_some(folder)
}

fn walk(root: &Path, at: &Path, depth: usize, now: SystemTime, folder: &mut Folder) {
    for entry in fs::read_dir(at).into_iter().flatten().flatten() {
        if folder.files.len() >= MAX_FILES {
            folder.truncated = true;
            return;
        }
        let path = entry.path();
        // Links to directories are not followed, because they may lead out of the folder or in a circle.
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            let foreign = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name == "node_modules" || name.starts_with('.'));
            if foreign {
                continue;
            }
            if depth < DEEPEST {
                walk(root, &path, depth + 1, now, folder);
            } else {
                folder.truncated = true;
            }
        }
        let link = about.is_symlink() && fs::metadata(&path).is_ok_and(|target| target.is_file());
        let Some(name) =
            path.strip_prefix(root).ok().and_then(Path::to_str).filter(|_| about.is_file() || link)
        else {
            continue;
        };
        let about = fs::metadata(&path).unwrap_or(about);
        let age = about.modified().ok().and_then(|written| now.duration_since(written).ok());
        let playlist = [".m3u8", ".m3u"].iter().any(|ending| name.ends_with(ending));
        let text =
            (playlist && about.len() <= LONGEST_PLAYLIST).then(|| fs::read_to_string(&path).ok()).flatten();
        folder.files.push(File {
            name: name.to_owned(),
            bytes: about.len(),
            age_seconds: age.unwrap_or_default().as_secs(),
            text,
            media: !playlist && begins_like_media(&path),
            link,
        });
    }
}

/// Reports whether a file with the extension of a segment begins like one.
fn begins_like_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if !["ts", "m4s", "aac", "vtt"].contains(&extension) {
        return false;
    }
    let mut start = Vec::new();
    let Ok(file) = fs::File::open(path) else { return false };
    if file.take(189).read_to_end(&mut start).is_err() {
        return false;
    }
    let at = |index: usize| start.get(index).copied();
    match extension {
        // Packets of 188 bytes begin with 0x47.
        "ts" => at(0) == Some(0x47) && at(188).is_none_or(|byte| byte == 0x47),
        "m4s" => [&b"styp"[..], b"moof", b"sidx", b"emsg", b"prft"]
            .iter()
            .any(|kind| start.get(4..8) == Some(kind)),
        "aac" => {
            start.starts_with(b"ID3")
                || (at(0) == Some(0xff) && at(1).is_some_and(|byte| byte & 0xf0 == 0xf0))
        }
        _ => start.starts_with(b"WEBVTT"),
    }
}

/// Returns those of `all` that hold `folders`; `None` where that cannot be found out.
#[must_use]
pub(crate) fn disks_of(root: &Root, folders: &[Folder], all: &[Disk]) -> Option<Vec<Disk>> {
    let mut found: Vec<Disk> = Vec::new();
    for folder in folders.iter().filter(|folder| !folder.in_memory) {
        let device = fs::metadata(root.outer(Path::new(&folder.path))).ok()?.dev();
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn absolute_links_of_a_container_lead_to_its_own_files() {
        let folder = tempfile::TempDir::new().unwrap();
        let root = Root(folder.path().to_owned());
        fs::create_dir_all(folder.path().join("srv/a")).unwrap();
        fs::create_dir_all(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("srv/a/x"), "x").unwrap();
        symlink("/srv/a", folder.path().join("etc/b")).unwrap();
        symlink("../srv/./a/x", folder.path().join("etc/c")).unwrap();
        symlink("/etc/loop", folder.path().join("etc/loop")).unwrap();
        for (path, expected) in [
            ("/etc/b/x", Some("/srv/a/x")),
            ("/etc/c", Some("/srv/a/x")),
            ("/etc/../../srv/a", Some("/srv/a")),
            ("/etc/passwd", None),
            ("/etc/loop", None),
        ] {
            assert_eq!(root.resolve(Path::new(path)).as_deref(), expected.map(Path::new), "{path}");
        }
    }
}
