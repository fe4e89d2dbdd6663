//! The C library as the probe sees it: types, the real functions behind the wrappers, clock, errno.
//!
//! Only what every C library has under one name forever is imported; the rest is looked up with
//! `dlsym(RTLD_NEXT)` at its first use. Numbers are those of Linux on x86-64 and AArch64.

use core::ffi::{c_char, c_int, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

pub(crate) const EINTR: c_int = 4;
pub(crate) const EAGAIN: c_int = 11;
pub(crate) const ENOSYS: c_int = 38;
pub(crate) const EISCONN: c_int = 106;
pub(crate) const ECONNREFUSED: c_int = 111;
pub(crate) const EALREADY: c_int = 114;
pub(crate) const EINPROGRESS: c_int = 115;

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(crate) const SOL_SOCKET: c_int = 1;
pub(crate) const SO_ERROR: c_int = 4;
const SO_PROTOCOL: c_int = 38;
const IPPROTO_TCP: c_int = 6;
const TCP_INFO: c_int = 11;
pub(crate) const MSG_PEEK: c_int = 2;
pub(crate) const MSG_DONTWAIT: c_int = 0x40;

const CLOCK_MONOTONIC: c_int = 1;
const RTLD_NEXT: *mut c_void = usize::MAX as *mut c_void;
const RTLD_LAZY: c_int = 1;
const RTLD_NOLOAD: c_int = 4;

/// `struct iovec`.
#[repr(C)]
pub(crate) struct Iovec {
    pub(crate) base: *mut c_void,
    pub(crate) len: usize,
}

/// `struct msghdr`, as far as it is read here.
#[repr(C)]
pub(crate) struct Msghdr {
    name: *mut c_void,
    namelen: u32,
    pub(crate) iov: *mut Iovec,
    pub(crate) iovlen: usize,
}

/// `struct addrinfo` of Linux.
#[repr(C)]
pub(crate) struct Addrinfo {
    pub(crate) flags: c_int,
    family: c_int,
    socktype: c_int,
    protocol: c_int,
    pub(crate) addrlen: u32,
    pub(crate) addr: *mut c_void,
    canonname: *mut c_char,
    pub(crate) next: *mut Addrinfo,
}

#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
    pub(crate) safe fn abort() -> !;
    static environ: *mut *mut c_char;
}

/// The list of the process's variables, ended by a null pointer.
pub(crate) fn environment() -> *mut *mut c_char {
    // SAFETY: read before the host's `main`, when nothing else changes it.
    unsafe { environ }
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the C library returns a valid pointer to the calling thread's errno.
    unsafe { *__errno_location() }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: as in `errno`.
    unsafe { *__errno_location() = value }
}

/// A number that no other running thread of this process has: the address of its errno.
pub(crate) fn thread() -> usize {
    // SAFETY: the call only computes an address.
    unsafe { __errno_location() as usize }
}

/// One real function, looked up at its first use.
pub(crate) struct Real {
    /// NUL-terminated.
    name: &'static str,
    found: AtomicPtr<c_void>,
}

impl Real {
    /// `name` must end in a zero byte.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()) }
    }

    /// The function's address; null if no library of this process has it.
    pub(crate) fn address(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        let errno = errno();
        // SAFETY: the name is NUL-terminated (see `new`).
        let mut found = unsafe { dlsym(RTLD_NEXT, self.name.as_ptr().cast()) };
        if found.is_null() {
            found = self.in_private_library();
        }
        self.found.store(found, Ordering::Relaxed);
        set_errno(errno);
        found
    }

    /// A library that a plug-in brought along is not in the global scope that RTLD_NEXT searches,
    /// but its calls still reach the wrappers here.
    #[cold]
    fn in_private_library(&self) -> *mut c_void {
        let libraries: &[&str] = if self.name.starts_with("SSL_") {
            &["libssl.so.3\0", "libssl.so.1.1\0", "libssl.so.1.0.0\0"]
        } else if self.name.starts_with("gnutls_") {
            &["libgnutls.so.30\0", "libgnutls-openssl.so.27\0"]
        } else {
            &[]
        };
        for library in libraries {
            // SAFETY: RTLD_NOLOAD only finds what is loaded already; the name is NUL-terminated.
            let handle = unsafe { dlopen(library.as_ptr().cast(), RTLD_LAZY | RTLD_NOLOAD) };
            if !handle.is_null() {
                // SAFETY: the handle is valid, the name is NUL-terminated.
                let found = unsafe { dlsym(handle, self.name.as_ptr().cast()) };
                if !found.is_null() {
                    return found;
                }
            }
        }
        ptr::null_mut()
    }
}

