//! The command line of `hls-origin`. What the values mean together with the profile is decided in `profile`.

pub mod service;

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory, Parser, Subcommand};

use hls_swarm_base::exit::Exit;
use hls_swarm_cli::arguments::switch;
use hls_swarm_cli::config::{CheckArgs, ShowArgs};
use hls_swarm_cli::health::HealthArgs;
use hls_swarm_cli::help::{Layout, Page};
use hls_swarm_cli::layers::{Environment, Given};
use hls_swarm_cli::manual::{CompletionsArgs, ManArgs};
use hls_swarm_cli::program::Program;

use crate::cli::service::{FaultArgs, ServiceArgs};
use crate::cmcd::CmcdArgs;
use crate::profile::{Profile, with_default};

/// Test origin for HTTP Live Streaming: FFmpeg makes a test stream, nginx serves it.
///
/// Prints `READY URL` and one line of JSON as soon as the playlist and the first segment are available, and
/// then runs until SIGTERM or SIGINT. Only the cached loop is left behind.
#[derive(Clone, Debug, Parser)]
#[command(name = "hls-origin", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Option<OriginCommand>,
    /// The flags of `run`, which is the default.
    #[command(flatten)]
    pub origin: Box<OriginArgs>,
}

/// The commands of `hls-origin`.
#[derive(Clone, Debug, Subcommand)]
pub enum OriginCommand {
    /// Serve a test stream (the default command)
    Run(Box<OriginArgs>),
    /// Show or check a configuration without starting the origin
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what would run with these flags: nginx.conf, FFmpeg's command lines, or a systemd unit
    #[command(subcommand)]
    Render(RenderCommand),
    /// Enable and disable faults of a running origin, which has to run with --faults or --fault
    Fault(FaultArgs),
    /// Sum up what players reported (CMCD, CTA-5004) in access logs: sessions, starvations, and objects by type
    Cmcd(CmcdArgs),
    /// Check whether the origin on this machine responds; exit code 0 if it does
    ///
    /// For health checks of containers, which have neither a shell nor curl.
    Health(HealthArgs),
    /// Print the manual page of the program or of a command, as troff
    Man(ManArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
}

/// The flags of the origin.
#[derive(Args, Clone, Debug)]
// The last one of a repeated flag holds, so that a wrapper's flags can be overridden.
#[command(args_override_self = true, mut_args = |flag| switch(with_default(flag)))]
pub struct OriginArgs {
    /// Profile, which changes the defaults of the flags below: default, low-latency, ll-hls, 4k-abr, stress,
    /// logged, debug, tap, tap-logged, or the path of a TOML file
    #[arg(long, default_value = "default", value_name = "NAME|FILE")]
    pub profile: String,
    /// Print the profile with all flags applied as TOML, which is a valid profile, and exit
    #[arg(long)]
    pub dry_run: bool,
    /// Directory for segments and nginx's files; by default on a tmpfs if there is one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Directory of the cached loops; by default hls-swarm below XDG_CACHE_HOME or ~/.cache
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
    /// Directory that keeps the media sequence number, so that the next start continues where the last one
    /// ended (systemd's StateDirectory= sets it); without it each start begins at 0
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Write the JSON line of READY to this file as well
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// FFmpeg program
    #[arg(long, default_value = "ffmpeg", value_name = "PROGRAM")]
    pub ffmpeg: PathBuf,
    /// nginx program
    #[arg(long, default_value = "nginx", value_name = "PROGRAM")]
    pub nginx: PathBuf,
    /// Log level: error, warn, info, debug, trace
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    pub log_level: String,
    /// The keys of the profile.
    #[command(flatten)]
    pub settings: Profile,
    /// Serve a VOD stream of this many seconds instead of a live stream; 0 is live
    #[arg(long, value_name = "SECONDS", help_heading = "Stream")]
    pub vod: Option<u32>,
    /// Faults, and serving without other programs.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// The sources of the values.
    #[arg(skip)]
    pub given: Given,
}

/// The commands for the configuration of an origin.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print what an origin with these flags serves, and what follows from it
    Show {
        /// The output format.
        #[command(flatten)]
        output: ShowArgs,
        /// The flags of the origin.
        #[command(flatten)]
        origin: Box<OriginArgs>,
    },
    /// Check profiles; exit code 2 and the reason if one is not valid
    Check(CheckArgs),
    /// Print the JSON Schema of profiles, with which editors complete and check them
    Schema,
}

/// The texts that can be printed instead of running the origin.
#[derive(Clone, Debug, Subcommand)]
pub enum RenderCommand {
    /// Print nginx.conf, with the reason for each directive
    Nginx(Box<OriginArgs>),
    /// Print FFmpeg's command lines, quoted for a shell
    Ffmpeg(Box<OriginArgs>),
    /// Print a hardened systemd unit that runs the origin with these flags
    Systemd(Box<OriginArgs>),
}

/// The environment variables of the origin's flags.
pub const ENVIRONMENT: Environment = Environment {
    prefix: "HLS_ORIGIN_",
    other_names: &[("state_dir", "STATE_DIRECTORY"), ("log_level", "LOG_LEVEL")],
};

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
        layered: &[
            &[],
            &["run"],
            &["config", "show"],
            &["render", "nginx"],
            &["render", "ffmpeg"],
            &["render", "systemd"],
        ],
        more_arguments: None,
    }
}

