//! The wrappers around OpenSSL's and GnuTLS's handshake, read and write calls: plain text under TLS.
//!
//! Which socket a session runs over is seen, not asked: FFmpeg gives both libraries functions of its
//! own for the transport, and these call `recv` and `send` on the same thread inside the TLS call.

use core::ffi::{c_int, c_void};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

use crate::sys::{self, real};
use crate::{pipe, table};

mod library {
    use super::*;
    real! {
        SSL_connect(session: *mut c_void) -> c_int, or -1;
        SSL_do_handshake(session: *mut c_void) -> c_int, or -1;
        SSL_read(session: *mut c_void, bytes: *mut c_void, len: c_int) -> c_int, or -1;
        SSL_read_ex(session: *mut c_void, bytes: *mut c_void, len: usize, read: *mut usize) -> c_int, or 0;
        SSL_write(session: *mut c_void, bytes: *const c_void, len: c_int) -> c_int, or -1;
        SSL_write_ex(session: *mut c_void, bytes: *const c_void, len: usize, written: *mut usize) -> c_int, or 0;
        SSL_get_shutdown(session: *const c_void) -> c_int, or 0;
        gnutls_handshake(session: *mut c_void) -> c_int, or -1;
        gnutls_record_send(session: *mut c_void, bytes: *const c_void, len: usize) -> isize, or -1;
        gnutls_record_recv(session: *mut c_void, bytes: *mut c_void, len: usize) -> isize, or -1;
    }
}

/// Threads that can be inside a TLS call at once; a viewer has one.
const CALLS: usize = 64;

/// One TLS call under way.
struct Call {
    /// See [`sys::thread`]; 0 = free.
    thread: AtomicUsize,
    /// Calls within calls: the library may call itself through its public names.
    depth: AtomicU32,
    /// Socket that moved bytes during the call, plus one; 0 = none.
    socket: AtomicI32,
}

static UNDER_WAY: [Call; CALLS] =
    [const { Call { thread: AtomicUsize::new(0), depth: AtomicU32::new(0), socket: AtomicI32::new(0) } };
        CALLS];
/// Calls under way, so that a socket call outside TLS costs one look.
static COUNT: AtomicU32 = AtomicU32::new(0);

fn own_call() -> Option<&'static Call> {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let thread = sys::thread();
    UNDER_WAY.iter().find(|call| call.thread.load(Ordering::Relaxed) == thread)
}

/// Whether the calling thread is inside a TLS call; if so, notes that the call uses this socket.
pub(crate) fn note_socket(fd: c_int) -> bool {
    own_call().map(|call| call.socket.store(fd.wrapping_add(1), Ordering::Relaxed)).is_some()
}

/// Result of one TLS call for its wrapper.
struct Seen {
    fd: c_int,
    started: u64,
}

/// Runs `call`, and returns its result and the socket that it used. `None` for a call within a call, a
/// session over a socket that is not followed, or a probe that is off.
fn watch<R>(session: *mut c_void, call: impl FnOnce() -> R) -> (R, Option<Seen>) {
    if !pipe::is_open() {
        return (call(), None);
    }
    let errno = sys::errno();
    if let Some(outer) = own_call() {
        outer.depth.fetch_add(1, Ordering::Relaxed);
        let result = call();
        outer.depth.fetch_sub(1, Ordering::Relaxed);
        return (result, None);
    }
    let thread = sys::thread();
    let free = UNDER_WAY
        .iter()
        .find(|call| call.thread.compare_exchange(0, thread, Ordering::Relaxed, Ordering::Relaxed).is_ok());
    let Some(own) = free else {
        pipe::lose();
        return (call(), None);
    };
    own.socket.store(0, Ordering::Relaxed);
    COUNT.fetch_add(1, Ordering::Relaxed);
    let started = sys::now();
    sys::set_errno(errno);
    let result = call();
    let socket = own.socket.load(Ordering::Relaxed).wrapping_sub(1);
    COUNT.fetch_sub(1, Ordering::Relaxed);
    own.thread.store(0, Ordering::Relaxed);
    let session = session as usize;
    let fd = if socket >= 0 {
        table::bind_session(socket, session);
        Some(socket)
    } else {
        table::of_session(session)
    };
    (result, fd.filter(|&fd| table::is_followed(fd)).map(|fd| Seen { fd, started }))
}

/// Records a handshake call: `is_done` interprets the result of the library.
fn handshake(session: *mut c_void, call: impl FnOnce() -> c_int, is_done: fn(c_int) -> bool) -> c_int {
    let (result, seen) = watch(session, call);
    if let Some(seen) = seen {
        let errno = sys::errno();
        table::with(seen.fd, |socket| socket.tls_handshake(seen.started, is_done(result)));
        sys::set_errno(errno);
    }
    result
}

