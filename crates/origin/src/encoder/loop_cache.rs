//! The cache of loops: a loop is encoded once for all starts with the same settings and the same FFmpeg.
//!
//! FFmpeg encodes into the runtime directory; the finished loop is then moved into the cache atomically. A lock
//! on the cache prevents two starts from encoding the same loop. The file name contains a hash of the settings
//! and a checksum of the contents, so that a damaged loop is detected.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, FileTimes, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use hls_swarm_base::error::Failure;
use hls_swarm_os::process::{Output, Program};

use crate::cli::OriginArgs;
use crate::encoder::argv;
use crate::profile::derived::Derived;
use crate::profile::stream::Stream;
use crate::run::programs::Programs;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::supervisor::SupervisedProcess;

/// Maximum number of loops in the cache; the least recently used ones are removed.
const MAX_LOOPS: usize = 8;
/// Time without output after which an encoder is considered to hang; even a very slow one writes sometimes.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The settings that a loop depends on, and the directory that it is created in.
#[derive(Debug)]
pub(crate) struct LoopEncoding<'a> {
    pub(crate) args: &'a OriginArgs,
    pub(crate) programs: &'a Programs,
    pub(crate) stream: &'a Stream,
    pub(crate) derived: &'a Derived,
    pub(crate) runtime_dir: &'a RuntimeDir,
    pub(crate) supervised: &'a SupervisedProcess,
}

impl LoopEncoding<'_> {
    /// Creates the loop in the runtime directory, from the cache or by encoding it. `always_encode` ignores the
    /// cache in order to measure the speed.
    ///
    /// Returns the encoding time, which is `None` for a cached loop; the outer `None` means that `stop` came
    /// first.
    pub(crate) async fn prepare(
        &self,
        always_encode: bool,
        stop: &CancellationToken,
    ) -> Result<Option<Option<Duration>>, Failure> {
        let Some(cache) = cache_directory(self.args.cache_dir.as_deref())? else {
            return Ok(self.encode(stop).await?.map(Some));
        };
        let Some(_lock) = lock(&cache, stop).await else { return Ok(None) };
        let key = self.key();
        if !always_encode && let Some(cached) = restore(&cache, &key, &self.runtime_dir.loop_file()) {
            tracing::debug!(file = %cached.display(), "using the cached loop");
            return Ok(Some(None));
        }
        let Some(time) = self.encode(stop).await? else { return Ok(None) };
        if let Err(error) = store(&self.runtime_dir.loop_file(), &cache, &key) {
            tracing::warn!(%error, cache = %cache.display(), "cannot cache the loop; the next start encodes it again");
        }
        evict_oldest(&cache);
        Ok(Some(Some(time)))
    }

    fn key(&self) -> String {
        let argv = argv::encode_loop(self.stream, self.derived, Path::new("loop"));
        loop_key(argv.iter().map(AsRef::as_ref), &self.programs.ffmpeg_version)
    }

    async fn encode(&self, stop: &CancellationToken) -> Result<Option<Duration>, Failure> {
        let Stream { variants, fps, loop_seconds, .. } = self.stream;
        let variants: Vec<_> =
            variants.iter().map(|variant| format!("{} at {} kbit/s", variant.size, variant.kbps)).collect();
        tracing::info!("encoding a loop of {loop_seconds} s ({}, {fps} fps)", variants.join(", "));
        let started = Instant::now();
        let argv = argv::encode_loop(self.stream, self.derived, &self.runtime_dir.loop_file());
        let mut program = Program::new(&self.args.ffmpeg, argv);
        program.stdout = Output::Discard;
        let output = self.runtime_dir.loop_file();
        let (exit, last_lines) = tokio::select! {
            exited = self.supervised.run_once(stop, &program) => exited?,
            () = stops_growing(&output, STALL_TIMEOUT) => {
                return Err(Failure::preflight(format!(
                    "{} has written nothing to the loop for {} s",
                    program.path.display(),
                    STALL_TIMEOUT.as_secs()
                ))
                .help("pass --ffmpeg PATH, or a --video-size that this machine can encode"));
            }
        };
        if stop.is_cancelled() {
            return Ok(None);
        }
        if !exit.is_success() {
            return Err(Failure::preflight(format!("{} cannot encode the loop: {exit}", program.path.display()))
                .caused_by(last_lines.unwrap_or_else(|| "it printed nothing".to_owned()))
                .help("pass --ffmpeg PATH of a build with the encoders libx264 and aac, and the sources testsrc2 and sine"));
        }
        let time = started.elapsed();
        tracing::info!("encoded in {:.1} s", time.as_secs_f32());
        Ok(Some(time))
    }
}

