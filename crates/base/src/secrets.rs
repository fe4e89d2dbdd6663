//! Secrets: `{env:NAME}` and `{file:PATH}` in headers and addresses, and the redaction of their values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use url::Url;

use crate::error::Failure;

/// The replacement for a secret in output.
pub const SHOWN: &str = "***";
/// Length of the shortest secret: a shorter text could occur anywhere.
pub const SHORTEST: usize = 4;
/// Values written in the open are only hidden if they are at least this long.
const SHORTEST_TYPED: usize = 8;
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
    /// Any came from a file or the environment.
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
        let name = name.to_ascii_lowercase();
        if SECRET_HEADERS.iter().any(|part| name.contains(part)) {
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
        for form in [Some(text.to_owned()), query, path, Some(json)].into_iter().flatten() {
            if form.len() >= SHORTEST && !self.hidden.contains(&form) {
                self.hidden.push(form);
            }
        }
        self.hidden.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// `text` without secrets.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for hidden in &self.hidden {
            if text.contains(hidden.as_str()) {
                text = Cow::Owned(text.replace(hidden.as_str(), SHOWN));
            }
        }
        text
    }
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
    fn typed_values_that_look_like_secrets_are_redacted() {
        let mut secrets = Secrets::default();
        secrets.hide_header("Authorization", "Bearer abcdefgh");
        secrets.hide_header("X-Trace", "abcdefghij0");
        secrets.hide_address(&Url::parse("http://u:passphrase@h/a?q=1&token=0123456789").unwrap());
        assert_eq!(secrets.redact("abcdefgh passphrase 0123456789 q=1"), "*** *** *** q=1");
        assert_eq!(secrets.redact("X-Trace: xyz"), "X-Trace: xyz");
    }
}