/// Records `count` bytes of plain text at `bytes` that were sent.
///
/// # Safety
/// `bytes` is valid for `count` bytes.
unsafe fn wrote(seen: Option<Seen>, bytes: *const c_void, count: usize) {
    if let Some(seen) = seen
        && count > 0
        && !bytes.is_null()
    {
        let errno = sys::errno();
        // SAFETY: vouched for by the caller.
        let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), count) };
        table::with(seen.fd, |socket| socket.sent(seen.fd, bytes, seen.started));
        sys::set_errno(errno);
    }
}

/// How a read call of a TLS library ended.
enum Read {
    Bytes(usize),
    /// No plain text; the stream ended inside TLS.
    Ended,
    /// No plain text; if the socket ended or broke, that is the reason.
    Nothing,
}

/// Records plain text that was received.
///
/// # Safety
/// `bytes` is valid for the number of bytes in `read`.
unsafe fn was_read(seen: Option<Seen>, bytes: *const c_void, read: &Read) {
    let Some(Seen { fd, .. }) = seen else { return };
    let errno = sys::errno();
    let now = sys::now();
    table::with(fd, |socket| match *read {
        Read::Bytes(count) if count > 0 && !bytes.is_null() => {
            // SAFETY: vouched for by the caller.
            let bytes = unsafe { core::slice::from_raw_parts(bytes.cast::<u8>(), count) };
            socket.received(fd, bytes, now);
        }
        Read::Bytes(_) => {}
        Read::Ended => socket.tls_read_ended(fd, true, now),
        Read::Nothing => socket.tls_read_ended(fd, false, now),
    });
    sys::set_errno(errno);
}

/// OpenSSL's way of saying that the peer's close_notify came.
///
/// # Safety
/// `session` is the one the library was just called with.
unsafe fn openssl_ended(session: *mut c_void) -> Read {
    const SSL_RECEIVED_SHUTDOWN: c_int = 2;
    // SAFETY: vouched for by the caller; the call only reads the session.
    if unsafe { library::SSL_get_shutdown(session) } & SSL_RECEIVED_SHUTDOWN != 0 {
        Read::Ended
    } else {
        Read::Nothing
    }
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_connect(session: *mut c_void) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    handshake(session, || unsafe { library::SSL_connect(session) }, |result| result == 1)
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_do_handshake(session: *mut c_void) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    handshake(session, || unsafe { library::SSL_do_handshake(session) }, |result| result == 1)
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_read(session: *mut c_void, bytes: *mut c_void, len: c_int) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::SSL_read(session, bytes, len) });
    if seen.is_some() {
        let read = match usize::try_from(result) {
            Ok(count) if count > 0 => Read::Bytes(count),
            // SAFETY: the session is the one just used.
            _ => unsafe { openssl_ended(session) },
        };
        // SAFETY: the real function filled as many bytes as it returned.
        unsafe { was_read(seen, bytes, &read) };
    }
    result
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_read_ex(
    session: *mut c_void,
    bytes: *mut c_void,
    len: usize,
    read: *mut usize,
) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::SSL_read_ex(session, bytes, len, read) });
    if seen.is_some() {
        let what = if result == 1 && !read.is_null() {
            // SAFETY: the real function wrote the count there.
            Read::Bytes(unsafe { *read })
        } else {
            // SAFETY: the session is the one just used.
            unsafe { openssl_ended(session) }
        };
        // SAFETY: the real function filled as many bytes as it said.
        unsafe { was_read(seen, bytes, &what) };
    }
    result
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_write(session: *mut c_void, bytes: *const c_void, len: c_int) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::SSL_write(session, bytes, len) });
    // SAFETY: the real function took as many bytes as it returned.
    unsafe { wrote(seen, bytes, usize::try_from(result).unwrap_or(0)) };
    result
}

/// Wraps OpenSSL's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn SSL_write_ex(
    session: *mut c_void,
    bytes: *const c_void,
    len: usize,
    written: *mut usize,
) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::SSL_write_ex(session, bytes, len, written) });
    if result == 1 && !written.is_null() {
        // SAFETY: the real function wrote the count there, and took as many bytes.
        unsafe { wrote(seen, bytes, *written) };
    }
    result
}

/// Wraps GnuTLS's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_handshake(session: *mut c_void) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    handshake(session, || unsafe { library::gnutls_handshake(session) }, |result| result == 0)
}

/// Wraps GnuTLS's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_record_send(session: *mut c_void, bytes: *const c_void, len: usize) -> isize {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::gnutls_record_send(session, bytes, len) });
    // SAFETY: the real function took as many bytes as it returned.
    unsafe { wrote(seen, bytes, usize::try_from(result).unwrap_or(0)) };
    result
}

/// Wraps GnuTLS's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn gnutls_record_recv(session: *mut c_void, bytes: *mut c_void, len: usize) -> isize {
    // SAFETY: the caller's arguments go to the real function.
    let (result, seen) = watch(session, || unsafe { library::gnutls_record_recv(session, bytes, len) });
    let read = match usize::try_from(result) {
        Ok(0) if len > 0 => Read::Ended,
        Ok(count) => Read::Bytes(count),
        Err(_) => Read::Nothing,
    };
    // SAFETY: the real function filled as many bytes as it returned.
    unsafe { was_read(seen, bytes, &read) };
    result
}
