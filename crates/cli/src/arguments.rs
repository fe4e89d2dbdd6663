//! Normalization of arguments for clap: the command is found, flags as Go writes them (`-clients 50`,
//! `-tui=false`) become flags as clap reads them, and mistakes that clap would misread are named.

use std::any::TypeId;
use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction, Command};

use hls_swarm_base::error::Failure;
use hls_swarm_base::nearest::nearest;

/// A command line that clap can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The program, its commands, and then everything else.
    pub words: Vec<OsString>,
    /// The commands, outermost first.
    pub path: Vec<String>,
}

/// Makes each flag that holds a `bool` a switch, which reads `--flag`, `--flag=true` and `--flag=false`.
///
/// To be used as `#[command(mut_args = switch)]`.
#[must_use]
pub fn switch(flag: Arg) -> Arg {
    if flag.is_positional() || flag.get_value_parser().type_id() != TypeId::of::<bool>() {
        return flag;
    }
    let has_default =
        !matches!(flag.get_action(), ArgAction::SetTrue) || !flag.get_default_values().is_empty();
    let flag = flag
        .action(ArgAction::Set)
        .value_parser(BoolishValueParser::new())
        .hide_possible_values(true)
        .value_name("BOOL")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true");
    if has_default { flag } else { flag.default_value("false").hide_default_value(true) }
}

/// Reads `typed`, whose first word is the program's name, as a command line of `program`.
///
/// # Errors
/// A usage failure: there is no such command, or flags stand before a command that does not take them.
pub fn read(typed: impl IntoIterator<Item = OsString>, program: &Command) -> Result<Line, Failure> {
    let mut typed = typed.into_iter();
    let mut line = Line { words: typed.next().into_iter().collect(), path: Vec::new() };
    let mut command = program;
    // What keeps the next word from being a command: a flag, by its name, or a word that is none.
    let (mut flag_before, mut word_before) = (None, false);
    let mut value_follows = false;
    while let Some(word) = typed.next() {
        if word == "--" {
            line.words.push(word);
            line.words.extend(typed);
            break;
        }
        let Some(text) = word.to_str().filter(|_| !value_follows) else {
            value_follows = false;
            line.words.push(word);
            continue;
        };
        if text.len() > 1 && text.starts_with('-') {
            let flag = Flag::read(text, command);
            value_follows = flag.takes_next_word();
            if flag.keeps_commands_away() {
                flag_before.get_or_insert_with(|| flag.shown());
                // What follows an unknown flag may be its value; clap names the flag.
                word_before |= flag.known.is_none();
            }
            line.words.push(flag.word.into());
            continue;
        }
        if !word_before && command.has_subcommands() {
            if text == "help" && flag_before.is_none() {
                line.words.push(word);
                line.words.extend(typed);
                break;
            }
            let full = [command.get_name(), text].join(" ");
            match (command.find_subcommand(text), &flag_before) {
                (Some(named), None) => {
                    line.path.push(text.to_owned());
                    line.words.push(word);
                    command = named;
                    continue;
                }
                (Some(_), Some(flag)) => {
                    return Err(Failure::usage(format!("{flag} before the command {text:?}"))
                        .help(format!("name the command first, and its own flags after it: {full} …")));
                }
                (None, _) => known_or_value(text, command)?,
            }
        }
        word_before = true;
        line.words.push(word);
    }
    Ok(line)
}

/// `typed` with the words of `more` behind it, split as a shell does it, but before a `--`, after which
/// there are no flags. `variable` is where they come from.
///
/// # Errors
/// A usage failure: a quote is not closed.
pub fn with_more(typed: Vec<OsString>, variable: &str, more: Option<&str>) -> Result<Vec<OsString>, Failure> {
    let more = more.unwrap_or_default();
    let words = shlex::split(more).ok_or_else(|| {
        Failure::usage(format!("invalid {variable} {more:?}: a quote is not closed"))
            .help("write it as on a command line")
    })?;
    let mut typed = typed;
    let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
    typed.splice(end..end, words.into_iter().map(OsString::from));
    Ok(typed)
}

/// A word that begins with a dash.
struct Flag<'a> {
    /// The word as clap is to read it.
    word: String,
    /// The flag that it names, if there is one.
    known: Option<&'a Arg>,
    has_value: bool,
}

impl<'a> Flag<'a> {
    fn read(text: &str, command: &'a Command) -> Self {
        let name = text.split_once('=').map_or(text, |(name, _)| name);
        let has_value = name.len() < text.len();
        let (dashes, bare) = match name.strip_prefix("--") {
            Some(bare) => (2, bare),
            None => (1, name.get(1..).unwrap_or_default()),
        };
        let is_letter = dashes == 1 && bare.chars().count() == 1;
        let known = command.get_arguments().find(|flag| {
            if is_letter { flag.get_short() == bare.chars().next() } else { is_called(flag, bare) }
        });
        let longs = command.get_arguments().filter_map(Arg::get_long);
        let slip = || bare.len() > 2 && !has_value_glued(bare) && nearest(bare, longs).is_some();
        let go_style = dashes == 1
            && !is_letter
            // clap reports a typing error with the flag that was meant; it is not read as `-c liens`.
            && (known.is_some() || matches!(bare, "help" | "version") || slip());
        let word = if go_style { format!("-{text}") } else { text.to_owned() };
        Self { word, known, has_value }
    }

    fn takes_next_word(&self) -> bool {
        let takes = |flag: &Arg| flag.get_action().takes_values() && !flag.is_require_equals_set();
        !self.has_value && self.known.is_some_and(takes)
    }

