//! The values of before, kept by `apply` for `undo`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use hls_swarm_base::error::Failure;

/// Files that were written, and what they held.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// By name of the setting: the value of before.
    pub before: BTreeMap<String, String>,
}

impl Saved {
    /// Reads what was kept in `file`.
    ///
    /// # Errors
    /// A usage failure: it is no such file.
    pub fn read(file: &str, text: &str) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            Failure::usage(format!("{file} was not written by `tune apply`"))
                .caused_by(error)
                .help("name the file that `tune apply` printed")
        })
    }

    /// The text for the file.
    ///
    /// # Errors
    /// None that names and values can cause.
    pub fn text(&self) -> Result<String, Failure> {
        let body = toml::to_string(self)
            .map_err(|error| Failure::internal("cannot write down the values of before").caused_by(error))?;
        Ok(format!("# Kept by `hls-swarm tune apply` for `hls-swarm tune undo`.\n{body}"))
    }

    /// Adds values; what an earlier `apply` found is older, and stays.
    pub fn keep(&mut self, values: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in values {
            self.before.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_value_stays_and_text_loses_nothing() {
        let mut saved = Saved::default();
        saved.keep([("net.ipv4.tcp_rmem".to_owned(), "4096\t131072\t6291456".to_owned())]);
        saved.keep([
            ("net.ipv4.tcp_rmem".to_owned(), "1 2 3".to_owned()),
            ("vm.swappiness".into(), "60".into()),
        ]);
        let again = Saved::read("a", &saved.text().unwrap()).unwrap();
        assert_eq!(again, saved);
        assert_eq!(again.before["net.ipv4.tcp_rmem"], "4096\t131072\t6291456");
        assert_eq!(Saved::read("a", "x = 1").unwrap_err().exit().code(), 2);
    }
}
