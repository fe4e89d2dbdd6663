//! Output of a comparison: as text, as a diff, as JSON.

use std::fmt::Write;

use hls_swarm_base::error::Failure;

use crate::tuning::comparison::{Change, Comparison, Setting, State};

/// Renders the settings that `keep` selects, each with its state and reason.
#[must_use]
pub fn text(table: &Comparison, keep: impl Fn(&Setting) -> bool) -> String {
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

/// Renders the settings that differ as lines of a diff, with notes after a `#`.
#[must_use]
pub fn diff(table: &Comparison) -> String {
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

/// Renders the comparison as JSON.
///
/// # Errors
/// Serialization never fails for a comparison.
pub fn json(table: &Comparison) -> Result<String, Failure> {
    serde_json::to_string_pretty(table)
        .map(|text| text + "\n")
        .map_err(|error| Failure::internal("cannot write the settings as JSON").caused_by(error))
}

/// Renders changes, one per line.
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

fn head(table: &Comparison) -> String {
    let Comparison { profile, description, clients, kernel, place, .. } = table;
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

fn sum(table: &Comparison) -> String {
    let count = |which: fn(&State) -> bool| table.settings.iter().filter(|s| which(&s.state)).count();
    let (good, skipped) = (count(|s| *s == State::Good), count(|s| matches!(s, State::Skipped(_))));
    let differ = count(|s| *s == State::Differs);
    let elsewhere = count(|s| matches!(s, State::Elsewhere(_)));
    let denied = count(|s| matches!(s, State::Denied(_)));
    let mut text = format!("{good} as recommended, {differ} differ");
    for (number, what) in [
        (elsewhere, "differ and need a new login or restart"),
        (denied, "differ and cannot be changed here"),
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

    fn table() -> Comparison {
        let setting = |name: &str, current: Option<&str>, wanted: &str, state| Setting {
            name: name.into(),
            current: current.map(str::to_owned),
            wanted: wanted.into(),
            state,
            reason: "Because.".into(),
        };
        Comparison {
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
    fn text_output() {
        insta::assert_snapshot!(text(&table(), |_| true));
    }

    #[test]
    fn diff_output() {
        insta::assert_snapshot!(diff(&table()));
    }

    #[test]
    fn json_has_states_and_omits_unknown_values() {
        let value: serde_json::Value = serde_json::from_str(&json(&table()).unwrap()).unwrap();
        assert_eq!(value["settings"][0]["state"], "good");
        assert_eq!(value["settings"][5]["state"], "skipped");
        assert_eq!(value["settings"][5]["note"], "needs Linux 6.11");
        assert!(value["settings"][5].get("current").is_none());
    }
}
