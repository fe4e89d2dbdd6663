//! Redis' `maxmemory`, from its answer to `CONFIG GET maxmemory` or from redis.conf.

/// The question, as Redis takes it.
pub const QUESTION: &[u8] = b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$9\r\nmaxmemory\r\n";

/// Reads the answer to [`QUESTION`].
///
/// # Errors
/// What Redis said instead, or that it is not Redis that answered.
pub fn answer(bytes: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    if let Some(error) = first.strip_prefix('-') {
        return Err(format!("it answers: {error}"));
    }
    // *2, $9, maxmemory, $1, 0
    let value = (first == "*2").then(|| lines.nth(3)).flatten();
    value.and_then(|value| value.parse().ok()).ok_or_else(|| "what answers is not Redis".to_owned())
}

/// `maxmemory` in the text of a redis.conf, bytes; 0 where it is not set, which is Redis' default.
///
/// # Errors
/// The value is no size.
pub fn configuration(text: &str) -> Result<u64, String> {
    let mut found = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|name| name.eq_ignore_ascii_case("maxmemory")) {
            let value = words.next().unwrap_or_default().trim_matches(['"', '\'']);
            found = size(value).ok_or_else(|| format!("maxmemory {value} is no size"))?;
        }
    }
    Ok(found)
}

/// Redis' sizes: `1k` is 1000 bytes, `1kb` 1024.
fn size(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text.strip_prefix(digits)? {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(answer(b"*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n"), Ok(0));
        assert_eq!(answer(b"*2\r\n$9\r\nmaxmemory\r\n$9\r\n268435456\r\n"), Ok(268_435_456));
        assert_eq!(
            answer(b"-NOAUTH Authentication required.\r\n").unwrap_err(),
            "it answers: NOAUTH Authentication required."
        );
        assert!(answer(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(answer(b"").is_err());
    }

    #[test]
    fn configurations() {
        assert_eq!(configuration("# maxmemory 1gb\nport 6379\n"), Ok(0));
        assert_eq!(configuration("maxmemory 256mb\n"), Ok(256 << 20));
        assert_eq!(configuration("MAXMEMORY 1k"), Ok(1000));
        assert!(configuration("maxmemory lots").is_err());
    }
}
