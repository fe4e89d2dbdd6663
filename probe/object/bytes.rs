//! The wrappers around the C library's calls that move bytes.
//!
//! Each calls the real function first (a send call asks the kernel a question before), and looks only
//! then, and only if the descriptor is a followed socket: for any other one a wrapper costs one array access.

use core::ffi::{c_int, c_void};

use crate::network::Pace;
use crate::sys::{self, Iovec, Msghdr};
use crate::table::{self, watches};
use crate::tls;

/// Walks over the first `count` bytes of scattered buffers.
///
/// # Safety
/// `parts` points to `len` buffers, and their first `count` bytes are valid.
unsafe fn for_each_part(parts: *const Iovec, len: usize, mut count: usize, mut work: impl FnMut(&[u8])) {
    if parts.is_null() {
        return;
    }
    for at in 0..len {
        // SAFETY: within the `len` buffers.
        let part = unsafe { &*parts.wrapping_add(at) };
        let take = part.len.min(count);
        if take > 0 && !part.base.is_null() {
            // SAFETY: within the first `count` bytes.
            work(unsafe { core::slice::from_raw_parts(part.base.cast::<u8>(), take) });
        }
        count = count.wrapping_sub(take);
        if count == 0 {
            return;
        }
    }
}

/// Runs a send call from `len` buffers at `parts`.
///
/// # Safety
/// The buffers are valid for as many bytes as `call` returns.
unsafe fn sends(fd: c_int, parts: *const Iovec, len: usize, call: impl FnOnce() -> isize) -> isize {
    if !watches(fd) {
        return call();
    }
    let before = sys::errno();
    let started = sys::now();
    table::send_begins(fd);
    table::with(fd, |socket| socket.send_begins(fd));
    sys::set_errno(before);
    let result = call();
    let errno = sys::errno();
    let in_tls = tls::note_socket(fd);
    table::with(fd, |socket| {
        if let Ok(count) = usize::try_from(result) {
            if in_tls || socket.is_tls() {
                socket.passed_tls(fd);
            } else {
                // SAFETY: vouched for by the caller.
                unsafe { for_each_part(parts, len, count, |bytes| socket.sent(fd, bytes, started)) };
            }
        } else if errno != sys::EAGAIN && errno != sys::EINTR {
            broke(socket, fd, in_tls, errno);
        }
    });
    table::send_ends(fd);
    sys::set_errno(errno);
    result
}

/// Runs a receive call into `len` buffers at `parts`; `call` receives the number of bytes that it may take.
///
/// # Safety
/// The buffers are valid for as many bytes as `call` returns.
unsafe fn receives(
    fd: c_int,
    parts: *const Iovec,
    len: usize,
    flags: c_int,
    call: impl FnOnce(usize) -> isize,
) -> isize {
    const MSG_OOB: c_int = 1;
    const MSG_ERRQUEUE: c_int = 0x2000;
    const MSG_WAITALL: c_int = 0x100;
    // The latter two are about something other than the stream.
    if !watches(fd) || flags & (MSG_OOB | MSG_ERRQUEUE) != 0 {
        return call(usize::MAX);
    }
    let pace = if flags & (sys::MSG_PEEK | MSG_WAITALL) == 0 { Pace::configured() } else { None };
    let most = match &pace {
        Some(pace) => {
            let errno = sys::errno();
            pace.wait();
            sys::set_errno(errno);
            pace.most()
        }
        None => usize::MAX,
    };
    let result = call(most);
    // A peek takes no bytes, but it may show a viewer that the stream has ended.
    if result > 0 && flags & sys::MSG_PEEK != 0 {
        return result;
    }
    let errno = sys::errno();
    let now = sys::now();
    if let (Some(pace), Ok(count)) = (&pace, usize::try_from(result)) {
        pace.pay(count);
    }
    if result > 0 {
        table::let_sender_go_first(fd);
    }
    let in_tls = tls::note_socket(fd);
    table::with(fd, |socket| match usize::try_from(result) {
        // SAFETY: vouched for by the caller.
        Ok(0) if unsafe { has_room(parts, len) } => {
            socket.read_to_end();
            if !(in_tls || socket.is_tls()) {
                socket.stream_ended(fd, now);
            }
        }
        Ok(count) => {
            if in_tls || socket.is_tls() {
                socket.passed_tls(fd);
            } else {
                // SAFETY: vouched for by the caller.
                unsafe { for_each_part(parts, len, count, |bytes| socket.received(fd, bytes, now)) };
            }
        }
        Err(_) if errno != sys::EAGAIN && errno != sys::EINTR => broke(socket, fd, in_tls, errno),
        Err(_) => {}
    });
    sys::set_errno(errno);
    result
}

