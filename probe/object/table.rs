//! The sockets by file descriptor.
//!
//! One entry per descriptor below [`ROOM`], behind a try-lock: a signal handler that comes upon the
//! entry its own thread holds gives up and counts a lost fact; nothing ever waits for long. The
//! table is in zeroed memory that costs nothing until an entry is used.

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use crate::socket::Socket;
use crate::wire::end;
use crate::{pipe, sys};

/// Descriptors that can be followed. A viewer has about 20, but may inherit others.
pub(crate) const ROOM: usize = 4096;

struct Entry {
    held: AtomicBool,
    /// Send calls under way or not yet followed.
    sending: AtomicU32,
    socket: UnsafeCell<Socket>,
}

// SAFETY: only the thread that set `held` touches `socket`, see `with`.
unsafe impl Sync for Entry {}

static ENTRIES: [Entry; ROOM] = [const {
    Entry { held: AtomicBool::new(false), sending: AtomicU32::new(0), socket: UnsafeCell::new(Socket::NEW) }
}; ROOM];
/// Apart from the entries, so that checking a descriptor that is not a socket touches few pages.
static FOLLOWED: [AtomicBool; ROOM] = [const { AtomicBool::new(false) }; ROOM];
/// The TLS session that runs over the descriptor, 0 = none known.
static SESSIONS: [AtomicUsize; ROOM] = [const { AtomicUsize::new(0) }; ROOM];
/// One more than the highest descriptor followed so far.
static USED: AtomicUsize = AtomicUsize::new(0);

fn index(fd: c_int) -> Option<usize> {
    usize::try_from(fd).ok().filter(|&index| index < ROOM)
}

/// Whether the descriptor is a TCP socket on which a connect was seen.
pub(crate) fn is_followed(fd: c_int) -> bool {
    index(fd).and_then(|index| FOLLOWED.get(index)).is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// Whether events on the descriptor are followed.
pub(crate) fn watches(fd: c_int) -> bool {
    is_followed(fd) && pipe::is_open()
}

/// Does `work` with the socket of a followed descriptor. Counts a lost fact if another one is at it.
pub(crate) fn with(fd: c_int, work: impl FnOnce(&mut Socket)) {
    const TURNS: u32 = 4096;
    let Some(entry) = index(fd).and_then(|index| ENTRIES.get(index)) else { return };
    for _ in 0..TURNS {
        if !entry.held.swap(true, Ordering::Acquire) {
            // SAFETY: `held` was free and is ours until it is released below.
            work(unsafe { &mut *entry.socket.get() });
            entry.held.store(false, Ordering::Release);
            return;
        }
        core::hint::spin_loop();
    }
    pipe::lose();
}

/// A send call begins; [`send_ends`] when it has been followed.
pub(crate) fn send_begins(fd: c_int) {
    if let Some(entry) = index(fd).and_then(|index| ENTRIES.get(index)) {
        entry.sending.fetch_add(1, Ordering::Relaxed);
    }
}

/// See [`send_begins`].
pub(crate) fn send_ends(fd: c_int) {
    if let Some(entry) = index(fd).and_then(|index| ENTRIES.get(index)) {
        // Not below 0: the descriptor may have been connected again meanwhile.
        let less = |count: u32| count.checked_sub(1);
        let _ = entry.sending.fetch_update(Ordering::Release, Ordering::Relaxed, less);
    }
}

/// If one thread writes and another one reads, the response can be read before the wrapper of the
/// send call has seen the request: gives the sender the time it needs to come back from the kernel,
/// about 20 ms at most. Viewers that read where they write, as FFmpeg and curl do, never wait here.
pub(crate) fn let_sender_go_first(fd: c_int) {
    const TURNS: u32 = 200;
    const PAUSE_NS: u32 = 100_000;
    let Some(entry) = index(fd).and_then(|index| ENTRIES.get(index)) else { return };
    for _ in 0..TURNS {
        if entry.sending.load(Ordering::Acquire) == 0 {
            return;
        }
        let _ = sys::pause(PAUSE_NS);
    }
    pipe::lose();
}

/// Follows the descriptor from here on; `false` if there is no room for it.
pub(crate) fn follow(fd: c_int) -> bool {
    let Some(index) = index(fd) else {
        pipe::lose();
        return false;
    };
    if let (Some(flag), Some(session)) = (FOLLOWED.get(index), SESSIONS.get(index)) {
        session.store(0, Ordering::Relaxed);
        flag.store(true, Ordering::Relaxed);
    }
    if let Some(entry) = ENTRIES.get(index) {
        // A send call on the descriptor's former file may have been left by longjmp or cancellation.
        entry.sending.store(0, Ordering::Relaxed);
    }
    USED.fetch_max(index.wrapping_add(1), Ordering::Relaxed);
    true
}

/// Ends the socket of a descriptor that is about to be closed. A forked child does this only for its own sockets.
pub(crate) fn close(fd: c_int) {
    with(fd, |socket| {
        if socket.is_own() {
            socket.close(fd, end::CLOSED_BY_VIEWER, sys::now());
            if let Some(index) = index(fd)
                && let (Some(flag), Some(session)) = (FOLLOWED.get(index), SESSIONS.get(index))
            {
                flag.store(false, Ordering::Relaxed);
                session.store(0, Ordering::Relaxed);
            }
        }
    });
}

/// Notes that a TLS session runs over the descriptor, and over no other one.
pub(crate) fn bind_session(fd: c_int, session: usize) {
    let used = USED.load(Ordering::Relaxed);
    for (other, kept) in SESSIONS.iter().enumerate().take(used) {
        if Some(other) == index(fd) {
            kept.store(session, Ordering::Relaxed);
        } else if kept.load(Ordering::Relaxed) == session {
            kept.store(0, Ordering::Relaxed);
        }
    }
}

/// The descriptor over which a TLS session runs.
pub(crate) fn of_session(session: usize) -> Option<c_int> {
    let used = USED.load(Ordering::Relaxed);
    let found = SESSIONS.iter().take(used).position(|kept| kept.load(Ordering::Relaxed) == session)?;
    c_int::try_from(found).ok()
}

/// Reports everything that is still open, because the process ends.
pub(crate) fn process_ends() {
    if !pipe::is_open() {
        return;
    }
    for index in 0..USED.load(Ordering::Relaxed).min(ROOM) {
        let Ok(fd) = c_int::try_from(index) else { return };
        if is_followed(fd) {
            with(fd, |socket| {
                if socket.is_own() {
                    socket.close(fd, end::PROCESS_EXIT, sys::now());
                }
            });
        }
    }
}
