//! `man` and `completions`: what packages install beside the programs, from the same tables that the
//! programs read.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Command, Parser};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use crate::logging;
use crate::manual_args::{CompletionsArgs, ManArgs};

/// The first word of a command line that asks for a manual page.
pub const MAN: &str = "man";
/// The first word of a command line that asks for completions.
pub const COMPLETIONS: &str = "completions";

/// `main` of `man` and `completions` of a program: the first word of what was typed tells which.
#[must_use]
pub fn main(program: Command) -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let text = if words.first().is_some_and(|word| word == MAN) {
        ManArgs::try_parse_from(words).map(|args| page(program, args.command.as_deref()))
    } else {
        CompletionsArgs::try_parse_from(words).map(|args| {
            let (mut program, mut text) = (program, Vec::new());
            let name = program.get_name().to_owned();
            clap_complete::generate(args.shell, &mut program, name, &mut text);
            Ok(text)
        })
    };
    match text.map(|text| text.and_then(|text| output::print(&String::from_utf8_lossy(&text)))) {
        Err(error) => logging::clap_exit(&error),
        Ok(Err(failure)) => {
            failure.print(&mut std::io::stderr());
            failure.exit().into()
        }
        Ok(Ok(())) => Exit::Pass.into(),
    }
}

/// The manual page of a program, or of one of its commands.
///
/// # Errors
/// A usage failure: there is no such command.
pub fn page(program: Command, command: Option<&str>) -> Result<Vec<u8>, Failure> {
    let (title, described) = match command {
        None => (program.get_name().to_owned(), program),
        Some(name) => {
            let full = format!("{}-{name}", program.get_name());
            let names: Vec<String> = program.get_subcommands().map(|one| one.get_name().to_owned()).collect();
            let found = program.get_subcommands().find(|one| one.get_name() == name).cloned();
            found.map(|found| (full, found)).ok_or_else(|| {
                Failure::usage(format!("there is no command {name:?}"))
                    .help(format!("there are: {}", names.join(", ")))
            })?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(described)
        .title(title)
        .render(&mut text)
        .map_err(|error| Failure::internal("cannot write the manual page").caused_by(error))?;
    Ok(text)
}
