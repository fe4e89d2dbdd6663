//! The loop: encoded once for all starts with the same settings and the same FFmpeg.
//!
//! FFmpeg encodes into the private directory; a whole loop is then put into the cache under its final
//! name in one step. A lock on the cache keeps two starts from encoding the same.

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
use crate::run::programs::Tools;
use crate::run::runtime_dir::RuntimeDir;
use crate::run::supervisor::SupervisedProcess;

/// Loops kept in the cache; the ones unused for longest go first.
const KEPT_LOOPS: usize = 8;
/// An encoder that has written nothing for so long hangs: even one that is much too slow writes now and then.
const QUIET: Duration = Duration::from_secs(60);

/// Everything a loop depends on, and where it goes.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) args: &'a OriginArgs,
    pub(crate) tools: &'a Tools,
    pub(crate) stream: &'a Stream,
    pub(crate) derived: &'a Derived,
    pub(crate) runtime_dir: &'a RuntimeDir,
    pub(crate) supervised: &'a SupervisedProcess,
}

impl Job<'_> {
    /// Puts the loop into the private directory, from the cache (unless encoding is to be `measured`) or
    /// by encoding, and tells how long that took. None when `stop` came first.
    pub(crate) async fn make_ready(
        &self,
        measured: bool,
        stop: &CancellationToken,
    ) -> Result<Option<Option<Duration>>, Failure> {
        let Some(cache) = cache_directory(self.args.cache_dir.as_deref())? else {
            return Ok(self.encode(stop).await?.map(Some));
        };
        let Some(_lock) = lock(&cache, stop).await else { return Ok(None) };
        let key = self.key();
        if !measured && let Some(cached) = take(&cache, &key, &self.runtime_dir.loop_file()) {
            tracing::debug!(file = %cached.display(), "the loop comes from the cache");
            return Ok(Some(None));
        }
        let Some(time) = self.encode(stop).await? else { return Ok(None) };
        if let Err(error) = keep(&self.runtime_dir.loop_file(), &cache, &key) {
            tracing::warn!(%error, cache = %cache.display(), "cannot cache the loop; the next start encodes again");
        }
        forget_oldest(&cache);
        Ok(Some(Some(time)))
    }

    fn key(&self) -> String {
        let argv = argv::encode_loop(self.stream, self.derived, Path::new("loop"));
        loop_key(argv.iter().map(AsRef::as_ref), &self.tools.ffmpeg_version)
    }

    async fn encode(&self, stop: &CancellationToken) -> Result<Option<Duration>, Failure> {
        let Stream { variants, fps, loop_seconds, .. } = self.stream;
        let variants: Vec<_> =
            variants.iter().map(|variant| format!("{} at {} kbit/s", variant.size, variant.kbps)).collect();
        tracing::info!("encoding a loop of {loop_seconds} s ({}, {fps} fps), once", variants.join(", "));
        let started = Instant::now();
        let argv = argv::encode_loop(self.stream, self.derived, &self.runtime_dir.loop_file());
        let mut program = Program::new(&self.args.ffmpeg, argv);
        program.stdout = Output::Discard;
        let made = self.runtime_dir.loop_file();
        let (ending, words) = tokio::select! {
            lived = self.supervised.live(stop, &program) => lived?,
            () = stands_still(&made, QUIET) => {
                return Err(Failure::preflight(format!(
                    "{} has added nothing to the loop for {} s",
                    program.path.display(),
                    QUIET.as_secs()
                ))
                .help("pass --ffmpeg PATH, or a --video-size that this machine can encode"));
            }
        };
        if stop.is_cancelled() {
            return Ok(None);
        }
        if !ending.is_success() {
            return Err(Failure::preflight(format!("{} cannot encode the loop: {ending}", program.path.display()))
                .caused_by(words.unwrap_or_else(|| "it said nothing".to_owned()))
                .help("it needs the encoders libx264 and aac, and the sources testsrc2 and sine; pass --ffmpeg PATH"));
        }
        let time = started.elapsed();
        tracing::info!("encoded in {:.1} s", time.as_secs_f32());
        Ok(Some(time))
    }
}

