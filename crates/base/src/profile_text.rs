//! Profiles as TOML. An error names the file, the line and the key that was probably meant.

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue, Deserializer, Error};

use super::nearest::nearest;
use crate::error::Failure;

/// The keys of a flat profile, to be read group by group.
#[derive(Debug)]
pub struct Keys<'a> {
    what: &'a str,
    text: &'a str,
    help: &'a str,
    left: DeTable<'a>,
    known: Vec<String>,
}

impl<'a> Keys<'a> {
    /// Parses `text`, which messages call `what`; `help` is shown if no key is similar.
    ///
    /// # Errors
    /// A usage failure: the text is not TOML.
    pub fn parse(what: &'a str, text: &'a str, help: &'a str) -> Result<Self, Failure> {
        let table = DeTable::parse(text).map_err(|error| explained(&error, what, text, help))?;
        Ok(Self { what, text, help, left: table.into_inner(), known: Vec::new() })
    }

    /// Reads the keys called `names` as a group.
    ///
    /// # Errors
    /// A usage failure that names the line: a value of the wrong type.
    pub fn take<T: DeserializeOwned>(&mut self, names: Vec<String>) -> Result<T, Failure> {
        let mut group = DeTable::new();
        for (key, value) in std::mem::take(&mut self.left) {
            let table =
                if names.iter().any(|name| *key.get_ref() == *name) { &mut group } else { &mut self.left };
            table.insert(key, value);
        }
        self.known.extend(names);
        T::deserialize(Deserializer::from(toml::Spanned::new(0..0, group)))
            .map_err(|error| explained(&error, self.what, self.text, self.help))
    }

    /// Checks that every key belonged to a group.
    ///
    /// # Errors
    /// A usage failure that names the line and the key that was probably meant.
    pub fn finish(self) -> Result<(), Failure> {
        let Some(unknown) = self.left.keys().min_by_key(|key| key.span().start) else { return Ok(()) };
        let place = line(self.text, unknown.span().start);
        let meant = nearest(unknown.get_ref(), self.known.iter().map(String::as_str));
        let failure = Failure::usage(format!("{}{place}: unknown field `{}`", self.what, unknown.get_ref()));
        Err(match meant {
            Some(key) => failure.help(format!("did you mean `{key}`?")),
            None => failure.help(self.help),
        })
    }
}

/// Parses `text`, which messages call `what`; `help` is shown if no key is similar.
///
/// # Errors
/// A usage failure: the text is not TOML, a key is unknown, or a value has the wrong type.
pub fn read<T: DeserializeOwned>(what: &str, text: &str, help: &str) -> Result<T, Failure> {
    toml::from_str(text).map_err(|error| explained(&error, what, text, help))
}

/// The same with `base` merged beneath, table by table.
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

/// Adds the keys that `table` lacks.
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
    let place = error.span().map_or_else(String::new, |span| line(text, span.start));
    let failure = Failure::usage(format!("{what}{place}: {}", error.message()));
    match meant(error.message()) {
        Some(key) => failure.help(format!("did you mean `{key}`?")),
        None => failure.help(help),
    }
}

fn line(text: &str, at: usize) -> String {
    let before = text.get(..at);
    before.map_or_else(String::new, |before| format!(", line {}", before.matches('\n').count() + 1))
}

/// The nearest of the names that serde offers in place of an unknown one.
///
/// The message reads: unknown field `a`, expected one of `b`, `c`.
fn meant(message: &str) -> Option<&str> {
    let mut names = message.split('`').skip(1).step_by(2);
    nearest(names.next()?, names)
}
