//! Profiles as TOML: an error names the file, the line and the key that was probably meant.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::nearest::nearest;
use crate::error::Failure;

/// Reads `text`, which `what` names to the user; `help` helps where no key is near.
///
/// # Errors
/// A usage failure: no TOML, an unknown key, a value of the wrong type.
pub fn read<T: DeserializeOwned>(what: &str, text: &str, help: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| explained(&error, what, text, help))
}

/// The same, where what `text` does not say is as in `base`, table by table.
///
/// # Errors
/// As [`read`].
pub fn read_over<T: DeserializeOwned>(base: &str, what: &str, text: &str, help: &str) -> Result<T, Failure> {
    let read = || {
        let mut table = DeTable::parse(text)?;
        underlay(table.get_mut(), DeTable::parse(base)?.into_inner());
        T::deserialize(Deserializer::from(table))
    };
    read().map_err(|error| explained(&error, what, text, help))
}

/// Adds what `table` lacks.
fn underlay<'a>(table: &mut DeTable<'a>, base: DeTable<'a>) {
    for (key, value) in base {
        match (table.get_mut(&key).map(|own| own.get_mut()), value.into_inner()) {
            (Some(DeValue::Table(own)), DeValue::Table(base)) => underlay(own, base),
            (Some(_), _) => {}
            (None, value) => drop(table.insert(key, toml::Spanned::new(0..0, value))),
        }
    }
}

fn explained(error: &Error, what: &str, text: &str, help: &str) -> Failure {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let place = line.map_or_else(String::new, |line| format!(", line {line}"));
    let failure = Failure::usage(format!("{what}{place}: {}", error.message()));
    match meant(error.message()) {
        Some(key) => failure.help(format!("did you mean `{key}`?")),
        None => failure.help(help),
    }
}

/// The nearest of the names that serde offers in place of an unknown one.
///
/// The message reads: unknown field `a`, expected one of `b`, `c`.
fn meant(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    nearest(names.next()?, names)
}