/// The cache, made if need be. None when there is no place for one.
fn cache_directory(asked: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    if let Some(asked) = asked {
        return make(asked).map(|()| Some(asked.to_owned())).map_err(|error| {
            Failure::preflight(format!("cannot use the cache {}", asked.display()))
                .caused_by(error)
                .help("pass --cache-dir with a directory that you may write to")
        });
    }
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = variable("CACHE_DIRECTORY")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("hls-swarm")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/hls-swarm")))
        .filter(|directory| make(directory).is_ok())
        .or_else(|| {
            let own = nix::unistd::geteuid();
            let shared = std::env::temp_dir().join(format!("hls-swarm-{own}"));
            // Everybody may write next to it: only a directory of our own can be trusted.
            make(&shared).ok()?;
            let found = std::fs::symlink_metadata(&shared).ok()?;
            (found.is_dir() && found.uid() == own.as_raw() && found.mode() & 0o022 == 0).then_some(shared)
        });
    if directory.is_none() {
        tracing::warn!("there is no place for a cache, so every start encodes its loop; pass --cache-dir");
    }
    Ok(directory)
}

/// Makes the directory and tries whether it can be written to.
fn make(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)?;
    Ok(())
}

/// Waits for the lock on the cache. None when `stop` came first.
async fn lock(cache: &Path, stop: &CancellationToken) -> Option<Option<File>> {
    // The directory itself is locked: a lock file would have to be left behind.
    let Ok(file) = File::open(cache) else { return Some(None) };
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Some(Some(file)),
            Err(TryLockError::WouldBlock) if !told => {
                tracing::info!("another start is encoding; waiting for it");
                told = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                // Network file systems may not lock; then two starts may both encode, no more.
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

/// Returns when `file` has not grown for at least so long.
async fn stands_still(file: &Path, quiet: Duration) {
    let length = || std::fs::metadata(file).map_or(0, |found| found.len());
    let mut known = length();
    loop {
        tokio::time::sleep(quiet).await;
        let now = length();
        if now == known {
            return;
        }
        known = now;
    }
}

/// Copies the cached loop of this key, and marks it as used. One that is not what was put there goes.
fn take(cache: &Path, key: &str, target: &Path) -> Option<PathBuf> {
    let mine = format!("{key}-");
    let entries = std::fs::read_dir(cache).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let loops = entries.filter(|path| {
        let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
        name.starts_with(mine.as_bytes()) && name.ends_with(b".nut")
    });
    for cached in loops {
        match copy(&cached, target) {
            Ok(sum) if cached.ends_with(file_name(key, &sum)) => {
                let used = FileTimes::new().set_modified(SystemTime::now());
                drop(File::options().write(true).open(&cached).and_then(|file| file.set_times(used)));
                return Some(cached);
            }
            Ok(_) => {
                tracing::warn!(file = %cached.display(), "the cached loop is damaged, and encoded anew");
                drop(std::fs::remove_file(&cached));
            }
            Err(error) => tracing::debug!(%error, file = %cached.display(), "cannot take the cached loop"),
        }
    }
    None
}

fn copy(from: &Path, to: &Path) -> std::io::Result<Sum> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let (mut sum, mut buffer) = (Sum::default(), vec![0; 64 << 10]);
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

/// Puts a whole loop into the cache in one step.
fn keep(made: &Path, cache: &Path, key: &str) -> std::io::Result<()> {
    let part = cache.join(format!("{key}.part"));
    let outcome = copy(made, &part).and_then(|sum| {
        File::open(&part)?.sync_all()?;
        std::fs::rename(&part, cache.join(file_name(key, &sum)))
    });
    if outcome.is_err() {
        drop(std::fs::remove_file(&part));
    }
    outcome
}

/// Removes what is too much, and what a start that was killed left half copied.
fn forget_oldest(cache: &Path) {
    let Ok(entries) = std::fs::read_dir(cache) else { return };
    let ours =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"loop-"));
    let (loops, parts): (Vec<_>, Vec<_>) = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(ours)
        .partition(|path| path.extension().is_some_and(|end| end == "nut"));
    let mut loops: Vec<_> = loops
        .into_iter()
        .filter_map(|path| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    loops.sort();
    let excess = loops.len().saturating_sub(KEPT_LOOPS);
    let parts = parts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "part"));
    for path in loops.into_iter().take(excess).map(|(_, path)| path).chain(parts) {
        drop(std::fs::remove_file(path));
    }
}

