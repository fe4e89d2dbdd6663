//! The layers of a configuration: default, profile, environment, flag. Each overrides those before it.
//!
//! Clap knows defaults, the environment becomes flags in front of those that were typed, and profiles are
//! TOML tables. A value has one name everywhere: the id of its flag, which is the key of the profile too;
//! a dot in it leads into a table (`video.fps`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use toml::{Table, Value};

/// Environment variables of a program's flags.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// The prefix of the variables: `HLS_SWARM_` in `HLS_SWARM_RAMP_RATE`.
    pub prefix: &'static str,
    /// Other names: id of the flag, and variable. The variable with the prefix overrides it.
    pub other_names: &'static [(&'static str, &'static str)],
}

impl Environment {
    /// The variables of a flag; the first one that is set is used.
    #[must_use]
    pub fn variables(&self, flag: &Arg) -> Vec<String> {
        let id = flag.get_id().as_str();
        let name = flag.get_long().or_else(|| flag.is_positional().then_some(id));
        let prefixed = name.map(|name| format!("{}{}", self.prefix, name.replace('-', "_").to_uppercase()));
        let others = self.other_names.iter().filter(|(known, _)| *known == id);
        prefixed.into_iter().chain(others.map(|(_, variable)| (*variable).to_owned())).collect()
    }

    /// The flags of `command` that the environment sets, apart from those in `typed`: id, variable, and
    /// the words that mean the same. A variable that is empty sets nothing.
    #[must_use]
    pub fn words(
        &self,
        command: &Command,
        typed: &BTreeSet<String>,
        look_up: &dyn Fn(&str) -> Option<OsString>,
    ) -> Vec<(String, String, Vec<OsString>)> {
        let flags = command.get_arguments().filter(|flag| {
            let is_value =
                !matches!(flag.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::Version);
            is_value && !typed.contains(flag.get_id().as_str())
        });
        let set = flags.filter_map(|flag| {
            let (variable, value) = self.variables(flag).into_iter().find_map(|variable| {
                let value = look_up(&variable).filter(|value| !value.is_empty())?;
                Some((variable, value))
            })?;
            Some((flag.get_id().to_string(), variable, words_of(flag, value)))
        });
        set.collect()
    }
}

/// The value of a variable as command-line words. A repeatable flag takes one value per line.
fn words_of(flag: &Arg, value: OsString) -> Vec<OsString> {
    let word = |value: OsString| match flag.get_long() {
        Some(long) => {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            word
        }
        None => value,
    };
    match value.to_str() {
        Some(text) if matches!(flag.get_action(), ArgAction::Append) => {
            text.lines().filter(|line| !line.is_empty()).map(|line| word(line.into())).collect()
        }
        _ => vec![word(value)],
    }
}

/// The sources of the values of a configuration, by their ids. Any other value is a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Typed on the command line.
    pub flags: BTreeSet<String>,
    /// Set by the environment, with the variable that did it.
    pub environment: BTreeMap<String, String>,
    /// Written in a profile or scenario.
    pub files: BTreeSet<String>,
}

impl Given {
    /// Whether a value was typed or set by the environment.
    #[must_use]
    pub fn is_direct(&self, id: &str) -> bool {
        self.flags.contains(id) || self.environment.contains_key(id)
    }

    /// Whether a value is more than a default.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.is_direct(id) || self.files.contains(id)
    }
}

/// The ids of all values that were typed for `command`.
#[must_use]
pub fn typed(matches: &ArgMatches, command: &Command) -> BTreeSet<String> {
    // Clap counts groups of flags as well.
    let is_flag = |id: &&clap::Id| command.get_arguments().any(|flag| flag.get_id() == *id);
    let from_line =
        |id: &&clap::Id| is_flag(id) && matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    matches.ids().filter(from_line).map(ToString::to_string).collect()
}

/// The values that a group of flags has by default. Clap holds them, so that help texts show them.
#[must_use]
pub fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("defaults").no_binary_name(true));
    let none: [&str; 0] = [];
    // A flag that cannot be left out would end the program here; every test would fail.
    T::from_arg_matches(&command.get_matches_from(none)).unwrap_or_else(|error| error.exit())
}

