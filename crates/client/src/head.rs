//! The head of a response (RFC 9112): its statements on framing, content, and caches.

use std::fmt;

/// The longest head, bytes. Browsers accept 256 KiB; no server of streams comes near.
pub const LONGEST_HEAD: usize = 128 << 10;
/// The maximum number of fields in a head.
const MAX_FIELDS: usize = 128;

/// How the end of a body is recognized (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// The body has this many bytes.
    Length(u64),
    /// The body comes in chunks.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// The content coding of a body (RFC 9110, 8.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    /// The body is the entity.
    #[default]
    Identity,
    /// gzip.
    Gzip,
    /// deflate, with or without zlib's frame.
    Deflate,
    /// A coding that was not asked for.
    Other,
}

/// A cache result, by `Cache-Status` (RFC 9211) and the fields that CDNs used before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheResult {
    /// Served from the cache.
    Hit,
    /// Fetched from behind the cache.
    Miss,
    /// Another result.
    Other,
}

/// The head of a final response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status code, 200 to 599 and beyond.
    pub status: u16,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection can be used again.
    pub keep_alive: bool,
    /// `Content-Length`, or the length of a `Content-Range`; absent where the body comes in chunks.
    pub announced: Option<u64>,
    /// The first byte of a `Content-Range`.
    pub range_start: Option<u64>,
    /// `Content-Type`; empty if there is none.
    pub content_type: Box<str>,
    /// `Content-Encoding`.
    pub coding: Coding,
    /// `Content-Encoding` as it was sent; empty if there is none.
    pub encoding: Box<str>,
    /// `Alt-Svc`, of several fields all.
    pub alt_svc: Option<Box<str>>,
    /// `Location`.
    pub location: Option<Box<str>>,
    /// `Set-Cookie`, each.
    pub cookies: Vec<Box<str>>,
    /// `Age`, seconds.
    pub age_s: Option<u32>,
    /// `Retry-After`, seconds; a date counts as absent.
    pub retry_after_s: Option<u32>,
    /// The result of the nearest cache.
    pub cache: Option<CacheResult>,
    /// The name of the nearest server.
    pub edge: Option<Box<str>>,
}

/// The error for bytes that are not a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub(crate) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid HTTP response: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

/// The beginning of some bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Partial,
    /// An interim response (1xx) of this many bytes; another head follows.
    Interim(usize),
    /// A head, and its length in bytes.
    Head(Box<Head>, usize),
}

/// Parses the head at the beginning of `bytes`, the response to a GET.
///
/// # Errors
/// [`Malformed`], with the reason.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    // As players do: some servers fold fields, or write a blank before the colon.
    let mut tolerant = httparse::ParserConfig::default();
    tolerant.allow_obsolete_multiline_headers_in_responses(true);
    tolerant.allow_spaces_after_header_name_in_responses(true);
    tolerant.ignore_invalid_headers_in_responses(true);
    let length = match tolerant.parse_response(&mut response, bytes) {
        Ok(httparse::Status::Partial) if bytes.len() > LONGEST_HEAD => {
            return Err(Malformed("its head is too long"));
        }
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed("its head has too many fields")),
        Err(_) => return Err(Malformed("its head cannot be parsed")),
    };
    match (response.code, response.version) {
        (Some(101), _) => Err(Malformed("it switches protocols")),
        (Some(100..=199), _) => Ok(Parsed::Interim(length)),
        (Some(status), Some(version)) => {
            let fields = response.headers.iter().map(|field| (field.name, field.value));
            let head = interpret(status, version > 0, fields)?;
            Ok(Parsed::Head(Box::new(head), length))
        }
        _ => Err(Malformed("it has no status")),
    }
}

/// The head of a response on a stream of its own (RFC 9113, 8.3; RFC 9114, 4.3): the stream ends where the body does.
///
/// # Errors
/// [`Malformed`]: it contradicts itself.
pub(crate) fn of_stream<'a>(
    status: u16,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Head, Malformed> {
    // Fields about the connection have no meaning there (RFC 9113, 8.2.2).
    let fields = fields.filter(|(name, _)| !matches!(*name, "transfer-encoding" | "connection"));
    interpret(status, true, fields)
}

