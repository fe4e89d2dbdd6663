//! `man` and `completions`: the files that packages install beside the programs, from the same tables that the
//! programs read.

use clap::{Arg, Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use hls_swarm_base::error::Failure;
use hls_swarm_base::exit::Exit;
use hls_swarm_os::output;

use crate::help::{Layout, Page};
use crate::layers::Environment;

/// The manual page to print.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ManArgs {
    /// A command with a page of its own, such as report or config show
    pub command: Vec<String>,
}

/// The completions to print.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// A program, as its manual pages need to know it.
#[derive(Clone, Debug)]
pub struct Manual<'a> {
    /// Its command line, with all commands.
    pub command: Command,
    /// The documentation of its commands beyond their flags.
    pub layout: &'a Layout,
    /// The environment variables of its flags.
    pub environment: &'a Environment,
}

/// Prints a manual page.
///
/// # Errors
/// There is no such command, or standard output cannot be written to.
pub fn print_page(manual: &Manual<'_>, args: &ManArgs) -> Result<(), Failure> {
    output::print(&String::from_utf8_lossy(&page(manual, &args.command)?))
}

/// Prints completions for a shell.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print_completions(program: &Command, args: &CompletionsArgs) -> Result<(), Failure> {
    let (mut program, mut text) = (program.clone(), Vec::new());
    let name = program.get_name().to_owned();
    clap_complete::generate(args.shell, &mut program, name, &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

/// The manual page of a program, or of one of its commands, as troff.
///
/// # Errors
/// A usage failure: there is no such command.
pub fn page(manual: &Manual<'_>, path: &[String]) -> Result<Vec<u8>, Failure> {
    let mut program = manual.command.clone();
    program.build();
    let mut described = &program;
    for name in path {
        described = described.find_subcommand(name).ok_or_else(|| {
            let names: Vec<&str> = described.get_subcommands().map(Command::get_name).collect();
            Failure::usage(format!("unknown command {:?}", path.join(" ")))
                .help(format!("the commands are: {}", names.join(", ")))
        })?;
    }
    let name = [&[program.get_name().to_owned()], path].concat().join("-");
    let page = manual.layout.page(&path.join(" "));
    render(manual, described.clone(), name, page)
        .map_err(|error| Failure::internal("cannot write the manual page").caused_by(error))
}

fn render(
    manual: &Manual<'_>,
    described: Command,
    name: String,
    page: Page,
) -> Result<Vec<u8>, std::io::Error> {
    // After `NAME - …` a page is found by its name.
    let described = described.display_name(name.clone()).version(env!("CARGO_PKG_VERSION"));
    let source = format!("{} {}", manual.command.get_name(), env!("CARGO_PKG_VERSION"));
    let described = if name == manual.command.get_name() {
        described.override_usage(manual.layout.usage)
    } else {
        described
    };
    let notes = described.get_after_help().map(ToString::to_string);
    let variables = variables(manual, &described, page);
    let (has_flags, has_commands) = (described.get_arguments().next().is_some(), described.has_subcommands());
    let man = Man::new(described).title(name).source(source).manual("User Commands");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if has_flags {
        man.render_options_section(&mut text)?;
    }
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    let mut roff = Roff::new();
    let owned = |(name, about): &(&str, &str)| ((*name).to_owned(), (*about).to_owned());
    list(&mut roff, "EXAMPLES", &page.examples.iter().map(owned).collect::<Vec<_>>());
    list(&mut roff, "FILES", &page.files.iter().map(owned).collect::<Vec<_>>());
    list(&mut roff, "ENVIRONMENT", &variables);
    list(&mut roff, "EXIT STATUS", &exit_statuses(page));
    if let Some(notes) = notes {
        roff.control("SH", ["NOTES"]);
        for line in notes.lines() {
            roff.text([roman(line)]);
            roff.control("br", []);
        }
    }
    roff.to_writer(&mut text)?;
    man.render_version_section(&mut text)?;
    Ok(text)
}

fn list(roff: &mut Roff, heading: &str, entries: &[(String, String)]) {
    if entries.is_empty() {
        return;
    }
    roff.control("SH", [heading]);
    for (name, about) in entries {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(about)]);
    }
}

/// The variables of the flags, and those that belong to none.
fn variables(manual: &Manual<'_>, described: &Command, page: Page) -> Vec<(String, String)> {
    let of_flags =
        described.get_arguments().filter(|_| !page.environment.is_empty()).filter_map(|flag: &Arg| {
            let name = flag.get_long().map_or_else(
                || flag.get_value_names().and_then(|names| names.first()).map(ToString::to_string),
                |long| Some(format!("--{long}")),
            )?;
            let is_help = matches!(flag.get_id().as_str(), "help" | "version");
            let variables = manual.environment.variables(flag).join(", ");
            (!is_help && !variables.is_empty()).then(|| (variables, format!("The same as {name}.")))
        });
    let others = page.environment.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned()));
    others.chain(of_flags).collect()
}

fn exit_statuses(page: Page) -> Vec<(String, String)> {
    if !page.exit_statuses.is_empty() {
        return page
            .exit_statuses
            .iter()
            .map(|(code, meaning)| ((*code).into(), (*meaning).into()))
            .collect();
    }
    let usual =
        [Exit::Internal, Exit::Usage].map(|exit| (exit.code().to_string(), exit.meaning().to_owned()));
    std::iter::once(("0".to_owned(), "done".to_owned())).chain(usual).collect()
}
