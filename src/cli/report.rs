//! The flags of `hls-swarm report` as they were typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Look at reports that runs have written with `--report FILE.json`.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "hls-swarm report", version, max_term_width = 100)]
pub struct ReportArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReportCommand,
}

/// What can be done with reports.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum ReportCommand {
    /// Print the summary of a report
    Show {
        /// A JSON report
        #[arg(value_name = "FILE.json")]
        file: PathBuf,
        /// Write it in another format too: .json, .html, .xml (JUnit), .md, .csv; may be repeated
        #[arg(long = "report", value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
    /// Print the main figures of two reports side by side, with their ratios
    Compare {
        /// A JSON report
        #[arg(value_name = "A.json")]
        before: PathBuf,
        /// Another one
        #[arg(value_name = "B.json")]
        after: PathBuf,
    },
    /// Merge the reports of runs that were parts of one load; the exit code is that of the merged run
    Merge {
        /// JSON reports, two or more
        #[arg(value_name = "FILE.json", num_args = 2.., required = true)]
        files: Vec<PathBuf>,
        /// Write the merged report: .json, .html, .xml (JUnit), .md, .csv; may be repeated
        #[arg(long = "report", value_name = "FILE")]
        reports: Vec<PathBuf>,
    },
}
