//! The flags of `hls-swarm tune` as they were typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Compare the operating system's settings with those recommended for a host that runs viewers or
/// serves HLS, and apply them.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "hls-swarm tune", version, max_term_width = 100, after_help = NOTES)]
pub struct TuneArgs {
    /// Action; `--show`, `--check`, … are synonyms.
    #[command(subcommand)]
    pub command: TuneCommand,
}

/// End of every help text of `tune`.
const NOTES: &str = "Settings that this kernel does not have, or that belong to the host of a container, are listed and skipped.
Exit codes: 0 as recommended or done; 4 `check` found a difference; 2 usage; 1 a setting could not be written.";

/// Actions on settings.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TuneCommand {
    /// Print every setting with its value, the recommended value, and the reason
    Show(WhatArgs),
    /// Print the settings that differ; exit code 4 if any does
    Check(WhatArgs),
    /// Print the settings that differ as lines of a diff
    Diff(WhatArgs),
    /// Apply the settings that differ until the next boot (as root); `undo` restores the old values
    Apply(ChangeArgs),
    /// Write files that apply the settings at each boot: sysctl.d, limits.d, a drop-in for nginx, a udev rule
    Persist(PersistArgs),
    /// Restore the values from before `apply`
    Undo(UndoArgs),
}

/// Selection of settings.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct WhatArgs {
    /// client (a host of viewers), origin (a host that serves), or a TOML file
    #[arg(long, default_value = "client", value_name = "NAME|FILE")]
    pub profile: String,
    /// A variant of the profile, such as bbr
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Number of viewers to size the settings for
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: Option<u32>,
    /// Only settings whose names begin like this, such as net. or limit.; may be repeated
    #[arg(long, value_name = "PREFIX")]
    pub only: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub format: TableFormat,
}

/// `apply`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ChangeArgs {
    /// Selection of settings.
    #[command(flatten)]
    pub what: WhatArgs,
    /// File that saves the previous values for `undo`
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `undo`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UndoArgs {
    /// File in which `apply` saved the previous values
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// `persist`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct PersistArgs {
    /// Selection of settings.
    #[command(flatten)]
    pub what: WhatArgs,
    /// Write below this directory instead of /, for images
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Remove the files
    #[arg(long)]
    pub remove: bool,
}

/// Output format of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}
