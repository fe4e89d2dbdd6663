//! Variables in playlists (EXT-X-DEFINE; RFC 8216bis, 4.3 and 4.4.2.3): `{$NAME}` in addresses and attributes.

use std::borrow::Cow;

use url::Url;

use super::attributes::attribute;

/// A variable of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Where its value is from.
    pub source: DefinitionSource,
    /// Its value; `None` where that is not known: there is no such parameter or no such variable to import.
    pub value: Option<String>,
}

/// Where the value of a variable is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionSource {
    /// NAME and VALUE.
    Value,
    /// IMPORT: the multivariant playlist defines it.
    Import,
    /// QUERYPARAM: it is a parameter of the playlist's URL.
    QueryParameter,
}

impl Definition {
    /// Reads it. `None` if it has no name, or no value where it needs one.
    pub(super) fn read(list: &str, base: &Url, imports: &[Self]) -> Option<Self> {
        let named = |name: &str| attribute(list, name).filter(|name| is_name(name)).map(str::to_owned);
        if let Some(name) = named("NAME") {
            let value = attribute(list, "VALUE").map(str::to_owned)?;
            return Some(Self { name, source: DefinitionSource::Value, value: Some(value) });
        }
        if let Some(name) = named("IMPORT") {
            let value = imports.iter().find(|one| one.name == name).and_then(|one| one.value.clone());
            return Some(Self { name, source: DefinitionSource::Import, value });
        }
        let name = named("QUERYPARAM")?;
        let parameter = base.query_pairs().find(|(key, _)| *key == name).map(|(_, value)| value.into_owned());
        // A quote or a line break would end the attribute that the variable is used in.
        let value = parameter.filter(|value| !value.contains(['"', '\r', '\n']));
        Some(Self { name, source: DefinitionSource::QueryParameter, value })
    }
}

/// Whether a variable can have this name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Replaces the variables in a line. Returns the line, and the first name that is not defined.
pub(super) fn replaced<'a>(line: &'a str, defined: &[Definition]) -> (Cow<'a, str>, Option<String>) {
    if !line.contains("{$") {
        return (Cow::Borrowed(line), None);
    }
    let (mut text, mut rest, mut undefined) = (String::with_capacity(line.len()), line, None);
    while let Some((before, after)) = rest.split_once("{$") {
        text.push_str(before);
        let name = after.split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let value = name.and_then(|name| defined.iter().find(|one| one.name == *name)?.value.as_deref());
        match (name, value) {
            (Some(name), Some(value)) => {
                text.push_str(value);
                rest = after.get(name.len() + 1..).unwrap_or_default();
            }
            (name, _) => {
                undefined = undefined.or_else(|| name.map(str::to_owned));
                text.push_str("{$");
                rest = after;
            }
        }
    }
    text.push_str(rest);
    (Cow::Owned(text), undefined)
}
