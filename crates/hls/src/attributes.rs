//! Attribute lists of playlist tags (RFC 8216, section 4.2): `NAME=value,NAME="quoted, value"`.

/// The value of `name` in `list`, without quotes.
#[must_use]
pub fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.strip_prefix(',').unwrap_or(next))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value.trim());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commas_do_not_split() {
        let list = r#"BANDWIDTH=5500000,CODECS="avc1.640028,mp4a.40.2", RESOLUTION=1920x1080"#;
        assert_eq!(attribute(list, "BANDWIDTH"), Some("5500000"));
        assert_eq!(attribute(list, "CODECS"), Some("avc1.640028,mp4a.40.2"));
        assert_eq!(attribute(list, "RESOLUTION"), Some("1920x1080"));
        assert_eq!(attribute(list, "AUDIO"), None);
        assert_eq!(attribute("BROKEN", "BROKEN"), None);
        assert_eq!(attribute("A=\"open", "A"), None);
    }
}
