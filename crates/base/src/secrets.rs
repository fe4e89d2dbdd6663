//! Secrets: `{env:NAME}` and `{file:PATH}` in headers and addresses, and the redaction of their values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use url::Url;

use crate::error::Failure;

/// The replacement for a secret in output.
pub const SHOWN: &str = "***";
/// Length of the shortest secret: a shorter text could occur anywhere.
pub const MIN_SECRET_BYTES: usize = 4;
/// Values written in the open are only hidden if they are at least this long.
const SHORTEST_TYPED: usize = 8;
/// A piece of a secret that is at least this long is redacted, too: a name may have been cut before it was printed.
const SHORTEST_PIECE: usize = 16;
/// Headers whose value is always a secret.
const SECRET_HEADERS: [&str; 4] = ["authorization", "cookie", "token", "key"];

/// The source of a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// An environment variable.
    Variable(String),
    /// A file; its last line break is not part of the secret.
    File(String),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "{{env:{name}}}"),
            Self::File(path) => write!(f, "{{file:{path}}}"),
        }
    }
}

/// A piece of a text: literal text, or a reference to a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Secret(Reference),
}

/// The references in `text`.
///
/// # Errors
/// A usage failure: one is not closed, or names nothing.
pub fn references(text: &str) -> Result<Vec<Reference>, Failure> {
    let secret = |piece| match piece {
        Piece::Secret(reference) => Some(reference),
        Piece::Text(_) => None,
    };
    Ok(pieces(text)?.into_iter().filter_map(secret).collect())
}

fn pieces(mut text: &str) -> Result<Vec<Piece<'_>>, Failure> {
    let mut pieces = Vec::new();
    while let Some(at) = ["{env:", "{file:"].iter().filter_map(|start| text.find(start)).min() {
        let (before, from) = text.split_at(at);
        let wrong = || {
            Failure::usage(format!("invalid reference to a secret {from:?}"))
                .help("write {env:NAME} or {file:PATH}, with the closing brace")
        };
        let (inside, after) = from[1..].split_once('}').ok_or_else(wrong)?;
        let (kind, name) = inside.split_once(':').filter(|(_, name)| !name.is_empty()).ok_or_else(wrong)?;
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Secret(match kind {
            "env" => Reference::Variable(name.to_owned()),
            _ => Reference::File(name.to_owned()),
        }));
        text = after;
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// The secrets of a run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets {
    found: BTreeMap<Reference, String>,
    /// Every text that must not be shown, the longest first.
    hidden: Vec<String>,
    /// Whether any came from a file or the environment.
    read: bool,
    /// Whether a configuration is only shown: then secrets that were not read are replaced by placeholders.
    made_up: bool,
}

// A plan that is printed must not show them.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.hidden.len())
    }
}

impl Secrets {
    /// The secrets that were read.
    #[must_use]
    pub fn of(found: BTreeMap<Reference, String>) -> Self {
        let mut secrets = Self { read: !found.is_empty(), found, ..Self::default() };
        let values: Vec<String> = secrets.found.values().cloned().collect();
        values.iter().for_each(|value| secrets.hide(value));
        secrets
    }

    /// No secrets, because a configuration is shown and not run.
    #[must_use]
    pub fn made_up() -> Self {
        Self { made_up: true, ..Self::default() }
    }

    /// Whether any came from files or the environment.
    #[must_use]
    pub fn were_read(&self) -> bool {
        self.read
    }

    /// `text` with its references replaced by the secrets.
    ///
    /// # Errors
    /// A usage failure: one is not closed, or was not read.
    pub fn expand(&self, text: &str) -> Result<String, Failure> {
        pieces(text)?
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => Ok(text.to_owned()),
                Piece::Secret(_) if self.made_up => Ok("secret".to_owned()),
                Piece::Secret(reference) => self
                    .found
                    .get(&reference)
                    .cloned()
                    .ok_or_else(|| Failure::internal(format!("the secret {reference} was not read"))),
            })
            .collect()
    }

    /// Adds a text that came from a file as a whole.
    pub fn hide_read(&mut self, text: &str) {
        self.read = true;
        self.hide(text);
    }

    /// Adds the secret parts of a header that was typed.
    pub fn hide_header(&mut self, name: &str, value: &str) {
        if is_secret_header(name) {
            // In "Bearer abc" only abc is secret.
            let token = value.rsplit(' ').next().unwrap_or(value);
            self.hide_typed(value);
            self.hide_typed(token);
        }
    }

    /// Adds the secret parts of an address that was typed: password and values of the query.
    pub fn hide_address(&mut self, url: &Url) {
        self.hide_typed(url.password().unwrap_or_default());
        for pair in url.query().unwrap_or_default().split('&') {
            self.hide_typed(pair.split_once('=').map_or(pair, |(_, value)| value));
        }
    }

    fn hide_typed(&mut self, text: &str) {
        if text.len() >= SHORTEST_TYPED {
            self.hide(text);
        }
    }

    /// Adds a text, and its encoded forms in addresses and JSON.
    fn hide(&mut self, text: &str) {
        let encoded = |url: String| Url::parse(&url).ok();
        let query = encoded(format!("http://h/?{text}")).and_then(|url| url.query().map(str::to_owned));
        let path = encoded(format!("http://h/{text}")).map(|url| url.path()[1..].to_owned());
        let json = text.replace('\\', "\\\\").replace('"', "\\\"");
        // The name of an object is what follows the last slash of its path.
        let pieces: Vec<String> = [Some(text), path.as_deref()]
            .into_iter()
            .flatten()
            .flat_map(|text| text.split('/'))
            .filter(|piece| piece.len() >= SHORTEST_PIECE)
            .map(str::to_owned)
            .collect();
        for form in [Some(text.to_owned()), query, path, Some(json)].into_iter().flatten().chain(pieces) {
            if form.len() >= MIN_SECRET_BYTES && !self.hidden.contains(&form) {
                self.hidden.push(form);
            }
        }
        self.hidden.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// `text` without secrets, and without the beginnings of secrets that are at least 16 bytes long.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for hidden in &self.hidden {
            let start = beginning(hidden);
            if text.contains(start) {
                text = Cow::Owned(without(&text, start, hidden));
            }
        }
        text
    }
}