    /// Flags of all commands, help and version may stand before a command.
    fn keeps_commands_away(&self) -> bool {
        let everywhere = matches!(self.word.as_str(), "-h" | "--help" | "-V" | "--version");
        !everywhere && !self.known.is_some_and(Arg::is_global_set)
    }

    fn shown(&self) -> String {
        self.word.split_once('=').map_or(self.word.as_str(), |(name, _)| name).to_owned()
    }
}

fn is_called(flag: &Arg, name: &str) -> bool {
    flag.get_long() == Some(name) || flag.get_all_aliases().is_some_and(|all| all.contains(&name))
}

/// Whether a value is glued to a letter, as in `-c50`: names of flags have neither digits nor signs.
fn has_value_glued(bare: &str) -> bool {
    !bare.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Names a command that does not exist, as far as the word cannot be a value of `command`.
fn known_or_value(text: &str, command: &Command) -> Result<(), Failure> {
    let like_a_command = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if !like_a_command && command.get_positionals().next().is_some() {
        return Ok(());
    }
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let help = match nearest(text, names.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("the commands are: {}", names.join(", ")),
    };
    Err(Failure::usage(format!("unknown command {text:?}")).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let value = |name: &'static str| Arg::new(name).long(name);
        let switch = super::switch(
            Arg::new("tui").long("tui").action(ArgAction::SetTrue).value_parser(clap::value_parser!(bool)),
        );
        let run = [value("clients").short('c').alias("viewers"), value("ramp-rate"), value("arg"), switch];
        let show = Command::new("show").arg(Arg::new("file")).arg(value("clients"));
        Command::new("p")
            .args(run)
            .arg(Arg::new("url"))
            .subcommand(Command::new("report").subcommand_required(true).subcommand(show))
            .subcommand(
                Command::new("fault").arg(value("control").global(true)).subcommand(Command::new("list")),
            )
    }

    fn line(typed: &str) -> Result<(String, String), Failure> {
        let words = std::iter::once("p").chain(typed.split_whitespace()).map(OsString::from);
        let Line { words, path } = read(words, &program())?;
        let words: Vec<String> = words.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect();
        Ok((words.join(" "), path.join(" ")))
    }

    #[test]
    fn flags_of_go_become_flags_of_clap() {
        for (typed, read) in [
            ("-clients 50 a/b", "--clients 50 a/b"),
            ("-clients=50 -viewers 3", "--clients=50 --viewers 3"),
            ("-tui=false a/b", "--tui=false a/b"),
            ("-help", "--help"),
            ("-c 5 -c5", "-c 5 -c5"),
            // Values of flags and unknown names are left alone.
            ("-arg -clients -x", "--arg -clients -x"),
            ("-clients 3 -- -clients", "--clients 3 -- -clients"),
            ("-cliens 5", "--cliens 5"),
        ] {
            assert_eq!(line(typed).unwrap().0, read, "{typed}");
        }
    }

    #[test]
    fn commands_are_found_and_have_flags_of_their_own() {
        assert_eq!(
            line("report show -clients 3 a").unwrap(),
            ("report show --clients 3 a".into(), "report show".into())
        );
        assert_eq!(line("-clients report").unwrap(), ("--clients report".into(), String::new()), "a value");
        assert_eq!(line("http://h/report").unwrap().1, "");
        assert_eq!(line("help reprot").unwrap(), ("help reprot".into(), String::new()));
        assert_eq!(line("fault -control a list").unwrap().1, "fault list");
    }

    #[test]
    fn a_wrong_command_is_named_with_the_one_that_was_meant() {
        for (typed, what, help) in [
            ("reprot show x", "unknown command \"reprot\"", "did you mean \"report\"?"),
            ("report shwo x", "unknown command \"shwo\"", "did you mean \"show\"?"),
            ("report x.json", "unknown command \"x.json\"", "the commands are: show"),
            ("--clients 3 report show x", "--clients before the command \"report\"", "p report …"),
        ] {
            let failure = line(typed).unwrap_err();
            assert_eq!(failure.to_string(), what);
            assert!(failure.help_text().unwrap().contains(help), "{failure:?}");
        }
    }

    #[test]
    fn more_arguments_follow_those_that_were_typed() {
        let with = |typed: &str, more| {
            let typed = typed.split(' ').map(OsString::from).collect();
            let words = with_more(typed, "EXTRA_ARGS", more)?;
            Ok::<_, Failure>(words.into_iter().map(|word| word.into_string().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(with("p -clients 5", None).unwrap(), ["p", "-clients", "5"]);
        let more = Some(" -clients 7  --header 'X-A: b c'");
        assert_eq!(with("p u", more).unwrap(), ["p", "u", "-clients", "7", "--header", "X-A: b c"]);
        assert_eq!(with("p -- u", Some("-v")).unwrap(), ["p", "-v", "--", "u"]);
        let failure = with("p", Some("--header 'X")).unwrap_err();
        assert!(failure.to_string().contains("EXTRA_ARGS"), "{failure}");
    }

    #[test]
    fn a_switch_may_be_turned_off() {
        let value = |typed: &str| {
            let words = ["p", typed].into_iter().filter(|word| !word.is_empty());
            *program().get_matches_from(words).get_one::<bool>("tui").unwrap()
        };
        assert_eq!(
            ["", "--tui", "--tui=true", "--tui=false", "--tui=0"].map(value),
            [false, true, true, false, false]
        );
    }
}
