//! How a table of settings looks: for people, as a diff, as JSON.

use std::fmt::Write;

use hls_swarm_base::error::Failure;

use crate::tuning::findings::{Change, Setting, State, Table};

/// Every setting with its state and the reason, or only those that `keep` holds.
#[must_use]
pub fn text(table: &Table, keep: impl Fn(&Setting) -> bool) -> String {
    let mut out = head(table);
    for setting in table.settings.iter().filter(|setting| keep(setting)) {
        let _ = writeln!(out, "{}", line(setting));
        if setting.state != State::Good {
            let _ = writeln!(out, "    {}", setting.reason);
        }
    }
    let _ = writeln!(out, "\n{}", sum(table));
    out
}

/// What differs, as lines of a diff; what can only be set elsewhere says so behind a `#`.
#[must_use]
pub fn diff(table: &Table) -> String {
    let mut out = format!("--- this machine\n+++ profile {}\n", table.profile);
    for setting in table.settings.iter().filter(|setting| setting.differs()) {
        if let Some(current) = &setting.current {
            let _ = writeln!(out, "-{} = {current}", setting.name);
        }
        let note = note(setting).map_or_else(String::new, |note| format!("  # {note}"));
        let _ = writeln!(out, "+{} = {}{note}", setting.name, setting.wanted);
    }
    out
}

/// The table for programs.
///
/// # Errors
/// None that a table can cause.
pub fn json(table: &Table) -> Result<String, Failure> {
    serde_json::to_string_pretty(table)
        .map(|text| text + "\n")
        .map_err(|error| Failure::internal("cannot write the settings as JSON").caused_by(error))
}

/// What was written, line by line.
#[must_use]
pub fn changes(changes: &[Change]) -> String {
    let mut out = String::new();
    for Change { name, from, to, failed } in changes {
        let from = from.replace('\t', " ");
        let to = to.replace('\t', " ");
        let _ = match failed {
            None => writeln!(out, "✓ {name}: {from} -> {to}"),
            Some(why) => writeln!(out, "✗ {name}: stays {from}, {to} was refused: {why}"),
        };
    }
    out
}

fn head(table: &Table) -> String {
    let Table { profile, description, clients, kernel, place, .. } = table;
    let clients = clients.map_or_else(String::new, |clients| format!(", for {clients} viewers"));
    let mut out = format!("profile {profile}: {description}{clients}; Linux {kernel}\n");
    for note in place {
        let _ = writeln!(out, "  {note}");
    }
    out.push('\n');
    out
}

fn line(setting: &Setting) -> String {
    let Setting { name, wanted, state, .. } = setting;
    let current = setting.current.as_deref().unwrap_or("-");
    let mark = match state {
        State::Good => '✓',
        State::Skipped(_) => '-',
        _ => '✗',
    };
    let wanted = if *state == State::Good && current == wanted.as_str() {
        String::new()
    } else {
        format!(", recommended {wanted}")
    };
    let note = note(setting).map_or_else(String::new, |note| format!(" ({note})"));
    format!("{mark} {name} = {current}{wanted}{note}")
}

fn note(setting: &Setting) -> Option<&str> {
    match &setting.state {
        State::Good | State::Differs => None,
        State::Elsewhere(why) | State::Denied(why) | State::Skipped(why) => Some(why),
    }
}

fn sum(table: &Table) -> String {
    let count = |which: fn(&State) -> bool| table.settings.iter().filter(|s| which(&s.state)).count();
    let (good, skipped) = (count(|s| *s == State::Good), count(|s| matches!(s, State::Skipped(_))));
    let differ = count(|s| *s == State::Differs);
    let elsewhere = count(|s| matches!(s, State::Elsewhere(_)));
    let denied = count(|s| matches!(s, State::Denied(_)));
    let mut text = format!("{good} as recommended, {differ} differ");
    for (number, what) in [
        (elsewhere, "differ and need a new login or start"),
        (denied, "differ and cannot be set from here"),
        (skipped, "skipped"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    if differ > 0 {
        text.push_str("; `tune apply` sets them (as root)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let setting = |name: &str, current: Option<&str>, wanted: &str, state| Setting {
            name: name.into(),
            current: current.map(str::to_owned),
            wanted: wanted.into(),
            state,
            reason: "Because.".into(),
        };
        Table {
            profile: "client".into(),
            description: "A host".into(),
            clients: Some(100),
            kernel: "6.1".into(),
            place: vec!["container (docker): so it is".into()],
            settings: vec![
                setting("a.b", Some("1"), "1", State::Good),
                setting("a.c", Some("9"), "5", State::Good),
                setting("a.d", Some("1"), "2", State::Differs),
                setting("limit.nofile", Some("1024"), "4096", State::Elsewhere("a new login".into())),
                setting("a.e", Some("1"), "2", State::Denied("read-only here".into())),
                setting("a.f", None, "2", State::Skipped("needs Linux 6.11".into())),
            ],
        }
    }

    #[test]
    fn the_table_for_people() {
        insta::assert_snapshot!(text(&table(), |_| true));
    }

    #[test]
    fn the_diff() {
        insta::assert_snapshot!(diff(&table()));
    }

    #[test]
    fn json_names_states_and_leaves_out_what_is_unknown() {
        let value: serde_json::Value = serde_json::from_str(&json(&table()).unwrap()).unwrap();
        assert_eq!(value["settings"][0]["state"], "good");
        assert_eq!(value["settings"][5]["state"], "skipped");
        assert_eq!(value["settings"][5]["note"], "needs Linux 6.11");
        assert!(value["settings"][5].get("current").is_none());
    }
}
