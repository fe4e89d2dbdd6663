//! The command line of `hls-swarm`. `config::plan` resolves the values once.

pub mod commands;
pub mod load;
pub mod run;

use clap::{Command, CommandFactory, Parser};

use hls_swarm_base::exit::Exit;
use hls_swarm_cli::help::{Layout, Page};
use hls_swarm_cli::layers::Environment;
use hls_swarm_cli::program::Program;

use self::commands::SwarmCommand;
use self::run::RunArgs;

/// Load test an HLS stream with real viewers and measure exactly what each of them received.
///
/// Starts viewers at a steady rate, watches each of them, and ends with a verdict: pass, fail, or invalid
/// where the load generator itself was the bottleneck.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-swarm", version, max_term_width = 100, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<SwarmCommand>,
    /// The flags of `run`, which is the default.
    #[command(flatten)]
    pub run: Box<RunArgs>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 pass   1 internal error   2 usage   3 preflight failed   4 a criterion was not met
  5 invalid run (the load generator was the bottleneck, or measurements were lost)   6 no viewer ever played
  128+n stopped by signal n before the planned end";

/// The environment variables of the flags of a run.
pub const ENVIRONMENT: Environment = Environment {
    prefix: "HLS_SWARM_",
    other_names: &[
        ("url", "STREAM_URL"),
        ("clients", "CLIENTS"),
        ("ramp_rate", "RAMP_RATE"),
        ("variant", "VARIANT"),
        ("metrics", "METRICS_PORT"),
        ("collector", "COLLECTOR"),
        ("log_level", "LOG_LEVEL"),
    ],
};

/// The variable that holds more arguments of a run, which is how container images take them.
pub const MORE_ARGUMENTS: &str = "EXTRA_ARGS";

/// The command line with all commands, as manual pages, completions and the reference show it.
#[must_use]
pub fn command() -> Command {
    Cli::command()
}

/// The properties of the program that its startup needs.
#[must_use]
pub fn program() -> Program {
    Program {
        command: LAYOUT.apply(command()),
        environment: ENVIRONMENT,
        layered: &[&[], &["run"], &["check"], &["demo"], &["config", "show"], &["render", "systemd"]],
        more_arguments: Some((MORE_ARGUMENTS, &[&[], &["run"], &["check"]])),
    }
}