/// The layout of help texts and manual pages.
pub const LAYOUT: Layout = Layout {
    groups: &[
        ("Serve", &["run", "fault"]),
        ("Explain", &["config", "render", "cmcd"]),
        ("Other", &["health", "man", "completions", "help"]),
    ],
    daily: &[
        "profile",
        "dry_run",
        "dir",
        "segment_seconds",
        "list_size",
        "video.size",
        "video.bitrate_kbps",
        "video.ladder",
        "vod",
        "serve.listen",
        "serve.port",
        "serve.tls",
        "log.file",
        "embedded",
        "fault",
        "log_level",
    ],
    usage: "hls-origin [FLAGS]\n       hls-origin COMMAND …",
    pages: &[
        Page {
            command: "",
            examples: &[
                ("hls-origin", "Serve a 1080p test stream at http://127.0.0.1:17080/stream.m3u8."),
                ("hls-origin --profile 4k-abr --listen 0.0.0.0", "Serve five variants on every interface."),
                (
                    "hls-origin --embedded --fault status=503,rate=5%",
                    "Serve a computed stream without FFmpeg and nginx; every 20th request fails.",
                ),
            ],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "run",
            examples: &[(
                "hls-origin run --profile low-latency --port 0",
                "Serve segments of 1 s on a free port.",
            )],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: EXIT_STATUSES,
        },
        Page {
            command: "config",
            examples: &[
                ("hls-origin config show --profile stress", "Print a profile with all of its values."),
                ("hls-origin config check profile.toml", "Check a profile before it is deployed."),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "config show",
            examples: &[("hls-origin config show --json", "Print the configuration as JSON.")],
            files: FILES,
            environment: VARIABLES,
            exit_statuses: &[],
        },
        Page {
            command: "render",
            examples: &[
                ("hls-origin render nginx --tls", "Print nginx.conf with the reason for each directive."),
                (
                    "hls-origin render systemd --dir /var/lib/hls > hls-origin.service",
                    "Write a systemd unit.",
                ),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "cmcd",
            examples: &[
                ("hls-origin cmcd access.log", "Print the sums by object type."),
                ("hls-origin cmcd --json access.log", "Print them as JSON, with every session."),
            ],
            files: &[],
            environment: &[],
            exit_statuses: &[],
        },
        Page {
            command: "fault",
            examples: &[
                ("hls-origin fault add delay=200ms,path=*.m3u8", "Delay every playlist."),
                ("hls-origin fault clear", "Disable all faults."),
            ],
            files: &[],
            environment: &[("HLS_ORIGIN_CONTROL", "The same as --control.")],
            exit_statuses: &[],
        },
    ],
};

const FILES: &[(&str, &str)] = &[
    ("~/.cache/hls-swarm/", "Loops that were encoded once; --cache-dir overrides it."),
    ("/dev/shm/", "Segments and nginx's files, in a private directory; --dir overrides it."),
];

const VARIABLES: &[(&str, &str)] = &[
    ("XDG_CACHE_HOME", "Where the cached loops are, in hls-swarm."),
    ("XDG_RUNTIME_DIR", "A tmpfs for segments if there is no /dev/shm."),
    (
        "LOGS_DIRECTORY",
        "Where the access log is written if it has no path; systemd's LogsDirectory= sets it.",
    ),
    ("NO_COLOR", "If set, no colors are used."),
];

const EXIT_STATUSES: &[(&str, &str)] = &[
    ("0", "stopped by SIGTERM or SIGINT"),
    ("1", Exit::Internal.meaning()),
    ("2", Exit::Usage.meaning()),
    ("3", "preflight: FFmpeg, nginx or the machine cannot be used"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    use hls_swarm_cli::program::{Stop, parse};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
        program().command.debug_assert();
        let command = command();
        let grouped: BTreeSet<&str> =
            LAYOUT.groups.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let known: BTreeSet<&str> =
            command.get_subcommands().map(Command::get_name).chain(["help"]).collect();
        assert_eq!(grouped, known);
    }

    #[test]
    fn every_example_is_a_valid_command_line() {
        for (example, _) in LAYOUT.pages.iter().flat_map(|page| page.examples) {
            let example = example.split(" > ").next().unwrap_or_default();
            let words = example.split_whitespace().map(OsString::from).collect();
            if let Err(Stop::Failed(failure)) = parse::<Cli>(&program(), words, &|_| None) {
                panic!("{example}: {}", failure.chain());
            }
        }
    }

    #[test]
    fn every_flag_has_a_variable_and_a_typed_flag_overrides_it() {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect();
        let look_up = |name: &str| match name {
            "HLS_ORIGIN_FPS" => Some("25".into()),
            "HLS_ORIGIN_TLS" => Some("true".into()),
            "STATE_DIRECTORY" => Some("/var/lib/x".into()),
            _ => None,
        };
        let (cli, given) = parse::<Cli>(&program(), words("hls-origin -fps 50"), &look_up).unwrap();
        assert_eq!((cli.origin.settings.video.fps, cli.origin.settings.serve.tls), (50, true));
        assert_eq!(cli.origin.state_dir.as_deref(), Some("/var/lib/x".as_ref()));
        assert_eq!(given.flags, ["video.fps".to_owned()].into());
        assert_eq!(given.environment["serve.tls"], "HLS_ORIGIN_TLS");
        let wrong = |_: &str| Some("many".into());
        let Err(Stop::Failed(failure)) = parse::<Cli>(&program(), words("hls-origin"), &wrong) else {
            panic!()
        };
        assert!(failure.to_string().contains("for HLS_ORIGIN_"), "{failure}");
    }

    #[test]
    fn no_default_is_written_into_a_help_text() {
        for flag in command().get_arguments() {
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.contains("[default"), "{flag}: {help}");
        }
    }
}
