//! The pipe for records: non-blocking and shared by all viewers; a record is written whole or not at all.

use core::ffi::{c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::sys;
use crate::wire::{self, BodyChunk, Record, kind};

/// The pipe's descriptor plus one; 0 = the probe is off.
static PIPE: AtomicI32 = AtomicI32::new(0);
/// The most unread bytes in the pipe at which a piece of a body may be written: the rest is for facts.
static ROOM_FOR_BODIES: AtomicI32 = AtomicI32::new(0);
/// Inode of the pipe: the host process may close the descriptor and get its number for another file.
static INODE: AtomicU64 = AtomicU64::new(0);
static VIEWER: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// The process that the two counters below belong to; a forked child counts from 0 again.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// See [`sys::tick`].
static TICK: AtomicU64 = AtomicU64::new(0);
static SEQUENCE: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Whether records can be written.
pub(crate) fn is_open() -> bool {
    PIPE.load(Ordering::Relaxed) != 0
}

/// Reads the environment, and writes a HELLO if it names a non-blocking pipe.
pub(crate) fn open() {
    let Some([fd, viewer, generation]) = environment() else { return };
    let Some(number) = c_int::try_from(fd).ok().filter(|&fd| fd < c_int::MAX) else { return };
    let Some(inode) = pipe_inode(number) else { return };
    // A blocking pipe could stop the viewer, which must never happen.
    if !sys::is_non_blocking(number) {
        return;
    }
    ROOM_FOR_BODIES.store(sys::pipe_capacity(number).wrapping_div(2), Ordering::Relaxed);
    INODE.store(inode, Ordering::Relaxed);
    VIEWER.store(viewer, Ordering::Relaxed);
    GENERATION.store(generation, Ordering::Relaxed);
    PROCESS.store(sys::pid(), Ordering::Relaxed);
    TICK.store(sys::tick(), Ordering::Relaxed);
    PIPE.store(number.wrapping_add(1), Ordering::Release);
    let mut hello = Record::EMPTY;
    hello.kind = kind::HELLO;
    hello.started_ns = sys::now();
    if !crate::network::is_readable() {
        hello.error = wire::BAD_NETWORK;
    }
    write(hello);
}

/// The kernel's clock tick, nanoseconds.
pub(crate) fn tick() -> u64 {
    TICK.load(Ordering::Relaxed)
}

/// The viewer's number, from 1.
pub(crate) fn viewer() -> u32 {
    VIEWER.load(Ordering::Relaxed)
}

/// Ends all writing; later calls of the host process pass through.
pub(crate) fn shut() {
    PIPE.store(0, Ordering::Relaxed);
}

/// Counts one fact that could not be recorded.
pub(crate) fn lose() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// The pipe's descriptor, if it still is one.
fn pipe() -> Option<c_int> {
    let fd = PIPE.load(Ordering::Acquire).wrapping_sub(1);
    if fd < 0 {
        return None;
    }
    if pipe_inode(fd) != Some(INODE.load(Ordering::Relaxed)) {
        shut();
        return None;
    }
    Some(fd)
}

/// Fills in the identity of the writer, and writes a piece of a body; returns whether it fitted. Bodies are
/// not facts: one that does not fit is not counted as lost, and they leave half of the pipe to facts, however
/// many viewers read playlists of any size.
pub(crate) fn write_piece(piece: &mut BodyChunk) -> bool {
    let Some(fd) = pipe() else { return false };
    let full = sys::unread(fd).is_none_or(|unread| unread > ROOM_FOR_BODIES.load(Ordering::Relaxed));
    if full {
        return false;
    }
    (piece.magic, piece.version, piece.kind) = (wire::MAGIC, wire::VERSION, kind::BODY);
    piece.viewer = VIEWER.load(Ordering::Relaxed);
    piece.generation = GENERATION.load(Ordering::Relaxed);
    piece.pid = sys::pid();
    let bytes = piece.as_bytes();
    write_without_signal(fd, bytes).0 == isize::try_from(bytes.len()).unwrap_or(0)
}

/// Fills in the identity of the writer, and writes the record.
pub(crate) fn write(mut record: Record) {
    let Some(fd) = pipe() else { return };
    let pid = sys::pid();
    if PROCESS.swap(pid, Ordering::Relaxed) != pid {
        SEQUENCE.store(0, Ordering::Relaxed);
        LOST.store(0, Ordering::Relaxed);
    }
    record.viewer = VIEWER.load(Ordering::Relaxed);
    record.generation = GENERATION.load(Ordering::Relaxed);
    record.pid = pid;
    record.sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    record.lost = LOST.load(Ordering::Relaxed);
    let (written, errno) = write_without_signal(fd, record.as_bytes());
    if written != isize::try_from(wire::RECORD_BYTES).unwrap_or(0) {
        lose();
        if errno != sys::EAGAIN && errno != sys::EINTR {
            shut();
        }
    }
}

/// `write()` that raises no SIGPIPE in the host process when the pipe no longer has a reader.
fn write_without_signal(fd: c_int, bytes: &[u8]) -> (isize, c_int) {
    const SIG_BLOCK: c_int = 0;
    const SIG_SETMASK: c_int = 2;
    /// Room of glibc's and musl's `sigset_t`.
    const WORDS: usize = 16;
    let mut sigpipe = [0_u64; WORDS];
    sigpipe[0] = 1 << 12;
    let mut old = [0_u64; WORDS];
    let mut pending = [0_u64; WORDS];
    let no_time = [0_i64; 2];
    // SAFETY: every pointer is to a local of the size that the C library expects, valid for the call.
    unsafe {
        let blocked = sys::pthread_sigmask(SIG_BLOCK, sigpipe.as_ptr(), old.as_mut_ptr()) == 0;
        sys::sigpending(pending.as_mut_ptr());
        let written = sys::write(fd, bytes.as_ptr().cast(), bytes.len());
        let errno = if written < 0 { sys::errno() } else { 0 };
        const EPIPE: c_int = 32;
        if blocked {
            // A signal that was pending before is the host's own and stays.
            if errno == EPIPE && pending[0] & sigpipe[0] == 0 {
                sys::sigtimedwait(sigpipe.as_ptr(), ptr::null_mut(), no_time.as_ptr().cast());
            }
            sys::pthread_sigmask(SIG_SETMASK, old.as_ptr(), ptr::null_mut());
        }
        (written, errno)
    }
}

/// The inode behind `fd` if that is a pipe.
fn pipe_inode(fd: c_int) -> Option<u64> {
    const AT_EMPTY_PATH: c_int = 0x1000;
    const STATX_TYPE_AND_INO: u32 = 0x1 | 0x100;
    const S_IFMT: u64 = 0o170_000;
    const S_IFIFO: u64 = 0o010_000;
    // `struct statx` has 256 bytes; the mode is at offset 28 (16 bits), the inode at 32 (64 bits).
    let mut facts = [0_u64; 32];
    // SAFETY: the path is an empty, NUL-terminated text and `facts` has the room that statx fills.
    let result = unsafe {
        sys::statx(fd, c"".as_ptr(), AT_EMPTY_PATH, STATX_TYPE_AND_INO, facts.as_mut_ptr().cast::<c_void>())
    };
    let mode = match facts[3].to_ne_bytes() {
        [_, _, _, _, low, high, _, _] => u64::from(u16::from_ne_bytes([low, high])),
    };
    (result == 0 && mode & S_IFMT == S_IFIFO).then_some(facts[4])
}

/// The three numbers of `FD:VIEWER:GENERATION`.
fn environment() -> Option<[u32; 3]> {
    const NAME: &core::ffi::CStr = c"HLS_SWARM_PROBE_PIPE";
    const _: () = assert!(wire::ENVIRONMENT.len() == NAME.count_bytes());
    // SAFETY: the name is NUL-terminated.
    let value = unsafe { sys::getenv(NAME.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returns a NUL-terminated text.
    let value = unsafe { core::ffi::CStr::from_ptr(value) }.to_bytes();
    let mut parts = value.split(|&byte| byte == b':');
    let numbers = [number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?];
    parts.next().is_none().then_some(numbers)
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut value = 0_u32;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u32::from(digit))?;
    }
    Some(value)
}
