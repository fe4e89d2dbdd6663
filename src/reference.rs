//! The reference pages below `docs/reference/`, written from the tables that the programs read. A test
//! compares the files with them; `make reference` rewrites them.

use std::fmt::Write;

use clap::{Arg, Command};

use hls_swarm_base::exit::Exit;
use hls_swarm_cli::layers::Environment;
use hls_swarm_model::metric::MEASURES;

use crate::cli;
use crate::config::layers::{SCENARIO, SWARM};
use crate::config::presets::PRESETS;
use crate::output::metrics::{self, PREFIX, Type};

/// File names below `docs/reference/`, and their contents.
#[must_use]
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        (
            "flags.md",
            flags(
                &cli::command(),
                &cli::ENVIRONMENT,
                "Each flag is also a key of a profile, with underscores for dashes (lists: `headers`, `allow_hosts`, \
                 `ffmpeg_args`, `thresholds`, `reports`), except those under Configuration. A flag overrides the \
                 environment, and the environment overrides a profile. A variable of a repeatable flag has one value \
                 per line.",
            ),
        ),
        (
            "origin-flags.md",
            flags(
                &hls_swarm_origin::cli::command(),
                &hls_swarm_origin::cli::ENVIRONMENT,
                "A flag overrides the environment, and the environment overrides a profile.",
            ),
        ),
        ("metrics.md", metrics()),
        ("profiles.md", profiles()),
        ("thresholds.md", thresholds()),
        ("exit-codes.md", exit_codes()),
    ]
}

const ORIGIN: &str = "<!-- Written by `make reference` from the program's own tables. -->\n";

fn flags(program: &Command, environment: &Environment, note: &str) -> String {
    let name = program.get_name();
    let mut text = format!("{ORIGIN}# Flags of `{name}`\n");
    if !note.is_empty() {
        text += &format!("\n{note}\n");
    }
    let of = |argument: &Arg| argument.get_help_heading().unwrap_or("General").to_owned();
    let mut headings: Vec<String> = Vec::new();
    for argument in shown(program) {
        if !headings.contains(&of(argument)) {
            headings.push(of(argument));
        }
    }
    for heading in headings {
        let _ = write!(text, "\n## {heading}\n\n| flag | environment | meaning |\n|---|---|---|\n");
        for argument in shown(program).filter(|argument| of(argument) == heading) {
            let variables = environment.variables(argument).into_iter().map(|name| format!("`{name}`"));
            let variables = variables.collect::<Vec<_>>().join(", ");
            let help = argument.get_help().map(|help| cell(&help.to_string())).unwrap_or_default();
            let default = match argument.get_default_values() {
                [] => String::new(),
                _ if argument.is_hide_default_value_set() => String::new(),
                values => {
                    let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
                    format!(" [default: {}]", values.join(" "))
                }
            };
            let _ = writeln!(text, "| {} | {} | {help}{default} |", typed(argument), variables);
        }
    }
    let commands: Vec<_> = program.get_subcommands().collect();
    if !commands.is_empty() {
        text += "\n## Commands\n\n| command | what it does |\n|---|---|\n";
        for command in commands {
            let about = command.get_about().map(|about| cell(&about.to_string())).unwrap_or_default();
            let _ = writeln!(text, "| `{name} {}` | {about} |", command.get_name());
        }
    }
    text
}

fn shown(program: &Command) -> impl Iterator<Item = &Arg> {
    program.get_arguments().filter(|argument| !argument.is_hide_set())
}

/// A flag as it is typed.
fn typed(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
    let short = argument.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default();
    let takes = argument.get_action().takes_values();
    match (argument.get_long(), value) {
        (None, value) => format!("`{}`", cell(&value.unwrap_or_default())),
        (Some(long), Some(_)) if takes && argument.is_require_equals_set() => {
            format!("{short}`--{long}[=BOOL]`")
        }
        (Some(long), Some(value)) if takes => format!("{short}`--{long} {}`", cell(&value)),
        (Some(long), _) => format!("{short}`--{long}`"),
    }
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

fn metrics() -> String {
    let mut text = format!(
        "{ORIGIN}# Metrics of `hls-swarm`\n\nWhat was not measured yields no sample, never 0. All names begin with \
         `{PREFIX}`.\n\n| name | type | label | meaning |\n|---|---|---|---|\n\
         | `info` | gauge | `version`, `stream_url`, `variant` | What is tested, and with what. |\n"
    );
    for metric in metrics::all() {
        let kind = match metric.kind {
            Type::Counter => "counter",
            Type::Gauge => "gauge",
            Type::Histogram => "histogram",
        };
        let label = if metric.label.is_empty() { String::new() } else { format!("`{}`", metric.label) };
        let _ = writeln!(text, "| `{}` | {kind} | {label} | {} |", metric.name, cell(metric.help));
    }
    text
}

fn profiles() -> String {
    let mut text = format!("{ORIGIN}# Profiles and scenarios of `hls-swarm`\n");
    for (flag, list) in [("profile", &SWARM[..]), ("scenario", &SCENARIO[..])] {
        for (name, toml) in list {
            let _ = write!(text, "\n## `--{flag} {name}`\n\n```toml\n{}\n```\n", toml.trim());
        }
    }
    text
}

fn thresholds() -> String {
    let mut text = format!(
        "{ORIGIN}# Thresholds of `hls-swarm`\n\n`--threshold 'METRIC OP LIMIT'` or `--threshold 'METRIC:PERCENTILE OP LIMIT'`; \
         OP is <, <=, >, >= or ==; PERCENTILE is p50, p95, p99 or max.\n\n| metric | example | meaning |\n|---|---|---|\n"
    );
    for measure in &MEASURES {
        let example = cell(&format!("{}{}", measure.name, measure.example));
        let _ = writeln!(text, "| `{}` | {example} | {} |", measure.name, cell(measure.meaning));
    }
    text += "\n## Sets\n\n| `--threshold` | asks for |\n|---|---|\n";
    for (name, thresholds) in PRESETS {
        let _ = writeln!(text, "| `{name}` | `{}` |", thresholds.join("`, `"));
    }
    text
}

fn exit_codes() -> String {
    let mut text = format!("{ORIGIN}# Exit codes of `hls-swarm`\n\n| code | meaning |\n|---|---|\n");
    for exit in Exit::NAMED {
        let _ = writeln!(text, "| {} | {} |", exit.code(), exit.meaning());
    }
    let signal = Exit::Signal(0);
    let _ = writeln!(text, "| {} + n | {} (n) |", signal.code(), signal.meaning());
    text
}
