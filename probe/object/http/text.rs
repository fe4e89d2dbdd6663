//! Lines, header fields and words of HTTP heads.

use super::super::wire::{cache, encoding};

/// One line, its end cut if it is longer than the room.
pub(super) struct Line<const ROOM: usize> {
    bytes: [u8; ROOM],
    len: usize,
}

impl<const ROOM: usize> Line<ROOM> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// Takes bytes up to and including a line feed; returns how many, and whether the line ended.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> (usize, bool) {
        let ends = bytes.iter().position(|&byte| byte == b'\n');
        let part = ends.and_then(|at| bytes.get(..at)).unwrap_or(bytes);
        for &byte in part {
            let Some(place) = self.bytes.get_mut(self.len) else { break };
            *place = byte;
            self.len = self.len.wrapping_add(1);
        }
        match ends {
            Some(at) => (at.wrapping_add(1), true),
            None => (bytes.len(), false),
        }
    }

    /// Ready for the next line.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// The line without its end.
    pub(super) fn text(&self) -> &[u8] {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        text.strip_suffix(b"\r").unwrap_or(text)
    }
}

/// Name and value of a header line; `None` for a continuation line or one without a colon.
pub(super) fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon.wrapping_add(1)..)?);
    if name.first().is_none_or(|first| matches!(first, b' ' | b'\t')) {
        return None;
    }
    Some((trim(name), trim(value)))
}

pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

pub(super) fn last_of_list(value: &[u8]) -> &[u8] {
    trim(value.rsplit(|&byte| byte == b',').next().unwrap_or(value))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, &byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte.wrapping_sub(b'0'))),
        _ => None,
    })
}

/// The first byte that a `Range` asks for: `bytes=N-…`, and no list.
pub(super) fn range_start(value: &[u8]) -> Option<u64> {
    let range = value.strip_prefix(b"bytes=").filter(|range| !range.contains(&b','))?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    range.get(..dash).map(trim).and_then(decimal)
}

/// First byte and length of a `Content-Range`: `bytes FIRST-LAST/TOTAL`.
pub(super) fn content_range(value: &[u8]) -> Option<(u64, u64)> {
    let range = trim(value.strip_prefix(b"bytes")?);
    let slash = range.iter().position(|&byte| byte == b'/')?;
    let range = range.get(..slash)?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let first = decimal(trim(range.get(..dash)?))?;
    let last = decimal(trim(range.get(dash.wrapping_add(1)..)?))?;
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

/// One of [`encoding`] for a `Content-Encoding`.
pub(super) fn coding(value: &[u8]) -> u8 {
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    if is(b"identity") || value.is_empty() {
        encoding::IDENTITY
    } else if is(b"gzip") || is(b"x-gzip") {
        encoding::GZIP
    } else if is(b"deflate") {
        encoding::DEFLATE
    } else {
        encoding::OTHER
    }
}

/// Whether a name or a content type is that of a playlist (RFC 8216, 4).
pub(super) fn is_of_playlist(name: &[u8], content_type: &[u8]) -> bool {
    let ends = |end: &[u8]| {
        let at = name.len().checked_sub(end.len());
        at.and_then(|at| name.get(at..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    ends(b".m3u8") || ends(b".m3u") || contains(content_type, b"mpegurl")
}

pub(super) fn hexadecimal(byte: u8) -> Option<u64> {
    match byte {
        b'0'..=b'9' => Some(u64::from(byte.wrapping_sub(b'0'))),
        b'a'..=b'f' => Some(u64::from(byte.wrapping_sub(b'a')).wrapping_add(10)),
        b'A'..=b'F' => Some(u64::from(byte.wrapping_sub(b'A')).wrapping_add(10)),
        _ => None,
    }
}

/// What the cache nearest to the viewer said (the last member of the list). Words as of nginx,
/// Varnish, CloudFront, Fastly, Akamai, Cloudflare, and RFC 9211 (`hit`, `fwd=miss`).
pub(super) fn cache_word(member: &[u8]) -> u8 {
    if contains(member, b"refresh") || contains(member, b"pass") || contains(member, b"hit=?0") {
        cache::OTHER
    } else if contains(member, b"hit") {
        cache::HIT
    } else if contains(member, b"miss") {
        cache::MISS
    } else {
        cache::OTHER
    }
}

/// What the server nearest to the viewer calls itself, and how well the header is suited to tell:
/// Fastly and Varnish (`X-Served-By`), CloudFront (`X-Amz-Cf-Pop`), Cloudflare (the place behind the
/// last `-` of `CF-Ray`), any proxy (`Via`).
pub(super) fn edge_name<'text>(name: &[u8], value: &'text [u8]) -> Option<(u8, &'text [u8])> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let rank = if is(b"x-served-by") {
        4
    } else if is(b"x-amz-cf-pop") {
        3
    } else if is(b"cf-ray") {
        return Some((2, value.rsplit(|&byte| byte == b'-').next().unwrap_or(value)));
    } else if is(b"via") {
        1
    } else {
        return None;
    };
    Some((rank, last_of_list(value)))
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len().max(1)).any(|window| window.eq_ignore_ascii_case(word))
}
