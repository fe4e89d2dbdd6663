//! The kind of an exchange: by the playlist that lists its address; else by the first bytes of its body,
//! by its name, and by its content type.
//!
//! Content takes precedence over names, because names are unreliable: CDNs serve segments as `.jpg`,
//! initialization sections as `seg0.mp4` and playlists without any extension.

use crate::exchange::Kind;

/// Hints about the kind of a response.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseHints<'a> {
    /// The kind as which a playlist lists the address.
    pub listed: Option<Kind>,
    /// Last element of the URL's path, without query.
    pub name: &'a str,
    /// `Content-Type`, empty if there was none.
    pub content_type: &'a str,
    /// First bytes of the body, empty if unknown or content-encoded.
    pub sniff: &'a [u8],
    /// Length of the whole body, if it is known.
    pub length: Option<u64>,
}

/// Length of an AES-128 key (RFC 8216, section 4.3.2.4).
const KEY_BYTES: u64 = 16;

/// The kind that the hints suggest; the body of a failed response must not be passed as a hint.
#[must_use]
pub fn kind(clues: ResponseHints<'_>) -> Kind {
    if let Some(listed) = clues.listed {
        return listed;
    }
    // Keys are random bytes, so their length has to be checked before their content.
    if clues.length == Some(KEY_BYTES) && !clues.sniff.starts_with(b"#EXTM3U") {
        return Kind::Key;
    }
    by_content(clues.sniff)
        .or_else(|| by_name(clues.name))
        .or_else(|| by_type(clues.content_type))
        .unwrap_or(Kind::Other)
}

fn by_content(sniff: &[u8]) -> Option<Kind> {
    let text = sniff.strip_prefix(b"\xef\xbb\xbf").unwrap_or(sniff);
    if text.starts_with(b"#EXTM3U") {
        return Some(Kind::Playlist);
    }
    if text.starts_with(b"WEBVTT") || sniff.starts_with(b"ID3") {
        return Some(Kind::Segment);
    }
    match sniff.get(4..8)? {
        b"ftyp" | b"moov" => Some(Kind::Init),
        b"styp" | b"moof" | b"sidx" | b"emsg" | b"prft" => Some(Kind::Segment),
        // An MPEG-TS packet begins with 0x47; its second sync byte is beyond the bytes that are kept.
        _ if sniff.first() == Some(&0x47) => Some(Kind::Segment),
        _ => None,
    }
}

fn by_name(name: &str) -> Option<Kind> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is = |list: &[&str]| list.iter().any(|known| extension.eq_ignore_ascii_case(known));
    if is(&["m3u8", "m3u"]) {
        Some(Kind::Playlist)
    } else if is(&["key"]) {
        Some(Kind::Key)
    } else if is(&["mp4", "m4s", "m4v", "m4a", "cmfv", "cmfa", "cmft", "m4i", "init"]) {
        let lower = stem.to_ascii_lowercase();
        let init = lower.starts_with("init") || lower.ends_with("init") || is(&["m4i", "init"]);
        Some(if init { Kind::Init } else { Kind::Segment })
    } else if is(&["ts", "m2ts", "aac", "ac3", "ec3", "mp3", "vtt", "webvtt"]) {
        Some(Kind::Segment)
    } else {
        None
    }
}

fn by_type(content_type: &str) -> Option<Kind> {
    let lower = content_type.to_ascii_lowercase();
    if lower.contains("mpegurl") {
        Some(Kind::Playlist)
    } else if lower.starts_with("video/") || lower.starts_with("audio/") || lower.starts_with("text/vtt") {
        Some(Kind::Segment)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_first_then_name_then_type() {
        let ts = [0x47, 0x40, 0x11, 0x10, 0, 0x42, 0xf0, 0x25];
        for (name, content_type, sniff, length, expected) in [
            ("live", "", &b"#EXTM3U\n"[..], None, Kind::Playlist),
            ("photo.jpg", "image/jpeg", &ts, None, Kind::Segment),
            ("seg0.mp4", "video/mp4", b"\0\0\0\x1cftypiso5", None, Kind::Init),
            ("init-000.mp4", "video/mp4", b"\0\0\0\x18stypmsdh", None, Kind::Segment),
            ("stream.m3u8", "text/html", b"", None, Kind::Playlist),
            ("SEG.TS", "", b"", None, Kind::Segment),
            ("init.mp4", "", b"", None, Kind::Init),
            ("a.m4s", "", b"", None, Kind::Segment),
            ("enc.key", "", b"\x47aaaaaaaaaaaaaaa", Some(16), Kind::Key),
            ("k", "application/octet-stream", b"0123456789abcdef", Some(16), Kind::Key),
            ("list", "application/vnd.apple.mpegurl; charset=utf-8", b"", None, Kind::Playlist),
            ("page.html", "text/html", b"<html>", None, Kind::Other),
            ("", "", b"", None, Kind::Other),
        ] {
            let clues = ResponseHints { name, content_type, sniff, length, listed: None };
            assert_eq!(kind(clues), expected, "{name} {content_type} {sniff:?}");
            // The playlist that lists an address takes precedence over its content.
            let clues = ResponseHints { listed: Some(Kind::Segment), ..clues };
            assert_eq!(kind(clues), Kind::Segment, "{name} {content_type} {sniff:?}");
        }
    }
}
