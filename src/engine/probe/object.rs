//! The socket probe's shared object, ready for children to load: embedded at build time (`build.rs`),
//! held in a sealed memory file, or in a private temporary file where memory files cannot be used.
//!
//! Not responsible for the pipe that the probe writes into.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use hls_swarm_base::error::Failure;

/// The object as `build.rs` made it.
use hls_swarm_probe::OBJECT;

/// The probe's shared object, loadable until this value is dropped.
#[derive(Debug)]
pub struct ProbeObject {
    file: File,
    /// The path if it is not in memory; removed on drop.
    path: Option<PathBuf>,
}

impl ProbeObject {
    /// Puts the object into a sealed memory file, or else into a file (see [`ProbeObject::in_directory`]).
    ///
    /// # Errors
    /// Neither is possible.
    pub fn new() -> Result<Self, Failure> {
        match in_memory() {
            Ok(file) => Ok(Self { file, path: None }),
            Err(_) => Self::in_directory(),
        }
    }

    /// Puts the object into a temporary file that only this user can read and that is removed on drop. It is in the first
    /// usable directory of `$XDG_RUNTIME_DIR`, `$TMPDIR`, `/dev/shm` and `/tmp`.
    ///
    /// # Errors
    /// None of them is usable; `LD_PRELOAD` cannot contain a path with a space or a colon.
    pub fn in_directory() -> Result<Self, Failure> {
        let wanted = [env::var_os("XDG_RUNTIME_DIR"), env::var_os("TMPDIR")];
        let usual = [Some(OsString::from("/dev/shm")), Some(OsString::from("/tmp"))];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for directory in wanted.into_iter().chain(usual).flatten().map(PathBuf::from) {
            match in_file(&directory) {
                Ok((file, path)) => return Ok(Self { file, path: Some(path) }),
                Err(error) => last = error,
            }
        }
        Err(Failure::preflight("the socket probe could not be written to any temporary directory")
            .caused_by(last)
            .help("set TMPDIR to a writable directory whose path has no space or colon, or pass --probe off"))
    }

    /// The path, if it is not in memory; the guard removes it if this program cannot.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The descriptor that a child must inherit for [`ProbeObject::preload`] to hold. It is
    /// close-on-exec here: duplicate it in the child.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The value of `LD_PRELOAD` for a child that has [`ProbeObject::fd`] as its descriptor
    /// `in_child`; `already` is the value it would have without the probe, which stays in force.
    #[must_use]
    pub fn preload(&self, in_child: RawFd, already: Option<&OsStr>) -> OsString {
        let mut value = match &self.path {
            Some(path) => path.clone().into_os_string(),
            None => OsString::from(format!("/proc/self/fd/{in_child}")),
        };
        if let Some(already) = already.filter(|already| !already.is_empty()) {
            value.push(":");
            value.push(already);
        }
        value
    }
}

impl Drop for ProbeObject {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may be gone already; there is nothing more to do about it.
            drop(fs::remove_file(path));
        }
    }
}

fn in_memory() -> io::Result<File> {
    // Since Linux 6.3, a memory file should declare whether it will be executed as a program; this one is only mapped.
    // Older kernels refuse the flag.
    let not_a_program = MFdFlags::from_bits_retain(0x0008);
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let name = CString::from(c"hls-swarm-probe.so");
    let fd = match memfd_create(name.as_c_str(), flags | not_a_program) {
        Err(Errno::EINVAL) => memfd_create(name.as_c_str(), flags),
        result => result,
    }?;
    let mut file = File::from(fd);
    file.write_all(OBJECT)?;
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    // The dynamic linker of a child looks for it at this path.
    let found = fs::metadata(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let own = file.metadata()?;
    if (found.dev(), found.ino()) != (own.dev(), own.ino()) {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    Ok(file)
}

fn in_file(directory: &Path) -> io::Result<(File, PathBuf)> {
    let text = directory.as_os_str().as_encoded_bytes();
    if !directory.is_absolute() || text.iter().any(|byte| matches!(byte, b' ' | b':' | b'\t' | b'\n' | b'$'))
    {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let name = format!("hls-swarm-probe-{}-{:016x}.so", std::process::id(), fastrand::u64(..));
    let path = directory.join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o500).open(&path)?;
    if let Err(error) = file.write_all(OBJECT) {
        drop(fs::remove_file(&path));
        return Err(error);
    }
    // Reopened without the right to write: as long as a descriptor could write, some systems refuse
    // to execute from the file.
    let file = File::open(&path)?;
    Ok((file, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_in_memory_is_complete_and_sealed() {
        let object = ProbeObject::new().unwrap();
        assert!(object.path.is_none(), "this machine has memory files");
        let path = format!("/proc/self/fd/{}", object.fd().as_raw_fd());
        assert_eq!(fs::read(&path).unwrap(), OBJECT);
        let written = OpenOptions::new().write(true).open(&path).and_then(|mut file| file.write_all(b"x"));
        assert!(written.is_err(), "a sealed file takes no writes");
        assert_eq!(object.preload(9, None), "/proc/self/fd/9");
        assert_eq!(object.preload(9, Some(OsStr::new(""))), "/proc/self/fd/9");
        assert_eq!(object.preload(9, Some(OsStr::new("libother.so"))), "/proc/self/fd/9:libother.so");
    }

    #[test]
    fn the_object_in_a_file_is_removed_on_drop() {
        let object = ProbeObject::in_directory().unwrap();
        let path = object.path.clone().unwrap();
        assert_eq!(fs::read(&path).unwrap(), OBJECT);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o500);
        assert_eq!(object.preload(9, None), path.as_os_str());
        drop(object);
        assert!(!path.exists(), "the file is removed on drop");
    }

    #[test]
    fn a_directory_that_ld_preload_cannot_name_is_refused() {
        assert!(in_file(Path::new("/tmp/with space")).is_err());
        assert!(in_file(Path::new("relative")).is_err());
    }

    /// The table of sockets has to be all zero bytes; otherwise it would take space in the object and in every viewer.
    #[test]
    fn the_object_is_small() {
        assert!(OBJECT.len() < 200_000, "{} bytes", OBJECT.len());
    }

    #[test]
    fn no_panic_can_be_reached_in_the_probe() {
        let mark = b"hls-swarm-probe: a panic can be reached";
        assert!(!OBJECT.windows(mark.len()).any(|window| window == mark), "see probe/object/lib.rs");
    }
}
