//! `hls-swarm tune`: compares the settings of this machine with a profile, applies and persists them.

use std::fs;
use std::io::Write;
use std::path::Path;

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use crate::tuning::args::{PersistArgs, SelectionArgs, TableFormat, TuneArgs, TuneCommand};
use crate::tuning::comparison::{Comparison, Selection, Setting, State, compare};
use crate::tuning::profile::{self, Profile};
use crate::tuning::{apply, output as view, persist, sysctl};

/// Shows, checks, changes, or reverts the settings of this machine.
///
/// # Errors
/// There is no such profile, or a setting or file cannot be read or written.
pub fn run(args: TuneArgs) -> Result<Exit, Failure> {
    match args.command() {
        TuneCommand::Show(selection) => show(&selection),
        TuneCommand::Check(selection) => check(&selection),
        TuneCommand::Diff(selection) => diff(&selection),
        TuneCommand::Apply(change) => apply::apply(&change),
        TuneCommand::Persist(args) => persist(&args),
        TuneCommand::Undo(args) => apply::undo(&args),
    }
}

fn show(selection: &SelectionArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(selection)?;
    output::print(&print(&table, selection.format, |_| true)?)?;
    Ok(Exit::Pass)
}

fn check(selection: &SelectionArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(selection)?;
    output::print(&print(&table, selection.format, |setting| setting.state != State::Good)?)?;
    Ok(if table.settings.iter().any(Setting::differs) { Exit::Criteria } else { Exit::Pass })
}

fn diff(selection: &SelectionArgs) -> Result<Exit, Failure> {
    let (_, table) = compare_host(selection)?;
    match selection.format {
        TableFormat::Text => output::print(&view::diff(&table)),
        TableFormat::Json => output::print(&view::json(&table)?),
    }?;
    Ok(Exit::Pass)
}

fn print(
    table: &Comparison,
    format: TableFormat,
    keep: impl Fn(&Setting) -> bool,
) -> Result<String, Failure> {
    match format {
        TableFormat::Text => Ok(view::text(table, keep)),
        TableFormat::Json => view::json(table),
    }
}

/// Prints what was done. A closed standard output is not an error, because the work is done.
pub(super) fn print_done(text: &str) {
    drop(std::io::stdout().write_all(text.as_bytes()));
}

/// Reads the selected profile and compares this machine with it.
pub(super) fn compare_host(selection: &SelectionArgs) -> Result<(Profile, Comparison), Failure> {
    let profile = read_profile(&selection.profile, selection.variant.as_deref())?;
    let machine = sysctl::machine(profile.key.keys());
    let variant = selection.variant.iter().map(|variant| format!("-{variant}"));
    let name = std::iter::once(selection.profile.clone()).chain(variant).collect();
    let table = compare(
        &profile,
        &Selection { profile: name, clients: selection.clients, only: &selection.only },
        &machine,
    );
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

pub(super) fn create_directory(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| {
        Failure::usage(format!("cannot create the directory {}", directory.display()))
            .caused_by(error)
            .help("run it as root, or name another directory (--root DIR, --state FILE)")
    })
}

fn persist(args: &PersistArgs) -> Result<Exit, Failure> {
    let selection = &args.selection;
    let profile = read_profile(&selection.profile, selection.variant.as_deref())?;
    let name = Path::new(&selection.profile).file_stem().unwrap_or_default().to_string_lossy().into_owned();
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
    for file in persist::files(&name, &profile, selection.clients, &selection.only, &existing) {
        let path = args.root.join(&file.path);
        if let Some(directory) = path.parent() {
            create_directory(directory)?;
        }
        output::write_file(&path, &file.text)?;
        print_done(&format!("wrote: {}\n", path.display()));
    }
    if args.root == Path::new("/") {
        print_done(
            "in effect from the next boot; to apply them now: sysctl --system, systemctl daemon-reload, and a new login\n",
        );
    }
    Ok(Exit::Pass)
}

/// Reads the current settings, which the new files must not make worse. For an image there are none.
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