/// The part of a secret that betrays it.
fn beginning(hidden: &str) -> &str {
    let end =
        (SHORTEST_PIECE..hidden.len()).find(|end| hidden.is_char_boundary(*end)).unwrap_or(hidden.len());
    hidden.get(..end).unwrap_or(hidden)
}

/// `text` without `hidden`, and without longer beginnings of it than `start`.
fn without(text: &str, start: &str, hidden: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find(start).map(|at| rest.split_at(at)) {
        let same = from.chars().zip(hidden.chars()).take_while(|(a, b)| a == b);
        let length = same.map(|(c, _)| c.len_utf8()).sum();
        shown.push_str(before);
        shown.push_str(SHOWN);
        rest = from.get(length..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

/// Whether the value of the header `name` is always a secret.
#[must_use]
pub fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_HEADERS.iter().any(|part| name.contains(part))
}

/// An address for messages, which may not be a valid URL: without credentials and query.
#[must_use]
pub fn without_secrets(address: &str) -> String {
    let (path, query) = address.split_once('?').map_or((address, ""), |(path, _)| (path, "?***"));
    let start = path.find("://").map_or(0, |at| at + "://".len());
    let (scheme, rest) = path.split_at(start);
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}***@{rest}{query}"),
        None => format!("{path}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(value: &str) -> Secrets {
        Secrets::of(BTreeMap::from([(Reference::Variable("TOKEN".into()), value.to_owned())]))
    }

    #[test]
    fn references_are_found_and_expanded_and_other_braces_left_alone() {
        let text = "a{b}{env:TOKEN}c{file:/run/x y}";
        let found = references(text).unwrap();
        assert_eq!(found, [Reference::Variable("TOKEN".into()), Reference::File("/run/x y".into())]);
        assert_eq!(secrets("s3cret").expand("t={env:TOKEN}&{x}").unwrap(), "t=s3cret&{x}");
        assert_eq!(Secrets::made_up().expand("{env:A}{file:b}").unwrap(), "secretsecret");
        for wrong in ["{env:TOKEN", "{file:}"] {
            assert!(references(wrong).unwrap_err().help_text().is_some(), "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_redacted_in_every_form() {
        let secrets = secrets("s3 c\"ret");
        for text in ["x s3 c\"ret", "/s3%20c%22ret/a", r#"{"a":"s3 c\"ret"}"#] {
            let shown = secrets.redact(text);
            assert!(shown.contains(SHOWN) && !shown.contains("ret\"") && !shown.contains("22ret"), "{shown}");
        }
        assert!(matches!(secrets.redact("nothing"), Cow::Borrowed(_)));
        assert_eq!(format!("{secrets:?}"), "Secrets(3)");
    }

    #[test]
    fn what_is_left_of_a_cut_secret_is_redacted() {
        let token = "tok3n-SECRETPART-xyz-and-much-more";
        let secrets = secrets(token);
        for length in SHORTEST_PIECE..token.len() {
            let cut = &token[..length];
            assert_eq!(secrets.redact(&format!("a {cut}.m3u8 {cut}")), "a ***.m3u8 ***", "{length}");
        }
        assert!(matches!(secrets.redact("tok3n-SECRETPAR"), Cow::Borrowed(_)), "too little to betray it");
        let path = self::secrets("first-part-of-the-token/second-part-of-the-token");
        assert_eq!(path.redact("second-part-of-the-token.m3u8"), "***.m3u8");
        assert_eq!(self::secrets("ünïcödé-tökén-1234567").redact("ünïcödé-tökén-12"), "***");
    }

    #[test]
    fn typed_values_that_look_like_secrets_are_redacted() {
        let mut secrets = Secrets::default();
        secrets.hide_header("Authorization", "Bearer abcdefgh");
        secrets.hide_header("X-Trace", "abcdefghij0");
        secrets.hide_address(&Url::parse("http://u:passphrase@h/a?q=1&token=0123456789").unwrap());
        assert_eq!(secrets.redact("abcdefgh passphrase 0123456789 q=1"), "*** *** *** q=1");
        assert_eq!(secrets.redact("X-Trace: xyz"), "X-Trace: xyz");
    }
}
