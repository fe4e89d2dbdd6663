//! Applying settings until the next boot, and undoing it: the previous values are saved before the first
//! write.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use super::args::{ChangeArgs, UndoArgs};
use super::command::{compare_host, create_directory, print_done};
use super::comparison::Change;
use super::comparison::HostSettings;
use super::comparison::KeyState;
use super::comparison::State;
use super::output as view;
use super::sysctl;

/// Like all runtime settings, the saved values are gone after the next boot.
const STATE_FOLDER: &str = "/run/hls-swarm";

/// Returns the file for this network namespace, which has its own settings.
fn state_file(named: Option<&PathBuf>) -> PathBuf {
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |file| file.ino());
    named.cloned().unwrap_or_else(|| PathBuf::from(STATE_FOLDER).join(format!("tune-{namespace}.toml")))
}

fn only_root(what: &str) -> Result<(), Failure> {
    if sysctl::is_root() {
        return Ok(());
    }
    Err(Failure::usage(format!("tune {what} changes settings of the whole machine and must run as root"))
        .help(format!("sudo hls-swarm tune {what} …")))
}

pub(super) fn apply(change: &ChangeArgs) -> Result<Exit, Failure> {
    only_root("apply")?;
    let (_, table) = compare_host(&change.selection)?;
    let file = state_file(change.state.as_ref());
    let wanted: BTreeMap<&str, &str> = table
        .settings
        .iter()
        .filter(|setting| setting.state == State::Differs)
        .map(|setting| (setting.name.as_str(), setting.wanted.as_str()))
        .collect();
    let mut before = Vec::new();
    for name in wanted.keys() {
        let value = sysctl::read_setting(name)
            .map_err(|error| Failure::internal(format!("cannot read {name}")).caused_by(error))?;
        before.push(((*name).to_owned(), value));
    }
    if !before.is_empty() {
        let mut saved = read_state(&file)?.unwrap_or_default();
        saved.keep(before.iter().cloned());
        // Before the first write: whatever happens then, it can be undone.
        write_state(&file, &saved)?;
    }
    let changes: Vec<Change> = before
        .into_iter()
        .filter_map(|(name, from)| {
            let to = (*wanted.get(name.as_str())?).to_owned();
            Some(set(name, from, to))
        })
        .collect();
    print_done(&view::changes(&changes));
    for setting in table.settings.iter().filter(|setting| setting.differs()) {
        if let State::Elsewhere(why) | State::Denied(why) = &setting.state {
            print_done(&format!("- {}: {why}\n", setting.name));
        }
    }
    if changes.is_empty() {
        print_done("nothing to set\n");
        return Ok(Exit::Pass);
    }
    print_done(&format!(
        "until the next boot; the previous values are in {} (`tune undo`)\n",
        file.display()
    ));
    Ok(exit_of(&changes))
}

fn exit_of(changes: &[Change]) -> Exit {
    if changes.iter().any(|change| change.failed.is_some()) { Exit::Internal } else { Exit::Pass }
}

/// Writes one setting and reads it back, because some keys accept a value and keep another.
fn set(name: String, from: String, to: String) -> Change {
    let written = sysctl::write_setting(&name, &to).and_then(|()| sysctl::read_setting(&name));
    let failed = match written {
        Ok(now) if now.split_whitespace().eq(to.split_whitespace()) => None,
        Ok(now) => Some(format!("the kernel changed it to {now}")),
        Err(error) => Some(error.to_string()),
    };
    Change { name, from, to, failed }
}

/// Returns the settings of this machine as they were before `apply` changed them until the next boot.
pub(super) fn without_changes(mut settings: HostSettings) -> Result<HostSettings, Failure> {
    for (name, before) in read_state(&state_file(None))?.unwrap_or_default().before {
        if let Some(KeyState::Value(value, _)) = settings.keys.get_mut(&name) {
            *value = before;
        }
    }
    Ok(settings)
}

pub(super) fn undo(args: &UndoArgs) -> Result<Exit, Failure> {
    only_root("undo")?;
    let file = state_file(args.state.as_ref());
    let Some(saved) = read_state(&file)? else {
        print_done(&format!("nothing to undo: {} does not exist\n", file.display()));
        return Ok(Exit::Pass);
    };
    let changes: Vec<Change> = saved
        .before
        .into_iter()
        .map(|(name, before)| {
            let now = sysctl::read_setting(&name).unwrap_or_else(|_| "unknown".into());
            set(name, now, before)
        })
        .collect();
    print_done(&view::changes(&changes));
    let exit = exit_of(&changes);
    if exit == Exit::Pass {
        fs::remove_file(&file).map_err(|error| {
            Failure::internal(format!("cannot remove {}", file.display())).caused_by(error)
        })?;
    }
    Ok(exit)
}

fn read_state(file: &Path) -> Result<Option<Saved>, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => Saved::read(&file.display().to_string(), &text).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::usage(format!("cannot read {}", file.display()))
            .caused_by(error)
            .help("run it as root, or name the file that `tune apply` wrote (--state FILE)")),
    }
}

fn write_state(file: &Path, saved: &Saved) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        create_directory(folder)?;
    }
    output::write_file(file, &saved.text()?)
}

/// Settings with their previous values.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    /// Previous value by setting.
    before: BTreeMap<String, String>,
}

impl Saved {
    /// Parses the text of `file`.
    ///
    /// # Errors
    /// A usage failure: `tune apply` did not write it.
    fn read(file: &str, text: &str) -> Result<Self, Failure> {
        let foreign = || {
            Failure::usage(format!("{file} was not written by `tune apply`"))
                .help("name the file that `tune apply` printed")
        };
        let saved: Self = toml::from_str(text).map_err(|error| foreign().caused_by(error))?;
        match saved.before.keys().find(|name| !sysctl::is_setting(name)) {
            Some(name) => Err(foreign().caused_by(Failure::usage(format!("{name:?} is not a setting")))),
            None => Ok(saved),
        }
    }

    /// Renders the text of the file.
    ///
    /// # Errors
    /// Serialization never fails for names and values.
    fn text(&self) -> Result<String, Failure> {
        let body = toml::to_string(self)
            .map_err(|error| Failure::internal("cannot serialize the previous values").caused_by(error))?;
        Ok(format!("# Written by `hls-swarm tune apply` for `hls-swarm tune undo`.\n{body}"))
    }

    /// Adds values; a value that an earlier `apply` saved stays.
    fn keep(&mut self, values: impl IntoIterator<Item = (String, String)>) {
        for (name, value) in values {
            self.before.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_value_stays_and_survives_a_round_trip() {
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

    #[test]
    fn a_state_file_names_settings_only() {
        let saved = |name: &str| Saved::read("a", &format!("[before]\n{name:?} = '1'\n"));
        for name in ["net.ipv4.tcp_rmem", "vm.swappiness", "disk.nvme0n1.scheduler"] {
            assert!(saved(name).is_ok(), "{name}");
        }
        for name in [
            "/tmp/x",
            "net./etc/passwd",
            "net..core",
            "net.../../etc/cron",
            "disk.../../x.scheduler",
            "disk.a/b.scheduler",
            "plain",
            "",
        ] {
            let failure = saved(name).unwrap_err();
            assert!(failure.chain().contains("is not a setting"), "{name}: {}", failure.chain());
        }
    }
}
