//! The parts of help texts and manual pages beyond the flags: examples, files, variables, exit statuses.

use std::fmt::Write;

use clap::Command;

/// The documentation of a command beyond its flags.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page {
    /// The command, without the program's name; empty for the program itself.
    pub command: &'static str,
    /// Command lines to paste, with their descriptions.
    pub examples: &'static [(&'static str, &'static str)],
    /// Files and directories, with their contents.
    pub files: &'static [(&'static str, &'static str)],
    /// Environment variables without a flag, with their effects.
    pub environment: &'static [(&'static str, &'static str)],
    /// Exit statuses and their meanings; empty for those that every command has.
    pub exit_statuses: &'static [(&'static str, &'static str)],
}

/// The layout of the help text of a program.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Headings, and the commands below each of them. Together they name every command.
    pub groups: &'static [(&'static str, &'static [&'static str])],
    /// The flags that `-h` shows; `--help` shows all of them.
    pub daily: &'static [&'static str],
    /// The usage line of the program.
    pub usage: &'static str,
    /// The documentation of each command.
    pub pages: &'static [Page],
}

impl Layout {
    /// The page of a command.
    #[must_use]
    pub fn page(&self, command: &str) -> Page {
        self.pages.iter().find(|page| page.command == command).copied().unwrap_or_default()
    }

    /// `program` with help texts that have examples, commands by group, and a short form.
    #[must_use]
    pub fn apply(&self, program: Command) -> Command {
        let template = format!(
            "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{}{{all-args}}{{after-help}}\n",
            self.commands(&program)
        );
        let program = self.decorate(program, "");
        // They are in the template, by group.
        let program = program.mut_subcommands(|command| command.hide(true));
        program.override_usage(self.usage).help_template(template)
    }

    fn decorate(&self, command: Command, path: &str) -> Command {
        let examples = self.page(path).examples;
        let daily = |id: &str| self.daily.contains(&id);
        let has_daily = command.get_arguments().any(|flag| daily(flag.get_id().as_str()));
        let command = if has_daily {
            command.mut_args(|flag| {
                let rare = !daily(flag.get_id().as_str()) && !flag.is_positional();
                flag.hide_short_help(rare)
            })
        } else {
            command
        };
        let notes = command.get_after_help().map(ToString::to_string);
        let mut after = String::new();
        if !examples.is_empty() {
            after.push_str("Examples:\n");
        }
        for (line, about) in examples {
            let _ = writeln!(after, "  {line}\n      {about}");
        }
        let texts = [Some(after.trim_end().to_owned()), notes];
        let texts: Vec<String> = texts.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        let command = if texts.is_empty() { command } else { command.after_help(texts.join("\n\n")) };
        command.mut_subcommands(|inner| {
            let path = format!("{path} {}", inner.get_name());
            self.decorate(inner, path.trim_start())
        })
    }

    /// The commands by group, with the first sentence of what each does.
    fn commands(&self, program: &Command) -> String {
        let width = program.get_subcommands().map(|command| command.get_name().len()).max().unwrap_or(0);
        let mut text = String::new();
        for (heading, names) in self.groups {
            let _ = writeln!(text, "{heading}:");
            for name in *names {
                let about = program.find_subcommand(name).and_then(Command::get_about);
                // Clap adds the command `help` itself.
                let about = about.map_or("Print this text, or that of a command".into(), ToString::to_string);
                let _ = writeln!(text, "  {name:width$}  {}", about.lines().next().unwrap_or_default());
            }
            text.push('\n');
        }
        text
    }
}
