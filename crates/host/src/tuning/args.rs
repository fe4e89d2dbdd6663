//! The flags of `hls-swarm tune`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// The command line of `tune`.
#[derive(Args, Clone, Debug, PartialEq)]
#[command(args_conflicts_with_subcommands = true, after_help = NOTES)]
pub struct TuneArgs {
    /// The command; without one the settings are shown.
    #[command(subcommand)]
    pub command: Option<TuneCommand>,
    /// The command written as flags.
    #[command(flatten)]
    pub flags: TuneFlags,
}

/// Commands written as flags: `tune --profile origin --check`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct TuneFlags {
    /// The selected settings.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// The same as the command `show`
    #[arg(long, hide = true, group = "action")]
    pub show: bool,
    /// The same as the command `check`
    #[arg(long, hide = true, group = "action")]
    pub check: bool,
    /// The same as the command `diff`
    #[arg(long, hide = true, group = "action")]
    pub diff: bool,
    /// The same as the command `apply`
    #[arg(long, hide = true, group = "action")]
    pub apply: bool,
    /// The same as the command `persist`
    #[arg(long, hide = true, group = "action")]
    pub persist: bool,
    /// The same as the command `undo`
    #[arg(long, hide = true, group = "action")]
    pub undo: bool,
    /// For `apply` and `undo`
    #[arg(long, hide = true, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// For `persist`
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// For `persist`
    #[arg(long, hide = true)]
    pub remove: bool,
}

impl TuneArgs {
    /// The command, in whichever style it was written.
    #[must_use]
    pub fn command(self) -> TuneCommand {
        let Self { command, flags } = self;
        let TuneFlags { selection, state, root, remove, .. } = flags;
        match command {
            Some(command) => command,
            None if flags.check => TuneCommand::Check(selection),
            None if flags.diff => TuneCommand::Diff(selection),
            None if flags.apply => TuneCommand::Apply(ChangeArgs { selection, state }),
            None if flags.persist => TuneCommand::Persist(PersistArgs { selection, root, remove }),
            None if flags.undo => TuneCommand::Undo(UndoArgs { state }),
            None => TuneCommand::Show(selection),
        }
    }
}

/// The end of every help text of `tune`.
const NOTES: &str = "Settings that this kernel lacks, or that belong to the host of a container, are listed and skipped.
Exit codes: 0 as recommended, or done; 4 `check` found a difference; 2 usage; 1 a setting could not be written.";

/// The commands of `tune`.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum TuneCommand {
    /// Print every setting with its value, the recommended value, and the reason
    Show(SelectionArgs),
    /// Print settings that differ; exit code 4 if there are any
    Check(SelectionArgs),
    /// Print settings that differ, in the format of a diff
    Diff(SelectionArgs),
    /// Change settings that differ until the next boot (as root); `undo` reverts it
    Apply(ChangeArgs),
    /// Write files that apply the settings at each boot: sysctl.d, limits.d, a drop-in for nginx, a udev rule
    Persist(PersistArgs),
    /// Revert what `apply` changed
    Undo(UndoArgs),
}

/// Selects settings.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct SelectionArgs {
    /// Profile: client (a host of viewers), origin (a host that serves), or a TOML file
    #[arg(long, default_value = "client", value_name = "NAME|FILE")]
    pub profile: String,
    /// Variant of the profile, such as bbr
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Number of viewers; settings that only matter for more viewers are skipped
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub clients: Option<u32>,
    /// Only settings whose names begin with this, such as net. or limit.; may be repeated
    #[arg(long, value_name = "PREFIX")]
    pub only: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = TableFormat::Text)]
    pub format: TableFormat,
}

/// The arguments of `apply`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct ChangeArgs {
    /// The selected settings.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// File that keeps the former values for `undo`
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// The arguments of `undo`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct UndoArgs {
    /// File in which `apply` kept the former values
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// The arguments of `persist`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct PersistArgs {
    /// The selected settings.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Write below this directory instead of /, for images
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Remove the files
    #[arg(long)]
    pub remove: bool,
}

/// The format of a table of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Text
    #[default]
    Text,
    /// JSON
    Json,
}
