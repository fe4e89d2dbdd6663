//! Errors of clap in the style of this program's own: `error: invalid value "abc" for --clients: …`, and
//! `help: …`.

use std::num::{ParseFloatError, ParseIntError};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use hls_swarm_base::error::Failure;
use hls_swarm_base::nearest::nearest;

/// The failure for an error of clap in a command line of `command`, the innermost command. `variable` is
/// the environment variable that the value came from, if it was not typed.
#[must_use]
pub fn failure(error: &clap::Error, command: &Command, variable: Option<&str>) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        Some(ContextValue::StyledStrs(texts)) => {
            texts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
        Some(ContextValue::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    let named = variable.map_or_else(|| plain(&argument), str::to_owned);
    let value = text(ContextKind::InvalidValue);
    let about = argument_help(&argument, command);
    let see = format!("`{} --help` lists the flags", full_name(command));
    match error.kind() {
        ErrorKind::InvalidValue if value.is_empty() => {
            Failure::usage(format!("{named} needs a value")).help(about.unwrap_or(see))
        }
        ErrorKind::InvalidValue => {
            let valid = text(ContextKind::ValidValue);
            let meant = nearest(&value, valid.split(", "));
            let meant = meant.map_or_else(String::new, |meant| format!("did you mean {meant}? "));
            let help =
                if valid.is_empty() { about.unwrap_or(see) } else { format!("{meant}pass one of: {valid}") };
            Failure::usage(format!("invalid value {value:?} for {named}")).help(help)
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map_or_else(String::new, reason);
            Failure::usage(format!("invalid value {value:?} for {named}: {why}")).help(about.unwrap_or(see))
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            let longs = command.get_arguments().filter_map(Arg::get_long);
            let typed = argument.trim_start_matches('-');
            let meant = nearest(typed, longs).map(|meant| format!("did you mean --{meant}?"));
            Failure::usage(format!("unknown flag {argument:?}")).help(meant.unwrap_or(see))
        }
        ErrorKind::UnknownArgument => {
            let help = format!("{}; {see}", usage(command));
            Failure::usage(format!("unexpected argument {argument:?}")).help(help)
        }
        ErrorKind::NoEquals => Failure::usage(format!("{named} takes its value after an equals sign"))
            .help(format!("write {named}=VALUE")),
        ErrorKind::TooManyValues => {
            Failure::usage(format!("unexpected value {value:?} for {named}")).help(about.unwrap_or(see))
        }
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            let least = text(ContextKind::MinValues);
            let what = if least.is_empty() {
                "another number of values".to_owned()
            } else {
                format!("at least {least} values")
            };
            Failure::usage(format!("{named} needs {what}")).help(about.unwrap_or(see))
        }
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg);
            Failure::usage(format!("{named} cannot be used together with {}", plain(&other)))
                .help("leave out one of them")
        }
        ErrorKind::MissingRequiredArgument => {
            Failure::usage(format!("{argument} is missing")).help(usage(command))
        }
        ErrorKind::MissingSubcommand | ErrorKind::InvalidSubcommand => {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            Failure::usage(format!("{} needs a command", full_name(command)))
                .help(format!("the commands are: {}", names.join(", ")))
        }
        ErrorKind::InvalidUtf8 => {
            Failure::usage("an argument is not valid UTF-8").help("write file names and values as UTF-8")
        }
        _ => Failure::usage(error.to_string().trim().trim_start_matches("error: ").to_owned()).help(see),
    }
}

/// `--clients <N>` without its value: `--clients`; `[HLS_URL]` without its brackets.
fn plain(argument: &str) -> String {
    let name = argument.split_whitespace().next().unwrap_or_default();
    let name = name.split_once("[=").map_or(name, |(name, _)| name);
    name.trim_matches(|c| "<>[].".contains(c)).to_owned()
}

/// The description of a flag as a help line: `--clients <N>: Concurrent viewers`.
fn argument_help(argument: &str, command: &Command) -> Option<String> {
    let known = command.get_arguments().find(|known| known.to_string() == argument)?;
    let help = known.get_help()?.to_string();
    Some(format!("{argument}: {}", help.lines().next().unwrap_or_default()))
}

/// The expected kind of value, in plainer words than the standard library's.
fn reason(source: &(dyn std::error::Error + 'static)) -> String {
    if source.is::<ParseIntError>() {
        return "expected a whole number".to_owned();
    }
    if source.is::<ParseFloatError>() {
        return "expected a number".to_owned();
    }
    let text = source.to_string();
    if text == "value was not a boolean" {
        return "expected true or false".to_owned();
    }
    match text.split_once(" is not in ").map(|(_, range)| range.split_once("..").unwrap_or((range, ""))) {
        // The largest number of a type is not worth mentioning.
        Some((least, "" | "=65535" | "=4294967295" | "=18446744073709551615")) => {
            format!("expected a number from {least} up")
        }
        Some((least, most)) => format!("expected a number from {least} to {}", most.trim_start_matches('=')),
        None => text,
    }
}

fn full_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let line = usage.lines().next().unwrap_or_default();
    line.trim().replacen("Usage:", "usage:", 1)
}

#[cfg(test)]
mod tests {
    use clap::value_parser;

    use super::*;

    fn failure_of(words: &[&str]) -> (String, String) {
        let mut command = Command::new("p")
            .arg(
                Arg::new("clients")
                    .long("clients")
                    .value_name("N")
                    .value_parser(value_parser!(u32))
                    .help("Viewers"),
            )
            .arg(Arg::new("port").long("port").value_name("P").value_parser(value_parser!(u16).range(1..=9)))
            .arg(Arg::new("mode").long("mode").value_parser(["loop", "live"]))
            .arg(Arg::new("file").required(true).conflicts_with("mode"));
        command.build();
        let error = command.clone().try_get_matches_from([&["p"], words].concat()).unwrap_err();
        let failure = failure(&error, &command, None);
        assert_eq!(failure.exit().code(), 2);
        (failure.to_string(), failure.help_text().unwrap().to_owned())
    }

    #[test]
    fn each_mistake_is_named_with_help() {
        for (words, what, help) in [
            (
                &["--clients", "abc"][..],
                "invalid value \"abc\" for --clients: expected a whole number",
                "--clients <N>: Viewers",
            ),
            (&["--port=10"], "invalid value \"10\" for --port: expected a number from 1 to 9", "p --help"),
            (
                &["--mode", "lop"],
                "invalid value \"lop\" for --mode",
                "did you mean loop? pass one of: loop, live",
            ),
            (&["--clients"], "--clients needs a value", "--clients <N>: Viewers"),
            (&["--cliens", "3"], "unknown flag \"--cliens\"", "did you mean --clients?"),
            (&["--colour"], "unknown flag \"--colour\"", "`p --help` lists the flags"),
            (&["a", "b"], "unexpected argument \"b\"", "usage: p [OPTIONS] <file>; `p --help`"),
            (&["a", "--mode", "live"], "file cannot be used together with --mode", "leave out one"),
            (&[], "<file> is missing", "usage: p [OPTIONS] <file>"),
        ] {
            let (said, advice) = failure_of(words);
            assert_eq!(said, what);
            assert!(advice.contains(help), "{words:?}: {advice}");
        }
    }
}
