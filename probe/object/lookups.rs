//! Durations of the latest name lookups, kept until their connection is established.
//!
//! They are matched by address, not by thread, because some programs resolve names in threads of their own.

use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::peer::Peer;
use crate::sys::Addrinfo;

/// Number of lookups that are kept; a new one replaces the oldest.
const MAX_LOOKUPS: usize = 8;
/// Number of addresses that are kept of one lookup.
const MAX_ADDRESSES: usize = 8;

struct Lookup {
    duration_ns: u64,
    /// 0 = taken or empty.
    ticket: u32,
    peers: [Peer; MAX_ADDRESSES],
}

struct Kept {
    busy: AtomicBool,
    lookups: UnsafeCell<[Lookup; MAX_LOOKUPS]>,
}

// SAFETY: `lookups` is only touched while `busy` is held, see `with`.
unsafe impl Sync for Kept {}

static KEPT_LOOKUPS: Kept = Kept {
    busy: AtomicBool::new(false),
    lookups: UnsafeCell::new(
        [const { Lookup { duration_ns: 0, ticket: 0, peers: [Peer::NONE; MAX_ADDRESSES] } }; MAX_LOOKUPS],
    ),
};
static TICKETS: AtomicU32 = AtomicU32::new(0);

fn with<R>(work: impl FnOnce(&mut [Lookup; MAX_LOOKUPS]) -> R) -> Option<R> {
    if KEPT_LOOKUPS.busy.swap(true, Ordering::Acquire) {
        // Another thread, or the code that this signal handler interrupted, is using the list.
        return None;
    }
    // SAFETY: `busy` was free and is ours until it is released below.
    let result = work(unsafe { &mut *KEPT_LOOKUPS.lookups.get() });
    KEPT_LOOKUPS.busy.store(false, Ordering::Release);
    Some(result)
}

/// Keeps a lookup that took `duration_ns`.
///
/// # Safety
/// `list` is the list that `getaddrinfo` returned.
pub(crate) unsafe fn keep(duration_ns: u64, list: *const Addrinfo) {
    let mut peers = [Peer::NONE; MAX_ADDRESSES];
    let mut next = list;
    for place in &mut peers {
        // SAFETY: every element of the list is valid until its owner frees it, after this call.
        let Some(entry) = (unsafe { next.as_ref() }) else { break };
        // SAFETY: the element holds its address and that address's length.
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

/// Finds the latest lookup that returned this address: its duration and its ticket.
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

/// Marks a lookup as used by a connection; `false` if another connection has already used it.
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
/// `node` is null or NUL-terminated.
pub(crate) unsafe fn is_name(node: *const c_char) -> bool {
    if node.is_null() {
        return false;
    }
    // SAFETY: the caller guarantees that it is NUL-terminated.
    let text = unsafe { core::ffi::CStr::from_ptr(node) }.to_bytes();
    let digits = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    !digits && !text.contains(&b':')
}

/// Reports a failed lookup; `code` is what `getaddrinfo` returned.
pub(crate) fn failed(code: c_int, started_ns: u64, now: u64) {
    use crate::wire::{Record, end, flag, kind};
    let mut record = Record::EMPTY;
    record.kind = kind::CONNECT_FAILED;
    record.end = end::NAME_NOT_RESOLVED;
    record.error = u16::try_from(code.unsigned_abs()).unwrap_or(u16::MAX);
    record.started_ns = started_ns;
    record.dns_ns = now.saturating_sub(started_ns);
    record.idle_ns = record.dns_ns;
    record.flags = flag::DNS;
    crate::pipe::write(record);
}