/// The ids of the flags of a group.
#[must_use]
pub fn ids<T: Args>() -> Vec<String> {
    let command = T::augment_args(Command::new("ids"));
    command.get_arguments().map(|flag| flag.get_id().to_string()).collect()
}

/// The part of `table` for which `keep` returns true; `keep` is passed dotted ids.
#[must_use]
pub fn filtered(table: &Table, keep: &dyn Fn(&str) -> bool) -> Table {
    fn part(table: &Table, prefix: &str, keep: &dyn Fn(&str) -> bool) -> Table {
        let kept = table.iter().filter_map(|(key, value)| {
            let id = format!("{prefix}{key}");
            let value = match value {
                _ if keep(&id) => value.clone(),
                Value::Table(inner) => Value::Table(part(inner, &format!("{id}."), keep)),
                _ => return None,
            };
            (!value.as_table().is_some_and(Table::is_empty)).then(|| (key.clone(), value))
        });
        kept.collect()
    }
    part(table, "", keep)
}

/// The dotted ids of everything that is written in `table`.
#[must_use]
pub fn written(table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => found.extend(written(inner).iter().map(|id| format!("{key}.{id}"))),
            _ => drop(found.insert(key.clone())),
        }
    }
    found
}

/// Merges `over` into `under`, table by table; values of `over` win.
pub fn put_over(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => put_over(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::switch;

    #[derive(Args, Debug, PartialEq)]
    #[command(mut_args = switch)]
    struct Group {
        #[arg(long, default_value_t = 5)]
        clients: u32,
        #[arg(long)]
        quiet: bool,
        #[arg(long, default_value_t = true)]
        tui: bool,
        #[arg(long)]
        name: Option<String>,
        #[arg(long = "header")]
        headers: Vec<String>,
    }

    #[test]
    fn defaults_are_those_of_clap() {
        let group = Group { clients: 5, quiet: false, tui: true, name: None, headers: Vec::new() };
        assert_eq!(defaults::<Group>(), group);
        assert_eq!(ids::<Group>(), ["clients", "quiet", "tui", "name", "headers"]);
    }

    #[test]
    fn variables_are_flags_unless_they_are_empty_or_a_flag_was_typed() {
        let environment = Environment { prefix: "P_", other_names: &[("clients", "CLIENTS")] };
        let command = Group::augment_args(Command::new("p"));
        let words = |variables: &[(&str, &str)], typed: &[&str]| {
            let look_up = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            let typed = typed.iter().map(ToString::to_string).collect();
            let words = environment.words(&command, &typed, &look_up);
            let words = words.into_iter().flat_map(|(_, _, words)| words);
            words.map(|word| word.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(words(&[("CLIENTS", "7"), ("P_TUI", "false")], &[]), ["--clients=7", "--tui=false"]);
        assert_eq!(words(&[("CLIENTS", "7"), ("P_CLIENTS", "8")], &[]), ["--clients=8"]);
        assert_eq!(words(&[("CLIENTS", ""), ("P_NAME", "")], &[]), [""; 0]);
        assert_eq!(words(&[("CLIENTS", "7"), ("P_NAME", "n")], &["clients"]), ["--name=n"]);
        assert_eq!(words(&[("P_HEADER", "A: 1\nB: 2\n")], &[]), ["--header=A: 1", "--header=B: 2"]);
    }

    #[test]
    fn tables_are_cut_and_merged_by_dotted_ids() {
        let table: Table = "a = 1\nb = 2\n[t]\nc = 3\nd = 4\n[u]\ne = 5\n".parse().unwrap();
        let part = filtered(&table, &|id| ["a", "t.c"].contains(&id));
        assert_eq!(part, "a = 1\n[t]\nc = 3\n".parse().unwrap());
        assert_eq!(written(&part), ["a", "t.c"].map(str::to_owned).into());
        let mut under: Table = "a = 9\n[t]\nc = 9\nx = 9\n".parse().unwrap();
        put_over(&mut under, part);
        assert_eq!(under, "a = 1\n[t]\nc = 3\nx = 9\n".parse().unwrap());
    }
}
