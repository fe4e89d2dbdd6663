//! Values of playlist tags: attribute lists (RFC 8216, section 4.2: `NAME=value,NAME="quoted, value"`), and
//! numbers as packagers write them.

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
            // A quote inside an unquoted value belongs to nothing.
            return Some(value.split('"').next().unwrap_or(value).trim());
        }
        rest = next;
    }
    None
}

/// The number that a value begins with, as C's `atof` reads it: `2.5`, `2.5s`, ` 2.5 title`, `+2.5;`. `None`
/// if it begins with no finite number.
#[must_use]
pub fn number(value: &str) -> Option<f64> {
    let value = value.trim_start();
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let sign = usize::from(value.starts_with(['+', '-']));
    let mut end = sign + digits(value.get(sign..)?);
    if value.get(end..)?.starts_with('.') {
        end += 1 + digits(value.get(end + 1..)?);
    }
    if let Some(exponent) = value.get(end..)?.strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let digits = digits(exponent.get(sign..)?);
        if digits > 0 {
            end += 1 + sign + digits;
        }
    }
    value.get(..end)?.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The whole number from 0 on that a value begins with: some packagers write a fraction where an integer
/// belongs.
#[must_use]
pub fn integer(value: &str) -> Option<u64> {
    let value = value.trim_start();
    let value = value.strip_prefix('+').unwrap_or(value);
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value.get(..end)?.parse().ok()
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

    #[test]
    fn numbers_end_where_something_else_begins() {
        for (value, expected) in [
            ("2", Some(2.0)),
            (" 2.50 ,", Some(2.5)),
            ("+1.0", Some(1.0)),
            ("-1 tvg-id=\"x\"", Some(-1.0)),
            ("1.0s", Some(1.0)),
            (".5", Some(0.5)),
            ("1e1x", Some(10.0)),
            ("1e", Some(1.0)),
            ("1.000000;", Some(1.0)),
            ("", None),
            (".", None),
            ("NaN", None),
            ("inf", None),
            ("1e999", None),
            ("s", None),
            ("é1", None),
        ] {
            assert_eq!(number(value), expected, "{value:?}");
        }
        for (value, expected) in [
            ("3428016.750", Some(3_428_016)),
            (" 7x", Some(7)),
            ("-7", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(integer(value), expected, "{value:?}");
        }
    }
}
