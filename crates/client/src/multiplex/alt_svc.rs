//! `Alt-Svc` (RFC 7838): where an origin can be reached by HTTP/3, too. Without I/O.

use std::time::Duration;

/// How long an alternative is used if the field does not say so (RFC 7838, 3.1).
const DEFAULT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// An alternative service that speaks HTTP/3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alternative {
    /// Its host; empty = that of the origin.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How long it may be used.
    pub(crate) age: Duration,
}

/// The value of a field: the first alternative that speaks HTTP/3, which replaces all that are known; `None` = there is
/// none any more.
pub(crate) fn parse(value: &str) -> Option<Alternative> {
    if value.trim() == "clear" {
        return None;
    }
    list(value, ',').into_iter().find_map(alternative)
}

fn alternative(text: &str) -> Option<Alternative> {
    let mut parts = list(text, ';').into_iter();
    let (protocol, authority) = parts.next()?.split_once('=')?;
    if protocol.trim() != "h3" {
        return None;
    }
    let authority = unquoted(authority.trim());
    let (host, port) = authority.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let age = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        let seconds = unquoted(value.trim());
        name.trim().eq_ignore_ascii_case("ma").then(|| seconds.parse().ok().map(Duration::from_secs))?
    });
    Some(Alternative { host: host.to_owned(), port, age: age.unwrap_or(DEFAULT_AGE) })
}

/// The parts of `text` between separators that are not in quotes.
fn list(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let outside = |character: char| {
        let is_plain = !is_escaped;
        is_escaped = is_quoted && is_plain && character == '\\';
        is_quoted ^= is_plain && character == '"';
        !is_quoted && character == separator
    };
    text.split(outside).map(str::trim).collect()
}

/// A quoted string without its quotes (RFC 9110, 5.6.4), or a token as it is.
fn unquoted(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut characters = quoted.chars();
    let mut plain = String::with_capacity(quoted.len());
    while let Some(character) = characters.next() {
        let next = if character == '\\' { characters.next() } else { Some(character) };
        plain.extend(next);
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn alternatives_that_speak_http3_are_found() {
        let of = |value: &str| parse(value).map(|one| (one.host, one.port, one.age.as_secs()));
        let day = 86_400;
        assert_eq!(
            of("h3=\":443\"; ma=2592000,h3-29=\":443\"; ma=2592000"),
            Some((String::new(), 443, 2_592_000))
        );
        assert_eq!(of("h3=\":17443\""), Some((String::new(), 17_443, day)));
        assert_eq!(
            of("h2=\"a.test:8000\", h3=\"b.test:50781\"; persist=1; MA=\"60\""),
            Some(("b.test".into(), 50_781, 60))
        );
        assert_eq!(of("h3=\"[2001:db8::1]:443\""), Some(("[2001:db8::1]".into(), 443, day)));
        assert_eq!(of("h3=\"a,b\\\"c:1\"; ma=1"), Some(("a,b\"c".into(), 1, 1)), "quotes are followed");
        for none in [
            "clear",
            " clear ",
            "h2=\":443\"",
            "h3-29=\":443\"",
            "h3=443",
            "h3=\":0\"",
            "h3=\":70000\"",
            "",
            "h3",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
        // The alternative is used once, and the field is not renewed.
        assert_eq!(of("h3=\":443\"; ma=0"), Some((String::new(), 443, 0)));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
