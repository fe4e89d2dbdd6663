//! The wrappers around the C library's calls that make and end connections.
//!
//! Each calls the real function first (`close` and `shutdown` last), and then handles the
//! result if the descriptor is a TCP socket.

use core::ffi::{c_char, c_int, c_void};

use crate::{allowed, lookups};
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
    /// A failure that lasts, in glibc and musl.
    const EAI_FAIL: c_int = -4;
    // SAFETY: the caller's arguments go to the real function; `is_name` takes what it takes, and the
    // hints are null or valid.
    let (is_name, flags) = unsafe { (lookups::is_name(node), hints.as_ref().map_or(0, |hints| hints.flags)) };
    if flags & AI_NUMERICHOST == 0 {
        // SAFETY: they are null or NUL-terminated, as the real function wants them.
        if let Some(why) = unsafe { allowed::refuses_name(node, service) } {
            let errno = sys::errno();
            // SAFETY: a name that is refused is not null.
            unsafe { allowed::report_name(node, why) };
            sys::set_errno(errno);
            return EAI_FAIL;
        }
        // SAFETY: node and service are null or NUL-terminated, as the real function wants them.
        let instead = unsafe { network::stands_for(node, service, pipe::viewer().saturating_sub(1)) };
        if let Some(instead) = instead {
            // SAFETY: as below; the text is NUL-terminated. Nothing is looked up, so nothing is timed.
            let code = unsafe { sys::getaddrinfo(instead.as_ptr().cast(), service, hints, result) };
            // SAFETY: on success the real function stored its list there.
            unsafe { keep_name(node, code, result) };
            return code;
        }
    }
    // FFmpeg checks in this way whether a text is a numeric address; that is not a lookup.
    if !pipe::is_open() || !is_name || flags & AI_NUMERICHOST != 0 {
        // SAFETY: as above.
        let code = unsafe { sys::getaddrinfo(node, service, hints, result) };
        // SAFETY: as above.
        unsafe { keep_name(node, code, result) };
        return code;
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
    // SAFETY: as above.
    unsafe { keep_name(node, code, result) };
    sys::set_errno(errno);
    code
}

/// Keeps the name of the addresses that a lookup gave, for connections to them.
///
/// # Safety
/// `node` is null or NUL-terminated; if `code` is 0, `result` is null or points to a list of addresses.
unsafe fn keep_name(node: *const c_char, code: c_int, result: *mut *mut Addrinfo) {
    if code == 0 && !node.is_null() && !result.is_null() && allowed::by_name() {
        let errno = sys::errno();
        // SAFETY: the caller guarantees all of it.
        unsafe { allowed::keep(node, *result) };
        sys::set_errno(errno);
    }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn connect(fd: c_int, address: *const c_void, len: u32) -> c_int {
    if !pipe::is_open() && !allowed::is_limited() {
        // SAFETY: the caller's arguments go to the real function.
        return unsafe { sys::connect(fd, address, len) };
    }
    let before = sys::errno();
    // SAFETY: the caller vouches for `len` bytes at `address`.
    let peer = unsafe { Peer::read(address.cast(), len) }.filter(|_| sys::is_tcp(fd));
    if let Some(peer) = &peer
        && let Some(why) = allowed::refuses(peer)
    {
        allowed::report(peer, why);
        sys::set_errno(sys::ECONNREFUSED);
        return -1;
    }
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