fn interpret<'a>(
    status: u16,
    persistent: bool,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Head, Malformed> {
    let mut head = Head {
        status,
        framing: Framing::None,
        keep_alive: persistent,
        announced: None,
        range_start: None,
        content_type: Box::from(""),
        coding: Coding::Identity,
        encoding: Box::from(""),
        alt_svc: None,
        location: None,
        cookies: Vec::new(),
        age_s: None,
        retry_after_s: None,
        cache: None,
        edge: None,
    };
    let (mut chunked, mut other_transfer, mut range, mut edge_rank) = (false, false, None, 0);
    for (name, raw) in fields {
        let value = trim(raw);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            let length = decimal(value).ok_or(Malformed("its Content-Length is not a number"))?;
            if head.announced.replace(length).is_some_and(|before| before != length) {
                return Err(Malformed("it has two different Content-Lengths"));
            }
        } else if is("transfer-encoding") {
            chunked = last_of_list(value).eq_ignore_ascii_case(b"chunked");
            other_transfer = !chunked;
        } else if is("connection") {
            for token in value.split(|byte| *byte == b',').map(trim) {
                if token.eq_ignore_ascii_case(b"close") {
                    head.keep_alive = false;
                } else if token.eq_ignore_ascii_case(b"keep-alive") {
                    head.keep_alive = true;
                }
            }
        } else if is("content-encoding") {
            (head.coding, head.encoding) = (coding(value), text(value));
        } else if is("content-range") {
            range = content_range(value);
        } else if is("content-type") {
            head.content_type = text(value);
        } else if is("alt-svc") {
            let known = head.alt_svc.take().map_or_else(String::new, |known| format!("{known}, "));
            head.alt_svc = Some((known + &text(value)).into());
        } else if is("location") {
            head.location = Some(text(value));
        } else if is("set-cookie") {
            head.cookies.push(text(value));
        } else if is("age") {
            head.age_s = decimal(value).map(|age| u32::try_from(age).unwrap_or(u32::MAX));
        } else if is("retry-after") {
            head.retry_after_s = decimal(value).map(|wait| u32::try_from(wait).unwrap_or(u32::MAX));
        } else if (is("x-cache") || is("x-cache-status") || is("cf-cache-status") || is("cache-status"))
            && matches!(head.cache, None | Some(CacheResult::Other))
        {
            head.cache = Some(cache_word(last_of_list(value)));
        } else if let Some((rank, edge)) = edge_name(name, value)
            && rank > edge_rank
        {
            (edge_rank, head.edge) = (rank, Some(text(edge)));
        }
    }
    head.range_start = range.map(|(first, _)| first);
    head.framing = if matches!(status, 204 | 304) {
        Framing::None
    } else if chunked {
        head.announced = None;
        Framing::Chunked
    } else if other_transfer {
        Framing::UntilClose
    } else if let Some(length) = head.announced {
        Framing::Length(length)
    } else if let (206, Some((_, length))) = (status, range) {
        head.announced = Some(length);
        Framing::Length(length)
    } else {
        Framing::UntilClose
    };
    if head.framing == Framing::UntilClose {
        head.keep_alive = false;
    }
    Ok(head)
}