/// Whether a receive call could have returned a byte: only then does 0 mean the end of the stream.
///
/// # Safety
/// `parts` points to `len` buffers.
unsafe fn has_room(parts: *const Iovec, len: usize) -> bool {
    // SAFETY: within the `len` buffers.
    !parts.is_null() && (0..len).any(|at| unsafe { (*parts.wrapping_add(at)).len } > 0)
}

/// Buffers and their number in a message; none if there is no message.
///
/// # Safety
/// `message` is null or valid.
unsafe fn parts_of(message: *const Msghdr) -> (*const Iovec, usize) {
    // SAFETY: vouched for by the caller.
    unsafe { message.as_ref() }
        .map_or((core::ptr::null(), 0), |message| (message.iov.cast_const(), message.iovlen))
}

fn broke(socket: &mut crate::socket::Socket, fd: c_int, in_tls: bool, errno: c_int) {
    // Errors about the arguments alone do not concern the connection.
    const ABOUT_ARGUMENTS: [c_int; 5] = [
        9,  /* EBADF */
        14, /* EFAULT */
        22, /* EINVAL */
        38, /* ENOSYS */
        88, /* ENOTSOCK */
    ];
    const ENOMEM: c_int = 12;
    const ENOBUFS: c_int = 105;
    if ABOUT_ARGUMENTS.contains(&errno) || errno == ENOMEM || errno == ENOBUFS {
        return;
    }
    if in_tls && !socket.is_tls() {
        socket.passed_tls(fd);
    }
    socket.broken(fd, errno, sys::now());
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn send(fd: c_int, bytes: *const c_void, len: usize, flags: c_int) -> isize {
    let part = Iovec { base: bytes.cast_mut(), len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sends(fd, &raw const part, 1, || sys::send(fd, bytes, len, flags)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendto(
    fd: c_int,
    bytes: *const c_void,
    len: usize,
    flags: c_int,
    to: *const c_void,
    to_len: u32,
) -> isize {
    let part = Iovec { base: bytes.cast_mut(), len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sends(fd, &raw const part, 1, || sys::sendto(fd, bytes, len, flags, to, to_len)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, bytes: *const c_void, len: usize) -> isize {
    let part = Iovec { base: bytes.cast_mut(), len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sends(fd, &raw const part, 1, || sys::write(fd, bytes, len)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const Iovec, count: c_int) -> isize {
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sends(fd, parts, len, || sys::writev(fd, parts, count)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const Msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's message is null or valid.
    let (parts, len) = if watches(fd) { unsafe { parts_of(message) } } else { (core::ptr::null(), 0) };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { sends(fd, parts, len, || sys::sendmsg(fd, message, flags)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(fd: c_int, bytes: *mut c_void, len: usize, flags: c_int) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, &raw const part, 1, flags, |most| sys::recv(fd, bytes, len.min(most), flags)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn __recv_chk(
    fd: c_int,
    bytes: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, &raw const part, 1, flags, |most| sys::__recv_chk(fd, bytes, len.min(most), room, flags)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvfrom(
    fd: c_int,
    bytes: *mut c_void,
    len: usize,
    flags: c_int,
    from: *mut c_void,
    from_len: *mut u32,
) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe {
        receives(fd, &raw const part, 1, flags, |most| sys::recvfrom(fd, bytes, len.min(most), flags, from, from_len))
    }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    bytes: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
    from: *mut c_void,
    from_len: *mut u32,
) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe {
        receives(fd, &raw const part, 1, flags, |most| {
            sys::__recvfrom_chk(fd, bytes, len.min(most), room, flags, from, from_len)
        })
    }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn read(fd: c_int, bytes: *mut c_void, len: usize) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, &raw const part, 1, 0, |most| sys::read(fd, bytes, len.min(most))) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn __read_chk(fd: c_int, bytes: *mut c_void, len: usize, room: usize) -> isize {
    let part = Iovec { base: bytes, len };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, &raw const part, 1, 0, |most| sys::__read_chk(fd, bytes, len.min(most), room)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn readv(fd: c_int, parts: *const Iovec, count: c_int) -> isize {
    let len = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, parts, len, 0, |_| sys::readv(fd, parts, count)) }
}

/// Wraps the C library's function of this name.
///
/// # Safety
/// As for the real function.
#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut Msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's message is null or valid.
    let (parts, len) = if watches(fd) { unsafe { parts_of(message) } } else { (core::ptr::null(), 0) };
    // SAFETY: the caller's arguments go to the real function.
    unsafe { receives(fd, parts, len, flags, |_| sys::recvmsg(fd, message, flags)) }
}
