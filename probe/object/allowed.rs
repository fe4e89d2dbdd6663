//! The hosts that this process may connect to, by the words `hosts=`, `origins=` and `local=only` of the settings.
//!
//! A name is checked before it is looked up, an address when a connection is made: it is allowed by itself, or by
//! a name that was looked up before and gave it. So what follows a redirect or a playlist obeys the same rules as
//! the first request, and a resolver that changes its answer gains nothing.
//!
//! Only TCP connections that are made through the C library's `connect` are checked. This protects hosts from where
//! a stream leads, not from the player itself.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::network::{address, halves, number, settings};
use crate::peer::Peer;
use crate::sys::{self, Addrinfo};
use crate::wire::{Record, forbidden, kind};
use crate::{lookups, pipe};

/// Number of names that are kept, each with an address that it resolved to; a new one replaces the oldest.
const MAX_NAMES: usize = 128;
/// Longest name of a host (RFC 1035, 2.3.4).
const NAME_ROOM: usize = 255;

#[derive(Clone, Copy)]
struct Named {
    peer: Peer,
    length: u8,
    name: [u8; NAME_ROOM],
}

struct Names {
    list: [Named; MAX_NAMES],
    next: usize,
}

struct Kept {
    busy: AtomicBool,
    names: UnsafeCell<Names>,
}

// SAFETY: `names` is only touched while `busy` is held, see `with`.
unsafe impl Sync for Kept {}

static NAMES: Kept = Kept {
    busy: AtomicBool::new(false),
    names: UnsafeCell::new(Names {
        list: [Named { peer: Peer::NONE, length: 0, name: [0; NAME_ROOM] }; MAX_NAMES],
        next: 0,
    }),
};
/// Any of the three words is in the settings.
static LIMITED: AtomicBool = AtomicBool::new(false);
/// One of them names hosts.
static BY_NAME: AtomicBool = AtomicBool::new(false);

