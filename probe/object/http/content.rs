//! The apparent content of a body by its first bytes, and whether its last ones end what is in it, without
//! keeping more of them than a few.

use super::super::wire::{SNIFF_BYTES, content};

/// Positions of the sync bytes of MPEG-TS: packets of 188 bytes, of 192 with a time stamp before each
/// (M2TS), and of 204 with parity behind each.
const PLACES: [u16; 8] = [0, 4, 188, 196, 204, 376, 388, LAST_PLACE];
/// The last of them.
pub(super) const LAST_PLACE: u16 = 408;
/// The three kinds of packets: their size, and which of the places are theirs.
const PACKETS: [(u64, [u8; 3]); 3] = [(188, [0, 2, 5]), (192, [1, 3, 6]), (204, [0, 4, 7])];
const SYNC_BYTE: u8 = 0x47;

/// The state between two pieces of a body.
pub(super) struct Content {
    /// Bytes seen.
    pub(super) all: u64,
    /// The same, up to the last place that matters.
    pub(super) seen: u16,
    /// One bit per place: whether it has passed, and whether it held a sync byte.
    came: u8,
    sync: u8,
    /// First bytes of the entity.
    first: [u8; SNIFF_BYTES],
    first_len: u8,
    /// The same, but without a byte order mark and blanks before them.
    text: [u8; SNIFF_BYTES],
    text_len: u8,
    pub(super) boxes: Boxes,
}

/// Follows the boxes of an ISO base media file by their sizes.
pub(super) struct Boxes {
    /// Bytes of the box that are to come.
    pub(super) left: u64,
    /// Its header, as far as it has come.
    header: [u8; 16],
    pub(super) header_len: u8,
    /// Whether boxes can no longer be followed: a size is invalid, or the last box extends to the end of the body.
    pub(super) lost: bool,
}

impl Content {
    /// See [`super::Follower::NEW`].
    pub(super) const NEW: Self = Self {
        all: 0,
        seen: 0,
        came: 0,
        sync: 0,
        first: [0; SNIFF_BYTES],
        first_len: 0,
        text: [0; SNIFF_BYTES],
        text_len: 0,
        boxes: Boxes { left: 0, header: [0; 16], header_len: 0, lost: false },
    };

    /// A body begins.
    pub(super) fn begin(&mut self) {
        *self = Self::NEW;
    }

