//! Texts that come with the program, found by name.

use super::nearest::nearest;
use crate::error::Failure;

/// Finds `name` in a list of names and texts; `what` is the kind of the texts in messages.
///
/// # Errors
/// A usage failure that lists the available ones.
pub fn find(
    list: &'static [(&'static str, &'static str)],
    what: &str,
    name: &str,
) -> Result<&'static str, Failure> {
    let names = || list.iter().map(|(name, _)| *name);
    list.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).ok_or_else(|| {
        let meant =
            nearest(name, names()).map_or_else(String::new, |meant| format!("did you mean {meant}? "));
        let all: Vec<&str> = names().collect();
        Failure::usage(format!("there is no {what} {name:?}"))
            .help(format!("{meant}There are: {}; or name a TOML file", all.join(", ")))
    })
}
