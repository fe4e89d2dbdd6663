//! The flags of `hls-swarm tune` as they were typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Check and set what the operating system should be set to, for a host that runs viewers or one
/// that serves HLS.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "hls-swarm tune", version, max_term_width = 100, after_help = NOTES)]
pub struct TuneArgs {
    /// What to do; `--show`, `--check`, … mean the same.
    #[command(subcommand)]
    pub command: TuneCommand,
}

/// What every help text of `tune` ends with.
const NOTES: &str = "Settings that this kernel lacks, or that belong to the host of a container, are named and skipped.
Exit codes: 0 as recommended or done; 4 `check` found a difference; 2 usage; 1 a setting could not be written.";

/// What can be done about settings.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TuneCommand {
    /// Print every setting: what it is, what it should be, and why
    Show(WhatArgs),
    /// Print what differs; exit code 4 if anything does
    Check(WhatArgs),
    /// Print what differs, as lines of a diff
    Diff(WhatArgs),
    /// Set what differs, until the next boot (as root); `undo` takes it back
    Apply(ChangeArgs),
    /// Write files that set it at each boot: sysctl.d, limits.d, a drop-in for nginx, a udev rule
    Persist(PersistArgs),
    /// Take back what `apply` has set
    Undo(UndoArgs),
}

/// Which settings are meant.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct WhatArgs {
    /// client (a host of viewers), origin (a host that serves), or a TOML file
    #[arg(long, default_value = "client", value_name = "NAME|FILE")]
    pub profile: String,
    /// A variant of the profile, such as bbr
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Viewers that the machine is to hold; what only more would need is left alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: Option<u32>,
    /// Only settings whose names begin like this, such as net. or limit.; may be repeated
    #[arg(long, value_name = "PREFIX")]
    pub only: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub format: TableFormat,
}

/// `apply`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ChangeArgs {
    /// Which settings.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Where the values of before are kept for `undo`
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `undo`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UndoArgs {
    /// Where `apply` kept the values of before
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `persist`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct PersistArgs {
    /// Which settings.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Write below this directory instead of /, for images
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Remove the files again
    #[arg(long)]
    pub remove: bool,
}

/// How a table of settings is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
