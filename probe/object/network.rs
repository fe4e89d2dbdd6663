//! Changes to the network that the settings require: addresses of host names, the source address of
//! connections, the pace of reading, and the verification of certificates. [`crate::allowed`] has the hosts.
//!
//! The settings come from [`wire::NETWORK_ENVIRONMENT`]; without it nothing is changed. If the probe cannot
//! parse them, the process reports that in its HELLO and connects to nothing.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::peer::Peer;
use crate::sys;
use crate::wire;

/// Room for an address as text, with its final zero.
pub(crate) const ADDRESS_ROOM: usize = 48;
/// An address as text, ended by a zero byte.
pub(crate) type Address = [u8; ADDRESS_ROOM];

struct Settings(UnsafeCell<[u8; wire::NETWORK_BYTES]>);
// SAFETY: written once by `open`, which the dynamic linker calls before there are threads; only read
// after `LENGTH` was set.
unsafe impl Sync for Settings {}

static SETTINGS: Settings = Settings(UnsafeCell::new([0; wire::NETWORK_BYTES]));
static LENGTH: AtomicUsize = AtomicUsize::new(0);
static UNREADABLE: AtomicBool = AtomicBool::new(false);
/// Bytes per second, 0 = no cap.
static RATE: AtomicU64 = AtomicU64::new(0);
/// The time at which the bytes read so far fit the rate, nanoseconds; see [`Pace`].
static PAID_NS: AtomicU64 = AtomicU64::new(0);
/// Connections that could not be made: the next lookup gives the next address.
static FAILED: AtomicU32 = AtomicU32::new(0);

/// Reads the settings from the environment.
pub(crate) fn open() {
    const NAME: &CStr = c"HLS_SWARM_NETWORK";
    const _: () = assert!(wire::NETWORK_ENVIRONMENT.len() == NAME.count_bytes());
    // SAFETY: the name is NUL-terminated.
    let value = unsafe { sys::getenv(NAME.as_ptr()) };
    if value.is_null() {
        return;
    }
    // SAFETY: getenv returns a NUL-terminated text.
    let value = unsafe { CStr::from_ptr(value) }.to_bytes();
    // SAFETY: nothing else uses it yet, see `Settings`.
    let kept = unsafe { &mut *SETTINGS.0.get() };
    let Some(room) = kept.get_mut(..value.len()) else {
        UNREADABLE.store(true, Ordering::Relaxed);
        return;
    };
    for (place, &byte) in room.iter_mut().zip(value) {
        *place = byte;
    }
    LENGTH.store(value.len(), Ordering::Release);
    if !settings().all(|(key, value)| is_valid(key, value)) {
        UNREADABLE.store(true, Ordering::Relaxed);
    }
    if let Some(bits) = settings().find(|(key, _)| *key == b"cap").and_then(|(_, value)| number(value)) {
        RATE.store((bits / 8).max(1), Ordering::Relaxed);
    }
    crate::allowed::open();
}

/// Whether the settings could be parsed.
pub(crate) fn is_readable() -> bool {
    !UNREADABLE.load(Ordering::Relaxed)
}

/// Counts a connection that could not be made.
pub(crate) fn connect_failed() {
    FAILED.fetch_add(1, Ordering::Relaxed);
}

fn settings_text() -> &'static [u8] {
    let length = LENGTH.load(Ordering::Acquire);
    // SAFETY: only read from now on, see `Settings`.
    let kept: &'static [u8; wire::NETWORK_BYTES] = unsafe { &*SETTINGS.0.get() };
    kept.get(..length).unwrap_or_default()
}

pub(crate) fn settings() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    settings_text().split(|&byte| byte == b' ').filter(|word| !word.is_empty()).map(|word| halves(word, b'='))
}

fn is_valid(key: &[u8], value: &[u8]) -> bool {
    match key {
        b"cap" => number(value).is_some_and(|bits| bits > 0),
        b"source" => address(value).is_some(),
        b"verify" => value == b"no",
        b"trust" => value == b"SSL_CERT_FILE",
        b"local" => value == b"only",
        b"hosts" => !value.is_empty(),
        b"origins" => value.split(|&byte| byte == b',').all(|origin| {
            let (host, port) = halves(origin, b'/');
            !host.is_empty() && number(port).is_some()
        }),
        b"resolve" => rule(value).is_some_and(|(host, _, addresses)| {
            !host.is_empty() && addresses.split(|&byte| byte == b',').all(|text| address(text).is_some())
        }),
        _ => false,
    }
}

/// Host, port (0 = any) and addresses of a rule.
fn rule(value: &[u8]) -> Option<(&[u8], u64, &[u8])> {
    let (host, rest) = halves(value, b'/');
    let (port, addresses) = halves(rest, b'/');
    Some((host, number(port)?, addresses))
}

/// The parts before and after the first `at`.
pub(crate) fn halves(text: &[u8], at: u8) -> (&[u8], &[u8]) {
    let place = text.iter().position(|&byte| byte == at).unwrap_or(text.len());
    (text.get(..place).unwrap_or_default(), text.get(place.wrapping_add(1)..).unwrap_or_default())
}

pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0'))),
        _ => None,
    })
}

/// The text of an address with its final zero, and the address.
pub(crate) fn address(text: &[u8]) -> Option<(Address, Peer)> {
    let mut ended: Address = [0; ADDRESS_ROOM];
    if text.is_empty() || text.len() >= ADDRESS_ROOM {
        return None;
    }
    for (place, &byte) in ended.iter_mut().zip(text) {
        *place = byte;
    }
    let mut peer = Peer::NONE;
    for (family, mark) in [(sys::AF_INET, 4), (sys::AF_INET6, 6)] {
        // SAFETY: the text is NUL-terminated and 16 bytes take an address of either family.
        let read = unsafe {
            sys::inet_pton(c_int::from(family), ended.as_ptr().cast(), peer.address.as_mut_ptr().cast())
        };
        if read == 1 {
            peer.family = mark;
            return Some((ended, peer));
        }
    }
    None
}

