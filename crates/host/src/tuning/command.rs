//! `hls-swarm tune`: compares settings of this machine with a profile, changes them, and reverts them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::{output_file, stdout};

use crate::tuning::args::{ChangeArgs, PersistArgs, TableFormat, TuneArgs, TuneCommand, UndoArgs, WhatArgs};
use crate::tuning::check::{Asked, judge};
use crate::tuning::findings::{Change, Setting, State, Table};
use crate::tuning::profile::{self, Profile};
use crate::tuning::saved::Saved;
use crate::tuning::{output as view, persist, sysctl};

/// Like all runtime settings, gone with the next boot.
const STATE_FOLDER: &str = "/run/hls-swarm";

/// Shows, checks, changes or reverts the settings of this machine.
///
/// # Errors
/// There is no such profile, or a setting or file cannot be read or written.
pub fn run(args: TuneArgs) -> Result<Exit, Failure> {
    match args.command() {
        TuneCommand::Show(what) => show(&what),
        TuneCommand::Check(what) => check(&what),
        TuneCommand::Diff(what) => diff(&what),
        TuneCommand::Apply(change) => apply(&change),
        TuneCommand::Persist(args) => persist(&args),
        TuneCommand::Undo(args) => undo(&args),
    }
}

fn show(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = look(what)?;
    stdout::say(&print(&table, what.format, |_| true)?)?;
    Ok(Exit::Pass)
}

fn check(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = look(what)?;
    stdout::say(&print(&table, what.format, |setting| setting.state != State::Good)?)?;
    Ok(if table.settings.iter().any(Setting::differs) { Exit::Criteria } else { Exit::Pass })
}

fn diff(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = look(what)?;
    match what.format {
        TableFormat::Text => stdout::say(&view::diff(&table)),
        TableFormat::Json => stdout::say(&view::json(&table)?),
    }?;
    Ok(Exit::Pass)
}

fn print(table: &Table, format: TableFormat, keep: impl Fn(&Setting) -> bool) -> Result<String, Failure> {
    match format {
        TableFormat::Text => Ok(view::text(table, keep)),
        TableFormat::Json => view::json(table),
    }
}

/// Reports what was done. It is done even if standard output is closed.
fn say(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// The profile, and how this machine differs from it.
fn look(what: &WhatArgs) -> Result<(Profile, Table), Failure> {
    let profile = read_profile(&what.profile, what.variant.as_deref())?;
    let machine = sysctl::machine(profile.key.keys());
    let variant = what.variant.iter().map(|variant| format!("-{variant}"));
    let name = std::iter::once(what.profile.clone()).chain(variant).collect();
    let table = judge(&profile, &Asked { profile: name, clients: what.clients, only: &what.only }, &machine);
    Ok((profile, table))
}

fn read_profile(name: &str, variant: Option<&str>) -> Result<Profile, Failure> {
    if name.contains('/') || name.ends_with(".toml") {
        let text = fs::read_to_string(name).map_err(|error| {
            Failure::usage(format!("profile {name} cannot be read"))
                .caused_by(error)
                .help("name a TOML file, or one of: client, origin")
        })?;
        return profile::parse(name, &text, variant);
    }
    profile::parse(name, profile::built_in(name)?, variant)
}

/// One file for each network namespace: their settings are their own.
fn state_file(named: Option<&PathBuf>) -> PathBuf {
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |file| file.ino());
    named.cloned().unwrap_or_else(|| PathBuf::from(STATE_FOLDER).join(format!("tune-{namespace}.toml")))
}

fn only_root(what: &str) -> Result<(), Failure> {
    if sysctl::is_root() {
        return Ok(());
    }
    Err(Failure::usage(format!("tune {what} changes settings of the whole machine and needs root"))
        .help(format!("run: sudo hls-swarm tune {what} …")))
}