/// Defines callers of real functions. A function that is missing returns `or` with errno ENOSYS.
macro_rules! real {
    ($($name:ident($($arg:ident: $kind:ty),*) -> $result:ty, or $missing:expr;)*) => {
        $(
            /// The real function of this name.
            pub(crate) unsafe fn $name($($arg: $kind),*) -> $result {
                static REAL: $crate::sys::Real = $crate::sys::Real::new(concat!(stringify!($name), "\0"));
                let address = REAL.address();
                if address.is_null() {
                    $crate::sys::set_errno($crate::sys::ENOSYS);
                    return $missing;
                }
                let function: unsafe extern "C" fn($($kind),*) -> $result =
                    // SAFETY: the address is that of the function of this name, whose C prototype
                    // is the one given here.
                    unsafe { core::mem::transmute(address) };
                // SAFETY: the arguments are the caller's, for which the caller vouches.
                unsafe { function($($arg),*) }
            }
        )*
    };
}
pub(crate) use real;

real! {
    getaddrinfo(node: *const c_char, service: *const c_char, hints: *const Addrinfo, result: *mut *mut Addrinfo) -> c_int, or -4;
    connect(fd: c_int, address: *const c_void, len: u32) -> c_int, or -1;
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut u32) -> c_int, or -1;
    bind(fd: c_int, address: *const c_void, len: u32) -> c_int, or -1;
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int, or -1;
    inet_pton(family: c_int, text: *const c_char, address: *mut c_void) -> c_int, or 0;
    getsockname(fd: c_int, address: *mut c_void, len: *mut u32) -> c_int, or -1;
    send(fd: c_int, bytes: *const c_void, len: usize, flags: c_int) -> isize, or -1;
    sendto(fd: c_int, bytes: *const c_void, len: usize, flags: c_int, to: *const c_void, to_len: u32) -> isize, or -1;
    sendmsg(fd: c_int, message: *const Msghdr, flags: c_int) -> isize, or -1;
    write(fd: c_int, bytes: *const c_void, len: usize) -> isize, or -1;
    writev(fd: c_int, parts: *const Iovec, count: c_int) -> isize, or -1;
    recv(fd: c_int, bytes: *mut c_void, len: usize, flags: c_int) -> isize, or -1;
    __recv_chk(fd: c_int, bytes: *mut c_void, len: usize, room: usize, flags: c_int) -> isize, or -1;
    recvfrom(fd: c_int, bytes: *mut c_void, len: usize, flags: c_int, from: *mut c_void, from_len: *mut u32) -> isize, or -1;
    __recvfrom_chk(fd: c_int, bytes: *mut c_void, len: usize, room: usize, flags: c_int, from: *mut c_void, from_len: *mut u32) -> isize, or -1;
    recvmsg(fd: c_int, message: *mut Msghdr, flags: c_int) -> isize, or -1;
    read(fd: c_int, bytes: *mut c_void, len: usize) -> isize, or -1;
    __read_chk(fd: c_int, bytes: *mut c_void, len: usize, room: usize) -> isize, or -1;
    readv(fd: c_int, parts: *const Iovec, count: c_int) -> isize, or -1;
    shutdown(fd: c_int, how: c_int) -> c_int, or -1;
    close(fd: c_int) -> c_int, or -1;
    getpid() -> c_int, or 0;
    getenv(name: *const c_char) -> *const c_char, or ptr::null();
    statx(directory: c_int, path: *const c_char, flags: c_int, mask: u32, facts: *mut c_void) -> c_int, or -1;
    pthread_sigmask(how: c_int, set: *const u64, old: *mut u64) -> c_int, or -1;
    sigpending(set: *mut u64) -> c_int, or -1;
    sigtimedwait(set: *const u64, info: *mut c_void, timeout: *const c_void) -> c_int, or -1;
}

