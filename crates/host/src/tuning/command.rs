//! `hls-swarm tune`: compares the settings of this machine with a profile, applies and persists them.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_cli::logging;
use hls_swarm_os::{output_file, stdout};

use crate::tuning::args::{PersistArgs, TableFormat, TuneArgs, TuneCommand, WhatArgs};
use crate::tuning::comparison::{Comparison, Setting, State};
use crate::tuning::comparison::{Selection, compare};
use crate::tuning::profile::{self, Profile};
use crate::tuning::{apply, output, persist, sysctl};

/// The name of the sub-command.
pub const WORD: &str = "tune";

/// `main` of `hls-swarm tune`.
#[must_use]
pub fn main() -> ExitCode {
    let words = std::iter::once("hls-swarm tune".into()).chain(command_first(std::env::args_os().skip(2)));
    let args = match TuneArgs::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => return logging::clap_exit(&error),
    };
    let served = match args.command {
        TuneCommand::Show(what) => show(&what),
        TuneCommand::Check(what) => check(&what),
        TuneCommand::Diff(what) => diff(&what),
        TuneCommand::Apply(change) => apply::apply(&change),
        TuneCommand::Persist(args) => persist(&args),
        TuneCommand::Undo(args) => apply::undo(&args),
    };
    match served {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
    }
}

/// Translates `tune --profile origin --check` to `tune check --profile origin`, and `tune` to `tune show`.
fn command_first(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    const COMMANDS: [&str; 6] = ["show", "check", "diff", "apply", "persist", "undo"];
    let mut words: Vec<OsString> = words.collect();
    let command = |word: &OsString| {
        let word = word.to_str()?;
        let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
        COMMANDS.into_iter().find(|command| *command == name)
    };
    if let Some((at, name)) = words.iter().enumerate().find_map(|(at, word)| Some((at, command(word)?))) {
        words.remove(at);
        words.insert(0, name.into());
    } else if words.first().is_none_or(|word| word.to_str().is_some_and(is_flag_of_show)) {
        words.insert(0, "show".into());
    }
    words
}

fn is_flag_of_show(word: &str) -> bool {
    word.starts_with("--") && !["--help", "--version"].contains(&word)
}

fn show(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(what)?;
    stdout::say(&print(&table, what.format, |_| true)?)?;
    Ok(Exit::Pass)
}

fn check(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(what)?;
    stdout::say(&print(&table, what.format, |setting| setting.state != State::Good)?)?;
    Ok(if table.settings.iter().any(Setting::differs) { Exit::Criteria } else { Exit::Pass })
}

fn diff(what: &WhatArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(what)?;
    match what.format {
        TableFormat::Text => stdout::say(&output::diff(&table)),
        TableFormat::Json => stdout::say(&output::json(&table)?),
    }?;
    Ok(Exit::Pass)
}

fn print(
    table: &Comparison,
    format: TableFormat,
    keep: impl Fn(&Setting) -> bool,
) -> Result<String, Failure> {
    match format {
        TableFormat::Text => Ok(output::text(table, keep)),
        TableFormat::Json => output::json(table),
    }
}

/// Prints what was done. A closed standard output is not an error, because the work is done.
pub(super) fn print_done(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Reads the selected profile and compares this machine with it.
pub(super) fn compare_host(what: &WhatArgs) -> Result<(Profile, Comparison), Failure> {
    let profile = read_profile(&what.profile, what.variant.as_deref())?;
    let machine = sysctl::machine(profile.key.keys());
    let variant = what.variant.iter().map(|variant| format!("-{variant}"));
    let name = std::iter::once(what.profile.clone()).chain(variant).collect();
    let table =
        compare(&profile, &Selection { profile: name, clients: what.clients, only: &what.only }, &machine);
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

pub(super) fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::usage(format!("cannot create the directory {}", folder.display()))
            .caused_by(error)
            .help("run it as root, or name another directory (--root DIR, --state FILE)")
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
            print_done(&format!("removed: {}\n", path.display()));
            removed += 1;
        }
        print_done(&format!("{removed} removed; the settings stay in effect until the next boot\n"));
        return Ok(Exit::Pass);
    }
    let existing = existing(&args.root, &name, &profile)?;
    for file in persist::files(&name, &profile, what.clients, &what.only, &existing) {
        let path = args.root.join(&file.path);
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        output_file::write(&path, &file.text)?;
        print_done(&format!("wrote: {}\n", path.display()));
    }
    if args.root == Path::new("/") {
        print_done(
            "in effect at the next boot; now: sysctl --system, systemctl daemon-reload, a new login\n",
        );
    }
    Ok(Exit::Pass)
}

/// Reads what the files must not make worse; nothing for the files of an image.
fn existing(root: &Path, name: &str, profile: &Profile) -> Result<persist::Existing, Failure> {
    if root != Path::new("/") {
        return Ok(persist::Existing::default());
    }
    const UNITS: [&str; 3] = [
        "etc/systemd/system/nginx.service",
        "lib/systemd/system/nginx.service",
        "usr/lib/systemd/system/nginx.service",
    ];
    let drop_ins =
        fs::read_dir(root.join("etc/systemd/system/nginx.service.d")).into_iter().flatten().flatten();
    let own = Path::new("90-hls-swarm.conf");
    let drop_ins =
        drop_ins.map(|entry| entry.path()).filter(|path| path.file_name() != Some(own.as_os_str()));
    let units = UNITS.iter().map(|unit| root.join(unit)).chain(drop_ins);
    let units: Vec<String> = units.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let [sysctl_file, ..] = persist::paths(name);
    Ok(persist::Existing {
        settings: Some(apply::without_changes(sysctl::machine(profile.key.keys()))?),
        own_file: fs::read_to_string(root.join(sysctl_file)).unwrap_or_default(),
        nginx_limit: persist::unit_limit(&units.concat()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_equivalent() {
        for (typed, meant) in [
            ("", "show"),
            ("--show", "show"),
            ("-check", "check"),
            ("--profile origin --check", "check --profile origin"),
            ("--profile origin", "show --profile origin"),
            ("apply --only net.", "apply --only net."),
            ("--help", "--help"),
            ("aply", "aply"),
        ] {
            let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
            assert_eq!(command_first(words(typed).into_iter()), words(meant), "{typed}");
        }
    }
}
