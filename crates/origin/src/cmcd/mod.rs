//! `hls-origin cmcd`: sums up what players reported (CTA-5004) in an access log, so that a pipeline for such data can be
//! compared with it.

mod data;
mod summary;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use clap::Args;

use hls_swarm_base::error::Failure;
use hls_swarm_os::output;

use crate::access_log::LogEntry;
use summary::Summary;

/// The arguments of `cmcd`.
#[derive(Args, Clone, Debug)]
pub struct CmcdArgs {
    /// Access logs of this origin (--access-log), uncompressed; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub logs: Vec<PathBuf>,
    /// Print JSON, with every session
    #[arg(long)]
    pub json: bool,
}

/// Prints the summary of access logs.
///
/// # Errors
/// A usage failure: a log cannot be read, or is none of this origin.
pub fn run(args: &CmcdArgs) -> Result<(), Failure> {
    let mut summary = Summary::default();
    for log in &args.logs {
        add(log, &mut summary)?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&summary)
            .map_err(|error| Failure::internal("cannot write the summary").caused_by(error))?;
        return output::print(&(json + "\n"));
    }
    output::print(&summary.text())
}

fn add(log: &Path, summary: &mut Summary) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        Failure::usage(format!("{}: cannot be read", log.display()))
            .caused_by(error)
            .help("name an access log of hls-origin, which --access-log FILE writes")
    };
    let reader: Box<dyn BufRead> = if log == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(log).map_err(unreadable)?))
    };
    for (number, line) in (1..).zip(reader.lines()) {
        let line = line.map_err(unreadable)?;
        let entry: LogEntry = serde_json::from_str(&line).map_err(|error| {
            Failure::usage(format!("{}: line {number} is not of an access log", log.display()))
                .caused_by(error)
                .help("pass a log that hls-origin --access-log FILE wrote, uncompressed (--log-gzip 0)")
        })?;
        summary.add(&entry);
    }
    Ok(())
}