mod libc_more {
    use core::ffi::{c_char, c_int, c_void};
    real! {
        dlopen(name: *const c_char, flags: c_int) -> *mut c_void, or core::ptr::null_mut();
        clock_gettime(clock: c_int, time: *mut super::Timespec) -> c_int, or -1;
        clock_getres(clock: c_int, time: *mut super::Timespec) -> c_int, or -1;
        nanosleep(time: *const super::Timespec, left: *mut super::Timespec) -> c_int, or -1;
        fcntl(fd: c_int, command: c_int, argument: c_int) -> c_int, or -1;
        ioctl(fd: c_int, request: core::ffi::c_ulong, argument: *mut c_int) -> c_int, or -1;
    }
}
use libc_more::{clock_getres, clock_gettime, dlopen};

const F_GETFL: c_int = 3;
const O_NONBLOCK: c_int = 0o4000;

/// Whether writes to `fd` return instead of waiting.
pub(crate) fn is_non_blocking(fd: c_int) -> bool {
    // SAFETY: F_GETFL takes no pointer. fcntl is variadic in C; on the two ABIs supported here an
    // integer argument travels the same way.
    let flags = unsafe { libc_more::fcntl(fd, F_GETFL, 0) };
    flags >= 0 && flags & O_NONBLOCK != 0
}

/// The capacity of a pipe in bytes; 0 if it is unknown.
pub(crate) fn pipe_capacity(fd: c_int) -> c_int {
    const F_GETPIPE_SZ: c_int = 1032;
    // SAFETY: F_GETPIPE_SZ takes no pointer; see `is_non_blocking`.
    unsafe { libc_more::fcntl(fd, F_GETPIPE_SZ, 0) }.max(0)
}