/// The configured address of this host and service, if any. `first` is the number of the viewer: addresses are
/// assigned round-robin, and a failed connection advances to the next one.
///
/// # Safety
/// Both are null or NUL-terminated.
pub(crate) unsafe fn stands_for(
    node: *const c_char,
    service: *const c_char,
    first: u32,
) -> Option<Address> {
    if node.is_null() || LENGTH.load(Ordering::Relaxed) == 0 {
        return None;
    }
    // SAFETY: the caller guarantees that it is NUL-terminated.
    let host = unsafe { CStr::from_ptr(node) }.to_bytes();
    let port = if service.is_null() {
        None
    } else {
        // SAFETY: as above.
        number(unsafe { CStr::from_ptr(service) }.to_bytes())
    };
    let mut rules = settings().filter(|(key, _)| *key == b"resolve").filter_map(|(_, value)| rule(value));
    let (_, _, addresses) = rules.find(|(name, wanted, _)| {
        name.eq_ignore_ascii_case(host) && (*wanted == 0 || Some(*wanted) == port)
    })?;
    let count = addresses.split(|&byte| byte == b',').count();
    let turn = first.wrapping_add(FAILED.load(Ordering::Relaxed)) as usize;
    let text = addresses.split(|&byte| byte == b',').nth(turn.checked_rem(count)?)?;
    address(text).map(|(text, _)| text)
}

/// Binds the socket to the configured source address for connections to `peer`. Returns the errno if that
/// fails, 0 otherwise.
pub(crate) fn leave_from(fd: c_int, peer: &Peer) -> c_int {
    const EINVAL: c_int = 22;
    const EADDRNOTAVAIL: c_int = 99;
    const IPPROTO_IP: c_int = 0;
    const IP_BIND_ADDRESS_NO_PORT: c_int = 24;
    if !is_readable() {
        return EINVAL;
    }
    let mut configured = false;
    for (_, value) in settings().filter(|(key, _)| *key == b"source") {
        configured = true;
        let Some((_, source)) = address(value).filter(|(_, source)| source.family == peer.family) else {
            continue;
        };
        if sys::is_bound(fd) {
            return 0;
        }
        // The port is chosen at connect(), when the kernel knows the peer: a port serves many peers then.
        sys::set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        let (socket_address, length) = source.write();
        // SAFETY: the pointer is valid for the length given.
        let result = unsafe { sys::bind(fd, socket_address.as_ptr().cast(), length) };
        return if result == 0 { 0 } else { sys::errno() };
    }
    // A connection from another address would not match the settings.
    if configured { EADDRNOTAVAIL } else { 0 }
}

/// Whether every certificate is accepted.
pub(crate) fn is_unverified() -> bool {
    settings().any(|(key, _)| key == b"verify")
}

/// The file of the authorities that replace the system's, if configured.
pub(crate) fn authorities() -> Option<&'static CStr> {
    settings().find(|(key, _)| *key == b"trust")?;
    // SAFETY: the name is NUL-terminated, and nothing changes the environment while FFmpeg runs.
    let file = unsafe { sys::getenv(c"SSL_CERT_FILE".as_ptr()) };
    // SAFETY: getenv returns a NUL-terminated text or null.
    (!file.is_null()).then(|| unsafe { CStr::from_ptr(file) })
}

/// Whether the viewer's reading is limited.
pub(crate) fn is_capped() -> bool {
    RATE.load(Ordering::Relaxed) != 0
}

/// The limit on the viewer's reading: each piece delays the next one by its size divided by the rate.
pub(crate) struct Pace {
    /// Bytes per second.
    rate: u64,
}

impl Pace {
    /// The longest single sleep of a call, nanoseconds.
    const NAP_NS: u64 = 50_000_000;
    /// The most sleeps of one call: many threads may share the delay.
    const NAPS: u32 = 20;
    /// Time that may be made up after a sleep that was too long or a late read, nanoseconds.
    const SLACK_NS: u64 = 20_000_000;

    /// `None` if there is no cap.
    pub(crate) fn configured() -> Option<Self> {
        match RATE.load(Ordering::Relaxed) {
            0 => None,
            rate => Some(Self { rate }),
        }
    }

    /// Sleeps until earlier reads fit the rate. A signal ends the sleep.
    pub(crate) fn wait(&self) {
        for _ in 0..Self::NAPS {
            let debt = PAID_NS.load(Ordering::Relaxed).saturating_sub(sys::now());
            if debt == 0 || !sys::pause(u32::try_from(debt.min(Self::NAP_NS)).unwrap_or(0)) {
                return;
            }
        }
    }

    /// The most bytes of one read: 20 ms of the rate.
    pub(crate) fn most(&self) -> usize {
        usize::try_from(self.rate / 50).unwrap_or(usize::MAX).max(64)
    }

    /// Accounts for bytes that were read.
    pub(crate) fn pay(&self, bytes: usize) {
        let cost = (bytes as u64).saturating_mul(1_000_000_000).checked_div(self.rate).unwrap_or(0);
        let earliest = sys::now().saturating_sub(Self::SLACK_NS);
        let add = |paid: u64| Some(paid.max(earliest).saturating_add(cost));
        let _ = PAID_NS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}