/// The cache directory, which is created if necessary; `None` if there is no usable place.
fn cache_directory(requested: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(requested) = requested {
        return create_writable(requested).map(|()| Some(requested.to_owned())).map_err(|error| {
            Failure::preflight(format!("cannot use the cache directory {}", requested.display()))
                .caused_by(error)
                .help("pass --cache-dir with a writable directory")
        });
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = variable("CACHE_DIRECTORY")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("hls-swarm")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/hls-swarm")))
        .filter(|directory| create_writable(directory).is_ok())
        .or_else(|| {
            let user = nix::unistd::geteuid();
            let shared = std::env::temp_dir().join(format!("hls-swarm-{user}"));
            // Anyone can create files in this directory, so only one that this user owns is safe.
            create_writable(&shared).ok()?;
            let found = std::fs::symlink_metadata(&shared).ok()?;
            (found.is_dir() && found.uid() == user.as_raw() && found.mode() & 0o022 == 0).then_some(shared)
        });
    if directory.is_none() {
        tracing::warn!(
            "no directory can be used as a cache, so every start encodes its loop; pass --cache-dir"
        );
    }
    Ok(directory)
}

/// Creates the directory, and checks that it is writable.
fn create_writable(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}

/// Waits for the lock on the cache. The outer `None` means that `stop` came first, the inner one that the file
/// system has no locks.
async fn lock(cache: &Path, stop: &CancellationToken) -> Option<Option<File>> {
    // The directory itself is locked, because a lock file could never be removed.
    let Ok(file) = File::open(cache) else { return Some(None) };
    let mut logged = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Some(Some(file)),
            Err(TryLockError::WouldBlock) if !logged => {
                tracing::info!("another origin is encoding; waiting for it");
                logged = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                // Network file systems may not support locks; then, two starts may both encode.
                tracing::debug!(%error, "cannot lock the cache");
                return Some(None);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
            () = stop.cancelled() => return None,
        }
    }
}

/// Returns when `file` has not grown for this time.
async fn stops_growing(file: &Path, timeout: Duration) {
    let length = || std::fs::metadata(file).map_or(0, |found| found.len());
    let mut known = length();
    loop {
        tokio::time::sleep(timeout).await;
        let now = length();
        if now == known {
            return;
        }
        known = now;
    }
}

/// Copies the cached loop with this key to `target`, and marks it as used. A damaged loop is removed.
fn restore(cache: &Path, key: &str, target: &Path) -> Option<PathBuf> {
    let prefix = format!("{key}-");
    let entries = std::fs::read_dir(cache).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let loops = entries.filter(|path| {
        let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
        name.starts_with(prefix.as_bytes()) && name.ends_with(b".nut")
    });
    for cached in loops {
        match copy(&cached, target) {
            Ok(sum) if cached.ends_with(file_name(key, &sum)) => {
                let used = FileTimes::new().set_modified(SystemTime::now());
                drop(File::options().write(true).open(&cached).and_then(|file| file.set_times(used)));
                return Some(cached);
            }
            Ok(_) => {
                tracing::warn!(file = %cached.display(), "the cached loop is damaged and will be encoded again");
                drop(std::fs::remove_file(&cached));
            }
            Err(error) => tracing::debug!(%error, file = %cached.display(), "cannot read the cached loop"),
        }
    }
    None
}

fn copy(from: &Path, to: &Path) -> std::io::Result<Checksum> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let (mut sum, mut buffer) = (Checksum::default(), vec![0; 64 << 10]);
    loop {
        let read = from.read(&mut buffer)?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok(sum);
        }
        to.write_all(piece)?;
        sum.add(piece);
    }
}