/// The number of unread bytes in a pipe.
pub(crate) fn unread(fd: c_int) -> Option<c_int> {
    const FIONREAD: core::ffi::c_ulong = 0x541b;
    let mut count: c_int = 0;
    // SAFETY: the pointer is valid for the call. ioctl is variadic in C; a pointer travels as in `fcntl`.
    let result = unsafe { libc_more::ioctl(fd, FIONREAD, &raw mut count) };
    (result == 0).then_some(count)
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn now() -> u64 {
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the pointer is valid for the call.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    nanoseconds(&time)
}

/// The kernel's clock tick, nanoseconds: the step of what it measures in `jiffies`.
pub(crate) fn tick() -> u64 {
    const CLOCK_MONOTONIC_COARSE: c_int = 6;
    const SLOWEST: u64 = 10_000_000;
    let mut time = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: the pointer is valid for the call.
    let result = unsafe { clock_getres(CLOCK_MONOTONIC_COARSE, &mut time) };
    if result == 0 { nanoseconds(&time).min(SLOWEST) } else { SLOWEST }
}

fn nanoseconds(time: &Timespec) -> u64 {
    u64::try_from(time.seconds)
        .unwrap_or(0)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(u64::try_from(time.nanoseconds).unwrap_or(0))
}

/// Sleeps for this time, less than a second; `false` if a signal ended the sleep.
pub(crate) fn pause(nanoseconds: u32) -> bool {
    let time = Timespec { seconds: 0, nanoseconds: i64::from(nanoseconds) };
    // SAFETY: the pointer is valid for the call; nothing is to be written back.
    unsafe { libc_more::nanosleep(&time, ptr::null_mut()) == 0 }
}

/// This process.
pub(crate) fn pid() -> u32 {
    // SAFETY: getpid() takes nothing and always succeeds.
    u32::try_from(unsafe { getpid() }).unwrap_or(0)
}

/// An integer socket option; `None` if the socket does not have it.
pub(crate) fn option(fd: c_int, level: c_int, name: c_int) -> Option<c_int> {
    let mut value: c_int = 0;
    let mut len = 4_u32;
    // SAFETY: both pointers are valid for the call and `len` is the size of the buffer.
    let result = unsafe { getsockopt(fd, level, name, (&raw mut value).cast(), &mut len) };
    (result == 0).then_some(value)
}

/// Whether `fd` is a TCP socket.
pub(crate) fn is_tcp(fd: c_int) -> bool {
    option(fd, SOL_SOCKET, SO_PROTOCOL) == Some(IPPROTO_TCP)
}

/// The port that the kernel gave this end of the connection; 0 = not known.
pub(crate) fn local_port(fd: c_int) -> u16 {
    let mut address = [0_u8; 28];
    let mut len = 28_u32;
    // SAFETY: both pointers are valid for the call and `len` is the size of the buffer.
    let result = unsafe { getsockname(fd, address.as_mut_ptr().cast(), &mut len) };
    // The port is at the same offset in sockaddr_in and sockaddr_in6.
    if result == 0 { u16::from_be_bytes([address[2], address[3]]) } else { 0 }
}

/// Sets an integer socket option; a kernel that does not know it leaves the socket as it is.
pub(crate) fn set_option(fd: c_int, level: c_int, name: c_int, value: c_int) {
    // SAFETY: the pointer is valid for the call and the length is that of the value.
    unsafe { setsockopt(fd, level, name, (&raw const value).cast(), 4) };
}

/// Whether the socket has an address of its own already.
pub(crate) fn is_bound(fd: c_int) -> bool {
    let mut address = [0_u8; 28];
    let mut len = 28_u32;
    // SAFETY: both pointers are valid for the call and `len` is the size of the buffer.
    let result = unsafe { getsockname(fd, address.as_mut_ptr().cast(), &mut len) };
    // Port, and the address after it; IPv6 has its flow label, which is 0, in between.
    result == 0 && address.iter().skip(2).any(|&byte| byte != 0)
}

/// The used part of the kernel's `struct tcp_info`.
#[derive(Clone, Copy)]
pub(crate) struct TcpInfo {
    /// State of the connection, see the constants.
    pub(crate) state: u8,
    /// Time since the last data packet arrived, milliseconds.
    pub(crate) last_data_received_ms: u32,
    pub(crate) rtt_us: u32,
    pub(crate) min_rtt_us: u32,
    pub(crate) retransmits: u32,
    /// Bytes received, a FIN counted as one.
    pub(crate) bytes_received: u64,
}

impl TcpInfo {
    const SYN_SENT: u8 = 2;
    const SYN_RECEIVED: u8 = 3;
    pub(crate) const CLOSE: u8 = 7;
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    const CLOSING: u8 = 11;

    /// Asks the kernel; `None` before Linux 4.6, which did not have all fields yet.
    ///
    /// The kernel notes the state before it locks the socket to read the counters: a FIN that arrives in
    /// between is counted as a byte while the state does not show it yet. Where the state does not show
    /// a FIN and a second read finds the same count, the second state, which is younger than the
    /// first count, shows whether it includes one.
    pub(crate) fn of(fd: c_int) -> Option<Self> {
        const LOOKS: u32 = 4;
        let mut info = Self::look(fd)?;
        for _ in 1..LOOKS {
            if info.has_fin() {
                break;
            }
            let before = info.bytes_received;
            info = Self::look(fd)?;
            if info.bytes_received == before {
                break;
            }
        }
        Some(info)
    }

    fn look(fd: c_int) -> Option<Self> {
        const ROOM: usize = 152;
        let mut raw = [0_u8; ROOM];
        let mut len = 152_u32;
        // SAFETY: both pointers are valid for the call and `len` is the size of the buffer.
        let result = unsafe { getsockopt(fd, IPPROTO_TCP, TCP_INFO, raw.as_mut_ptr().cast(), &mut len) };
        if result != 0 || len < 152 {
            return None;
        }
        let word = |at: usize| match raw.get(at..at.wrapping_add(4)) {
            Some(&[a, b, c, d]) => u32::from_ne_bytes([a, b, c, d]),
            _ => 0,
        };
        let long = |at: usize| match raw.get(at..at.wrapping_add(8)) {
            Some(&[a, b, c, d, e, f, g, h]) => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        };
        Some(Self {
            state: raw[0],
            last_data_received_ms: word(52),
            rtt_us: word(68),
            retransmits: word(100),
            bytes_received: long(128),
            min_rtt_us: word(148),
        })
    }

    /// Whether the handshake is still under way.
    pub(crate) const fn is_connecting(&self) -> bool {
        matches!(self.state, Self::SYN_SENT | Self::SYN_RECEIVED)
    }

    /// Whether the state proves that a FIN has arrived.
    pub(crate) const fn has_fin(&self) -> bool {
        matches!(self.state, Self::CLOSE_WAIT | Self::LAST_ACK | Self::CLOSING)
    }
}