fn apply(change: &ChangeArgs) -> Result<Exit, Failure> {
    only_root("apply")?;
    let (_, table) = look(&change.what)?;
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
    say(&view::changes(&changes));
    for setting in table.settings.iter().filter(|setting| setting.differs()) {
        if let State::Elsewhere(why) | State::Denied(why) = &setting.state {
            say(&format!("- {}: {why}\n", setting.name));
        }
    }
    if changes.is_empty() {
        say("nothing to set\n");
        return Ok(Exit::Pass);
    }
    say(&format!(
        "in effect until the next boot; `hls-swarm tune undo` restores the former values from {}\n",
        file.display()
    ));
    Ok(exit_of(&changes))
}

fn exit_of(changes: &[Change]) -> Exit {
    if changes.iter().any(|change| change.failed.is_some()) { Exit::Internal } else { Exit::Pass }
}

/// Writes one setting, and reads it again: some keys take a value and keep another.
fn set(name: String, from: String, to: String) -> Change {
    let written = sysctl::write_setting(&name, &to).and_then(|()| sysctl::read_setting(&name));
    let failed = match written {
        Ok(now) if now.split_whitespace().eq(to.split_whitespace()) => None,
        Ok(now) => Some(format!("the kernel made it {now}")),
        Err(error) => Some(error.to_string()),
    };
    Change { name, from, to, failed }
}

fn undo(args: &UndoArgs) -> Result<Exit, Failure> {
    only_root("undo")?;
    let file = state_file(args.state.as_ref());
    let Some(saved) = read_state(&file)? else {
        say(&format!("nothing to undo: {} is not there\n", file.display()));
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
    say(&view::changes(&changes));
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
        make_folder(folder)?;
    }
    output_file::write(file, &saved.text()?)
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::usage(format!("cannot make the directory {}", folder.display()))
            .caused_by(error)
            .help("run it as root, or name another place (--root DIR, --state FILE)")
    })
}

fn persist(args: &PersistArgs) -> Result<Exit, Failure> {
    let what = &args.what;
    let profile = read_profile(&what.profile, what.variant.as_deref())?;
    let name = Path::new(&what.profile).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if args.remove {
        let mut removed = 0;
        for path in persist::paths(&name).iter().map(|path| args.root.join(path)).filter(|path| path.exists())
        {
            fs::remove_file(&path).map_err(|error| {
                Failure::usage(format!("cannot remove {}", path.display()))
                    .caused_by(error)
                    .help("run it as root")
            })?;
            say(&format!("removed: {}\n", path.display()));
            removed += 1;
        }
        say(&format!("{removed} removed; what is set stays until the next boot\n"));
        return Ok(Exit::Pass);
    }
    for file in persist::files(&name, &profile, what.clients, &what.only) {
        let path = args.root.join(&file.path);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        output_file::write(&path, &file.text)?;
        say(&format!("wrote: {}\n", path.display()));
    }
    if args.root == Path::new("/") {
        say("in effect at the next boot; now: sysctl --system, systemctl daemon-reload, a new login\n");
    }
    Ok(Exit::Pass)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Tune {
        #[command(flatten)]
        args: TuneArgs,
    }

    #[test]
    fn a_command_may_be_written_as_a_flag() {
        for (flags, command) in [
            ("", "show"),
            ("--show", "show"),
            ("--check", "check"),
            ("--profile origin --check", "check --profile origin"),
            ("--profile origin", "show --profile origin"),
            ("--diff --format json", "diff --format json"),
            ("--apply --only net. --state /x", "apply --only net. --state /x"),
            ("--undo --state /x", "undo --state /x"),
            ("--persist --root /x --remove", "persist --root /x --remove"),
        ] {
            let parse = |text: &str| {
                let words = std::iter::once("tune").chain(text.split_whitespace());
                Tune::try_parse_from(words).unwrap().args.command()
            };
            assert_eq!(parse(flags), parse(command), "{flags}");
        }
        assert!(Tune::try_parse_from(["tune", "--check", "--apply"]).is_err());
    }
}
