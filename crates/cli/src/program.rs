//! The start and the end of both programs: from the command line to an exit code.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::{output, pid1, secrets};

use crate::layers::{self, Environment, Given};
use crate::{arguments, clap_error};

/// The properties of a program that its startup needs.
#[derive(Debug)]
pub struct Program {
    /// Its command line, with all commands.
    pub command: Command,
    /// The environment variables of its flags.
    pub environment: Environment,
    /// The commands whose flags have environment variables; an empty path is the program itself.
    pub layered: &'static [&'static [&'static str]],
    /// A variable that holds more arguments, and the commands that take them.
    pub more_arguments: Option<(&'static str, &'static [&'static [&'static str]])>,
}

/// The reason why there is nothing to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or the version was requested; clap has the text.
    Asked(clap::Error),
    /// The command line is invalid.
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Parses the command line and runs its command. Every failure of a program ends here.
#[must_use]
pub fn main<C: FromArgMatches>(
    program: Program,
    run: impl FnOnce(C, Given) -> Result<ExitCode, Failure>,
) -> ExitCode {
    let parsed = parse(&program, std::env::args_os().collect(), &|name| std::env::var_os(name));
    // The help texts of all flags are a quarter of the memory that a run would keep.
    drop(program);
    let ended = match parsed {
        Ok((arguments, given)) => {
            pid1::run_as_pid1().and_then(|first| first.map_or_else(|| run(arguments, given), Ok))
        }
        Err(Stop::Asked(text)) => answer(&text),
        Err(Stop::Failed(failure)) => Err(failure),
    };
    ended.unwrap_or_else(|failure| complain(&failure))
}

/// Prints a failure, without secrets that a library may have put into it.
pub fn complain(failure: &Failure) -> ExitCode {
    let mut text = Vec::new();
    failure.print(&mut text);
    // The reader may be gone; then no error can be printed.
    drop(write!(std::io::stderr(), "{}", secrets::redact(&String::from_utf8_lossy(&text))));
    failure.exit().into()
}

/// Prints help or the version; help that was not requested is a usage error.
fn answer(text: &clap::Error) -> Result<ExitCode, Failure> {
    if text.use_stderr() {
        drop(text.print());
        return Ok(Exit::Usage.into());
    }
    let styled = text.render();
    let plain = !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
    output::print(&if plain { styled.to_string() } else { styled.ansi().to_string() })?;
    Ok(Exit::Pass.into())
}

/// Reads a command line together with the environment.
///
/// # Errors
/// Help was requested, or the command line is invalid.
pub fn parse<C: FromArgMatches>(
    program: &Program,
    typed: Vec<OsString>,
    look_up: &dyn Fn(&str) -> Option<OsString>,
) -> Result<(C, Given), Stop> {
    let is_in = |path: &[String], list: &[&[&str]]| list.iter().any(|known| path.iter().eq(known.iter()));
    let mut command = program.command.clone();
    command.build();
    let mut line = arguments::read(typed.clone(), &command)?;
    if let Some((variable, takers)) = program.more_arguments
        && is_in(&line.path, takers)
    {
        let more = look_up(variable).map(|more| more.to_string_lossy().into_owned());
        line = arguments::read(arguments::with_more(typed, variable, more.as_deref())?, &command)?;
    }
    let inner = line.path.iter().fold(&command, |outer, name| outer.find_subcommand(name).unwrap_or(outer));
    let read = |words: &[OsString], variable: Option<&str>| {
        let mut outer = program.command.clone();
        outer.try_get_matches_from_mut(words).map_err(|error| match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Stop::Asked(error),
            _ => Stop::Failed(clap_error::failure(&error, inner, variable)),
        })
    };
    let mut matches = read(&line.words, None)?;
    let mut given = Given { flags: layers::typed(innermost(&matches), inner), ..Given::default() };
    if is_in(&line.path, program.layered) {
        let set = program.environment.words(inner, &given.flags, look_up);
        let (commands, rest) = line.words.split_at((1 + line.path.len()).min(line.words.len()));
        for (_, variable, words) in &set {
            // Parsed separately, so that the error for an invalid value names the variable.
            read(&[commands, words].concat(), Some(variable))?;
        }
        let words: Vec<OsString> = set.iter().flat_map(|(_, _, words)| words.clone()).collect();
        matches = read(&[commands, &words, rest].concat(), None)?;
        given.environment = set.into_iter().map(|(id, variable, _)| (id, variable)).collect();
    }
    let parsed = C::from_arg_matches(&matches);
    Ok((parsed.map_err(|error| clap_error::failure(&error, inner, None))?, given))
}

/// The matches of the innermost command.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}
