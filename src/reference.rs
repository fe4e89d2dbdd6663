//! The reference pages below `docs/reference/`, generated from the tables that the programs read. A test
//! compares the files with them; `make reference` writes them.

use std::fmt::Write;

use clap::{Arg, Command};

use hls_swarm_base::exit::Exit;
use hls_swarm_cli::layers::Environment;
use hls_swarm_model::metric::{PREFIX, Scope, Type, askable, catalogue};

use crate::cli;
use crate::config::layers::{SCENARIO, SWARM};
use crate::config::presets::PRESETS;

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

/// A flag as it is written on the command line.
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
         `{PREFIX}`. A histogram has the series `_bucket` (with the label `le`), `_sum` and `_count`; use \
         `histogram_quantile` for percentiles. Each event counter is also a field of the JSON report, by its name \
         without `_total`.\n\n| name | type | labels | meaning |\n|---|---|---|---|\n\
         | `info` | gauge | `version`, `stream_url`, `variant` | What is tested, and with what. |\n"
    );
    let mut before = None;
    for metric in catalogue() {
        let Some(series) = metric.series.as_deref().filter(|series| before != Some(*series)) else {
            continue;
        };
        before = Some(series);
        let labels = metric.label.iter().map(|(name, _)| name).chain(metric.labels);
        let labels: Vec<String> = labels.map(|name| format!("`{name}`")).collect();
        let _ = writeln!(
            text,
            "| `{series}` | {} | {} | {} |",
            metric.kind.name(),
            labels.join(", "),
            cell(&metric.help)
        );
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
        "{ORIGIN}# Thresholds of `hls-swarm`\n\n`--threshold 'METRIC OP LIMIT'` or `--threshold 'METRIC:STATISTIC OP \
         LIMIT'`; OP is <, <=, >, >= or ==.\n\n* A distribution of durations needs a STATISTIC: any percentile (`p50`, \
         `p95`, `p99.9`), `mean`, `min` or `max`.\n* A count may have `rate`: events per second.\n* Other metrics are one \
         number each.\n* A ratio is compared with a percentage (`1%`) or with a number between 0 and 1 (`0.01`). \
         `error_rate<1` without the percent sign would nearly always hold, and is an error.\n\nThe column *in a window* shows what `--abort-after` evaluates.\n\n\
         | metric | kind | example | in a window | meaning |\n|---|---|---|---|---|\n"
    );
    for (metric, asked) in askable() {
        let kind = match metric.kind {
            _ if metric.is_distribution() => "distribution",
            Type::Counter => "count",
            _ => "number",
        };
        let window = match asked.scope {
            Scope::Window if metric.is_distribution() => "durations that ended in it",
            Scope::Window => "what happened in it",
            Scope::Moment => "the value of the moment",
            Scope::Stage | Scope::WholeRun => "the run since its beginning",
        };
        let example = cell(&format!("{}{}", metric.id, asked.example));
        let _ =
            writeln!(text, "| `{}` | {kind} | {example} | {window} | {} |", metric.id, cell(&metric.help));
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
