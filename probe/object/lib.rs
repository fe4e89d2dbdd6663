//! The socket probe: loaded into each FFmpeg by `LD_PRELOAD`, it watches that process's TCP sockets
//! from the inside and writes one [`wire::Record`] per finished exchange into a shared pipe.
//!
//! Its first duty is to change nothing by itself: every wrapper calls the real function with the arguments it
//! got and returns what that returned, `errno` included. It never allocates, never panics, never
//! blocks, and leaves file descriptors alone on which it saw no TCP `connect()`. Without a proper
//! [`wire::ENVIRONMENT`] it is a pass-through.
//!
//! It changes only what its settings require ([`network`]): the addresses of names, the source address of
//! connections, the pace of reading, the verification of certificates, and the hosts that may be connected to.
//!
//! It only records facts; what they mean (playlist or segment, error or not) is for the reader.
//!
//! * [`sys`]: the C library: declarations, the real functions, clock, errno.
//! * [`http`]: follows HTTP/1.1 in both directions; pure, tested outside the probe.
//! * [`lookups`]: durations of the latest name lookups.
//! * [`network`]: the settings, and what they change.
//! * [`allowed`]: the hosts that the settings allow connections to.
//! * [`socket`]: one connection: what happened on it, and its records.
//! * [`table`]: the sockets by file descriptor, behind a try-lock.
//! * [`pipe`]: the pipe that takes the records.
//! * [`arguments`]: secrets that the command line must not show.
//! * [`connections`], [`bytes`], [`tls`], [`certificates`]: the wrappers that FFmpeg calls instead of the
//!   real functions.
//!
//! Not a member of the Cargo package: `build.rs` compiles it with plain rustc into a shared object
//! that links nothing, not even the C library (whose symbols the host process brings along), so
//! that the object loads under any C library version.

#![no_std]
#![deny(missing_docs, unreachable_pub, unsafe_op_in_unsafe_fn, unused, rust_2018_idioms)]
#![allow(non_snake_case, reason = "the wrappers bear the names of what they wrap")]

mod allowed;
mod arguments;
mod bytes;
mod certificates;
mod connections;
#[allow(unreachable_pub, reason = "tests include it into a crate of their own")]
mod http;
mod lookups;
mod network;
mod peer;
mod pipe;
mod socket;
mod sys;
mod table;
mod tls;
#[allow(dead_code, unreachable_pub, reason = "the other half is for the reader of the pipe")]
#[path = "../src/record.rs"]
mod wire;

/// Runs when the dynamic linker has loaded the object.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// Runs at `exit()`: a request in flight is counted in any case.
#[used]
#[unsafe(link_section = ".fini_array")]
static FINISH: extern "C" fn() = finish;

extern "C" fn start() {
    let errno = sys::errno();
    network::open();
    pipe::open();
    arguments::restore();
    sys::set_errno(errno);
}

extern "C" fn finish() {
    let errno = sys::errno();
    table::process_ends();
    pipe::shut();
    sys::set_errno(errno);
}

/// Nothing in here can panic. The text in [`PANIC_MARK`] is in the object only if the compiler could
/// not prove that, and a test looks for it.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the pointer comes from a reference to a static; the read is volatile only so that the
    // text stays in the object.
    let _ = unsafe { core::ptr::read_volatile(&PANIC_MARK) };
    sys::abort()
}

/// See [`panic`].
static PANIC_MARK: [u8; 39] = *b"hls-swarm-probe: a panic can be reached";