/// Moves a finished loop into the cache atomically.
fn store(encoded: &Path, cache: &Path, key: &str) -> std::io::Result<()> {
    let part = cache.join(format!("{key}.part"));
    let outcome = copy(encoded, &part).and_then(|sum| {
        File::open(&part)?.sync_all()?;
        std::fs::rename(&part, cache.join(file_name(key, &sum)))
    });
    if outcome.is_err() {
        drop(std::fs::remove_file(&part));
    }
    outcome
}

/// Removes the least recently used loops, and incomplete copies of starts that were killed.
fn evict_oldest(cache: &Path) {
    let Ok(entries) = std::fs::read_dir(cache) else { return };
    let is_loop =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"loop-"));
    let (loops, parts): (Vec<_>, Vec<_>) = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(is_loop)
        .partition(|path| path.extension().is_some_and(|end| end == "nut"));
    let mut loops: Vec<_> = loops
        .into_iter()
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    loops.sort();
    let excess = loops.len().saturating_sub(MAX_LOOPS);
    let parts = parts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "part"));
    for path in loops.into_iter().take(excess).map(|(_, path)| path).chain(parts) {
        drop(std::fs::remove_file(path));
    }
}

/// The key of a loop: a hash of the FFmpeg arguments (without the output file) and the version of FFmpeg.
#[must_use]
pub(crate) fn loop_key<'a>(argv: impl IntoIterator<Item = &'a OsStr>, version: &str) -> String {
    let mut hash = Fnv1a::new();
    for word in argv {
        hash.add(word.as_encoded_bytes());
    }
    hash.add(version.trim().as_bytes());
    format!("loop-{:016x}", hash.0)
}

/// File name of the loop with this key and this checksum.
#[must_use]
pub(crate) fn file_name(key: &str, checksum: &Checksum) -> String {
    format!("{key}-{:016x}.nut", checksum.0.0)
}

/// A checksum of the contents of a loop.
#[derive(Debug)]
pub(crate) struct Checksum(Fnv1a);

impl Default for Checksum {
    fn default() -> Self {
        Self(Fnv1a::new())
    }
}

impl Checksum {
    /// Adds bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0.add_byte(*byte));
    }
}

/// The 64-bit FNV-1a hash, which is stable, unlike the hash of the standard library.
#[derive(Debug)]
struct Fnv1a(u64);

impl Fnv1a {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds a word and a terminator, so that `ab c` and `a bc` differ.
    fn add(&mut self, word: &[u8]) {
        for byte in word.iter().copied().chain([0]) {
            self.add_byte(byte);
        }
    }

    const fn add_byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_loop_is_not_used_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let (encoded, target) = (folder.path().join("encoded"), folder.path().join("target"));
        let cache = folder.path().join("cache");
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(&encoded, [7; 100_000]).unwrap();
        store(&encoded, &cache, "loop-1").unwrap();
        assert_eq!(restore(&cache, "loop-2", &target), None);
        let cached = restore(&cache, "loop-1", &target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [7; 100_000]);
        // Truncated, as by a full disk.
        File::options().write(true).open(&cached).unwrap().set_len(50_000).unwrap();
        assert_eq!(restore(&cache, "loop-1", &target), None);
        assert!(!cached.exists(), "the damaged loop is removed");
    }

    #[tokio::test]
    async fn an_encoder_that_hangs_is_detected_and_a_slow_one_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("loop");
        let timeout = Duration::from_millis(300);
        let slow = async {
            for bytes in 1..6 {
                std::fs::write(&file, vec![0; bytes]).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            biased;
            () = slow => {}
            () = stops_growing(&file, timeout) => panic!("it grew"),
        }
        tokio::time::timeout(Duration::from_secs(10), stops_growing(&file, timeout)).await.unwrap();
    }

    fn name(argv: &[&str], version: &str) -> String {
        loop_key(argv.iter().map(OsStr::new), version)
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv1a::new();
        hash.add(b"");
        // One zero byte: offset basis times prime.
        assert_eq!(hash.0, 0xaf63_bd4c_8601_b7df);
    }

    #[test]
    fn the_key_depends_on_every_argument_and_the_version() {
        let base = name(&["-g", "60"], "ffmpeg version 5.1");
        assert_eq!(base, name(&["-g", "60"], "ffmpeg version 5.1\n"));
        assert_ne!(base, name(&["-g", "50"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g6", "0"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g", "60"], "ffmpeg version 7.1"));
    }
}