/// The layout of help texts and manual pages.
pub const LAYOUT: Layout = Layout {
    groups: &[
        ("Run", &["demo", "run", "check", "config", "render"]),
        ("Results", &["report", "collect", "monitoring"]),
        ("Machines", &["tune", "audit", "impair", "plan"]),
        ("Other", &["health", "man", "completions", "help"]),
    ],
    daily: &[
        "profile",
        "dry_run",
        "clients",
        "ramp_rate",
        "duration",
        "stage",
        "variant",
        "thresholds",
        "metrics",
        "reports",
        "log_level",
        "yes",
    ],
    usage: "hls-swarm [FLAGS] URL\n       hls-swarm COMMAND …",
    pages: &[
        Page {
            command: "",
            examples: &[
                (
                    "hls-swarm http://127.0.0.1:17080/stream.m3u8",
                    "Play a stream with 10 viewers until stopped.",
                ),
                (
                    "hls-swarm -c 100 -r 20 -d 5m -t 'error_rate<1%' -o run.json https://cdn.example/live.m3u8",
                    "Run 100 viewers for 5 minutes, judge them, and write a report.",
                ),
                (
                    "hls-swarm report show run.json -o run.html",
                    "Print the report of a run and convert it to HTML.",
                ),
            ],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "run",
            examples: &[
                (
                    "hls-swarm run --profile stress https://cdn.example/live.m3u8",
                    "Start from a built-in profile.",
                ),
                (
                    "hls-swarm run --stage 1m:100 --stage 5m:100 --stage 1m:0 https://cdn.example/live.m3u8",
                    "Ramp to 100 viewers, hold them for 5 minutes, and ramp down.",
                ),
            ],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "demo",
            examples: &[
                ("hls-swarm demo", "See a run from its start to its verdict, without a stream of your own."),
                ("hls-swarm demo -c 100 -d 1m", "The same with 100 viewers, for a minute."),
            ],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "check",
            examples: &[(
                "hls-swarm check https://cdn.example/live.m3u8",
                "Find out whether a stream plays at all before loading it.",
            )],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "config",
            examples: &[(
                "hls-swarm config show --profile stress",
                "Print a profile with all of its values.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "config show",
            examples: &[(
                "hls-swarm config show --json --profile gentle -c 500",
                "Print a configuration and what it needs of the machine, as JSON.",
            )],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: &[],
        },
        Page {
            command: "config check",
            examples: &[("hls-swarm config check profile.toml", "Check a profile before it is deployed.")],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "report",
            examples: &[
                (
                    "hls-swarm report show run.json -o run.html",
                    "Print the summary, and convert the report to HTML.",
                ),
                ("hls-swarm report compare before.json after.json", "Compare two runs."),
                (
                    "hls-swarm report compare main.json branch.json --fail-if 'segment_ttfb:p95>+20%'",
                    "Fail a CI job if segments became slower.",
                ),
                ("hls-swarm report merge shard-*.json -o run.json", "Merge the shards of one load."),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[
                ("0", "done"),
                ("2", "usage, or a file that is not a report"),
                (
                    "4",
                    "`compare`: a condition of --fail-if holds; `merge`: a criterion of the whole load was not met",
                ),
                ("5", "`compare`: a condition could not be judged; `merge`: the merged run proves nothing"),
            ],
        },
        Page {
            command: "collect",
            examples: &[(
                "hls-swarm collect --shards 4 -o run.json",
                "Start four shards together, and write their merged report.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "plan",
            examples: &[(
                "hls-swarm plan -c 10000 --extra-args \"-t 'error_rate<1%'\" > kustomization.yaml",
                "Divide 10000 viewers over pods.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "tune",
            examples: &[
                ("hls-swarm tune check --clients 1000", "List the settings that 1000 viewers need changed."),
                (
                    "sudo hls-swarm tune apply --profile origin",
                    "Set what an origin needs, until the next boot.",
                ),
            ],
            files: &[
                ("/etc/sysctl.d/90-hls-swarm-*.conf", "Written by `tune persist`; applied at each boot."),
                ("/run/hls-swarm/tune-*.toml", "Former values, kept by `tune apply` for `tune undo`."),
            ],
            environment: &[],
            exit_statuses: &[
                ("0", "as recommended, or done"),
                ("1", "a setting could not be written"),
                ("2", "usage"),
                ("4", "`tune check` found a difference"),
            ],
        },
        Page {
            command: "audit",
            examples: &[
                ("sudo hls-swarm audit --viewers 5000", "Audit the nginx that runs on this machine."),
                (
                    "hls-swarm audit --config nginx.conf --no-host --report fixes.patch",
                    "Audit another machine's configuration, and write the fixes as a patch.",
                ),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[
                ("0", "audited"),
                ("2", "usage"),
                ("3", "nothing to audit"),
                ("4", "a finding is at least as severe as --fail-on"),
            ],
        },
        Page {
            command: "render",
            examples: &[(
                "hls-swarm render systemd -c 100 -d 5m -o run.json https://cdn.example/live.m3u8 > evening.service",
                "Write a systemd unit that makes a run.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "impair",
            examples: &[
                ("sudo hls-swarm impair 50ms --device eth1", "Delay what the machine sends by 50 ms."),
                ("sudo hls-swarm impair clean --device eth1", "Remove the impairment."),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "monitoring",
            examples: &[(
                "hls-swarm monitoring rules > prometheus-rules.yml",
                "Write alert rules for Prometheus.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "completions",
            examples: &[(
                "hls-swarm completions bash > ~/.local/share/bash-completion/completions/hls-swarm",
                "Install completions for bash.",
            )],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
    ],
};

const FILES: &[(&str, &str)] = &[
    (
        "/etc/hls-swarm/config.toml",
        "Rules of this machine: which hosts may be loaded, and by how many viewers.",
    ),
    ("~/.config/hls-swarm/config.toml", "The same for this user."),
];

const VARIABLES: &[(&str, &str)] = &[
    ("EXTRA_ARGS", "More arguments, split as a shell does it; they follow those on the command line."),
    ("SSL_CERT_FILE", "Certificate authorities to trust instead of the system's."),
    ("NO_COLOR", "If set, no colors are used."),
    ("XDG_RUNTIME_DIR, TMPDIR", "Where the socket probe is unpacked."),
];

const EXIT_STATUSES: &[(&str, &str)] = &[
    ("0", Exit::Pass.meaning()),
    ("1", Exit::Internal.meaning()),
    ("2", Exit::Usage.meaning()),
    ("3", Exit::Preflight.meaning()),
    ("4", Exit::Criteria.meaning()),
    ("5", Exit::Invalid.meaning()),
    ("6", Exit::NeverPlayed.meaning()),
    ("128+n", Exit::Signal(0).meaning()),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use hls_swarm_cli::program::{Stop, parse};

    use super::*;

    fn line(text: &str) -> Cli {
        let words = std::iter::once("hls-swarm").chain(text.split_whitespace()).map(OsString::from);
        parse::<Cli>(&program(), words.collect(), &|_| None)
            .unwrap_or_else(|stop| panic!("{text}: {stop:?}"))
            .0
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
        program().command.debug_assert();
    }

    #[test]
    fn a_run_needs_no_command() {
        let bare = line("-clients 3 http://a/b").run;
        assert_eq!((bare.load.clients, bare.stream.url.as_deref()), (3, Some("http://a/b")));
        let Some(SwarmCommand::Run(run)) = line("run -clients 3 http://a/b").command else { panic!() };
        assert_eq!(run, bare);
    }

    #[test]
    fn frequent_flags_have_short_forms() {
        let short = line("-c 3 -d 5m -r 2 -t standard -o a.json http://a/b").run;
        let long =
            line("--clients 3 --duration 5m --ramp-rate 2 --threshold standard --report a.json http://a/b")
                .run;
        assert_eq!(short, long);
    }

    #[test]
    fn every_command_is_in_a_group_of_the_help_text() {
        let grouped: BTreeSet<&str> =
            LAYOUT.groups.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        let known: BTreeSet<&str> =
            command.get_subcommands().map(Command::get_name).chain(["help"]).collect();
        assert_eq!(grouped, known);
        let mut program = program();
        let short = program.command.render_help().to_string();
        for name in known {
            assert!(
                short.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))),
                "{name}\n{short}"
            );
        }
        for (example, _) in LAYOUT.page("").examples {
            assert!(short.contains(example), "{short}");
        }
        assert!(!short.contains("--segment-sizes-jitter") && short.lines().count() < 80, "{short}");
        assert!(program.command.render_long_help().to_string().contains("--segment-sizes-jitter"));
    }

    #[test]
    fn every_example_is_a_valid_command_line() {
        for (example, _) in LAYOUT.pages.iter().flat_map(|page| page.examples) {
            let example = example.trim_start_matches("sudo ").split(" > ").next().unwrap_or_default();
            let example = example.replace("shard-*.json", "shard-0.json shard-1.json");
            let words = shlex::split(&example).unwrap().into_iter().map(OsString::from).collect();
            if let Err(Stop::Failed(failure)) = parse::<Cli>(&program(), words, &|_| None) {
                panic!("{example}: {}", failure.chain());
            }
        }
        for page in LAYOUT.pages {
            let inner = page
                .command
                .split_whitespace()
                .try_fold(command(), |outer, name| outer.find_subcommand(name).cloned());
            assert!(inner.is_some(), "there is no command {:?}", page.command);
        }
    }

    #[test]
    fn help_texts_do_not_repeat_defaults() {
        fn check(command: &Command) {
            for flag in command.get_arguments() {
                let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.contains("[default"), "{:?}: {help}", flag.get_id());
            }
            command.get_subcommands().for_each(check);
        }
        check(&command());
    }
}
