//! Parameters in the query of an address.

use std::fmt::Write as _;

use url::Url;

/// Sets a parameter of a query. The others stay as they are written, because there may be signatures among them.
pub fn set_parameter(url: &mut Url, name: &str, value: &str) {
    let name = encoded(name);
    let new = format!("{name}={}", encoded(value));
    let is_it = |one: &str| one.split('=').next() == Some(name.as_str());
    let mut parameters: Vec<&str> = Vec::new();
    let query = url.query().unwrap_or_default().to_owned();
    for one in query.split('&').filter(|one| !one.is_empty()) {
        if !is_it(one) {
            parameters.push(one);
        } else if !parameters.contains(&new.as_str()) {
            parameters.push(&new);
        }
    }
    if !parameters.contains(&new.as_str()) {
        parameters.push(&new);
    }
    url.set_query(Some(&parameters.join("&")));
}

/// The text as `encodeURIComponent` of ECMAScript writes it.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => written.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => written.push(byte.into()),
            _ => {
                // Writing into a text does not fail.
                _ = write!(written, "%{byte:02X}");
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_replaced_and_others_stay_as_they_are_written() {
        for (before, after) in [
            ("http://h/a", "http://h/a?k%25=v%20w"),
            ("http://h/a?t=a~b/c==", "http://h/a?t=a~b/c==&k%25=v%20w"),
            ("http://h/a?k%25=1&t=2&k%25", "http://h/a?k%25=v%20w&t=2"),
        ] {
            let mut url = Url::parse(before).unwrap();
            set_parameter(&mut url, "k%", "v w");
            assert_eq!(url.as_str(), after);
        }
    }

    #[test]
    fn a_component_is_encoded_as_ecmascript_does() {
        assert_eq!(encoded("../a b\"é"), "..%2Fa%20b%22%C3%A9");
    }
}