/// As text; bytes that are not UTF-8 are replaced.
fn text(value: &[u8]) -> Box<str> {
    String::from_utf8_lossy(value).into()
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn last_of_list(value: &[u8]) -> &[u8] {
    trim(value.rsplit(|byte| *byte == b',').next().unwrap_or(value))
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// First byte and length of a `Content-Range`: `bytes FIRST-LAST/TOTAL`.
fn content_range(value: &[u8]) -> Option<(u64, u64)> {
    let range = trim(value.strip_prefix(b"bytes")?);
    let range = range.split(|byte| *byte == b'/').next()?;
    let dash = range.iter().position(|byte| *byte == b'-')?;
    let first = decimal(trim(range.get(..dash)?))?;
    let last = decimal(trim(range.get(dash + 1..)?))?;
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

fn coding(value: &[u8]) -> Coding {
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    if value.is_empty() || is(b"identity") {
        Coding::Identity
    } else if is(b"gzip") || is(b"x-gzip") {
        Coding::Gzip
    } else if is(b"deflate") {
        Coding::Deflate
    } else {
        Coding::Other
    }
}

/// The result of the cache nearest to the viewer (the last member of the list).
fn cache_word(member: &[u8]) -> CacheResult {
    let has = |word: &[u8]| member.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    if has(b"refresh") || has(b"pass") || has(b"hit=?0") {
        CacheResult::Other
    } else if has(b"hit") {
        CacheResult::Hit
    } else if has(b"miss") {
        CacheResult::Miss
    } else {
        CacheResult::Other
    }
}

/// The name of the server nearest to the viewer, and how well the field is suited for it: Fastly and Varnish
/// (`X-Served-By`), CloudFront (`X-Amz-Cf-Pop`), Cloudflare (the place behind the last `-` of `CF-Ray`), any
/// proxy (`Via`).
fn edge_name<'text>(name: &str, value: &'text [u8]) -> Option<(u8, &'text [u8])> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let rank = if is("x-served-by") {
        4
    } else if is("x-amz-cf-pop") {
        3
    } else if is("cf-ray") {
        return Some((2, value.rsplit(|byte| *byte == b'-').next().unwrap_or(value)));
    } else if is("via") {
        1
    } else {
        return None;
    };
    Some((rank, last_of_list(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        match parse(text.as_bytes()) {
            Ok(Parsed::Head(head, length)) if length == text.len() => *head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn framing_follows_the_order_of_the_specification() {
        for (fields, framing, keep_alive) in [
            ("Content-Length: 7\r\n", Framing::Length(7), true),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked, true),
            ("Transfer-Encoding: gzip\r\nContent-Length: 7\r\n", Framing::UntilClose, false),
            ("Connection: close\r\nContent-Length: 7\r\n", Framing::Length(7), false),
            ("", Framing::UntilClose, false),
        ] {
            let head = head(fields);
            assert_eq!((head.framing, head.keep_alive), (framing, keep_alive), "{fields}");
        }
        let old = parse(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap();
        assert!(matches!(old, Parsed::Head(head, _) if !head.keep_alive));
        let kept = parse(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n").unwrap();
        assert!(matches!(kept, Parsed::Head(head, _) if head.keep_alive));
        let unchanged = parse(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").unwrap();
        assert!(matches!(unchanged, Parsed::Head(head, _) if head.framing == Framing::None));
    }

    #[test]
    fn a_range_announces_its_length() {
        let parsed =
            parse(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-19/100\r\n\r\n").unwrap();
        let Parsed::Head(head, _) = parsed else { panic!("{parsed:?}") };
        assert_eq!((head.framing, head.range_start), (Framing::Length(10), Some(10)));
    }

    #[test]
    fn facts_of_caches_are_read() {
        let head = head(
            "X-Cache: MISS, HIT\r\nAge: 12\r\nVia: 1.1 a, 1.1 b\r\nX-Served-By: cache-fra-1\r\nContent-Length: 0\r\n",
        );
        assert_eq!((head.cache, head.age_s), (Some(CacheResult::Hit), Some(12)));
        assert_eq!(head.edge.as_deref(), Some("cache-fra-1"));
    }

    #[test]
    fn what_is_not_a_response_is_malformed() {
        for bytes in [
            &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        ] {
            assert!(parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
        let long = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; LONGEST_HEAD]].concat();
        assert_eq!(parse(&long), Err(Malformed("its head is too long")));
        assert_eq!(parse(b"HTTP/1.1 100 Continue\r\n\r\nHTTP"), Ok(Parsed::Interim(25)));
    }
}
