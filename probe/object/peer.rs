//! The peer of a connection.

use crate::sys;

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

    /// The IPv4 address of an IPv4-mapped one (RFC 4291, 2.5.5.2), others as they are.
    pub(crate) fn canonical(self) -> Self {
        const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
        match self.address {
            [head @ .., a, b, c, d] if self.family == 6 && head == MAPPED => {
                let address = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                Self { family: 4, port: self.port, address }
            }
            _ => self,
        }
    }

    /// Whether it is an address of this machine by definition.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.address {
            [first, ..] if self.family == 4 => first == 127,
            [head @ .., last] => self.family == 6 && head == [0; 15] && last == 1,
        }
    }

    /// Whether it belongs to this machine or a private network (RFC 1918, 3927, 4193, 6598).
    pub(crate) fn is_local(&self) -> bool {
        let private = match (self.family, self.address) {
            (4, [10, ..] | [192, 168, ..] | [169, 254, ..]) => true,
            (4, [172, second, ..]) => second & 0b1111_0000 == 16,
            (4, [100, second, ..]) => second & 0b1100_0000 == 64,
            (6, [first, second, ..]) => {
                first & 0b1111_1110 == 0xfc || (first == 0xfe && second & 0b1100_0000 == 0x80)
            }
            _ => false,
        };
        private || self.is_loopback()
    }

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