/// Reads which words are in the settings.
pub(crate) fn open() {
    for (key, _) in settings() {
        let by_name = matches!(key, b"hosts" | b"origins");
        if by_name || key == b"local" {
            LIMITED.store(true, Ordering::Relaxed);
        }
        if by_name {
            BY_NAME.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether connections are limited.
pub(crate) fn is_limited() -> bool {
    LIMITED.load(Ordering::Relaxed)
}

/// Whether they are limited by the names of hosts.
pub(crate) fn by_name() -> bool {
    BY_NAME.load(Ordering::Relaxed)
}

/// Works on the kept names; `None` if another thread does so for a tenth of a second.
fn with<R>(work: impl FnOnce(&mut Names) -> R) -> Option<R> {
    const NAP_NS: u32 = 1_000_000;
    const NAPS: u32 = 100;
    let mut naps = 0_u32;
    while NAMES.busy.swap(true, Ordering::Acquire) {
        if naps >= NAPS {
            return None;
        }
        naps = naps.wrapping_add(1);
        let _ = sys::pause(NAP_NS);
    }
    // SAFETY: `busy` was free and is ours until it is released below.
    let result = work(unsafe { &mut *NAMES.names.get() });
    NAMES.busy.store(false, Ordering::Release);
    Some(result)
}

/// Keeps the addresses that a lookup of `node` returned.
///
/// # Safety
/// `node` is NUL-terminated, and `list` is the list that `getaddrinfo` returned.
pub(crate) unsafe fn keep(node: *const c_char, list: *const Addrinfo) {
    // SAFETY: the caller guarantees that it is NUL-terminated.
    let name = without_dot(unsafe { CStr::from_ptr(node) }.to_bytes());
    let Some(length) = u8::try_from(name.len()).ok().filter(|_| name.len() <= NAME_ROOM) else { return };
    let mut next = list;
    // SAFETY: every element of the list is valid until its owner frees it, after this call.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.next;
        // SAFETY: the element holds its address and that address's length.
        let Some(peer) = (unsafe { Peer::read(entry.addr.cast(), entry.addrlen) }) else { continue };
        let peer = Peer { port: 0, ..peer.canonical() };
        with(|names| {
            let known = |kept: &Named| kept.peer == peer && kept.name().eq_ignore_ascii_case(name);
            if names.list.iter().any(known) {
                return;
            }
            let place = names.next;
            names.next = place.wrapping_add(1) % MAX_NAMES;
            if let Some(kept) = names.list.get_mut(place) {
                kept.peer = peer;
                kept.length = length;
                for (place, &byte) in kept.name.iter_mut().zip(name) {
                    *place = byte;
                }
            }
        });
    }
}

impl Named {
    fn name(&self) -> &[u8] {
        self.name.get(..usize::from(self.length)).unwrap_or(&self.name)
    }
}

/// The reason why `node` must not be looked up, if there is one. An address in digits is checked later.
///
/// # Safety
/// Both are null or NUL-terminated.
pub(crate) unsafe fn refuses_name(node: *const c_char, service: *const c_char) -> Option<u16> {
    // SAFETY: the caller guarantees it.
    if !by_name() || !unsafe { lookups::is_name(node) } {
        return None;
    }
    // SAFETY: a name is not null, and NUL-terminated.
    let name = without_dot(unsafe { CStr::from_ptr(node) }.to_bytes());
    let port = if service.is_null() {
        None
    } else {
        // SAFETY: the caller guarantees that it is NUL-terminated.
        number(unsafe { CStr::from_ptr(service) }.to_bytes())
    };
    settings().find_map(|(key, value)| match key {
        b"hosts" => {
            let listed = value.split(|&byte| byte == b',').any(|host| covers(host, name));
            (!listed && !is_loopback_name(name)).then_some(forbidden::HOSTS)
        }
        b"origins" => {
            let listed = origins(value).any(|(host, own)| fits(own, port) && covers(host, name));
            (!listed).then_some(forbidden::ORIGINS)
        }
        _ => None,
    })
}

/// The reason why there must not be a connection to `peer`, if there is one.
pub(crate) fn refuses(peer: &Peer) -> Option<u16> {
    if !is_limited() {
        return None;
    }
    let peer = peer.canonical();
    settings().find_map(|(key, value)| match key {
        b"hosts" => {
            let mut hosts = value.split(|&byte| byte == b',');
            let allowed = peer.is_loopback() || hosts.any(|host| is_at(host, &peer));
            (!allowed).then_some(forbidden::HOSTS)
        }
        b"origins" => {
            let port = Some(u64::from(peer.port));
            let listed = origins(value).any(|(host, own)| fits(own, port) && is_at(host, &peer));
            (!listed).then_some(forbidden::ORIGINS)
        }
        b"local" => (!peer.is_local()).then_some(forbidden::LOCAL),
        _ => None,
    })
}

/// Reports a name that was not looked up.
///
/// # Safety
/// `node` is NUL-terminated.
pub(crate) unsafe fn report_name(node: *const c_char, why: u16) {
    // SAFETY: the caller guarantees that it is NUL-terminated.
    let name = unsafe { CStr::from_ptr(node) }.to_bytes();
    let mut record = refusal(why);
    let length = name.len().min(record.name.len());
    for (place, &byte) in record.name.iter_mut().zip(name) {
        *place = byte;
    }
    record.name_len = u8::try_from(length).unwrap_or(u8::MAX);
    pipe::write(record);
}

/// Reports a connection that was not made.
pub(crate) fn report(peer: &Peer, why: u16) {
    let mut record = refusal(why);
    record.peer_family = peer.family;
    record.peer_port = peer.port;
    record.peer = peer.address;
    pipe::write(record);
}

fn refusal(why: u16) -> Record {
    let mut record = Record::EMPTY;
    record.kind = kind::FORBIDDEN;
    record.error = why;
    record.started_ns = sys::now();
    record
}

/// The hosts of `origins=` with their ports, 0 = any.
fn origins(value: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    value.split(|&byte| byte == b',').map(|origin| {
        let (host, port) = halves(origin, b'/');
        (host, number(port).unwrap_or(0))
    })
}

/// Whether a port is the one of an origin. If it is not known yet, it is checked at the connection.
fn fits(own: u64, port: Option<u64>) -> bool {
    own == 0 || port.is_none_or(|port| port == own)
}

/// Whether `peer` is the address `host`, or was found under a name that `host` covers.
fn is_at(host: &[u8], peer: &Peer) -> bool {
    if let Some((_, listed)) = address(host) {
        return Peer { port: 0, ..listed.canonical() } == Peer { port: 0, ..*peer };
    }
    let found = |named: &Named| {
        named.peer.family == peer.family
            && named.peer.address == peer.address
            && covers(host, named.name())
    };
    with(|names| names.list.iter().any(found)).unwrap_or(false)
}

/// Whether a host of the settings, which may stand for all names below it, covers `name`.
fn covers(host: &[u8], name: &[u8]) -> bool {
    let Some(below) = host.strip_prefix(b"*") else { return host.eq_ignore_ascii_case(name) };
    let start = name.len().saturating_sub(below.len());
    below.len() < name.len() && name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(below))
}

/// `localhost` and all names below it (RFC 6761, 6.3).
fn is_loopback_name(name: &[u8]) -> bool {
    covers(b"localhost", name) || covers(b"*.localhost", name)
}

fn without_dot(name: &[u8]) -> &[u8] {
    name.strip_suffix(b".").unwrap_or(name)
}
