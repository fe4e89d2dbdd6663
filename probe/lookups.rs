//! How long the latest name look-ups took, until the connection they led to is there.
//!
//! Matched by address, not by thread: some programs resolve names in threads of their own.

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::sys::{self, Addrinfo};

/// Look-ups kept; the oldest one goes first.
const KEPT: usize = 8;
/// Addresses kept of one look-up.
const ADDRESSES: usize = 8;

/// An address of a peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// 4, 6, or 0 = none.
    pub(crate) family: u8,
    /// In host order; 0 = any.
    pub(crate) port: u16,
    /// The first 4 bytes for IPv4.
    pub(crate) address: [u8; 16],
}

impl Peer {
    pub(crate) const NONE: Self = Self { family: 0, port: 0, address: [0; 16] };

    /// Reads a `sockaddr`; `None` if it is neither IPv4 nor IPv6.
    ///
    /// # Safety
    /// `address` is null or points to `len` readable bytes.
    pub(crate) unsafe fn read(address: *const u8, len: u32) -> Option<Self> {
        if address.is_null() || len < 16 {
            return None;
        }
        // SAFETY: there are at least 16 bytes (checked, and vouched for by the caller).
        let head = unsafe { core::ptr::read_unaligned(address.cast::<[u8; 16]>()) };
        let family = u16::from_ne_bytes([head[0], head[1]]);
        let port = u16::from_be_bytes([head[2], head[3]]);
        let mut peer = Self { family: 4, port, address: [0; 16] };
        match family {
            sys::AF_INET => {
                peer.address = [head[4], head[5], head[6], head[7], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                Some(peer)
            }
            sys::AF_INET6 if len >= 24 => {
                peer.family = 6;
                // SAFETY: there are at least 24 bytes; the address lies at 8.
                peer.address = unsafe { core::ptr::read_unaligned(address.wrapping_add(8).cast()) };
                Some(peer)
            }
            _ => None,
        }
    }
}

impl Peer {
    /// A `sockaddr` of this address with its length; the port is left to the kernel.
    pub(crate) fn write(&self) -> ([u8; 28], u32) {
        let mut raw = [0_u8; 28];
        let (family, at, length) =
            if self.family == 6 { (sys::AF_INET6, 8_usize, 28_u32) } else { (sys::AF_INET, 4, 16) };
        let bytes = if self.family == 6 { 16 } else { 4 };
        [raw[0], raw[1]] = family.to_ne_bytes();
        for (place, &byte) in raw.iter_mut().skip(at).zip(self.address.iter().take(bytes)) {
            *place = byte;
        }
        (raw, length)
    }
}

struct Lookup {
    duration_ns: u64,
    /// 0 = taken or empty.
    ticket: u32,
    peers: [Peer; ADDRESSES],
}

struct Kept {
    busy: AtomicBool,
    lookups: UnsafeCell<[Lookup; KEPT]>,
}

// SAFETY: `lookups` is only touched while `busy` is held, see `with`.
unsafe impl Sync for Kept {}

static KEPT_LOOKUPS: Kept = Kept {
    busy: AtomicBool::new(false),
    lookups: UnsafeCell::new(
        [const { Lookup { duration_ns: 0, ticket: 0, peers: [Peer::NONE; ADDRESSES] } }; KEPT],
    ),
};
static TICKETS: AtomicU32 = AtomicU32::new(0);

fn with<R>(work: impl FnOnce(&mut [Lookup; KEPT]) -> R) -> Option<R> {
    if KEPT_LOOKUPS.busy.swap(true, Ordering::Acquire) {
        // Another thread, or the code that this signal handler interrupted, is at it.
        return None;
    }
    // SAFETY: `busy` was free and is ours until it is released below.
    let result = work(unsafe { &mut *KEPT_LOOKUPS.lookups.get() });
    KEPT_LOOKUPS.busy.store(false, Ordering::Release);
    Some(result)
}

/// Keeps a look-up that took `duration_ns`.
///
/// # Safety
/// `list` is the list that `getaddrinfo` returned.
pub(crate) unsafe fn keep(duration_ns: u64, list: *const Addrinfo) {
    let mut peers = [Peer::NONE; ADDRESSES];
    let mut next = list;
    for place in &mut peers {
        // SAFETY: every element of the list is valid until its owner frees it, after this call.
        let Some(entry) = (unsafe { next.as_ref() }) else { break };
        // SAFETY: the element names its address and the length of that.
        if let Some(peer) = unsafe { Peer::read(entry.addr.cast(), entry.addrlen) } {
            *place = peer;
        }
        next = entry.next;
    }
    let ticket = TICKETS.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
    with(|lookups| {
        let oldest = lookups.iter_mut().min_by_key(|lookup| lookup.ticket);
        if let Some(oldest) = oldest {
            *oldest = Lookup { duration_ns, ticket, peers };
        }
    });
}

/// The latest look-up that gave this peer: its duration and its ticket.
pub(crate) fn find(peer: &Peer) -> Option<(u64, u32)> {
    let same = |kept: &Peer| {
        kept.family == peer.family
            && kept.address == peer.address
            && (kept.port == peer.port || kept.port == 0)
    };
    with(|lookups| {
        lookups
            .iter()
            .filter(|lookup| lookup.ticket != 0 && lookup.peers.iter().any(same))
            .max_by_key(|lookup| lookup.ticket)
            .map(|lookup| (lookup.duration_ns, lookup.ticket))
    })?
}

/// A connection came of the look-up; `false` if another one was quicker.
pub(crate) fn take(ticket: u32) -> bool {
    with(|lookups| match lookups.iter_mut().find(|lookup| ticket != 0 && lookup.ticket == ticket) {
        Some(lookup) => {
            lookup.ticket = 0;
            true
        }
        None => false,
    })
    .unwrap_or(false)
}

/// Whether `node` is a name, that is, neither missing nor an address in digits.
///
/// # Safety
/// `node` is null or zero-terminated.
pub(crate) unsafe fn is_name(node: *const c_char) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: zero-terminated, says the caller.
    let text = unsafe { core::ffi::CStr::from_ptr(node) }.to_bytes();
    let digits = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    !digits && !text.contains(&b':')
}

/// A look-up failed: `code` is what `getaddrinfo` returned.
pub(crate) fn failed(code: c_int, started_ns: u64, now: u64) {
    use crate::wire::{Record, end, flag, what};
    let mut record = Record::EMPTY;
    record.what = what::CONNECT_FAILED;
    record.end = end::NAME_NOT_RESOLVED;
    record.error = u16::try_from(code.unsigned_abs()).unwrap_or(u16::MAX);
    record.started_ns = started_ns;
    record.dns_ns = now.saturating_sub(started_ns);
    record.idle_ns = record.dns_ns;
    record.flags = flag::DNS;
    crate::pipe::write(record);
}
