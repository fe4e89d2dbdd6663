//! The wrappers around the C library's calls that make and end connections.
//!
//! Each calls the real function first (`close` and `shutdown` last), and then looks at what came of
//! it, if it is about a TCP socket.

use core::ffi::{c_char, c_int, c_void};

use crate::lookups;
use crate::peer::Peer;
use crate::sys::{self, Addrinfo};
use crate::{network, pipe, table};

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn getaddrinfo(
    node: *const c_char,
    service: *const c_char,
    hints: *const Addrinfo,
    result: *mut *mut Addrinfo,
) -> c_int {
    const AI_NUMERICHOST: c_int = 4;
    // SAFETY: the caller's arguments go to the real function; `is_name` takes what it takes, and the
    // hints are null or valid.
    let (is_name, flags) = unsafe { (lookups::is_name(node), hints.as_ref().map_or(0, |hints| hints.flags)) };
    if flags & AI_NUMERICHOST == 0 {
        // SAFETY: node and service are null or zero-terminated, as the real function wants them.
        let instead = unsafe { network::stands_for(node, service, pipe::viewer().saturating_sub(1)) };
        if let Some(instead) = instead {
            // SAFETY: as below; the text is zero-terminated. Nothing is looked up, so nothing is timed.
            return unsafe { sys::getaddrinfo(instead.as_ptr().cast(), service, hints, result) };
        }
    }
    // FFmpeg asks this way whether a text is an address in digits; that looks up nothing.
    if !pipe::is_open() || !is_name || flags & AI_NUMERICHOST != 0 {
        // SAFETY: as above.
        return unsafe { sys::getaddrinfo(node, service, hints, result) };
    }
    let before = sys::errno();
    let started = sys::now();
    sys::set_errno(before);
    // SAFETY: as above.
    let code = unsafe { sys::getaddrinfo(node, service, hints, result) };
    let errno = sys::errno();
    let now = sys::now();
    if code != 0 {
        lookups::failed(code, started, now);
    } else if !result.is_null() {
        // SAFETY: on success the real function stored its list there.
        unsafe { lookups::keep(now.saturating_sub(started), *result) };
    }
    sys::set_errno(errno);
    code
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const c_void, len: u32) -> c_int {
    if !pipe::is_open() {
        // SAFETY: the caller's arguments go to the real function.
        return unsafe { sys::connect(fd, address, len) };
    }
    let before = sys::errno();
    // SAFETY: the caller vouches for `len` bytes at `address`.
    let peer = unsafe { Peer::read(address.cast(), len) }.filter(|_| sys::is_tcp(fd));
    let started = sys::now();
    let refused = peer.map_or(0, |peer| network::leave_from(fd, &peer));
    let result = if refused == 0 {
        sys::set_errno(before);
        // SAFETY: as above.
        unsafe { sys::connect(fd, address, len) }
    } else {
        sys::set_errno(refused);
        -1
    };
    if let Some(peer) = peer {
        let errno = sys::errno();
        let error = if result == 0 { 0 } else { errno };
        // A second call on a socket that is under way asks how the first one went.
        let again = table::is_followed(fd) && matches!(error, 0 | sys::EISCONN | sys::EALREADY);
        if again || table::follow(fd) {
            table::with(fd, |socket| socket.connect(fd, peer, started, error));
        }
        sys::set_errno(errno);
    }
    result
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn getsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *mut c_void,
    len: *mut u32,
) -> c_int {
    // SAFETY: the caller's arguments go to the real function.
    let result = unsafe { sys::getsockopt(fd, level, name, value, len) };
    if result == 0 && level == sys::SOL_SOCKET && name == sys::SO_ERROR && table::watches(fd) {
        let errno = sys::errno();
        // SAFETY: after success, `len` is the number of bytes of `value` that were filled.
        let error = unsafe { (*len >= 4).then(|| core::ptr::read_unaligned(value.cast::<c_int>())) };
        if let Some(error) = error {
            table::with(fd, |socket| socket.asked_for_error(fd, error));
        }
        sys::set_errno(errno);
    }
    result
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    const SHUT_RD: c_int = 0;
    const SHUT_WR: c_int = 1;
    if table::watches(fd) {
        let errno = sys::errno();
        table::with(fd, |socket| socket.shut_down(fd, how != SHUT_WR, how != SHUT_RD, sys::now()));
        sys::set_errno(errno);
    }
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sys::shutdown(fd, how) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn close(fd: c_int) -> c_int {
    // Before the real call: afterwards the kernel knows nothing of the socket any more, and another
    // thread may get its number.
    if table::watches(fd) {
        let errno = sys::errno();
        table::close(fd);
        sys::set_errno(errno);
    }
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sys::close(fd) }
}