/// What the name of the loop begins with that `argv` makes with the FFmpeg that calls itself `version`. The
/// target must not be among `argv`.
#[must_use]
pub fn loop_key<'a>(argv: impl IntoIterator<Item = &'a OsStr>, version: &str) -> String {
    let mut hash = Fnv::new();
    for word in argv {
        hash.take(word.as_encoded_bytes());
    }
    hash.take(version.trim().as_bytes());
    format!("loop-{:016x}", hash.0)
}

/// File name of the loop with this key and these contents.
#[must_use]
pub fn file_name(key: &str, contents: &Sum) -> String {
    format!("{key}-{:016x}.nut", contents.0.0)
}

/// A sum over the contents of a loop.
#[derive(Debug)]
pub struct Sum(Fnv);

impl Default for Sum {
    fn default() -> Self {
        Self(Fnv::new())
    }
}

impl Sum {
    /// Adds the next piece.
    pub fn add(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0.byte(*byte));
    }
}

/// FNV-1a, 64 bits: a hash whose values never change, unlike the standard library's.
#[derive(Debug)]
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Takes a word and its end, so that `ab c` and `a bc` differ.
    fn take(&mut self, word: &[u8]) {
        for byte in word.iter().copied().chain([0]) {
            self.byte(byte);
        }
    }

    const fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_loop_is_not_taken_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let (made, target) = (folder.path().join("made"), folder.path().join("target"));
        let cache = folder.path().join("cache");
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(&made, [7; 100_000]).unwrap();
        keep(&made, &cache, "loop-1").unwrap();
        assert_eq!(take(&cache, "loop-2", &target), None);
        let cached = take(&cache, "loop-1", &target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [7; 100_000]);
        // Cut short, as by a disk that was full.
        File::options().write(true).open(&cached).unwrap().set_len(50_000).unwrap();
        assert_eq!(take(&cache, "loop-1", &target), None);
        assert!(!cached.exists(), "it is gone, and the next start finds a good one");
    }

    #[tokio::test]
    async fn an_encoder_that_hangs_is_noticed_and_one_that_is_slow_is_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("loop");
        let quiet = Duration::from_millis(300);
        let slow = async {
            for bytes in 1..6 {
                std::fs::write(&file, vec![0; bytes]).unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            biased;
            () = slow => {}
            () = stands_still(&file, quiet) => panic!("it grew"),
        }
        tokio::time::timeout(Duration::from_secs(10), stands_still(&file, quiet)).await.unwrap();
    }

    fn name(argv: &[&str], version: &str) -> String {
        loop_key(argv.iter().map(OsStr::new), version)
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv::new();
        hash.take(b"");
        // One zero byte: offset basis times prime.
        assert_eq!(hash.0, 0xaf63_bd4c_8601_b7df);
    }

    #[test]
    fn every_setting_and_the_version_count() {
        let base = name(&["-g", "60"], "ffmpeg version 5.1");
        assert_eq!(base, name(&["-g", "60"], "ffmpeg version 5.1\n"));
        assert_ne!(base, name(&["-g", "50"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g6", "0"], "ffmpeg version 5.1"));
        assert_ne!(base, name(&["-g", "60"], "ffmpeg version 7.1"));
    }
}