    /// Takes a piece of the body.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.all = self.all.wrapping_add(bytes.len() as u64);
        self.boxes.take(bytes);
        let last = LAST_PLACE;
        if self.seen > last {
            return;
        }
        for (index, &place) in PLACES.iter().enumerate() {
            if let Some(at) = place.checked_sub(self.seen)
                && let Some(&byte) = bytes.get(usize::from(at))
            {
                let bit = 1_u8.wrapping_shl(index as u32);
                self.came |= bit;
                self.sync |= if byte == SYNC_BYTE { bit } else { 0 };
            }
        }
        for &byte in bytes.iter().take(usize::from(last)) {
            if usize::from(self.text_len) >= SNIFF_BYTES {
                break;
            }
            push(&mut self.first, &mut self.first_len, byte);
            let blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf);
            if self.text_len > 0 || !blank {
                push(&mut self.text, &mut self.text_len, byte);
            }
        }
        let count = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.seen = self.seen.saturating_add(count).min(last.wrapping_add(1));
    }

    /// Whether the body, which has come whole, ends in the middle of a packet or of a box.
    pub(super) fn is_cut_short(&self) -> bool {
        match self.kind() {
            content::MPEG_TS => {
                let size = self.packets().map_or(188, |(size, _)| size);
                !self.all.is_multiple_of(size)
            }
            content::ISO_BOX => !self.boxes.lost && (self.boxes.left > 0 || self.boxes.header_len > 0),
            _ => false,
        }
    }

    /// First bytes of the entity.
    pub(super) fn first(&self) -> (&[u8; SNIFF_BYTES], u8) {
        (&self.first, self.first_len)
    }

    /// One of [`content`].
    pub(super) fn kind(&self) -> u8 {
        let first = self.first.get(..usize::from(self.first_len)).unwrap_or_default();
        let text = self.text.get(..usize::from(self.text_len)).unwrap_or_default();
        let is = |word: &[u8]| {
            text.len() >= word.len() && text.iter().zip(word).all(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        if first.is_empty() {
            content::UNKNOWN
        } else if self.packets().is_some() {
            content::MPEG_TS
        } else if is_box(first) {
            content::ISO_BOX
        } else if is(b"#EXTM3U") {
            content::PLAYLIST
        } else if is(b"WEBVTT") {
            content::WEBVTT
        } else if is(b"<!doctype html") || is(b"<html") || is(b"<head") || is(b"<body") {
            content::HTML
        } else if is(b"<") {
            content::XML
        } else if is(b"{") || is(b"[") {
            content::JSON
        } else if first.starts_with(b"ID3") {
            content::ID3
        } else if let [0xff, second, ..] = *first
            && second & 0xf0 == 0xf0
        {
            // The layer distinguishes them (ISO/IEC 13818-7, 6.2.1): 0 is ADTS.
            match second & 0x06 {
                0 => content::ADTS,
                _ => content::MPEG_AUDIO,
            }
        } else if let [0xff, second, ..] = *first
            && second & 0xe0 == 0xe0
            && second & 0x06 != 0
        {
            content::MPEG_AUDIO
        } else if first.starts_with(&[0x0b, 0x77]) {
            content::AC3
        } else if first.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
            content::TEXT
        } else {
            content::OTHER
        }
    }

    /// The kind of packets that have a sync byte at every place that has passed, including the first one.
    fn packets(&self) -> Option<(u64, [u8; 3])> {
        let bit = |place: u8| 1_u8.wrapping_shl(u32::from(place));
        PACKETS.into_iter().find(|(_, places)| {
            let mask = places.iter().fold(0_u8, |mask, &place| mask | bit(place));
            let [first, ..] = *places;
            self.came & bit(first) != 0 && self.came & mask == self.sync & mask
        })
    }
}

impl Boxes {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let skip = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left = self.left.saturating_sub(skip as u64);
            bytes = bytes.get(skip..).unwrap_or_default();
            if let Some((&byte, rest)) = bytes.split_first() {
                bytes = rest;
                self.header_byte(byte);
            }
        }
    }

    /// One more byte of a header: a size of 32 bits and a type; if the size is 1, one of 64 bits follows.
    fn header_byte(&mut self, byte: u8) {
        if let Some(place) = self.header.get_mut(usize::from(self.header_len)) {
            *place = byte;
        }
        self.header_len = self.header_len.wrapping_add(1);
        let [s0, s1, s2, s3, _, _, _, _, long @ ..] = self.header;
        let short = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
        let size = match self.header_len {
            8 if short != 1 => short,
            16 => u64::from_be_bytes(long),
            _ => return,
        };
        match size.checked_sub(u64::from(self.header_len)) {
            Some(left) => self.left = left,
            None => self.lost = true,
        }
        self.header_len = 0;
    }
}

/// Whether the bytes begin with a box that HLS segments and initialization sections begin with (ISO/IEC
/// 14496-12, 4.2): its size, then its type.
fn is_box(first: &[u8]) -> bool {
    const TYPES: [&[u8]; 12] = [
        b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"ssix", b"emsg", b"prft", b"mdat", b"free", b"skip",
        b"uuid",
    ];
    first.get(4..8).is_some_and(|kind| TYPES.contains(&kind))
}

fn push(room: &mut [u8; SNIFF_BYTES], len: &mut u8, byte: u8) {
    if let Some(place) = room.get_mut(usize::from(*len)) {
        *place = byte;
        *len = len.wrapping_add(1);
    }
}
